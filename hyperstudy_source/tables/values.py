"""One JSON value -> what a column of one type holds, and whether that is all that was sent.

A value that a column cannot hold as it is goes beside it as text, so reading never loses anything.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hyperstudy_source.api.redaction import is_dropped, without_signed_links
from hyperstudy_source.tables.fields import ScalarType

LARGEST_INTEGER = 2**63 - 1
"""What a `bigint` holds on every destination."""
DEEPEST_JSON = 100
"""Levels of a JSON column; the writers of some destinations stop soon after."""
EPOCHS = ((10**8, 1), (10**11, 10**3), (10**14, 10**6), (10**17, 10**9))
"""What a number in a field of times counts since 1970, as often as so many in a second: the one in which it lies
between 1973, at the number given, and 2286, at a hundred times that. No two of these overlap."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_UNTOLD = re.compile(r"\s*(?:[+-]?(?:nan|inf|infinity)|null|undefined)?\s*", re.IGNORECASE)
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?"
    r"\s?(Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?)?")
_EPOCH_TEXT = re.compile(r"\d{9,19}(?:\.\d{1,9})?", re.ASCII)
_EPOCH_FIELDS = (("_seconds", "_nanoseconds"), ("seconds", "nanoseconds"), ("seconds", "nanos"))
_TOLD = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)
_TYPE_MARKS = range(0xF026, 0xF030)
"""Private-use characters with which dlt marks types in its extract files; at the start of a text they change it."""


def clean_text(text: str) -> str:
    """The text as it can be stored: no signed links, no half characters, no marks that dlt reads as types."""
    if text.isascii():
        return without_signed_links(text)
    text = without_signed_links(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return "\N{ZERO WIDTH SPACE}" + text if ord(text[0]) in _TYPE_MARKS else text


def clean(value: Any) -> Any:
    """A whole JSON value with every text in it cleaned and every field that holds a signed link dropped."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(k): clean(v) for k, v in value.items() if not is_dropped(k)}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def is_storable_json(value: Any) -> bool:
    """Whether a value is an object or a list that every JSON writer on its way can write, and write the same."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEEPEST_JSON):
        if not level:
            break
        inner = [item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer)]
        if any(_is_number(item) and not (math.isfinite(item) and abs(item) <= LARGEST_INTEGER) for item in inner):
            return False
        level = [item for item in inner if isinstance(item, (dict, list))]
    return isinstance(value, (dict, list)) and not level


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_empty(value: Any) -> bool:
    """Whether a value is a list without items, or an object without anything that a column could hold."""
    if isinstance(value, dict):
        return all(inner is None or is_dropped(name) for name, inner in value.items())
    return isinstance(value, list) and not value


