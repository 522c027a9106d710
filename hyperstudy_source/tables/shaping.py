"""A page of rows as the API sent them -> the columns of their table and its child tables, column by column.

Every value finds a place, and a place has one type for ever: what does not fit its column lies beside it as text, and
a field that the API grew later keeps the type in which it was first seen. A value that tells of no type, such as NaN,
gives it none, and one that would leave nothing behind, such as an empty list, lies beside as text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from hyperstudy_source.api.redaction import is_dropped
from hyperstudy_source.tables.columns import CONTAINERS, NONE, free_columns, read_column, text_column, told_type
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
    Path,
    Row,
    Scalar,
    columns,
    field_of,
)
from hyperstudy_source.tables.frames import Frame
from hyperstudy_source.tables.misfits import Misfit
from hyperstudy_source.tables.names import ITEM, KEY, LIST, MOST_FIELDS, MOST_KEYS, OTHERS, Names, Place
from hyperstudy_source.tables.types import ColumnTypes
from hyperstudy_source.tables.values import as_text, clean, is_empty, is_storable_json

DEEPEST = 12
"""Levels of lists and objects that become columns and child tables; what lies deeper is kept as JSON text."""
FREE_MAPS: Mapping[str, Field] = {"ratings": MapOf(NUMBER), "previousRatings": MapOf(NUMBER), "variables": MapOf(ANY)}
"""Maps with the researcher's own keys that are seen inside fields of any shape."""
EMPTY: Row = {}

Values = Sequence[Any]
"""One value for every row of a frame; None where there is none."""


