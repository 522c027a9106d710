"""A page of the API as rows of a data type's table: shaped, with its experiment, its room and its key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.schema import Schema

from hyperstudy_source.api.redaction import bare_link
from hyperstudy_source.data_types import DATA_TYPES, PLACE_FIELDS, DataType
from hyperstudy_source.tables.fields import Row, column_name
from hyperstudy_source.tables.frames import Frame
from hyperstudy_source.tables.keys import numbered, row_digests
from hyperstudy_source.tables.misfits import Misfit
from hyperstudy_source.tables.shaping import Shaper
from hyperstudy_source.tables.types import ColumnTypes
from hyperstudy_source.tables.values import digest

MS_PER_S = 1000.0
TellRooms = Callable[[Frame], None]
"""Fills in the rooms of rows that do not name theirs."""


class TablePages:
    """Makes frames of pages, for one resource of one run."""

    def __init__(self, data_type: DataType, schema: Schema, state: dict[str, Any]) -> None:
        self._data_type = data_type
        self.told_by: Sequence[str] | None = state.get("told_by")
        """The fields of which the key of a row without one is the digest; None until the first rows come."""
        self.types = ColumnTypes(_known_types(data_type, schema), partial(_stored, schema))
        self._shaper = Shaper(
            data_type.name, data_type.fields, data_type.added_columns, self.types, state, schema.naming.max_length)

    def misfits(self) -> Counter[Misfit]:
        """How many values since the last call each column could not take."""
        misfits, self._shaper.misfits = self._shaper.misfits, Counter()
        return misfits

    def remarks(self) -> list[str]:
        """What is odd in the rows since the last call."""
        remarks, self._shaper.remarks = self._shaper.remarks, []
        return remarks

    def page(
        self, rows: Sequence[Row], experiment_id: str | None, room_id: str | None, twins: Counter[str],
        tell_rooms: TellRooms | None = None, turn: int | None = None,
    ) -> Frame:
        """The rows with their key, experiment, room and `onset_sec`.

        `experiment_id` and `room_id` are those of what was asked for. `twins` counts identical rows of one read; from
        the row `turn` on, none is like one that came before.

        What tells rows without a key apart is settled by the first that come, since documentation names few of their
        fields: a field that the API grows later does not make new rows of old ones.
        """
        data_type = self._data_type
        if rows and self.told_by is None:
            found = set() if data_type.key or data_type.identity else set(chain.from_iterable(rows))
            self.told_by = sorted({*data_type.told_by, *(found - PLACE_FIELDS)})
        frame = self._shaper.page(rows)
        FINISHING.get(data_type.name, _unchanged)(frame)
        if data_type.of_experiment:
            _fill(frame, "experiment_id", experiment_id or "")
        if room_id and "roomId" in data_type.fields:
            _fill(frame, "room_id", room_id)
        elif tell_rooms and len(frame):
            tell_rooms(frame)
        if ("onset",) in frame.columns and "onset_sec" in data_type.added_columns:
            frame.columns["onset_sec",] = pc.divide(frame.columns["onset",], MS_PER_S)
        self._put_key(frame, rows, twins, turn)
        return frame

    def _put_key(self, frame: Frame, rows: Sequence[Row], twins: Counter[str], turn: int | None) -> None:
        data_type = self._data_type
        for part in data_type.key:
            names = [column_name(name) for name in part]
            filled = _first_of(frame, names)
            if filled.null_count:
                make = (partial(self._missing_rooms, rows, twins) if names[0] == "room_id"
                        else partial(self._row_keys, frame, rows, twins, turn))
                filled = _completed(filled, make)
            frame.columns[names[0],] = filled
        if not data_type.key:
            given = _first_of(frame, [column_name(name) for name in [data_type.key_where_present] if name])
            frame.columns["row_key",] = _completed(given, partial(self._row_keys, frame, rows, twins, turn))
            if turn is not None and not given.null_count:
                twins.clear()
        elif turn is not None:
            twins.clear()

    def _missing_rooms(self, rows: Sequence[Row], twins: Counter[str], at: Sequence[int]) -> Iterable[str]:
        """Stand for the rooms of rows that do not say them, different for all rows of the same id."""
        names = [name for part in self._data_type.key for name in part]
        for row in at:
            same_id = "room of " + digest(rows[row], names)
            twins[same_id] += 1
            yield "" if twins[same_id] == 1 else f"({twins[same_id]})"

    def _row_keys(
        self, frame: Frame, rows: Sequence[Row], twins: Counter[str], turn: int | None, at: Sequence[int]
    ) -> Iterable[str]:
        """Digests of what tells the rows; those that it does not tell apart have their number behind it."""
        told_by = self.told_by or ()
        given = {"roomId": frame.values("room_id")} if "roomId" in told_by else {}
        if len(at) < len(rows):
            rows = [rows[row] for row in at]
            given = {name: [values[row] for row in at] for name, values in given.items()}
        turns = None if turn is None else sum(row < turn for row in at)
        return numbered(row_digests(rows, told_by, given), twins, turns)


def _fill(frame: Frame, name: str, value: str) -> None:
    """Puts a text where a column has none."""
    filled = _first_of(frame, [name])
    frame.columns[name,] = filled.fill_null(value) if filled.null_count else filled


def _first_of(frame: Frame, names: Sequence[str]) -> pa.Array:
    """Of columns of texts, the first text of each row that is not empty."""
    found = [frame.columns[name,] for name in names if (name,) in frame.columns]
    found = [pc.if_else(pc.equal(each, ""), pa.scalar(None, pa.string()), each)
             if pc.any(pc.equal(each, "")).as_py() else each for each in found]
    if not found:
        return pa.nulls(len(frame), pa.string())
    return pc.coalesce(*found) if len(found) > 1 else found[0]


def _completed(column: pa.Array, make: Callable[[Sequence[int]], Iterable[str]]) -> pa.Array:
    """A column with what is made for the rows in which it is null."""
    if not column.null_count:
        return column
    if column.null_count == len(column):
        return pa.array(make(range(len(column))), pa.string())
    values = column.to_pylist()
    at = [row for row, value in enumerate(values) if value is None]
    for row, value in zip(at, make(at), strict=True):
        values[row] = value
    return pa.array(values, pa.string())


def _known_types(data_type: DataType, schema: Schema) -> dict[tuple[str, str], str]:
    """The types of a data type's columns in the schema, and where it has none those of the tables derived from it."""
    derived = [each.name for each in DATA_TYPES.values() if each.derived_from == data_type.name]
    known: dict[tuple[str, str], str] = {}
    for root in (data_type.name, *derived):
        for table, declared in list(schema.tables.items()):
            name, *lists = table.split("__")
            if name == root:
                for column, hints in declared["columns"].items():
                    if hints.get("data_type"):
                        known.setdefault(("__".join((data_type.name, *lists)), column), str(hints["data_type"]))
    return known


