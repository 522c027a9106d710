"""`verify()`: does the API count as many rows as the tables hold? One request for each experiment and data type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import dlt

from hyperstudy_source.api.client import ANSWER_TIMEOUT, Client
from hyperstudy_source.data_types import DATA_TYPES, DataType
from hyperstudy_source.destination.whereabouts import require_database
from hyperstudy_source.errors import ApiError, KeyRejected
from hyperstudy_source.load import LoadReport, known_data_types, load
from hyperstudy_source.source import hyperstudy_source
from hyperstudy_source.sync.chosen import choose
from hyperstudy_source.sync.endpoints import WITHOUT_PAGES
from hyperstudy_source.sync.run import current_run, this_run
from hyperstudy_source.sync.scopes import Scope


@dataclass(frozen=True)
class Comparison:
    """A data type of one experiment, by the API's count and in its table; `str()` of it is a line for people."""

    data_type: str
    experiment_id: str
    expected: int | None
    """Rows by the API's count; None where it gives none."""
    found: int
    """Rows in the table."""
    reason: str | None = None
    """Why there is no count."""

    @property
    def missing(self) -> int:
        """Rows that the table lacks."""
        return max(0, (self.expected or 0) - self.found)

    def __str__(self) -> str:
        what = f"{self.data_type} of experiment {self.experiment_id}"
        if self.expected is None:
            return f"{what}: the API gives no count{f': {self.reason}' if self.reason else ''}"
        verdict = (f"{self.missing:,} missing" if self.missing else
                   f"{self.found - self.expected:,} more than the API has by now" if self.found > self.expected
                   else "equal")
        return f"{what}: {self.expected:,} in the API, {self.found:,} in the table, {verdict}"


def verify(
    pipeline: dlt.Pipeline, data_types: Iterable[str] | None = None, **source_options: Any
) -> Iterator[Comparison]:
    """Compares the API's counts with the tables, experiment by experiment, for the data types named or all.

    `source_options` are those of `hyperstudy_source`. Raises `SettingError`, `DestinationError` where the file that
    was loaded into is gone, and `ApiError` where the list of experiments cannot be read or the key is not accepted.
    """
    require_database(pipeline)
    names = known_data_types(data_types)
    compared = [data_type for name, data_type in DATA_TYPES.items()
                if "experiment" in data_type.scopes and not data_type.derived_from and (not names or name in names)]
    with current_run(replace(this_run())) as run:
        hyperstudy_source(**source_options)
        if run.client is None or run.scopes is None:
            raise TypeError("The run has no source.")
        found = {data_type.name: _rows_by_experiment(pipeline, data_type.name) for data_type in compared}
        loaded = {experiment_id for rows in found.values() for experiment_id in rows}
        choose(run.scopes, lambda scope: scope.experiment_id in loaded)
        for experiment_id in run.scopes.experiments():
            for data_type in compared:
                expected, reason = _counted(run.client, data_type, Scope(experiment_id))
                if data_type.name == "rooms":
                    counts = [each for each in (expected, run.scopes.counted_rooms(experiment_id)) if each is not None]
                    expected = max(counts, default=None)
                rows = found[data_type.name].get(experiment_id, 0)
                yield Comparison(data_type.name, experiment_id, expected, rows, reason)


def repair(pipeline: dlt.Pipeline, missing: Iterable[Comparison], **source_options: Any) -> list[LoadReport]:
    """Reads what lacks rows again from its beginning, experiment by experiment."""
    wanted: dict[str, list[str]] = {}
    for each in missing:
        wanted.setdefault(each.experiment_id, []).append(each.data_type)
    return [load(pipeline, names, full=True, **{**source_options, "experiment_ids": [experiment_id]})
            for experiment_id, names in wanted.items()]


def _counted(client: Client, data_type: DataType, scope: Scope) -> tuple[int | None, str | None]:
    """How many rows the API has of a data type in a scope, and why it does not say where it does not."""
    path, params = scope.endpoint(data_type)
    whole = data_type.name in WITHOUT_PAGES
    try:
        page = client.get(path, {**params, "limit": None if whole else 1}, timeout=data_type.timeout or ANSWER_TIMEOUT)
        if page.total is not None:
            return page.total, None
        if whole and not page.metadata.get("truncated"):
            return sum(row.get("_type") != "run" or data_type.name == "agent_runs" for row in page.rows), None
    except KeyRejected:
        raise
    except ApiError as failure:
        return None, str(failure)
    return None, None


def _rows_by_experiment(pipeline: dlt.Pipeline, table: str) -> dict[str, int]:
    """Rows of a table for each experiment; none where there is no such table yet."""
    schema = pipeline.default_schema if pipeline.default_schema_name else None
    if not schema or table not in [each["name"] for each in schema.data_tables(seen_data_only=True)]:
        return {}
    with pipeline.sql_client() as client:
        name = client.make_qualified_table_name(table)
        query = f"SELECT experiment_id, count(*) FROM {name} GROUP BY experiment_id"  # noqa: S608 - a name of our own
        rows = client.execute_sql(query)
        return {str(experiment_id): int(count) for experiment_id, count in rows or ()}
