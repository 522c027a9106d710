"""What rows are told by that have no key of the API's: digests of their content, made column by column.

A digest is the same for `45` and `45.0`, for null and absent, and whatever fields the API grows later. Rows of one
digest have their number among them behind it, so that a second read gives them the same keys.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from hyperstudy_source.tables.columns import CONTAINERS, NONE, NUMBERS, text_column
from hyperstudy_source.tables.fields import Row, field_of
from hyperstudy_source.tables.values import as_text, canonical

BETWEEN, AFTER_NAME = "\x1e", "\x1f"
"""Between the fields of a row, and between the name of a field, the kind of its value, and the value."""


def row_digests(rows: Sequence[Row], told_by: Iterable[str], given: Mapping[str, Sequence[Any]]) -> list[str]:
    """For each row 32 hexadecimal characters, of the fields that it is told by. `given`: what is known better."""
    told = [column for name in told_by
            for column in _told(name, given[name] if name in given else field_of(rows, name))]
    if not told:
        return [_digest(b"")] * len(rows)
    # of one column alone, pyarrow leaves out the rows that are null
    texts = pc.binary_join_element_wise("", *told, BETWEEN, null_handling="skip")
    return [_digest(text) for text in texts.cast(pa.binary()).to_pylist()]


def numbered(keys: Sequence[str], twins: Counter[str], turn: int | None = None) -> list[str]:
    """The keys, told apart where they are alike. `twins` counts those of a read.

    From the row `turn` on, none is like one that came before.
    """
    if turn is not None:
        before = numbered(keys[:turn], twins)
        twins.clear()
        return before + numbered(keys[turn:], twins)
    if len(set(keys)) == len(keys) and twins.keys().isdisjoint(keys):
        twins.update(keys)
        return list(keys)
    found = []
    for key in keys:
        number = twins[key]
        twins[key] += 1
        found.append(f"{key}_{number}" if number else key)
    return found


def _told(name: str, values: Sequence[Any]) -> list[pa.Array]:
    """For each kind of values that a field has, the texts that tell them; null where there is none."""
    kinds = set(map(type, values)) - {NONE}
    told = []
    if str in kinds:
        told.append(_marked(name, "s", text_column(_only(values, kinds, {str}))))
    if numbers := kinds & NUMBERS:
        told.append(_marked(name, "n", _number_texts(_only(values, kinds, numbers))))
    if bool in kinds:
        told.append(_marked(name, "b", pa.array(_only(values, kinds, {bool}), pa.bool_()).cast(pa.string())))
    if containers := kinds & CONTAINERS:
        texts = [None if value is None else _container_text(value) for value in _only(values, kinds, containers)]
        told.append(_marked(name, "j", pa.array(texts, pa.string())))
    return told


def _marked(name: str, kind: str, texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(name + AFTER_NAME + kind, texts, AFTER_NAME)


def _only(values: Sequence[Any], kinds: set[type], wanted: set[type]) -> Sequence[Any]:
    return values if kinds == wanted else [value if type(value) in wanted else None for value in values]


def _number_texts(values: Sequence[Any]) -> pa.Array:
    """Numbers as text; whole ones that no `double` holds exactly, digit by digit."""
    try:
        return pa.array(values, pa.float64()).cast(pa.string())
    except (pa.ArrowInvalid, OverflowError):
        exact = [value is not None and _is_exact(value) for value in values]
        texts = pa.array([value if is_exact else None for value, is_exact in zip(values, exact, strict=True)],
                         pa.float64()).cast(pa.string())
        others = [None if value is None or is_exact else str(value)
                  for value, is_exact in zip(values, exact, strict=True)]
        return pc.coalesce(texts, pa.array(others, pa.string()))


def _is_exact(value: float) -> bool:
    return isinstance(value, float) or abs(value) <= 2**53


def _container_text(value: Any) -> str:
    try:
        return orjson.dumps(canonical(value), option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, RecursionError):  # too deep, or with what only Python's own writer takes
        return as_text(value)


def _digest(told: bytes) -> str:
    return hashlib.blake2b(told, digest_size=16).hexdigest()
