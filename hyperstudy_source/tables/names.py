"""Which field of the API owns which column, at every place of a table and for ever.

A column is named after the spelling that the API's own names have: `videoUrl` owns `video_url` without further ado.
Every other spelling is kept in dlt's state when it is first seen, with the column that was free then, and so is a
column that holds what does not fit beside it. What surprises: the usual spelling needs no entry, since a column in
the schema that no entry names is its own; so state and schema belong together.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from hyperstudy_source.api.redaction import is_dropped
from hyperstudy_source.tables.fields import ANY_SUFFIXES, AnyValue, Field, ListOf, MapOf, Object, Row, column_name

MOST_KEYS = 100
"""Different keys that an undocumented object may have over all rows; with more it is a map, and a child table."""
MOST_FIELDS = 300
"""Undocumented fields that have columns at any other place; the others are rows of the child table `other_fields`."""
SHORT_NAMES = 128
"""Where names can be no longer than this, the schema does not show what they are made of."""
DLT_COLUMNS = frozenset({"_dlt_id", "_dlt_load_id", "_dlt_parent_id", "_dlt_root_id", "_dlt_list_idx"})
"""Columns that dlt fills itself."""
NAMELESS = "_empty"
"""What dlt calls a field whose name is empty."""
KEY, ITEM, LIST, OTHERS = '"key', '"value', '"list', '"other_fields'
"""What has a column but no name in the API: the key of a map's entry, a value of a list or map that is no object, a
list within a list, and the fields beyond the most. A quote tells them from names, in which it is escaped."""
ITEMS = {"value": ITEM, "list": LIST}
"""The columns of a child table that are not the same field's unless the state says so."""

Known = Mapping[tuple[str, str], set[str]]
"""By table and prefix: the names that the schema has there."""


class Place:
    """The fields of one object, wherever in the rows of its table it comes, and their columns."""

    def __init__(
        self, names: Names, table: str, prefix: str, documented: Mapping[str, str] | None, reserved: Iterable[str],
    ) -> None:
        self.table, self.prefix = table, prefix
        self._names, self._state = names, names.state
        self._fields = dict(documented or {})
        self._may_be_map = documented is None and bool(prefix)
        self._most = MOST_KEYS if self._may_be_map else MOST_FIELDS
        self._owners = {column: owner for owner, column in self._fields.items()}
        self._columns_of = dict(self._fields)
        kept = self._state.get("names", {}).get(self._key, {})
        beside = {column + suffix for column in self._fields.values() for suffix in ANY_SUFFIXES.values()}
        self._taken = {*self._owners, *beside, *reserved, *DLT_COLUMNS, *kept.values()}
        unnamed = names.known.get((table, prefix), set()) - self._taken
        self._taken |= unnamed
        self._items = ITEMS if "__" in table and not prefix else {}
        usual = {owner: column for column in unnamed if (owner := self._usual_owner(column))}
        for owner, column in {**usual, **kept}.items():
            self._owners[column] = owner
            self._columns_of[owner] = column
        self.columns = {_unescaped(owner): column for owner, column in self._columns_of.items() if '"' not in owner}
        """By name in the API."""
        self._count = sum(owner not in self._fields for owner in map(_escaped, self.columns))
        self._documents_fields = any('"' not in owner for owner in self._fields)
        self.is_map = self._key in self._state.get("maps", ())
        """Whether what comes here is to be rows of a child table."""

    @property
    def _key(self) -> str:
        return f"{self.table}.{self.prefix}"

    def learn(self, value: Row) -> list[str]:
        """Gives the fields of an object that are not null their columns, as long as there is room for more.

        Of two spellings the usual one comes first: of `videoUrl` and `videoURL` in one row, the former gets
        `video_url`. Returns the new columns where the documentation names fields, but not these.
        """
        room = self._most - self._count
        new = sorted(self._new(value), key=lambda name: (not self._is_usual(name), name)) if room > 0 else []
        for api_name in new[:room]:
            self._count += 1
            self.columns[api_name] = self._claim(_escaped(api_name), _base(api_name), holds_lists=True)
        return [self.columns[api_name] for api_name in new[:room]] if self._documents_fields else []

    def may_turn_to_map(self, names: Set[str]) -> bool:
        """Whether objects with these names may have one key too many for columns."""
        return self._may_be_map and self._count + len(names - self.columns.keys()) > self._most

    def turns_to_map(self, value: Row) -> bool:
        """Whether an object is one key too many for columns; what comes here from then on is rows of a child table."""
        if not self._may_be_map or self.is_map or self._count + len(self._new(value)) <= self._most:
            return False
        self.is_map = True
        entries = self._names.place(self.child("").removesuffix("__"))
        entries.column(ITEM, holds_lists=True)
        self._state.setdefault("maps", []).append(self._key)
        names = self._state.get("names", {})
        for place in [place for place in names if place.startswith(self._key)]:
            del names[place]
        return True

    def child(self, column: str) -> str:
        """The child table of a list or map."""
        return f"{self.table}__{self.prefix}{column}"

    def has(self, role: str) -> bool:
        """Whether what has no name in the API has come."""
        return role in self._columns_of

    def column(self, role: str, *, holds_lists: bool = False) -> str:
        """The column of what has no name in the API."""
        return self._columns_of.get(role) or self._claim(role, role[1:], holds_lists or role in (LIST, OTHERS))

    def beside(self, column: str, data_type: str) -> str:
        """The column beside another one, for the values of this type that do not fit it."""
        suffix = ANY_SUFFIXES[data_type]
        owner = self._owners[column]
        if owner in self._fields:
            return column + suffix
        role = owner + '"' + suffix
        return self._columns_of.get(role) or self._claim(role, column + suffix)

    def _usual_owner(self, column: str) -> str | None:
        """What a column is named after if nothing is known of it: a field in camelCase."""
        first, *rest = column.split("_")
        usual = first + "".join(part.capitalize() for part in rest)
        return self._items.get(column) or (usual if _base(usual) == column else None)

    def _is_usual(self, api_name: str) -> bool:
        return self._usual_owner(_base(api_name)) == api_name

    def _new(self, value: Row) -> list[str]:
        return [name for name, item in value.items()
                if name not in self.columns and item is not None and not is_dropped(name)]

    def _claim(self, owner: str, base: str, holds_lists: bool = False) -> str:
        column, number = base, 2
        namesakes = list(self._names.namesakes(self)) if holds_lists else []
        while column in self._taken or any(place.names_otherwise(column, owner) for place in namesakes):
            column, number = f"{base}_{number}", number + 1
        self._taken.add(column)
        self._owners[column] = owner
        self._columns_of[owner] = column
        if self._usual_owner(column) != owner or self._is_hidden(column):
            self._state.setdefault("names", {}).setdefault(self._key, {})[owner] = column
        return column

    def names_otherwise(self, column: str, owner: str) -> bool:
        """Whether a column is that of another field, which may be a list."""
        other = self._owners.get(column, owner)
        return other != owner and (other in (LIST, OTHERS) or '"' not in other)

    def _is_hidden(self, column: str) -> bool:
        """Whether the schema may not show a name, since the destination has no room for what it is a part of."""
        longest = self._names.longest or math.inf
        return longest <= SHORT_NAMES or len(self.table) > longest or len(self.prefix + column) > longest


