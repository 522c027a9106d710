"""One row as the API sent it -> one row as its table wants it.

Every value finds a place, and a place has one type for ever: what does not fit its column lies beside it as text, and
a field that the API grew later keeps the type in which it was first seen. What surprises: the names given here are
final; dlt only joins them along objects and splits lists off into child tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hyperstudy_source.fields import (
    ANY,
    ANY_SUFFIXES,
    FREE,
    NUMBER,
    AnyValue,
    Configuration,
    Field,
    ListOf,
    MapOf,
    Object,
    Row,
    Scalar,
    column_name,
    columns,
)
from hyperstudy_source.values import as_text, clean, free_scalar, is_dropped, is_storable_json, read_scalar

DEEPEST = 12
"""Levels of lists and objects that become columns and child tables; what lies deeper is kept as JSON text."""
FREE_MAPS: Mapping[str, Field] = {"ratings": MapOf(NUMBER), "previousRatings": MapOf(NUMBER), "variables": MapOf(ANY)}
"""Maps with the researcher's own keys that are seen inside fields of any shape."""
DLT_COLUMNS = frozenset({"_dlt_id", "_dlt_load_id", "_dlt_parent_id", "_dlt_root_id", "_dlt_list_idx"})
"""Columns that dlt fills itself."""
NAMELESS = "_empty"
"""What dlt calls a field whose name is empty."""


class ColumnTypes:
    """The types of all columns: those declared, those of earlier runs, and those first seen in this one."""

    def __init__(self, known: Mapping[tuple[str, str], str]) -> None:
        self._types = dict(known)
        self._places = {(table, "__".join(steps[:end]))
                        for table, steps in _steps(known) for end in range(1, len(steps) + 1)}
        self.grown: set[str] = set()
        """`table.column` of every field that no documentation and no earlier run knows."""

    def suffix(self, table: str, column: str, data_type: str) -> str:
        """What to append to `column` so that a value of `data_type` comes to lie in a column of its type."""
        suffix = ""
        while self._types.setdefault((table, column + suffix), data_type) != data_type:
            suffix += ANY_SUFFIXES[data_type]
        return suffix

    def settle(self, table: str, column: str, data_type: str) -> None:
        """Gives a column its type before a value comes, unless it has one."""
        self._types.setdefault((table, column), data_type)

    def note_field(self, table: str, column: str) -> None:
        """Takes note of an undocumented field where all fields are documented."""
        if (table, column) not in self._places:
            self.grown.add(f"{table}.{column}")