class Shaper:
    """Shapes the pages of one table by the fields that its data type documents.

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

    def page(self, rows: Sequence[Row]) -> Frame:
        """Documented fields in their columns, all others where their first value put them."""
        frame = Frame(len(rows))
        self._objects(rows, self._fields, Spot(frame, self._names.place(self._table)))
        return frame

    def _objects(self, objects: Sequence[Row], fields: Mapping[str, Field], spot: Spot) -> None:
        """The fields of one object in every row; of an empty one where there is none."""
        names = dict.fromkeys(chain.from_iterable(objects))
        self._learn(objects, names, spot.place)
        known = spot.place.columns
        for api_name in names:
            if api_name in known:
                values = field_of(objects, api_name)
                if kinds := set(map(type, values)) - {NONE}:
                    kind = fields.get(api_name) or self._free_map(api_name, values, kinds, spot)
                    self._field(known[api_name], kind, values, kinds, spot)
        if not known.keys() >= names.keys():
            self._others(objects, spot)

    def _learn(self, objects: Sequence[Row], names: Mapping[str, None], place: Place) -> None:
        if not place.columns.keys() >= names.keys():
            for each in objects:
                if not place.columns.keys() >= each.keys():
                    self._types.grown.update(f"{place.table}.{place.prefix}{name}" for name in place.learn(each))

    def _others(self, objects: Sequence[Row], spot: Spot) -> None:
        """What is beyond the most fields that have columns."""
        place = spot.place
        others = [{name: value for name, value in each.items()
                   if name not in place.columns and value is not None and not is_dropped(name)} for each in objects]
        if any(others):
            if not place.has(OTHERS):
                self._remark(place, f"has more than {MOST_FIELDS:,} fields that no documentation names",
                             place.child(place.column(OTHERS)))
            self._map(place.column(OTHERS), ANY, others, spot)

    def _remark(self, place: Place, what: str, child: str) -> None:
        where = f"{place.table}.{place.prefix.removesuffix('__')}".rstrip(".")
        self.remarks.append(f"{where} {what}. From now on new ones are rows of {child}.")

    def _free_map(self, api_name: str, values: Values, kinds: set[type], spot: Spot) -> Field | None:
        """The map that a field is by its name, with the types of its columns settled whatever comes first."""
        kind = FREE_MAPS.get(api_name)
        if kind is None or not any(value for value in values if type(value) in CONTAINERS):
            return None
        child = spot.place.child(spot.place.columns[api_name])
        self._names.map(child)
        for column, data_type in columns({"map": kind})["map",].items():
            self._types.settle(child, column, data_type)
        return kind if dict in kinds else None

    def _field(self, column: str, kind: Field | None, values: Values, kinds: set[type], spot: Spot) -> None:
        """The columns that the values of one field fill, by what is documented of it."""
        if isinstance(kind, Scalar):
            self._scalar(column, kind, values, kinds, spot)
        elif isinstance(kind, Configuration):
            self._configuration(column, values, spot)
        elif isinstance(kind, AnyValue):
            self._any(column, kind, values, kinds, spot)
        else:
            if kinds & CONTAINERS:
                values, kinds = self._empties_beside(column, values, kinds, spot)
            if isinstance(kind, ListOf):
                lists = values if kinds == {list} else [
                    value if value is None or type(value) is list else [value] for value in values]
                self._list(column, kind.item, lists, spot)
            elif isinstance(kind, (Object, MapOf)) and dict in kinds:
                objects = _those(values, kinds, dict)
                if isinstance(kind, Object):
                    inside = self._names.place(spot.place.table, f"{spot.place.prefix}{column}__")
                    self._objects([each or EMPTY for each in objects], kind.fields, spot.inside(column, inside))
                else:
                    self._map(column, kind.value, objects, spot)
                self._free(column, *_others_than(values, kinds, {dict}), spot)
            else:
                self._free(column, values, kinds, spot)

    def _scalar(self, column: str, kind: Scalar, values: Values, kinds: set[type], spot: Spot) -> None:
        read = read_column(kind.data_type, values, kinds)
        spot.put(column, read.column)
        if read.beside:
            beside = spot.place.beside(column, "text")
            spot.put(beside, pa.array(read.beside, pa.string()))
            self._note(column, kind.data_type, beside, read.misfits, spot.place)

    def _configuration(self, column: str, values: Values, spot: Spot) -> None:
        fits = [is_storable_json(value) for value in values]
        path = (*spot.at, column)
        spot.frame.json[path] = [
            clean(value) if fit else None for value, fit in zip(values, fits, strict=True)]
        texts = [None if fit or value is None else as_text(value) for value, fit in zip(values, fits, strict=True)]
        if misfits := sum(text is not None for text in texts):
            beside = spot.place.beside(column, "text")
            spot.put(beside, pa.array(texts, pa.string()))
            self._note(column, "json", beside, misfits, spot.place)

    def _any(self, column: str, kind: AnyValue, values: Values, kinds: set[type], spot: Spot) -> None:
        full = kinds & CONTAINERS and [
            type(value) in CONTAINERS and not is_empty(value) for value in values]
        scalars = values
        if full and any(full):
            containers = [value if is_full else None for value, is_full in zip(values, full, strict=True)]
            self._free(column, containers, set(map(type, containers)) - {NONE}, spot)
            scalars = [None if is_full else value for value, is_full in zip(values, full, strict=True)]
        for data_type, filled in free_columns(scalars, set(map(type, scalars)) - {NONE}).items():
            in_place = kind.text_in_place and data_type == "text"
            spot.put(column if in_place else spot.place.beside(column, data_type), filled)

    def _empties_beside(
        self, column: str, values: Values, kinds: set[type], spot: Spot
    ) -> tuple[Values, set[type]]:
        """Lists and objects that hold nothing, as text beside the column; the other values are given back."""
        empty = [type(value) in CONTAINERS and is_empty(value) for value in values]
        if not any(empty):
            return values, kinds
        texts = [as_text(value) if is_empty else None for value, is_empty in zip(values, empty, strict=True)]
        spot.put(spot.place.beside(column, "text"), pa.array(texts, pa.string()))
        left = [None if is_empty else value for value, is_empty in zip(values, empty, strict=True)]
        return left, set(map(type, left)) - {NONE}

    def _free(self, column: str, values: Values, kinds: set[type], spot: Spot) -> None:
        """The columns that values fill of which no documentation says anything."""
        if spot.depth < DEEPEST:
            if dict in kinds:
                self._free_objects(column, _those(values, kinds, dict), spot)
            if list in kinds:
                self._list(column, FREE, _those(values, kinds, list), spot)
            values, kinds = _others_than(values, kinds, CONTAINERS)
        if kinds:
            self._free_scalars(column, values, kinds, spot)

    def _free_scalars(self, column: str, values: Values, kinds: set[type], spot: Spot) -> None:
        place, name = spot.place, spot.place.prefix + column
        settled = self._types.settled(place.table, name)
        if settled is None and (told := told_type(values)):
            settled = self._types.settle(place.table, name, told)
        for data_type, filled in free_columns(values, kinds).items():
            if data_type == settled:
                spot.put(column, filled)
                continue
            beside = place.beside(column, data_type)
            spot.put(beside, filled)
            if settled:
                self._note(column, settled, beside, len(filled) - filled.null_count, place)

    def _free_objects(self, column: str, objects: Values, spot: Spot) -> None:
        """Objects of unknown fields. From the one on that has too many keys, they are entries of a map."""
        inside = self._names.place(spot.place.table, f"{spot.place.prefix}{column}__")
        turn = self._turn_to_map(inside, objects, spot.place.child(column))
        if turn:
            as_fields = [(each if number < turn else None) or EMPTY for number, each in enumerate(objects)]
            self._objects(as_fields, {}, spot.inside(column, inside))
        if turn < len(objects):
            self._map(column, ANY, [
                None if each is None or number < turn else {k: v for k, v in each.items() if not is_dropped(k)}
                for number, each in enumerate(objects)], spot)

    def _turn_to_map(self, inside: Place, objects: Values, child: str) -> int:
        """The first object that is one key too many for columns, or one of a map; as many as there are: none is."""
        if inside.is_map:
            return 0
        if not inside.may_turn_to_map(set(chain.from_iterable(filter(None, objects)))):
            return len(objects)
        for number, each in enumerate(objects):
            if each and inside.turns_to_map(each):
                self._remark(inside, f"has more than {MOST_KEYS:,} different keys, so it is a map", child)
                return number
            if each:
                inside.learn(each)
        return len(objects)

    def _list(self, column: str, kind: Field, lists: Values, spot: Spot) -> None:
        """A child table of the items of lists."""
        place = self._names.place(spot.place.child(column))
        child, items = spot.child(column, place, lists)
        if not items:
            return
        kinds = set(map(type, items))
        if dict in kinds and isinstance(kind, Object):
            objects = [item if type(item) is dict and not is_empty(item) else EMPTY for item in items]
            self._objects(objects, kind.fields, child)
            items = [None if taken else item for item, taken in zip(items, objects, strict=True)]
        if list in kinds:
            lists = [item if type(item) is list and item else None for item in items]
            if any(lists):
                self._free(place.column(LIST), lists, {list}, child)
            items = [None if taken else item for item, taken in zip(items, lists, strict=True)]
        if kinds := set(map(type, items)) - {NONE}:
            self._field(place.column(ITEM), None if isinstance(kind, Object) else kind, items, kinds, child)

    def _map(self, column: str, kind: Field, maps: Values, spot: Spot) -> None:
        """A child table of the entries of maps."""
        place = self._names.place(spot.place.child(column))
        child, keys = spot.child(column, place, maps)
        if not keys:
            return
        child.put(place.column(KEY), text_column(keys))
        items = list(chain.from_iterable(each.values() for each in maps if each))
        if isinstance(kind, Object):
            objects = [item if type(item) is dict and not is_empty(item) else EMPTY for item in items]
            self._objects(objects, kind.fields, child)
            items = [None if taken else item for item, taken in zip(items, objects, strict=True)]
        if kinds := set(map(type, items)) - {NONE}:
            self._field(place.column(ITEM), None if isinstance(kind, Object) else kind, items, kinds, child)

    def _note(self, column: str, data_type: str, beside: str, misfits: int, place: Place) -> None:
        if misfits:
            self.misfits[Misfit(place.table, place.prefix + column, data_type, place.prefix + beside)] += misfits


class Spot:
    """Where the fields of an object go: the frame, the path in its rows, and the names of the columns there."""

    def __init__(self, frame: Frame, place: Place, at: Path = (), depth: int = 0) -> None:
        self.frame, self.place, self.at, self.depth = frame, place, at, depth

    def put(self, column: str, filled: pa.Array) -> None:
        """Fills a column."""
        self.frame.put((*self.at, column), filled)

    def inside(self, column: str, place: Place) -> Spot:
        """Of an object in this one."""
        return Spot(self.frame, place, (*self.at, column), self.depth + 1)

    def child(self, column: str, place: Place, lists: Values) -> tuple[Spot, list[Any]]:
        """Of the rows of a child table, with the items of all lists."""
        frame, items = self.frame.split((*self.at, column), lists)
        return Spot(frame, place, (), self.depth + 1), items


def _those(values: Values, kinds: set[type], kind: type) -> Values:
    """The values of one type."""
    return values if kinds == {kind} else [value if type(value) is kind else None for value in values]


def _others_than(values: Values, kinds: set[type], left_out: set[type]) -> tuple[Values, set[type]]:
    """The values of all other types, and these."""
    if not kinds & left_out:
        return values, kinds
    left = kinds - left_out
    return [None if type(value) in left_out else value for value in values] if left else [], left
