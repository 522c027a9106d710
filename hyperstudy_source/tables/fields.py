"""The words in which a row of an API endpoint is described: what a field may hold, and which columns that makes.

A field is a scalar of one type, a value of any type, an object, a list, a map whose keys the researcher chose, or
configuration of any shape. Its columns follow from that, at any depth: `columns()` gives the declared tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Literal, Union

from dlt.common.normalizers.naming.snake_case import NamingConvention

ScalarType = Literal["text", "double", "bigint", "bool", "timestamp"]

_naming = NamingConvention()


def column_name(api_name: str) -> str:
    """`stateStartTime` -> `state_start_time`, by dlt's own snake_case convention."""
    return _naming.normalize_identifier(api_name)


def field_of(objects: Sequence[Row], api_name: str) -> list[Any]:
    """The values of a field in every object; None where it is not there."""
    return list(map(dict.get, objects, repeat(api_name)))  # twice as fast as a comprehension


@dataclass(frozen=True)
class Scalar:
    """One type. What arrives in another form is read as it if it can be, and kept as sent in `<column>_text`."""

    data_type: ScalarType


@dataclass(frozen=True)
class AnyValue:
    """Text, number, truth value, object or list from one row to the next: each form has its place.

    Scalars go to `<column>_text`, `<column>_number` and `<column>_bool`; `text_in_place` keeps text in `<column>`.
    """

    text_in_place: bool = False


@dataclass(frozen=True)
class Configuration:
    """Free-form configuration: one JSON column."""


@dataclass(frozen=True)
class Object:
    """An object, flattened to `<column>__<field>`. Fields that are not named here are taken as they come."""

    fields: Mapping[str, Field] = field(default_factory=dict)


@dataclass(frozen=True)
class ListOf:
    """A list: a child table. Scalar items go to its column `value`."""

    item: Field


@dataclass(frozen=True)
class MapOf:
    """A map whose keys the researcher chose: a child table of `key` and value.

    A value that is an object of known fields has them as columns beside `key`.
    """

    value: Field


Field = Union[Scalar, AnyValue, Configuration, Object, ListOf, MapOf]

TEXT = Scalar("text")
NUMBER = Scalar("double")
COUNT = Scalar("bigint")
FLAG = Scalar("bool")
TIME = Scalar("timestamp")
ANY = AnyValue()
MOSTLY_TEXT = AnyValue(text_in_place=True)
CONFIGURATION = Configuration()
FREE = Object()

ANY_SUFFIXES: Mapping[str, str] = {"text": "_text", "double": "_number", "bool": "_bool"}
"""Where a scalar of each type goes beside a column that is not its own."""

Row = dict[str, Any]
"""A row as the API sends it, or as a table wants it."""

Path = tuple[str, ...]
"""Steps from the root row to a place in it; a child table is a path of the lists that lead to it."""


def columns(fields: Mapping[str, Field]) -> dict[Path, dict[str, str]]:
    """The declared columns and their dlt data types, per table: `()` is the root, `("scale",)` a child."""
    tables: dict[Path, dict[str, str]] = {(): {}}
    for table, column, data_type in _columns(fields, (), ()):
        tables.setdefault(table, {})[column] = data_type
    return tables


def _columns(fields: Mapping[str, Field], table: Path, prefix: Path) -> Iterator[tuple[Path, str, str]]:
    for api_name, kind in fields.items():
        yield from _columns_of(kind, table, (*prefix, column_name(api_name)))


def _columns_of(kind: Field, table: Path, at: Path) -> Iterator[tuple[Path, str, str]]:
    column = "__".join(at)
    if isinstance(kind, Scalar):
        yield table, column, kind.data_type
    elif isinstance(kind, Configuration):
        yield table, column, "json"
    elif isinstance(kind, AnyValue):
        for data_type, suffix in ANY_SUFFIXES.items():
            in_place = kind.text_in_place and data_type == "text"
            yield table, column if in_place else column + suffix, data_type
    elif isinstance(kind, Object):
        yield from _columns(kind.fields, table, at)
    else:
        child = (*table, column)
        if isinstance(kind, MapOf):
            yield child, "key", "text"
        item = kind.item if isinstance(kind, ListOf) else kind.value
        if isinstance(item, Object):
            yield from _columns(item.fields, child, ())
        else:
            yield from _columns_of(item, child, ("value",))