def _steps(known: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """The columns known, and for child tables the lists that lead to them, as steps from a root table."""
    for table, column in known:
        yield table, column.split("__")
        root, *lists = table.split("__")
        yield root, lists


class RowShaper:
    """Shapes the rows of one table by the fields that its data type documents."""

    def __init__(self, table: str, fields: Mapping[str, Field], reserved: Iterable[str], types: ColumnTypes) -> None:
        self._table, self._fields, self._types = table, fields, types
        self._reserved = frozenset(reserved)
        self._names: dict[tuple[str, frozenset[str], tuple[str, ...]], list[tuple[str, str]]] = {}

    def shape(self, row: Row) -> Row:
        """Documented fields in their columns, all others where their first value put them; nulls left out."""
        return self._object(row, self._fields, self._table, "", 0, self._reserved)

    def _object(
        self, value: Row, fields: Mapping[str, Field], table: str, prefix: str, depth: int,
        reserved: frozenset[str] = frozenset(),
    ) -> Row:
        shaped: Row = {}
        misfits: list[tuple[str, Any]] = []
        for api_name, column in self._columns_for(value, fields, table + "." + prefix, reserved):
            item = value[api_name]
            if item is None:
                continue
            if fields and api_name not in fields:
                self._types.note_field(table, prefix + column)
            kind = fields.get(api_name) or self._free_map(api_name, item, f"{table}__{prefix}{column}")
            for name, placed in self._placed(column, kind, item, table, prefix, depth):
                if name == column or kind is not None:
                    shaped[name] = placed
                else:
                    misfits.append((name, placed))
        for name, placed in misfits:
            while name in shaped:
                name += "_2"
                name += self._types.suffix(table, prefix + name, free_scalar(placed)[0])
            shaped[name] = placed
        return shaped

    def _free_map(self, api_name: str, value: Any, child: str) -> Field | None:
        """The map that a field is by its name, with the types of its columns settled whatever comes first."""
        kind = FREE_MAPS.get(api_name)
        if kind is None or not isinstance(value, (dict, list)):
            return None
        for column, data_type in columns({"map": kind})["map",].items():
            self._types.settle(child, column, data_type)
        return kind if isinstance(value, dict) else None

    def _columns_for(
        self, value: Row, fields: Mapping[str, Field], place: str, reserved: frozenset[str]
    ) -> list[tuple[str, str]]:
        """The column of every field of an object, no two the same. Documented fields come first."""
        shape = (place, reserved, tuple(value))
        if shape not in self._names:
            self._names[shape] = _names(value, fields, reserved)
        return self._names[shape]

    def _placed(
        self, column: str, kind: Field | None, value: Any, table: str, prefix: str, depth: int
    ) -> list[tuple[str, Any]]:
        """The columns that one value fills, by what is documented of it."""
        inside = (table, prefix + column + "__", depth + 1)
        child = f"{table}__{prefix}{column}"
        if isinstance(kind, Scalar):
            read, is_all = read_scalar(kind.data_type, value)
            return [(column, read)] if is_all else [(column, read), (column + "_text", as_text(value))]
        if isinstance(kind, Configuration):
            fits = is_storable_json(value)
            return [(column, clean(value))] if fits else [(column + "_text", as_text(value))]
        if isinstance(kind, Object) and isinstance(value, dict):
            return [(column, self._object(value, kind.fields, *inside))]
        if isinstance(kind, ListOf):
            items = value if isinstance(value, list) else [value]
            return [(column, [self._item(kind.item, item, child, depth + 1) for item in items])]
        if isinstance(kind, MapOf) and isinstance(value, dict):
            return [(column, [self._entry(kind.value, k, v, child, depth + 1) for k, v in value.items()])]
        if isinstance(kind, AnyValue) and not isinstance(value, (dict, list)):
            data_type, scalar = free_scalar(value)
            in_place = kind.text_in_place and data_type == "text"
            return [(column if in_place else column + ANY_SUFFIXES[data_type], scalar)]
        return [self._free(column, value, table, prefix, depth)]

    def _free(self, column: str, value: Any, table: str, prefix: str, depth: int) -> tuple[str, Any]:
        """The column and value of what no documentation describes."""
        if isinstance(value, (dict, list)) and depth < DEEPEST:
            if isinstance(value, dict):
                return column, self._object(value, {}, table, prefix + column + "__", depth + 1)
            child = f"{table}__{prefix}{column}"
            return column, [self._item(FREE, item, child, depth + 1) for item in value]
        data_type, scalar = free_scalar(value)
        return column + self._types.suffix(table, prefix + column, data_type), scalar

    def _item(self, kind: Field, item: Any, table: str, depth: int) -> Row:
        """A row of a child table from one item of a list."""
        if isinstance(item, dict) and isinstance(kind, Object):
            return self._object(item, kind.fields, table, "", depth)
        if item is None:
            return {"value": None}
        if isinstance(item, list):
            return dict([self._free("list", item, table, "", depth)])
        return dict(self._placed("value", None if isinstance(kind, Object) else kind, item, table, "", depth))

    def _entry(self, kind: Field, key: str, value: Any, table: str, depth: int) -> Row:
        """A row of a child table from one entry of a map."""
        entry: Row = {"key": as_text(key)}
        if isinstance(kind, Object) and isinstance(value, dict):
            return entry | self._object(value, kind.fields, table, "", depth, frozenset(entry))
        if value is None:
            return entry
        return entry | dict(self._placed("value", None if isinstance(kind, Object) else kind, value, table, "", depth))


def _names(value: Row, fields: Mapping[str, Field], reserved: frozenset[str]) -> list[tuple[str, str]]:
    documented = {api_name: column_name(api_name) for api_name in fields}
    taken = {column + suffix for column in documented.values() for suffix in ("", *ANY_SUFFIXES.values())} | reserved
    names = [(api_name, documented[api_name]) for api_name in value if api_name in documented]
    for api_name in sorted((n for n in value if n not in documented and not is_dropped(n)), key=_spelling):
        base = name = _column(api_name)
        number = 2
        while name in taken or name in DLT_COLUMNS:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        names.append((api_name, name))
    return names


def _spelling(api_name: str) -> tuple[bool, str]:
    """The usual spelling first: of `videoUrl` and `videoURL` in one row, the former gets `video_url`."""
    first, *rest = column_name(api_name).split("_") if api_name.strip() else [""]
    return first + "".join(part.capitalize() for part in rest) != api_name, api_name


def _column(api_name: str) -> str:
    """The name that dlt gives a field; letters that dlt has no place for are told apart by a digest."""
    if not api_name.strip():
        return NAMELESS
    name = column_name(api_name)
    if api_name.isascii():
        return name
    return f"{name}_{hashlib.blake2b(api_name.encode('utf-8', 'replace'), digest_size=3).hexdigest()}"
