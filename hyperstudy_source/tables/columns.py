"""Many values of one field -> the column of one type that holds them, and the texts of what it cannot hold.

Where all values are plain, a column is made at once; else value by value, as `values` reads each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hyperstudy_source.tables.fields import ScalarType
from hyperstudy_source.tables.values import (
    LARGEST_INTEGER,
    as_text,
    clean_text,
    free_scalar,
    read_scalar,
    tells_type,
)

NONE = type(None)
CONTAINERS: set[type] = {dict, list}
NUMBERS: set[type] = {int, float}
ARROW_TYPES: Mapping[str, pa.DataType] = {
    "text": pa.string(), "double": pa.float64(), "bigint": pa.int64(), "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
"""What a column of each of dlt's data types is made of."""
PLAIN: Mapping[str, set[type]] = {
    "text": {str, NONE}, "double": {int, float, NONE}, "bigint": {int, NONE}, "bool": {bool, NONE},
    "timestamp": {str, NONE},
}
"""The types of values that a column may hold as they are."""
TIME_LENGTH = 24
"""Characters of `2026-03-02T09:00:00.000Z`, the spelling of all documented times."""
FIRST_YEAR = -62_135_596_800_000_000
"""The year 1 in us since 1970: before it Python has no times."""
_TYPE_MARK = b"\xef\x80"
"""How the characters begin with which dlt marks types in its extract files."""


class Read(NamedTuple):
    """Values as one column holds them."""

    column: pa.Array
    beside: list[str | None] | None = None
    """The texts of those of which the column does not say all that was sent."""
    misfits: int = 0
    """How many of these it could not take at all."""


def read_column(data_type: ScalarType, values: Sequence[Any], kinds: set[type]) -> Read:
    """The values as a column of a type holds them. `kinds`: the types of all that are not null."""
    plain = _plain_column(data_type, values) if kinds <= PLAIN[data_type] else None
    return Read(plain) if plain is not None else _value_by_value(data_type, values)


def text_column(texts: Sequence[str | None]) -> pa.Array:
    """Texts as they can be stored: see `values.clean_text`."""
    column = _as_arrow("text", texts)
    if column is not None and not _to_be_cleaned(column):
        return column
    known = {text: clean_text(text) for text in set(texts) if text is not None}
    return pa.array([None if text is None else known[text] for text in texts], pa.string())


def times_column(values: Sequence[Any]) -> pa.Array:
    """Times in UTC, from whatever spellings; null for what is none."""
    return read_column("timestamp", values, set(map(type, values)) - {NONE}).column


def python_times(column: pa.Array) -> list[datetime | None]:
    """The times of a column; `to_pylist` is twenty times as slow for those with a zone."""
    naive = column.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False).astype(object)
    return [each and each.replace(tzinfo=timezone.utc) for each in naive.tolist()]


def free_columns(values: Sequence[Any], kinds: set[type]) -> dict[ScalarType, pa.Array]:
    """By type, the columns of values that no documentation describes: texts, numbers and truth values.

    Lists and objects are texts here.
    """
    for data_type in ("text", "double", "bool"):
        if kinds <= PLAIN[data_type]:
            plain = _plain_column(data_type, values)
            if plain is not None:
                return {data_type: plain}
    found: dict[ScalarType, list[Any]] = {}
    for place, value in enumerate(values):
        if value is not None:
            data_type, scalar = free_scalar(value)
            found.setdefault(data_type, [None] * len(values))[place] = scalar
    return {data_type: pa.array(scalars, ARROW_TYPES[data_type]) for data_type, scalars in found.items()}


def told_type(values: Sequence[Any]) -> ScalarType | None:
    """The type of the first value that tells one; see `values.tells_type`."""
    for value in values:
        if value is not None:
            data_type, _ = free_scalar(value)
            if data_type != "text" or tells_type(value):
                return data_type
    return None


def _plain_column(data_type: ScalarType, values: Sequence[Any]) -> pa.Array | None:
    """The column of values that it holds as they are; None where some have to be looked at."""
    if data_type == "text":
        return text_column(values)
    if data_type == "timestamp":
        return _plain_times(values)
    column = _as_arrow(data_type, values)
    if column is None or column.null_count == len(column):
        return column
    if data_type == "double":
        return column if pc.all(pc.is_finite(column)).as_py() else None
    if data_type == "bigint":
        return column if pc.min(column).as_py() >= -LARGEST_INTEGER else None
    return column


def _plain_times(values: Sequence[Any]) -> pa.Array | None:
    texts = _as_arrow("text", values)
    if texts is None:
        return None
    lengths = pc.min_max(pc.binary_length(texts)).as_py()
    if not {lengths["min"], lengths["max"]} <= {TIME_LENGTH, None}:
        return None
    try:
        times = texts.cast(ARROW_TYPES["timestamp"])
    except pa.ArrowInvalid:  # they are read one by one then
        return None
    earliest = pc.min(times.cast(pa.int64())).as_py()
    return times if earliest is None or earliest >= FIRST_YEAR else None


def _as_arrow(data_type: ScalarType, values: Sequence[Any]) -> pa.Array | None:
    try:
        return pa.array(values, ARROW_TYPES["text" if data_type == "timestamp" else data_type])
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):  # they are read one by one then
        return None


def _to_be_cleaned(column: pa.Array) -> bool:
    """Whether there may be a signed link or a mark of dlt in a column of texts."""
    data = column.buffers()[2]
    held = data.to_pybytes() if data is not None else b""
    return (b"=" in held and b"?" in held and b":" in held) or _TYPE_MARK in held


def _value_by_value(data_type: ScalarType, values: Sequence[Any]) -> Read:
    column: list[Any] = [None] * len(values)
    beside: list[str | None] = [None] * len(values)
    misfits = 0
    for place, value in enumerate(values):
        if value is not None:
            column[place], is_all = read_scalar(data_type, value)
            if not is_all or column[place] is None:
                beside[place] = as_text(value)
                misfits += column[place] is None
    has_beside = any(text is not None for text in beside)
    return Read(pa.array(column, ARROW_TYPES[data_type]), beside if has_beside else None, misfits)
