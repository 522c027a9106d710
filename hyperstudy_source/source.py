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

from hyperstudy_source.client import Client
from hyperstudy_source.cursors import FAR_FUTURE, FAR_PAST, MARGIN
from hyperstudy_source.data_types import DATA_TYPES, RECORDING_FILES, TABLES, DataType
from hyperstudy_source.endpoints import MADE_OF, PART_OF_EVENTS, READ_BY, room_variables
from hyperstudy_source.errors import SettingError
from hyperstudy_source.fields import Row, column_name
from hyperstudy_source.file_names import SDK_PATTERN, FileNames, name_pattern
from hyperstudy_source.reading import Reader
from hyperstudy_source.recording_files import DOWNLOAD_THREADS, RecordingFiles
from hyperstudy_source.scopes import Scopes, listed_ids, participants_in_rooms
from hyperstudy_source.tables import declare, hints, opening
from hyperstudy_source.targets import Target
from hyperstudy_source.values import read_time

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
) -> list[DltResource]:
    """Everything that the HyperStudy V3 API serves, one resource per data type.

    Without ids: every experiment that the key can read; with `organization_id` also those shared with the
    organisation. `room_ids` and `participants` ("participant_id@room_id") narrow what is read. `start_time` and
    `end_time` (ISO 8601, both included) bound a backfill: cursors are neither read nor moved. `lookback`: s that are
    read again behind each cursor. `page_size`: rows to ask for with one request.

    `bucket_url`: where the files of recordings go, a folder or any URL of fsspec; without it none is fetched.
    `filename`: how they are called, of `file_names.NAME_FIELDS` in braces. `recording_type`: only "audio" or "video".
    `download_threads`: files fetched at once.

    Raises `SettingError` where an option cannot work; while it is extracted, an `ApiError`.
    """
    if page_size < 1:
        raise SettingError(f"page_size is {page_size}, but a page holds at least 1 row. Set page_size=1000.")
    if lookback < 0:
        raise SettingError(f"lookback is {lookback}, but it counts s backwards. Set lookback=3600.")
    client = Client(api_key, base_url, organization_id)
    files = _recording_files(client, bucket_url, filename, recording_type, download_threads)
    scopes = Scopes(client, listed_ids("experiment_ids", experiment_ids), listed_ids("room_ids", room_ids),
                    participants_in_rooms(participants))
    schema = dlt.current.source_schema()
    for table in TABLES.values():
        declare(schema, table)
    return _resources(Reader(client, scopes, page_size), backfill_bounds(start_time, end_time), lookback, files)


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
    client: Client, bucket_url: str | None, filename: str, recording_type: str | None, threads: int
) -> RecordingFiles | None:
    if recording_type not in (None, "audio", "video"):
        raise SettingError(f"recording_type is {recording_type!r}. Set audio or video, or leave it out for both.")
    if threads < 1:
        raise SettingError(f"download_threads is {threads}, but files need at least 1. "
                           f"Set download_threads={DOWNLOAD_THREADS}.")
    names = FileNames(name_pattern(filename))
    if not (bucket_url or "").strip():
        return None
    target = Target(str(bucket_url).strip())
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
            made[name] = _part(PART_OF_EVENTS[name], data_type, made["events"])
        elif data_type.cursor:
            made[name] = _windowed(reader, data_type, bounds, lookback)
        else:
            made[name] = _resource(Reader.whole, reader, data_type)
    made[RECORDING_FILES.name] = _manifest(files, reader, made["recordings"])
    return list(made.values())


def _resource(
    read: Callable[[Reader, DataType], Iterator[Any]], reader: Reader, data_type: DataType
) -> DltResource:
    def rows() -> Iterator[Any]:
        yield from read(reader, data_type)

    return dlt.resource(rows, **hints(data_type))


def _windowed(reader: Reader, data_type: DataType, bounds: Bounds, lookback: float) -> DltResource:
    positions = dlt.sources.incremental[datetime](
        column_name(str(data_type.cursor)), initial_value=bounds[0], end_value=bounds[1], lag=lookback,
        primary_key=(), on_cursor_value_missing="include")

    def rows(cursor: dlt.sources.incremental[datetime] = positions) -> Iterator[Any]:
        yield from reader.in_windows(data_type, cursor)

    return dlt.resource(rows, **hints(data_type))


def _transformer(
    read: Callable[[Reader, DataType, Any], Iterator[Any]], reader: Reader, data_type: DataType, parent: DltResource
) -> DltResource:
    def rows(item: Any) -> Iterator[Any]:
        yield from read(reader, data_type, item)

    return dlt.transformer(rows, data_from=parent, **hints(data_type))


def _part(belongs: Callable[[Row], bool], data_type: DataType, events: DltResource) -> DltResource:
    def rows(page: list[Row]) -> Iterator[Any]:
        yield [row for row in page if belongs(row)] if page else opening()

    return dlt.transformer(rows, data_from=events, **hints(data_type))


def _room_variables(reader: Reader, rooms: DltResource) -> DltResource:
    def answers(page: list[Row]) -> Iterator[Any]:
        yield from room_variables(reader, page) if page else [{}]

    return dlt.transformer(answers, data_from=rooms, name="room_variables", selected=False)


def _manifest(files: RecordingFiles | None, reader: Reader, recordings: DltResource) -> DltResource:
    def rows(page: list[Row]) -> Iterator[Any]:
        if files and page:
            yield from files.rows(page, reader.reading(RECORDING_FILES))
        elif not page:
            yield opening()

    return dlt.transformer(rows, data_from=recordings, **hints(RECORDING_FILES))
