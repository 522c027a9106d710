"""One row as the API sent it -> one row as its table wants it.

Every value finds a place, and a place has one type for ever: what does not fit its column lies beside it as text, and
a field that the API grew later keeps the type in which it was first seen. A value that tells of no type, such as NaN,
gives it none, and one that would leave nothing behind, such as an empty list, lies beside as text. What surprises: the
names given here are final; dlt only joins them along objects and splits lists off into child tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hyperstudy_source.api.redaction import is_dropped
from hyperstudy_source.tables.fields import (
    ANY,
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
    columns,
)
from hyperstudy_source.tables.misfits import Misfit
from hyperstudy_source.tables.names import ITEM, KEY, LIST, MOST_FIELDS, MOST_KEYS, OTHERS, Names, Place
from hyperstudy_source.tables.values import (
    as_text,
    clean,
    free_scalar,
    is_empty,
    is_storable_json,
    read_scalar,
    tells_type,
)

DEEPEST = 12
"""Levels of lists and objects that become columns and child tables; what lies deeper is kept as JSON text."""
FREE_MAPS: Mapping[str, Field] = {"ratings": MapOf(NUMBER), "previousRatings": MapOf(NUMBER), "variables": MapOf(ANY)}
"""Maps with the researcher's own keys that are seen inside fields of any shape."""


class ColumnTypes:
    """The types of all columns: those declared, those of earlier runs, and those first seen in this one.

    `stored` gives the name under which the destination has a table or a column.
    """

    def __init__(self, known: Mapping[tuple[str, str], str], stored: Callable[[str], str] = str) -> None:
        self.known, self._stored = known, stored
        self._types: dict[tuple[str, str], str] = {}
        self.grown: set[str] = set()
        """`table.column` of every field that no documentation and no earlier run knows."""
        self._untold: set[tuple[str, str]] = set()

    def settle(self, table: str, column: str, data_type: str) -> str:
        """The type of a column for ever: the one given, unless it has one."""
        settled = self._settled(table, column)
        if settled is None:
            settled = self._types[table, column] = data_type
        return settled

    def settled_text(self, table: str, column: str) -> str | None:
        """The type of a column for a text that tells of none: without one, the column waits for it."""
        settled = self._settled(table, column)
        if settled is None:
            self._untold.add((table, column))
        return settled

    def found_late(self) -> bool:
        """Whether a column that waited for its type has got it since the last call."""
        late = not self._untold.isdisjoint(self._types)
        self._untold = set()
        return late

    def _settled(self, table: str, column: str) -> str | None:
        settled = self._types.get((table, column))
        if settled is None and (known := self.known.get((self._stored(table), self._stored(column)))):
            settled = self._types[table, column] = known
        return settled


