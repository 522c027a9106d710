"""`check()`: can a load work? The API, the key and its permissions, the recordings' target and the destination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dlt
from dlt.common.destination.client import JobClientBase
from dlt.common.exceptions import DltException
from dlt.destinations.job_client_impl import SqlJobClientBase

from hyperstudy_source.api.client import Client
from hyperstudy_source.data_types import DATA_TYPES, DataType
from hyperstudy_source.destination.failures import explained_failure
from hyperstudy_source.destination.whereabouts import database_file, is_gone, require_database, require_names_apart
from hyperstudy_source.errors import ApiError, Forbidden, HyperStudyError, KeyRejected, NotFound, SettingError
from hyperstudy_source.recordings.targets import NotWritten
from hyperstudy_source.source import hyperstudy_source
from hyperstudy_source.sync.chosen import choose, shown_name
from hyperstudy_source.sync.run import Run, current_run, this_run
from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.hints import MERGE_STRATEGY

ATTEMPTS = 2
"""How often a check sends a request that fails, since it is to be over in half a minute."""
MOST_EXPERIMENTS = 10
"""Experiments whose permissions are asked for."""
MOST_LISTED = 20
"""Experiments that are listed by id and name."""
PROBE_TABLE = "hyperstudy_check"
"""Is created in the destination and dropped."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked; `str()` of it is a line for people."""

    text: str
    holds: bool
    essential: bool = True
    """Whether nothing can be loaded where it does not hold."""

    def __str__(self) -> str:
        return f"{'✓' if self.holds else '✗'} {self.text}"


def check(pipeline: dlt.Pipeline, **source_options: Any) -> Iterator[Finding]:
    """What a load needs, one finding after the other, with what to do where something is missing.

    `source_options` are those of `hyperstudy_source`. Costs some 30 requests; nothing is loaded.
    """
    run = replace(this_run(), attempts=ATTEMPTS, stop_on_quota=True)
    with current_run(run):
        try:
            hyperstudy_source(**source_options)
        except (HyperStudyError, DltException) as failure:
            yield Finding(str(explained_failure(failure, pipeline)), holds=False)
        else:
            yield from _api(run)
            yield from _target(run)
    yield _destination(pipeline)


def _api(run: Run) -> Iterator[Finding]:
    client, scopes = run.client, run.scopes
    if client is None or scopes is None:
        raise TypeError("The run has no source.")
    try:
        choose(scopes, lambda _: False)
        found = scopes.experiments()
    except KeyRejected as failure:
        yield Finding(f"The API does not accept the key: {failure}", holds=False)
        return
    except SettingError as failure:
        yield Finding(str(failure), holds=False)
        yield from _experiments(list(scopes.summaries), scopes.summaries)
        return
    except HyperStudyError as failure:
        yield Finding(f"The API cannot be read: {failure}", holds=False)
        return
    yield Finding(f"The API answers at {client.address} and accepts the key", holds=True)
    yield from _experiments(found, scopes.summaries)
    exportable = [each for each in found[:MOST_EXPERIMENTS] if _can_export(client, each)]
    among = f" of the first {MOST_EXPERIMENTS}" if len(found) > MOST_EXPERIMENTS else ""
    yield Finding(
        f"{len(found)} experiments can be seen, {len(exportable)}{among} can be exported"
        + ("" if exportable else ". Ask their owners to let the key's user view and export them"),
        holds=bool(exportable))
    if exportable:
        yield from _permissions(client, exportable[0])


def _experiments(ids: Sequence[str], listed: Mapping[str, Row]) -> Iterator[Finding]:
    for experiment_id in ids[:MOST_LISTED]:
        name = shown_name(listed.get(experiment_id, {}))
        yield Finding(f"experiment {experiment_id}{f': {name}' if name else ''}", holds=True)
    if len(ids) > MOST_LISTED:
        yield Finding(f"and {len(ids) - MOST_LISTED} more experiments", holds=True)


def _can_export(client: Client, experiment_id: str) -> bool:
    """`GET /data/check-access/experiment/{id}`; where the API does not tell, trying will."""
    try:
        rows = client.get(f"/data/check-access/experiment/{quote(experiment_id, safe='')}").rows
    except (Forbidden, NotFound):
        return False
    except ApiError:
        return True
    return all(rows[0].get(name) is not False for name in ("canView", "canExport")) if rows else True


def _permissions(client: Client, experiment_id: str) -> Iterator[Finding]:
    """Asks for one row of each data type."""
    room_id = None
    for data_type in DATA_TYPES.values():
        path = _probe(data_type, experiment_id, room_id)
        if path is None or data_type.derived_from:
            continue
        try:
            page = client.get(path, {"limit": 1} if data_type.scopes else None)
        except Forbidden as failure:
            needed = ", ".join(failure.required) or data_type.permission
            yield Finding(f"{data_type.name}: the key lacks the permission {needed}. Give it to the key, or leave the "
                          "data type out", holds=False, essential=False)
        except NotFound:
            yield Finding(f"{data_type.name}: allowed", holds=True, essential=False)
        except HyperStudyError as failure:
            yield Finding(f"{data_type.name}: {failure}", holds=False, essential=False)
        else:
            yield Finding(f"{data_type.name}: allowed", holds=True, essential=False)
            if data_type.name == "rooms" and page.rows:
                room_id = str(page.rows[0].get("id"))


def _probe(data_type: DataType, experiment_id: str, room_id: str | None) -> str | None:
    """The path that shows whether a data type may be read; None where there is nothing to ask with."""
    if "experiment" in data_type.scopes:
        return f"{data_type.path}/experiment/{quote(experiment_id, safe='')}"
    if data_type.scopes:
        return f"{data_type.path}/room/{quote(room_id, safe='')}" if room_id else None
    return data_type.path if "{" not in data_type.path else None


def _target(run: Run) -> Iterator[Finding]:
    if run.target:
        try:
            run.target.prove_writable()
        except NotWritten as failure:
            yield Finding(f"The recordings cannot be written: {failure}", holds=False)
        else:
            yield Finding(f"The recordings can be written to {run.target}", holds=True)


def _destination(pipeline: dlt.Pipeline) -> Finding:
    """Creates a table in the destination and drops it. A file that was not there before is not there afterwards."""
    name = pipeline.destination.destination_name if pipeline.destination else "none"
    made: Path | None = None
    try:
        require_database(pipeline)
        require_names_apart(pipeline)
        file = database_file(pipeline)
        made = file if file and is_gone(file) else None
        with pipeline.destination_client() as client:
            if MERGE_STRATEGY not in (client.capabilities.supported_merge_strategies or ()):
                return Finding(f"The destination {name} cannot replace rows. Choose a database", holds=False)
            _try_out(client)
    except (HyperStudyError, DltException, ImportError, OSError) as failure:
        return Finding(str(explained_failure(failure, pipeline)), holds=False)
    finally:
        if made:
            with suppress(OSError):
                made.unlink()
    return Finding(f"The destination {name} can be written, dataset {pipeline.dataset_name}", holds=True)


def _try_out(client: JobClientBase) -> None:
    client.initialize_storage()
    if isinstance(client, SqlJobClientBase):
        table = client.sql_client.make_qualified_table_name(PROBE_TABLE)
        with suppress(DltException):
            client.sql_client.execute_sql(f"DROP TABLE {table}")
        client.sql_client.execute_sql(f"CREATE TABLE {table} (checked INT)")
        client.sql_client.execute_sql(f"DROP TABLE {table}")
