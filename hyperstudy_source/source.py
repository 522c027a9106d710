"""The dlt source: one resource per data type, made from the table of data types.

Endpoints of another shape than `/data/{type}/{scope}/{scope id}` are functions of `endpoints`. No request is made
before dlt extracts. The types of the options are spelled for dlt, which reads them to resolve the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Optional, Union

import dlt
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from hyperstudy_source.alignment import FILLED
from hyperstudy_source.bare_runs import begin_bare_run
from hyperstudy_source.budget import REQUESTS_PER_HOUR, REQUESTS_PER_MINUTE, Budget
from hyperstudy_source.client import Client
from hyperstudy_source.cursors import FAR_FUTURE, FAR_PAST, MARGIN
from hyperstudy_source.data_types import DATA_TYPES, RECORDING_FILES, SYNC_LEDGER, TABLES, DataType
from hyperstudy_source.endpoints import MADE_OF, PART_OF_EVENTS, READ_BY
from hyperstudy_source.errors import SettingError
from hyperstudy_source.fields import Row, column_name
from hyperstudy_source.file_names import SDK_PATTERN, FileNames, name_pattern
from hyperstudy_source.freshness import MAX_OPEN_DAYS, SETTLE_HOURS, Freshness
from hyperstudy_source.reading import Reader
from hyperstudy_source.recording_files import DOWNLOAD_THREADS, RecordingFiles
from hyperstudy_source.rooms import room_variables
from hyperstudy_source.runs import Run, this_run
from hyperstudy_source.scopes import Scopes, listed_ids, participants_in_rooms
from hyperstudy_source.tables import declare, hints, opening
from hyperstudy_source.targets import Target
from hyperstudy_source.values import read_time

IDLE_ROUNDS = 3
"""Rounds through all resources in which none yields anything before they count as read."""
Bounds = tuple[Optional[datetime], Optional[datetime]]


@dlt.source(name="hyperstudy", section="hyperstudy")
def hyperstudy_source(
    api_key: Optional[TSecretStrValue] = None,
    base_url: Optional[str] = None,
    organization_id: Optional[str] = None,
    experiment_ids: Optional[Sequence[str]] = None,
    room_ids: Optional[Sequence[str]] = None,
    participants: Optional[Sequence[str]] = None,
    start_time: Union[str, datetime, None] = None,
    end_time: Union[str, datetime, None] = None,
    lookback: float = 3600,
    page_size: int = 1000,
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
    organisation. `room_ids` and `participants` ("participant_id@room_id") narrow what is read. `start_time` and
    `end_time` (ISO 8601, both included) bound a backfill: cursors are neither read nor moved. `lookback`: s that are
    read again behind each cursor. `page_size`: rows to ask for with one request.

    `bucket_url`: where the files of recordings go, a folder or any URL of fsspec; without it none is fetched.
    `filename`: how they are called, of `file_names.NAME_FIELDS` in braces. `recording_type`: only "audio" or "video".
    `download_threads`: files fetched at once.

    `settle_hours`: h after its end for which rows of a room may still arrive, and `max_open_days` d after its start
    where it never ends; until then it is read again. `requests_per_minute` (to one endpoint) and `requests_per_hour`
    (with one key) are what the API allows; None is no limit. `on_incomplete`: "warn" lets `load` report success (0)
    even where something is incomplete.

    Raises `SettingError` where an option cannot work; while it is extracted, an `ApiError`.
    """
    if page_size < 1:
        raise SettingError(f"page_size is {page_size}, but a page holds at least 1 row. Set page_size=1000.")
    if lookback < 0:
        raise SettingError(f"lookback is {lookback}, but it counts s backwards. Set lookback=3600.")
    if on_incomplete not in ("fail", "warn"):
        raise SettingError(f"on_incomplete is {on_incomplete!r}. Set fail (exit status 3) or warn (0).")
    run = this_run()
    run.warn_only = on_incomplete == "warn"
    budget = Budget(requests_per_minute, requests_per_hour, run.max_requests, run.stop_on_quota, run.clock, run.sleep)
    client = run.client = run.client or Client(
        api_key, base_url, organization_id, run.clock, run.sleep, budget, run.attempts)
    scopes = run.scopes = run.scopes or Scopes(
        client, listed_ids("experiment_ids", experiment_ids), listed_ids("room_ids", room_ids),
        participants_in_rooms(participants))
    files = _recording_files(run, client, bucket_url, filename, recording_type, download_threads)
    reader = Reader(client, scopes, page_size, run, Freshness(run, scopes, settle_hours, max_open_days))
    schema = dlt.current.source_schema()
    for table in TABLES.values():
        declare(schema, table)
    return _resources(reader, backfill_bounds(start_time, end_time), lookback, files)