class RowShaper:
    """Shapes the rows of one table by the fields that its data type documents.

    `state` is what dlt keeps for its resource: the names of columns that are not plain are kept there.
    """

    def __init__(
        self, table: str, fields: Mapping[str, Field], reserved: Iterable[str], types: ColumnTypes,
        state: dict[str, Any] | None = None, longest: int | None = None,
    ) -> None:
        self._table, self._fields, self._types = table, fields, types
        self._names = Names(table, fields, reserved, types.known, {} if state is None else state, longest)
        self.remarks: list[str] = []
        """What became a child table because there is no room for more columns."""
        self.misfits: Counter[Misfit] = Counter()
        """How many values each column could not take."""

    def page(self, rows: Sequence[Row]) -> list[Row]:
        """Documented fields in their columns, all others where their first value put them; nulls left out.

        A field whose first values tell of no type has that of the first one in the page that does.
        """
        before = self.misfits.copy()
        shaped = self._shaped(rows)
        if self._types.found_late():
            self.misfits = before
            shaped = self._shaped(rows)
        return shaped

    def shape(self, row: Row) -> Row:
        """A page of one row."""
        return self.page([row])[0]

    def _shaped(self, rows: Sequence[Row]) -> list[Row]:
        place = self._names.place(self._table)
        return [self._object(row, self._fields, place, 0) for row in rows]

    def _object(self, value: Row, fields: Mapping[str, Field], place: Place, depth: int) -> Row:
        shaped: Row = {}
        if not place.columns.keys() >= value.keys():
            self._types.grown.update(f"{place.table}.{place.prefix}{column}" for column in place.learn(value))
        others: Row = {}
        for api_name, item in value.items():
            if item is None:
                continue
            column = place.columns.get(api_name)
            if column is None:
                others[api_name] = item
                continue
            kind = fields.get(api_name) or self._free_map(api_name, item, place.child(column))
            shaped.update(self._placed(column, kind, item, place, depth))
        others = {api_name: item for api_name, item in others.items() if not is_dropped(api_name)}
        if others:
            if not place.has(OTHERS):
                self._remark(place, f"has more than {MOST_FIELDS:,} fields that no documentation names",
                             place.child(place.column(OTHERS)))
            shaped.update(self._map(place.column(OTHERS), ANY, others, place, depth))
        return shaped

    def _remark(self, place: Place, what: str, child: str) -> None:
        where = f"{place.table}.{place.prefix.removesuffix('__')}".rstrip(".")
        self.remarks.append(f"{where} {what}. From now on new ones are rows of {child}.")

    def _free_map(self, api_name: str, value: Any, child: str) -> Field | None:
        """The map that a field is by its name, with the types of its columns settled whatever comes first."""
        kind = FREE_MAPS.get(api_name)
        if kind is None or not value or not isinstance(value, (dict, list)):
            return None
        self._names.map(child)
        for column, data_type in columns({"map": kind})["map",].items():
            self._types.settle(child, column, data_type)
        return kind if isinstance(value, dict) else None

    def _placed(
        self, column: str, kind: Field | None, value: Any, place: Place, depth: int
    ) -> list[tuple[str, Any]]:
        """The columns that one value fills, by what is documented of it."""
        if isinstance(kind, Scalar):
            read, is_all = read_scalar(kind.data_type, value)
            if read is None:
                return [(column, None), self._misfit(column, kind.data_type, value, place)]
            return [(column, read)] if is_all else [(column, read), self._beside(column, value, place)]
        if isinstance(kind, Configuration):
            return [(column, clean(value)) if is_storable_json(value) else self._misfit(column, "json", value, place)]
        if is_empty(value) and not isinstance(kind, AnyValue):
            return [self._beside(column, value, place)]
        if isinstance(kind, Object) and isinstance(value, dict):
            inside = self._names.place(place.table, place.prefix + column + "__")
            return [(column, self._object(value, kind.fields, inside, depth + 1))]
        if isinstance(kind, ListOf):
            items, child = value if isinstance(value, list) else [value], self._names.place(place.child(column))
            return [(column, [self._item(kind.item, item, child, depth + 1) for item in items])]
        if isinstance(kind, MapOf) and isinstance(value, dict):
            return self._map(column, kind.value, value, place, depth)
        if isinstance(kind, AnyValue) and (not isinstance(value, (dict, list)) or is_empty(value)):
            data_type, scalar = free_scalar(value)
            in_place = kind.text_in_place and data_type == "text"
            return [(column if in_place else place.beside(column, data_type), scalar)]
        return self._free(column, value, place, depth)

    def _free(self, column: str, value: Any, place: Place, depth: int) -> list[tuple[str, Any]]:
        """The columns that a value fills of which no documentation says anything."""
        if isinstance(value, dict) and depth < DEEPEST:
            inside = self._names.place(place.table, place.prefix + column + "__")
            if inside.turns_to_map(value):
                self._remark(inside, f"has more than {MOST_KEYS:,} different keys, so it is a map",
                             place.child(column))
            if inside.is_map:
                entries = {key: item for key, item in value.items() if not is_dropped(key)}
                return self._map(column, ANY, entries, place, depth)
            return [(column, self._object(value, {}, inside, depth + 1))]
        if isinstance(value, list) and depth < DEEPEST:
            child = self._names.place(place.child(column))
            return [(column, [self._item(FREE, item, child, depth + 1) for item in value])]
        return [self._scalar(column, value, place)]

    def _scalar(self, column: str, value: Any, place: Place) -> tuple[str, Any]:
        """The column that a scalar fills of which no documentation says anything."""
        data_type, scalar = free_scalar(value)
        name, is_told = place.prefix + column, data_type != "text" or tells_type(value)
        types = self._types
        settled = types.settle(place.table, name, data_type) if is_told else types.settled_text(place.table, name)
        if settled == data_type:
            return column, scalar
        beside = place.beside(column, data_type)
        if settled:
            self.misfits[Misfit(place.table, name, settled, place.prefix + beside)] += 1
        return beside, scalar

    def _beside(self, column: str, value: Any, place: Place) -> tuple[str, str]:
        """The column of texts beside another, and the value as text."""
        return place.beside(column, "text"), as_text(value)

    def _misfit(self, column: str, data_type: str, value: Any, place: Place) -> tuple[str, str]:
        """The same for a value that cannot be read as the type of its column."""
        name, text = self._beside(column, value, place)
        self.misfits[Misfit(place.table, place.prefix + column, data_type, place.prefix + name)] += 1
        return name, text

    def _item(self, kind: Field, item: Any, place: Place, depth: int) -> Row:
        """A row of a child table from one item of a list."""
        if isinstance(item, dict) and isinstance(kind, Object) and not is_empty(item):
            return self._object(item, kind.fields, place, depth)
        if item is None:
            return {place.column(ITEM): None}
        if isinstance(item, list) and item:
            return dict(self._free(place.column(LIST), item, place, depth))
        return dict(self._placed(place.column(ITEM), None if isinstance(kind, Object) else kind, item, place, depth))

    def _map(self, column: str, kind: Field, value: Row, place: Place, depth: int) -> list[tuple[str, Any]]:
        """A child table of the entries of a map."""
        child = self._names.place(place.child(column))
        return [(column, [self._entry(kind, key, item, child, depth + 1) for key, item in value.items()])]

    def _entry(self, kind: Field, key: str, value: Any, place: Place, depth: int) -> Row:
        """A row of a child table from one entry of a map."""
        entry: Row = {place.column(KEY): as_text(key)}
        if isinstance(kind, Object) and isinstance(value, dict) and not is_empty(value):
            return entry | self._object(value, kind.fields, place, depth)
        if value is None:
            return entry
        item_kind = None if isinstance(kind, Object) else kind
        return entry | dict(self._placed(place.column(ITEM), item_kind, value, place, depth))