class Names:
    """The places of a data type's table and its child tables.

    `state` is what dlt keeps for the resource; `longest` is the longest name that the destination takes.
    """

    def __init__(
        self, table: str, fields: Mapping[str, Field], reserved: Iterable[str],
        known: Iterable[tuple[str, str]], state: dict[str, Any], longest: int | None = None,
    ) -> None:
        self.known, self.state, self.longest = _known_names(known), state, longest
        self._places: dict[tuple[str, str], Place] = {}
        reserved = frozenset(reserved)
        for owner, prefix, documented in _documented(fields, table, ""):
            self._add(owner, prefix, documented, () if prefix or owner != table else reserved)

    def place(self, table: str, prefix: str = "") -> Place:
        """The object whose fields are columns of a table that begin with a prefix."""
        return self._places.get((table, prefix)) or self._add(table, prefix, None)

    def map(self, table: str) -> Place:
        """The entries of a map that is one from its first row on."""
        return self._places.get((table, "")) or self._add(table, "", {KEY: "key", ITEM: "value"})

    def namesakes(self, place: Place) -> Iterator[Place]:
        """The places whose lists are child tables of the same names: of a list in an object, and of one in a list."""
        steps = f"{place.table}__{place.prefix}".removesuffix("__").split("__")
        for end in range(1, len(steps) + 1):
            table, prefix = "__".join(steps[:end]), "".join(step + "__" for step in steps[end:])
            if (table, prefix) != (place.table, place.prefix):
                yield self.place(table, prefix)

    def _add(
        self, table: str, prefix: str, documented: Mapping[str, str] | None, reserved: Iterable[str] = ()
    ) -> Place:
        made = self._places[table, prefix] = Place(self, table, prefix, documented, reserved)
        return made


def _documented(fields: Mapping[str, Field], table: str, prefix: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Table, prefix and names of every object of which the documentation says where it comes."""
    yield table, prefix, {name: column_name(name) for name in fields}
    for name, kind in fields.items():
        yield from _documented_in(kind, table, prefix + column_name(name))


def _documented_in(kind: Field, table: str, path: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    if isinstance(kind, (Object, AnyValue)):
        yield from _documented(kind.fields if isinstance(kind, Object) else {}, table, path + "__")
    elif isinstance(kind, (ListOf, MapOf)):
        child, item = f"{table}__{path}", kind.item if isinstance(kind, ListOf) else kind.value
        key = {KEY: "key"} if isinstance(kind, MapOf) else {}
        if isinstance(item, Object):
            (_, _, own), *inside = _documented(item.fields, child, "")
            yield child, "", key | own
            yield from inside
        else:
            yield child, "", key | {ITEM: "value"}
            yield from _documented_in(item, child, "value")


def _known_names(known: Iterable[tuple[str, str]]) -> Known:
    """The names at every place, as the names of tables and columns are made of them."""
    names: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    tables = set()
    for table, column in known:
        tables.add(table)
        _add_steps(names, table, column.split("__"))
    for table in tables:
        steps = table.split("__")
        for start in range(1, len(steps)):
            _add_steps(names, "__".join(steps[:start]), steps[start:])
    return names


def _add_steps(names: Mapping[tuple[str, str], set[str]], table: str, steps: list[str]) -> None:
    prefix = ""
    for step in steps:
        names[table, prefix].add(step)
        prefix += step + "__"


def _base(api_name: str) -> str:
    """The name that dlt gives a field; letters that dlt has no place for are told apart by a digest."""
    if not api_name.strip():
        return NAMELESS
    name = column_name(api_name)
    if api_name.isascii():
        return name
    return f"{name}_{hashlib.blake2b(api_name.encode('utf-8', 'replace'), digest_size=3).hexdigest()}"


def _escaped(api_name: str) -> str:
    """A name as the state can keep it: half characters and quotes are told by what stands for them."""
    return json.dumps(api_name)[1:-1]


def _unescaped(owner: str) -> str:
    return str(json.loads(f'"{owner}"'))