def _stored(schema: Schema, name: str) -> str:
    """The name of a table or column as the destination has it: what is too long is shortened by dlt."""
    naming = schema.naming
    if not naming.max_length or len(name) <= naming.max_length:
        return name
    return naming.shorten_fragments(*map(naming.normalize_identifier, name.split("__")))


def _unchanged(_: Frame) -> None:
    """Leaves a frame as it is."""


def _experiments(frame: Frame) -> None:
    frame.columns["experiment_id",] = _first_of(frame, ["experiment_id", "id"])


def _recordings(frame: Frame) -> None:
    """The place of a recording stands in its `metadata` and in its `downloadPath`; its `url` keeps no query."""
    rooms = [_room_in(path) for path in frame.values("download_path")]
    known = frame.columns.get(("metadata", "room_name"), pa.nulls(len(frame), pa.string()))
    named = _first_of(frame, ["room_id"])
    frame.columns["room_id",] = pc.coalesce(named, pa.array(rooms, pa.string()), known)
    if ("metadata", "experiment_id") in frame.columns:
        frame.columns["experiment_id",] = pc.coalesce(
            _first_of(frame, ["experiment_id"]), frame.columns["metadata", "experiment_id"])
    if ("url",) in frame.columns:
        frame.columns["url",] = pa.array([url and bare_link(url) for url in frame.values("url")], pa.string())


def _room_in(download_path: str | None) -> str | None:
    steps = str(download_path or "").strip("/").split("/")
    return steps[-2] or None if steps[:-2] == ["data", "recordings", "download"] else None


def _participants(frame: Frame) -> None:
    """Where the API names a person by `id` only, `participant_id` says it too, as in every other table."""
    frame.columns["participant_id",] = _first_of(frame, ["participant_id", "id"])


def _messages(frame: Frame) -> None:
    """Who sent a message is its participant, as in every other table."""
    frame.columns["participant_id",] = _first_of(frame, ["participant_id", "sender_id"])


FINISHING: Mapping[str, Callable[[Frame], None]] = {
    "experiments": _experiments, "participants": _participants, "recordings": _recordings, "chat": _messages,
}
"""What a table does to its rows beyond what its fields say."""
