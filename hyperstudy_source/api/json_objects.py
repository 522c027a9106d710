"""JSON in which an object has one name twice: nothing of it is dropped.

The last value keeps the name, as every reader of JSON has it. Each earlier one that differs goes by the name with a
number behind it, `value#2`, `value#3` and so on in their order, and so becomes a column or a row of its own; in the
table that is `value_2`. What is only repeated as it is, is there once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from hyperstudy_source.api.redaction import is_dropped

JsonObject = dict[str, Any]
"""A row as the API sends it, or an object in it."""

_NAME = b'":'
"""How a name of an object ends, and now and then a quotation within a text."""
_LONGEST_INTEGER = b"0" * 19
"""More digits than this in a row may be a whole number that `orjson` rounds."""
_DIGITS_AND_SPACES = bytes.maketrans(b"0123456789\t\n\r", b"0000000000   ")


class Repeat(NamedTuple):
    """A name that an object has twice, and the one under which an earlier value is kept.

    Of an object inside a row only the row's field is told, without `kept_as`: names in it may be those of people.
    """

    name: str
    kept_as: str = ""


class Repeats:
    """The objects of one answer that have a name twice."""

    def __init__(self) -> None:
        self._found: dict[int, list[Repeat]] = {}
        self._kept: list[JsonObject] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def read(self, text: bytes) -> Any:
        """What a JSON text holds. Raises `ValueError` or `RecursionError` where it is none."""
        try:
            found = orjson.loads(text)
            if _is_told_apart(text, orjson.dumps(found)):
                return found
        except (ValueError, TypeError):  # what only Python's own reader takes: NaN, half characters, great depth
            pass
        return json.loads(text, object_pairs_hook=self._object)

    def of(self, value: Any) -> list[Repeat]:
        """The names that an object that was read has twice, not those of objects inside it."""
        return self._found.get(id(value), [])

    def in_row(self, row: JsonObject) -> Iterator[Repeat]:
        """The names that a row has twice, and its fields in which that is so."""
        yield from self.of(row)
        for name, value in row.items():
            left = [value]
            while left:
                each = left.pop()
                if self.of(each):
                    yield Repeat(name)
                    break
                left += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()

    def _object(self, pairs: list[tuple[str, Any]]) -> JsonObject:
        found = dict(pairs)
        return found if len(found) == len(pairs) else self._with_earlier(found, pairs)

    def _with_earlier(self, found: JsonObject, pairs: list[tuple[str, Any]]) -> JsonObject:
        repeats = []
        told = {(name, _told(value)) for name, value in found.items()}
        for name, value in pairs:
            if (name, _told(value)) in told or is_dropped(name):
                continue
            told.add((name, _told(value)))
            number = 2
            while (kept_as := f"{name}#{number}") in found:
                number += 1
            found[kept_as] = value
            repeats.append(Repeat(name, kept_as))
        if repeats:
            self._found[id(found)] = repeats
            self._kept.append(found)  # as long as it lives, no other object has its id
        return found


def _is_told_apart(text: bytes, written: bytes) -> bool:
    """Whether no object of a text has a name twice, as far as the text written anew can tell, and no number is rounded.

    A name that comes twice is there once in what was read, so the text written anew has fewer names.
    """
    if written == text:
        return True
    plain = text.translate(_DIGITS_AND_SPACES)
    if b" :" in plain or b"\\u0022" in text or _LONGEST_INTEGER in plain:
        return False
    return text.count(_NAME) == written.count(_NAME)


def _told(value: Any) -> str:
    """What tells a value from others, of another type too."""
    return json.dumps(value, sort_keys=True)
