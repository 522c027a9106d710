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
from typing import Any

from hyperstudy_source.fields import ScalarType, column_name
from hyperstudy_source.redaction import DROPPED_FIELDS, without_signed_links

LARGEST_INTEGER = 2**63 - 1
"""What a `bigint` holds on every destination."""
DEEPEST_JSON = 100
"""Levels of a JSON column; the writers of some destinations stop soon after."""
PLAUSIBLE_EPOCH_MS = (10**11, 10**13)
"""1973 to 2286: within it, a number in a field of times is ms since 1970."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?\s?(Z|[+-]\d{2}:?\d{2})?)?")
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


def is_dropped(api_name: str) -> bool:
    """Whether a field of this name holds a signed link and nothing else."""
    return "ownload" in api_name and column_name(api_name) in DROPPED_FIELDS


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
    if isinstance(value, str) and (match := _TIME.fullmatch(value)):
        day, clock, fraction, zone = match.groups()
        exact = clock is not None and not (fraction or "")[6:].strip("0")
        moment = _moment(day, clock or "00:00", (fraction or "0")[:6], zone)
        return moment, exact and moment is not None
    low, high = PLAUSIBLE_EPOCH_MS
    if isinstance(value, (int, float)) and not isinstance(value, bool) and low < value < high:
        return _EPOCH + timedelta(milliseconds=value), False
    return None, False


def _moment(day: str, clock: str, fraction: str, zone: str | None) -> datetime | None:
    clock = clock if clock.count(":") == 2 else f"{clock}:00"
    offset = "+00:00" if zone in (None, "Z") else f"{str(zone)[:3]}:{str(zone)[-2:]}"
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{fraction:0<6}{offset}").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


_READERS = {"text": _text, "double": _double, "bigint": _bigint, "bool": _bool, "timestamp": _timestamp}


def read_time(value: Any) -> datetime | None:
    """A moment in UTC from an ISO 8601 text or epoch ms, as the columns of times read it."""
    moment: datetime | None = _timestamp(value)[0]
    return moment


def digest(row: Mapping[str, Any], fields: Iterable[str] | None = None) -> str:
    """What a row is told by: 32 hexadecimal characters, of the fields named or else of the whole row.

    The same for `45` and `45.0`, and for null and absent.
    """
    told = dict(row) if fields is None else {k: row[k] for k in fields if row.get(k) is not None}
    try:
        told = _canonical(told)
    except RecursionError:
        told = {k: as_text(v) for k, v in told.items()}
    return hashlib.blake2b(_TOLD.encode(told).encode(), digest_size=16).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, str):
        return without_signed_links(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {k: _canonical(v) for k, v in value.items() if v is not None and not is_dropped(k)}
    return [_canonical(item) for item in value] if isinstance(value, list) else value
