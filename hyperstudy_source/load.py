"""`load()`: one run from the API into the destination, slice by slice, and a report of what came and what is there.

Each slice is one load package with its rows, cursors and ledger together. What surprises: a package that was killed is
not resumed but read again. dlt would load a file into its staging table a second time, and tables with child tables
would get its rows twice.
"""

from __future__ import annotations

import difflib
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dlt
from dlt.common.exceptions import DltException
from dlt.common.pipeline import LoadInfo
from dlt.common.storages import PackageStorage
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.extract import DltSource

from hyperstudy_source.api.redaction import without_secrets
from hyperstudy_source.data_types import SYNC_LEDGER, TABLES
from hyperstudy_source.destination.alignment import SOURCE, align, row_counts
from hyperstudy_source.destination.comments import write_comments
from hyperstudy_source.destination.failures import causes, explained_failure, require_packages, rows_kept_from_log
from hyperstudy_source.destination.run_lock import only_run
from hyperstudy_source.destination.whereabouts import require_names_apart
from hyperstudy_source.errors import HyperStudyError, SettingError
from hyperstudy_source.source import hyperstudy_source
from hyperstudy_source.sync.ledger import SETTLED
from hyperstudy_source.sync.run import Run, current_run, this_run
from hyperstudy_source.tables.hints import child_tables

COMPLETE, INCOMPLETE, STOPPED = 0, 3, 75
"""Exit statuses of a run that loaded: all of it, all but what the report names, or as much as the requests allowed."""
SLICE_REQUESTS = 300
"""Requests after which what was read is loaded, before more is read."""
MOST_REASONS = 20
"""Reasons that the summary shows; the ledger has them all."""


@dataclass(frozen=True)
class TableReport:
    """A table after a run: how many rows it has, and how many of them it did not have before."""

    name: str
    new: int
    total: int


@dataclass(frozen=True)
class LoadReport:
    """What a run did; `str()` of it is the summary that the command prints."""

    pipeline_name: str
    dataset_name: str
    destination: str
    """Where the data is, for people: without credentials."""
    tables: tuple[TableReport, ...]
    """The tables of the data types that were loaded, and their child tables."""
    requests: int
    seconds: float
    notices: tuple[str, ...]
    """Why the data may be incomplete; empty: it is complete."""
    stopped: str | None
    """Why the run stopped before it had read everything; None: it has."""
    remarks: tuple[str, ...]
    """What is odd, but leaves the data complete."""
    new_fields: tuple[str, ...]
    """`table.column` of fields that the API has grown since the table's first rows came."""
    requests_left: int | None
    """Requests that this machine has not used of those of the hour; None: no limit is set."""
    warn_only: bool = False
    """Whether incomplete data counts as success."""

    @property
    def exit_status(self) -> int:
        """0: complete. 3: loaded, but see `notices`. 75: see `stopped`; run again."""
        if self.stopped:
            return STOPPED
        return INCOMPLETE if self.notices and not self.warn_only else COMPLETE

    def __str__(self) -> str:
        roots = [table for table in self.tables if "__" not in table.name]
        width = max([len(table.name) for table in roots] or [5])
        lines = [f"{'table':<{width}}  {'new':>9}  {'total':>9}"]
        lines += [f"{table.name:<{width}}  {table.new:>9,}  {table.total:>9,}" for table in roots]
        lines += [f"and {len(self.tables) - len(roots)} child tables, "
                  f"{sum(t.new for t in self.tables) - sum(t.new for t in roots):,} new rows in them", ""]
        lines += [f"Incomplete: {notice}" for notice in self.notices[:MOST_REASONS]]
        if len(self.notices) > MOST_REASONS:
            lines += [f"Incomplete: {len(self.notices) - MOST_REASONS} more reasons are in the table sync_ledger."]
        lines += [f"Stopped: {self.stopped}"] if self.stopped else []
        lines += [f"Note: {remark}" for remark in self.remarks]
        lines += [f"Fields that are new: {', '.join(self.new_fields)}."] if self.new_fields else []
        left = "" if self.requests_left is None else f" {self.requests_left:,} are left of the hour."
        lines += [f"{self.requests} requests, {self.seconds:.1f} s.{left} "
                  f"The data is in {self.destination}, dataset {self.dataset_name}."]
        return "\n".join(lines)


def load(
    pipeline: dlt.Pipeline, data_types: Iterable[str] | None = None, full: bool = False,
    max_requests: int | None = None, stop_on_quota: bool = False, **source_options: Any,
) -> LoadReport:
    """Loads the data types named, or all that are loaded by default, and reports.

    `full`: read everything from its beginning, also what seems unchanged. `max_requests`: stop after as many requests.
    `stop_on_quota`: stop in place of waiting for the next hour's requests. `source_options` are those of
    `hyperstudy_source`.
    Raises `SettingError`, `ApiError`, `DestinationError`, or `PipelineBusy` where another run of the pipeline is under
    way; whatever was loaded before stays as it is, and the next
    run goes on from there. A `HyperStudyError` of no narrower class is a defect to report.
    """
    started = time.monotonic()
    names = known_data_types(data_types)
    require_packages(pipeline)
    run = this_run()
    run = replace(run, full=full, max_requests=max_requests, stop_on_quota=stop_on_quota,
                  slice_requests=run.slice_requests or SLICE_REQUESTS)
    with only_run(pipeline), current_run(run), rows_kept_from_log():
        try:
            source = _source(names, source_options)
            require_names_apart(pipeline)
            pipeline.sync_destination()
            _discard_interrupted(pipeline)
            with pipeline.managed_state() as state:
                before = align(pipeline, state)
            version = _schema_version(pipeline)
            _run_slices(pipeline, run, source, lambda: _source(names, source_options))
            _complete_tables(pipeline, version)
            return _report(pipeline, source.selected_resources, before, run, started)
        except DltException as failure:
            if any(isinstance(cause, KeyboardInterrupt) for cause in causes(failure)):
                raise KeyboardInterrupt from None
            error = explained_failure(failure, pipeline)
            unforeseen = type(error) is HyperStudyError
            raise error from failure if unforeseen else None


