"""The words in which a row of an API endpoint is described: what a field may hold, and which columns that makes.

A field is a scalar of one type, a value of any type, an object, a list, a map whose keys the researcher chose, or
configuration of any shape. Its columns follow from that, at any depth: `columns()` gives the declared tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, Literal, NamedTuple, TypeVar, Union

from dlt.common.normalizers.naming.snake_case import NamingConvention

ScalarType = Literal["text", "double", "bigint", "bool", "timestamp"]
Naming = Literal["participant", "researcher", "contact", "free_text"]
"""Whether a field tells who somebody is: it holds, or is made of, the id of a participant or of a researcher; a name,
an address or an account of somebody; or text in which people may name anybody. What no documentation describes is
marked as the field is that it lies in."""

_naming = NamingConvention()


def column_name(api_name: str) -> str:
    """`stateStartTime` -> `state_start_time`, by dlt's own snake_case convention."""
    return _naming.normalize_identifier(api_name)


def field_of(objects: Sequence[Row], api_name: str) -> list[Any]:
    """The values of a field in every object; None where it is not there."""
    return list(map(dict.get, objects, repeat(api_name)))  # twice as fast as a comprehension


@dataclass(frozen=True, kw_only=True)
class Documented:
    """What is known of a field. `TEXT("The state's id.")` is a `TEXT` of which that is known."""

    says: str = ""
    """A sentence for people: what it is, its range, when it is null, as far as the API's documentation tells."""
    unit: str = ""
    names: Naming | None = None

    def __call__(self: Kind, says: str, unit: str = "", names: Naming | None = None) -> Kind:
        """The same field with what is known of it."""
        return replace(self, says=says, unit=unit, names=names)


Kind = TypeVar("Kind", bound=Documented)


@dataclass(frozen=True)
class Scalar(Documented):
    """One type. What arrives in another form is read as it if it can be, and kept as sent in `<column>_text`."""

    data_type: ScalarType


@dataclass(frozen=True)
class AnyValue(Documented):
    """Text, number, truth value, object or list from one row to the next: each form has its place.

    Scalars go to `<column>_text`, `<column>_number` and `<column>_bool`; `text_in_place` keeps text in `<column>`.
    """

    text_in_place: bool = False


@dataclass(frozen=True)
class Configuration(Documented):
    """Free-form configuration: one JSON column."""


@dataclass(frozen=True)
class Object(Documented):
    """An object, flattened to `<column>__<field>`. Fields that are not named here are taken as they come."""

    fields: Mapping[str, Field] = field(default_factory=dict)


@dataclass(frozen=True)
class ListOf(Documented):
    """A list: a child table. Scalar items go to its column `value`."""

    item: Field


@dataclass(frozen=True)
class MapOf(Documented):
    """A map whose keys the researcher chose: a child table of `key` and value.

    A value that is an object of known fields has them as columns beside `key`.
    """

    value: Field
    key: Scalar = Scalar("text", says="The key in the map, as the researcher chose it.")


Field = Union[Scalar, AnyValue, Configuration, Object, ListOf, MapOf]
Fields = Mapping[str, Field]
"""By the names that the API gives them."""

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
ANY_FORMS: Mapping[str, str] = {"text": "texts", "double": "numbers", "bool": "truth values"}
"""What the columns of a field hold that may be anything."""

Row = dict[str, Any]
"""A row as the API sends it, or as a table wants it."""

Path = tuple[str, ...]
"""Steps from the root row to a place in it; a child table is a path of the lists that lead to it."""


class Column(NamedTuple):
    """A declared column."""

    name: str
    data_type: str
    of: Documented
    """The field whose values it holds."""
    api_name: str = ""
    """Where they lie in a row of the API, such as `scale.min`; empty where this source makes them."""
    form: str = ""
    """Of a field that may be anything: which of its values are here."""

    @property
    def description(self) -> str:
        """What is known of it, for people; empty where the field is not documented."""
        told = [self.of.says, f"This column has the {self.form}." if self.form else "",
                f"Unit: {self.of.unit}." if self.of.unit else "",
                f"API field: {self.api_name}." if self.api_name else ""]
        return " ".join(filter(None, told)) if self.of.says else ""


@dataclass
class Table:
    """A declared table: the root, or a child table, which is a list or a map."""

    of: Documented
    api_name: str = ""
    columns: dict[str, Column] = field(default_factory=dict)
    fields: dict[str, Documented] = field(default_factory=dict)
    """By the beginning of the columns and child tables that it has; also fields without a column of their own."""

    @property
    def description(self) -> str:
        """What is known of it, for people."""
        return f"{self.of.says} API field: {self.api_name}." if self.api_name else self.of.says


def tables(fields: Fields) -> dict[Path, Table]:
    """The declared tables: `()` is the root, `("scale",)` a child."""
    found: dict[Path, Table] = {(): Table(Object(fields))}
    _add_fields(found, fields, (), (), "")
    return found


def columns(fields: Fields) -> dict[Path, dict[str, str]]:
    """The declared columns and their dlt data types, per table."""
    return {path: {column.name: column.data_type for column in table.columns.values()}
            for path, table in tables(fields).items()}


def _add_fields(found: dict[Path, Table], fields: Fields, table: Path, prefix: Path, within: str) -> None:
    for api_name, kind in fields.items():
        _add(found, kind, table, (*prefix, column_name(api_name)), f"{within}{api_name}")


def _add(found: dict[Path, Table], kind: Field, table: Path, at: Path, api_name: str) -> None:
    def put(name: str, data_type: str, of: Documented = kind, form: str = "", path: Path = table) -> None:
        found[path].columns[name] = Column(name, data_type, of, api_name, form)

    column = "__".join(at)
    found[table].fields[column] = kind
    if isinstance(kind, Scalar):
        put(column, kind.data_type)
    elif isinstance(kind, Configuration):
        put(column, "json")
    elif isinstance(kind, AnyValue):
        for data_type, suffix in ANY_SUFFIXES.items():
            in_place = kind.text_in_place and data_type == "text"
            put(column if in_place else column + suffix, data_type, form=ANY_FORMS[data_type])
    elif isinstance(kind, Object):
        _add_fields(found, kind.fields, table, at, f"{api_name}.")
    else:
        child = (*table, column)
        found[child] = Table(kind, api_name)
        if isinstance(kind, MapOf):
            put("key", "text", kind.key, path=child)
        item = kind.item if isinstance(kind, ListOf) else kind.value
        if isinstance(item, Object):
            _add_fields(found, item.fields, child, (), f"{api_name}[].")
        else:
            _add(found, item, child, ("value",), f"{api_name}[]")