def backfill_bounds(start: str | datetime | None, end: str | datetime | None) -> Bounds:
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


def _time(option: str, value: str | datetime) -> datetime:
    moment = read_time(value.isoformat() if isinstance(value, datetime) else value.strip())
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
    made: dict[str, DltResource] = {}
    for name, data_type in DATA_TYPES.items():
        if name == "variable_writes":
            made["room_variables"] = _room_variables(reader, made["rooms"])
        if name == "recordings" and files:
            made[name] = _resource(files.read, reader, data_type)
        elif name in READ_BY:
            made[name] = _resource(READ_BY[name], reader, data_type)
        elif name in MADE_OF:
            parent, read = MADE_OF[name]
            made[name] = _transformer(read, reader, data_type, made[parent])
        elif name in PART_OF_EVENTS:
            made[name] = _part(PART_OF_EVENTS[name], reader, data_type, made["events"])
        elif data_type.cursor:
            made[name] = _windowed(reader, data_type, bounds, lookback)
        else:
            made[name] = _resource(Reader.whole, reader, data_type)
    made[RECORDING_FILES.name] = _manifest(files, reader, made["recordings"])
    made[SYNC_LEDGER.name] = _ledger(reader)
    return list(made.values())


def _resource(
    read: Callable[[Reader, DataType], Iterator[Any]], reader: Reader, data_type: DataType
) -> DltResource:
    def rows() -> Iterator[Any]:
        yield from _followed(reader, read(reader, data_type), data_type)

    return dlt.resource(rows, **hints(data_type))


def _windowed(reader: Reader, data_type: DataType, bounds: Bounds, lookback: float) -> DltResource:
    positions = dlt.sources.incremental[datetime](
        column_name(str(data_type.cursor)), initial_value=bounds[0], end_value=bounds[1], lag=lookback,
        primary_key=(), on_cursor_value_missing="include")

    def rows(cursor: dlt.sources.incremental[datetime] = positions) -> Iterator[Any]:
        yield from _followed(reader, reader.in_windows(data_type, cursor), data_type)

    return dlt.resource(rows, **hints(data_type))


def _transformer(
    read: Callable[[Reader, DataType, Any], Iterator[Any]], reader: Reader, data_type: DataType, parent: DltResource
) -> DltResource:
    def rows(item: Any) -> Iterator[Any]:
        yield from _followed(reader, read(reader, data_type, item), data_type)

    return dlt.transformer(rows, data_from=parent, **hints(data_type))


def _part(
    belongs: Callable[[Row], bool], reader: Reader, data_type: DataType, events: DltResource
) -> DltResource:
    def rows(page: list[Row]) -> Iterator[Any]:
        part = [row for row in page if belongs(row)] if page else opening()
        yield from _followed(reader, iter([part]), data_type)

    return dlt.transformer(rows, data_from=events, **hints(data_type))


def _room_variables(reader: Reader, rooms: DltResource) -> DltResource:
    def answers(page: list[Row]) -> Iterator[Any]:
        yield from [] if page else [{}]
        yield from _followed(reader, room_variables(reader, page))

    return dlt.transformer(answers, data_from=rooms, name="room_variables", selected=False)


def _manifest(files: RecordingFiles | None, reader: Reader, recordings: DltResource) -> DltResource:
    def rows(page: list[Row]) -> Iterator[Any]:
        if not page:
            yield opening()
        if files:
            yield from _followed(reader, files.rows(page, reader), RECORDING_FILES)

    return dlt.transformer(rows, data_from=recordings, **hints(RECORDING_FILES))


def _ledger(reader: Reader) -> DltResource:
    """The ledger's rows: they come when all else is read, and so into the same load package.

    None makes dlt turn to the other resources first.
    """
    run = reader.run

    def rows() -> Iterator[Any]:
        _begin(run)
        yield opening()
        idle, ticks = 0, run.ticks
        while idle < IDLE_ROUNDS:
            yield None
            idle, ticks = idle + 1 if not run.open and ticks == run.ticks else 0, run.ticks
        reader.round.end()
        yield run.written()

    return dlt.resource(rows, **hints(SYNC_LEDGER))


def _followed(reader: Reader, items: Iterator[Any], data_type: DataType | None = None) -> Iterator[Any]:
    """The items of a resource, of which the run knows that it is being read, and the state that its table has rows."""
    run = reader.run
    _begin(run)
    run.open += 1
    try:
        for item in items:
            run.ticks += 1
            if data_type and item and isinstance(item, list):
                dlt.current.resource_state(data_type.name)[FILLED] = True
            yield item
    finally:
        run.open -= 1
        run.ticks += 1


def _begin(run: Run) -> None:
    run.begin(dlt.current.source_state())
    if not run.is_sliced:
        begin_bare_run()
