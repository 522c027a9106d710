"""The dlt source: one resource per data type, made from the table of data types.

Endpoints of another shape than `/data/{type}/{scope}/{scope id}` are functions of `endpoints`. No request is made
before dlt extracts. The types of the options are spelled for dlt, which reads them to resolve the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any, Optional, Union

import dlt
from dlt.common import logger
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from hyperstudy_source.api.budget import REQUESTS_PER_HOUR, REQUESTS_PER_MINUTE, Budget
from hyperstudy_source.api.client import Client
from hyperstudy_source.api.envelope import DEFAULT_PAGE
from hyperstudy_source.data_types import DATA_TYPES, RECORDING_FILES, SYNC_LEDGER, TABLES, DataType
from hyperstudy_source.destination.alignment import FILLED
from hyperstudy_source.errors import SettingError
from hyperstudy_source.recordings.files import DOWNLOAD_THREADS, RecordingFiles
from hyperstudy_source.recordings.names import SDK_PATTERN, FileNames, name_pattern
from hyperstudy_source.recordings.targets import Target
from hyperstudy_source.sync.bare_runs import begin_bare_run
from hyperstudy_source.sync.cursors import FAR_FUTURE, FAR_PAST, MARGIN
from hyperstudy_source.sync.freshness import MAX_OPEN_DAYS, SETTLE_HOURS, Freshness
from hyperstudy_source.sync.id_texts import listed_ids, participants_in_rooms
from hyperstudy_source.sync.reader import Reader
from hyperstudy_source.sync.readings import Readings
from hyperstudy_source.sync.resources import extracted, is_created, prepare, resource
from hyperstudy_source.sync.run import Run, this_run
from hyperstudy_source.sync.scopes import Scopes
from hyperstudy_source.sync.sharing import Items
from hyperstudy_source.tables.fields import column_name
from hyperstudy_source.tables.hints import declare
from hyperstudy_source.tables.values import read_time

Bounds = tuple[Optional[datetime], Optional[datetime]]


@dlt.source(name="hyperstudy", section="hyperstudy")
def hyperstudy_source(
    api_key: Optional[TSecretStrValue] = None,
    base_url: Optional[str] = None,
    organization_id: Optional[str] = None,
    experiment_ids: Union[str, Sequence[str], None] = None,
    room_ids: Union[str, Sequence[str], None] = None,
    participants: Union[str, Sequence[str], None] = None,
    start_time: Union[str, date, None] = None,
    end_time: Union[str, date, None] = None,
    lookback: float = 3600,
    page_size: Optional[int] = None,
    bucket_url: Optional[str] = None,
    filename: str = SDK_PATTERN,
    recording_type: Optional[str] = None,
    download_threads: int = DOWNLOAD_THREADS,
    settle_hours: float = SETTLE_HOURS,
    max_open_days: float = MAX_OPEN_DAYS,
    requests_per_minute: Optional[int] = REQUESTS_PER_MINUTE,
    requests_per_hour: Optional[int] = REQUESTS_PER_HOUR,
    on_incomplete: str = "fail",
) -> list[DltResource]:
    """Everything that the HyperStudy V3 API serves, one resource per data type.

    Without ids: every experiment that the key can read; with `organization_id` also those shared with the
    organisation. An experiment may be given by its name. `room_ids` and `participants` ("participant_id@room_id")
    narrow what is read; several ids are a list, or a text with commas. `start_time` and `end_time` (ISO 8601, a
    `datetime`, or a `date` for the start of that day; both included) bound a backfill: cursors are neither read nor
    moved. `lookback`: s that are read again behind each cursor. `page_size`: rows to ask for with one request; without
    it 1,000, and up to 10,000 of an endpoint that has more and takes it.

    `bucket_url`: where the files of recordings go, a folder or any URL of fsspec; without it none is fetched.
    `filename`: how they are called, of `file_names.NAME_FIELDS` in braces. `recording_type`: only "audio" or "video".
    `download_threads`: files fetched at once.

    `settle_hours`: h after its end for which rows of a room may still arrive, and `max_open_days` d after its start
    where it never ends; until then it is read again. `requests_per_minute` (to one endpoint) and `requests_per_hour`
    (with one key) are what the API allows; None is no limit. `on_incomplete`: "warn" lets `load` report success (0)
    even where something is incomplete.

    Raises `SettingError` where an option cannot work; while it is extracted, an `ApiError`.
    """
    if page_size is not None and page_size < 1:
        raise SettingError(f"page_size is {page_size}, but a page holds at least 1 row. Set page_size=1000.")
    if lookback < 0:
        raise SettingError(f"lookback is {lookback}, but it counts s backwards. Set lookback=3600.")
    if on_incomplete not in ("fail", "warn"):
        raise SettingError(f"on_incomplete is {on_incomplete!r}. Set fail (exit status 3) or warn (0).")
    run = this_run()
    run.warn_only = on_incomplete == "warn"
    notes = Path(dlt.current.run_context().data_dir) / "hyperstudy"
    budget = Budget(
        requests_per_minute, requests_per_hour, run.max_requests, run.stop_on_quota, run.clock, run.sleep, folder=notes)
    client = run.client = run.client or Client(
        api_key, base_url, organization_id, run.clock, run.sleep, budget, run.attempts, page_size)
    scopes = run.scopes = run.scopes or Scopes(
        client, listed_ids("experiment_ids", experiment_ids), listed_ids("room_ids", room_ids),
        participants_in_rooms(participants))
    files = _recording_files(run, client, bucket_url, filename, recording_type, download_threads)
    reader = Reader(client, scopes, page_size or DEFAULT_PAGE, run, Freshness(run, scopes, settle_hours, max_open_days))
    schema = dlt.current.source_schema()
    for table in TABLES.values():
        declare(schema, table)
    return _resources(reader, backfill_bounds(start_time, end_time), lookback, files)


def backfill_bounds(start: str | date | None, end: str | date | None) -> Bounds:
    """The bounds of a backfill, in UTC, or two None where none is asked for.

    Two equal bounds are one moment, a little widened, since dlt takes an interval of no length for none.
    Raises `SettingError` for a time that cannot be read and for a start after the end.
    """
    if start is None and end is None:
        return None, None
    first = FAR_PAST if start is None else _time("start_time", start)
    last = FAR_FUTURE if end is None else _time("end_time", end)
    if first > last:
        raise SettingError(f"start_time {first.isoformat()} is after end_time {last.isoformat()}. Swap them.")
    return first, max(last, first + MARGIN)


def _time(option: str, value: str | date) -> datetime:
    moment = read_time(value.isoformat() if isinstance(value, date) else value.strip())
    if moment is None:
        raise SettingError(f"{option} is {str(value)!r}, which is no time. "
                           f"Give ISO 8601, such as {option}=2024-06-15T10:00:00Z or {option}=2024-06-15.")
    return moment


def _recording_files(
    run: Run, client: Client, bucket_url: str | None, filename: str, recording_type: str | None, threads: int
) -> RecordingFiles | None:
    if recording_type not in (None, "audio", "video"):
        raise SettingError(f"recording_type is {recording_type!r}. Set audio or video, or leave it out for both.")
    if threads < 1:
        raise SettingError(f"download_threads is {threads}, but files need at least 1. "
                           f"Set download_threads={DOWNLOAD_THREADS}.")
    names = FileNames(name_pattern(filename))
    if not (bucket_url or "").strip():
        return None
    target = run.target = Target(str(bucket_url).strip())
    return RecordingFiles(client, target, names, recording_type=recording_type, threads=threads)


def _resources(
    reader: Reader, bounds: Bounds, lookback: float, files: RecordingFiles | None
) -> list[DltResource]:
    readings = Readings(reader, files)
    return [_windowed(reader, readings, data_type, bounds, lookback) if data_type.cursor
            else _resource(reader, readings, data_type) for data_type in DATA_TYPES.values()] + [
            _resource(reader, readings, RECORDING_FILES), _ledger(reader)]


def _resource(reader: Reader, readings: Readings, data_type: DataType) -> DltResource:
    def rows() -> Iterator[Any]:
        yield from _followed(reader, readings.items(data_type), data_type)

    return resource(reader.run, data_type, rows)


def _windowed(
    reader: Reader, readings: Readings, data_type: DataType, bounds: Bounds, lookback: float
) -> DltResource:
    positions = dlt.sources.incremental[datetime](
        column_name(str(data_type.cursor)), initial_value=bounds[0], end_value=bounds[1], lag=lookback,
        primary_key=(), on_cursor_value_missing="include")

    def rows(cursor: dlt.sources.incremental[datetime] = positions) -> Iterator[Any]:
        cursor.advance(None)  # type: ignore[arg-type]  # None is what switches the filter off
        yield from _followed(reader, readings.in_windows(data_type, cursor, (*bounds, lookback)), data_type)

    return resource(reader.run, data_type, rows)


def _ledger(reader: Reader) -> DltResource:
    """The ledger's rows: they come when all else is read, and so into the same load package.

    None makes dlt turn to the other resources first.
    """
    run = reader.run

    def items() -> Items:
        others = extracted(run) - {SYNC_LEDGER.name}
        while not others <= run.extract.over:
            yield None
        if run.extract.changed:
            logger.warning(f"The ledger counts the rows of {', '.join(sorted(run.extract.changed))} as the API gave "
                           "them, before steps that were added to these resources.")
        reader.round.end()
        for remark in () if run.is_sliced else run.misfits():
            run.remark(remark)
        yield run.written()

    def rows() -> Iterator[Any]:
        yield from _followed(reader, items(), SYNC_LEDGER)

    return resource(run, SYNC_LEDGER, rows)


def _followed(reader: Reader, items: Items, data_type: DataType) -> Iterator[Any]:
    """The items of a resource, of which the run knows that it is being read.

    No item is empty: a limit would count it. The last one creates the table, if it is not there yet.
    """
    run = reader.run
    run.begin(dlt.current.source_state(), dlt.current.source())
    if not run.is_sliced:
        begin_bare_run()
    as_items = prepare(run, data_type)
    if reader.scopes.named:
        reader.found_scopes()
    try:
        with closing(items):
            for item in items:
                if item is None:
                    yield None
                elif item:
                    dlt.current.resource_state(data_type.name)[FILLED] = True
                    run.slice_rows += len(item)
                    yield from as_items(item)
        if not is_created(data_type):
            yield dlt.mark.materialize_table_schema()
    finally:
        run.extract.over.add(data_type.name)