def as_text(value: Any) -> str:
    """Text as it is, a whole number without its `.0`, everything else as JSON."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return json.dumps(clean(value), ensure_ascii=False)
    except RecursionError:
        return without_signed_links(json.dumps(value))


def read_scalar(data_type: ScalarType, value: Any) -> tuple[Any, bool]:
    """The value as its column holds it (None: it cannot), and whether the column alone says what was sent."""
    return _READERS[data_type](value)


def free_scalar(value: Any) -> tuple[ScalarType, Any]:
    """The type and value of a scalar that no documentation describes. Numbers are `double`."""
    if isinstance(value, bool):
        return "bool", value
    number, exact = _double(value)
    return ("double", number) if exact else ("text", as_text(value))


def tells_type(value: Any) -> bool:
    """Whether a scalar says what type a field has: none, as blank text or NaN, and what no number holds, does not."""
    if isinstance(value, str):
        return not _UNTOLD.fullmatch(value)
    return not _is_number(value) or _double(value)[1]


def _text(value: Any) -> tuple[Any, bool]:
    return as_text(value), True


def _double(value: Any) -> tuple[Any, bool]:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value)
        return (number if math.isfinite(number) else None), False
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None, False
    try:
        number = float(value)
    except OverflowError:
        return None, False
    return (number, number == value) if math.isfinite(number) else (None, False)


def _bigint(value: Any) -> tuple[Any, bool]:
    if isinstance(value, str):
        return (int(value) if re.fullmatch(r"[+-]?\d{1,18}", value.strip()) else None), False
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_INTEGER:
        return None, False
    return value, True


def _bool(value: Any) -> tuple[Any, bool]:
    if isinstance(value, bool):
        return value, True
    return {"true": True, "false": False}.get(str(value).lower()), False


def _timestamp(value: Any) -> tuple[Any, bool]:
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        return _epoch_moment(value), False
    day, clock, fraction, zone = match.groups()
    exact = clock is not None and not (fraction or "")[6:].strip("0")
    moment = _moment(day, clock or "00:00", (fraction or "0")[:6], zone)
    return moment, exact and moment is not None


def _moment(day: str, clock: str, fraction: str, zone: str | None) -> datetime | None:
    clock = clock if clock.count(":") == 2 else f"{clock}:00"
    offset = f"{zone[:3]}:{zone[3:].lstrip(':') or '00'}" if zone and zone[0] in "+-" else "+00:00"
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{fraction:0<6}{offset}").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _epoch_moment(value: Any) -> datetime | None:
    """The moment that is so many s, ms, us or ns after 1970; None for a number that is none of these."""
    number = _epoch_number(value)
    for low, per_second in EPOCHS:
        if low < number < 100 * low:
            return _EPOCH + timedelta(microseconds=int(number * 10**6 / per_second))
    return None


def _epoch_number(value: Any) -> Decimal:
    """A number, one in a text, or the s of an object that tells s and ns, as Firestore writes times; 0 for others."""
    if isinstance(value, str) and _EPOCH_TEXT.fullmatch(value.strip()):
        return Decimal(value.strip())
    if isinstance(value, dict):
        return next((_object_seconds(value, names) for names in _EPOCH_FIELDS
                     if names[0] in value and value.keys() <= {*names, "type"}), Decimal(0))
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(value))
    return Decimal(value) if isinstance(value, int) else Decimal(0)


def _object_seconds(value: Mapping[str, Any], names: tuple[str, str]) -> Decimal:
    """The s in an object of s and ns, with the ns as their fraction; 0 where they are no s since 1970."""
    seconds, nanoseconds = (_bigint(value.get(name, 0))[0] for name in names)
    if seconds is None or nanoseconds is None or not 0 <= nanoseconds < 10**9:
        return Decimal(0)
    return Decimal(seconds) + Decimal(nanoseconds) / 10**9 if seconds < 100 * EPOCHS[0][0] else Decimal(0)


_READERS = {"text": _text, "double": _double, "bigint": _bigint, "bool": _bool, "timestamp": _timestamp}


def read_time(value: Any) -> datetime | None:
    """A moment in UTC from whatever spelling of a time the columns of times read."""
    moment: datetime | None = _timestamp(value)[0]
    return moment


def digest(row: Mapping[str, Any], fields: Iterable[str] | None = None) -> str:
    """What a row is told by: 32 hexadecimal characters, of the fields named or else of the whole row.

    The same for `45` and `45.0`, and for null and absent.
    """
    told = dict(row) if fields is None else {k: row[k] for k in fields if row.get(k) is not None}
    try:
        told = canonical(told)
    except RecursionError:
        told = {k: as_text(v) for k, v in told.items()}
    return hashlib.blake2b(_TOLD.encode(told).encode(), digest_size=16).hexdigest()


def canonical(value: Any) -> Any:
    """A value as it is told from others: without signed links and nulls, whole numbers as such."""
    if isinstance(value, str):
        return without_signed_links(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {k: canonical(v) for k, v in value.items() if v is not None and not is_dropped(k)}
    return [canonical(item) for item in value] if isinstance(value, list) else value