def _source(names: Sequence[str], options: Mapping[str, Any]) -> DltSource:
    source = hyperstudy_source(**options)
    return source.with_resources(*names, SYNC_LEDGER.name) if names else source


def _run_slices(pipeline: dlt.Pipeline, run: Run, source: DltSource, next_source: Callable[[], DltSource]) -> None:
    """Runs the pipeline until nothing is left, or nothing more may be asked for. Only the first slice is a refresh."""
    refresh = pipeline.refresh
    try:
        while True:
            run.begin_slice()
            _delete_loaded_files(pipeline, pipeline.run(source))
            pipeline.refresh = None
            if run.stopped or not run.unfinished:
                return
            source = next_source()
    finally:
        pipeline.refresh = refresh


def _delete_loaded_files(pipeline: dlt.Pipeline, info: LoadInfo) -> None:
    """Deletes what dlt keeps of a slice that is in the destination: a long run would hold all of its data twice."""
    for load_id in info.loads_ids:
        package = pipeline.get_load_package_info(load_id)
        if package.state == "loaded":
            shutil.rmtree(Path(package.package_path, PackageStorage.COMPLETED_JOBS_FOLDER), ignore_errors=True)


def known_data_types(names: Iterable[str] | None) -> list[str]:
    """The names without duplicates. Raises `SettingError` for one that is no data type."""
    wanted = list(dict.fromkeys([names] if isinstance(names, str) else names or ()))
    for name in wanted:
        if name not in TABLES:
            close = difflib.get_close_matches(name, TABLES, n=1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise SettingError(f"{name!r} is no data type. {hint}There are: {', '.join(TABLES)}.")
    return wanted


def _discard_interrupted(pipeline: dlt.Pipeline) -> None:
    """Discards what a killed run has left and sets the cursors back to before it, so that it is read again.

    What of it came into the destination is replaced, since rows are merged by their keys.
    """
    if pipeline.list_extracted_load_packages() or pipeline.list_normalized_load_packages():
        pipeline.abort_packages()


def _schema_version(pipeline: dlt.Pipeline) -> str | None:
    """Tells apart what was ever known of the tables."""
    return pipeline.schemas[SOURCE].version_hash if SOURCE in pipeline.schemas else None


def _complete_tables(pipeline: dlt.Pipeline, version: str | None) -> None:
    """Creates the declared child tables that had no row yet, so that queries over them work from the first run on.

    Says in comments what is known of the tables, where the schema was of another version when the run began.
    """
    schema = pipeline.schemas[SOURCE]
    roots = {table["name"] for table in schema.data_tables(seen_data_only=True)}
    unseen = [name for data_type in TABLES.values() if data_type.name in roots
              for name in child_tables(data_type) if name not in roots]
    with pipeline.destination_client(SOURCE) as client:
        if isinstance(client, SqlJobClientBase) and unseen:
            missing = [name for name, columns in client.get_storage_tables(unseen) if not columns]
            if missing:
                client.update_stored_schema(only_tables=missing, force=True)
        if schema.version_hash != version:
            write_comments(client, schema)


def _report(
    pipeline: dlt.Pipeline, loaded: Mapping[str, Any], before: Mapping[str, int], run: Run, started: float
) -> LoadReport:
    after = row_counts(pipeline)
    order = {name: number for number, name in enumerate(TABLES)}
    names = sorted((name for name in after if name.split("__")[0] in loaded),
                   key=lambda name: (order[name.split("__")[0]], name))
    with pipeline.destination_client() as client:
        place = without_secrets(str(client.config))
        dataset = client.sql_client.dataset_name if isinstance(client, SqlJobClientBase) else pipeline.dataset_name
    grown = [field for field in run.new_fields if before.get(field.split(".")[0].split("__")[0])]
    return LoadReport(
        pipeline_name=pipeline.pipeline_name, dataset_name=str(dataset), destination=place,
        tables=tuple(TableReport(name, after[name] - before.get(name, 0), after[name]) for name in names),
        requests=run.requests, seconds=time.monotonic() - started, notices=(*reasons(run), *run.notices),
        stopped=str(run.stopped) if run.stopped else None, remarks=(*run.remarks, *run.misfits()),
        new_fields=tuple(sorted(grown)), requests_left=run.requests_left, warn_only=run.warn_only)


def reasons(run: Run) -> list[str]:
    """Why what is not complete is not, scopes with the same reason in one line."""
    told: dict[str, list[str]] = {}
    for row in run.ledger.values():
        goes_on = row.status == "stopped" and run.stopped
        if row.status not in SETTLED and not goes_on:
            told.setdefault(str(row.reason), []).append(str(row))
    return [f"{places[0]}{f' and {len(places) - 1} more' if len(places) > 1 else ''}: {reason.rstrip('.')}."
            for reason, places in told.items()]
