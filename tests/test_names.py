"""A column holds one field of the API and a field has one column of a type, over rows, pages, runs and machines."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hyperstudy_source.tables.fields import ANY, FREE, NUMBER, TEXT, Field, ListOf, MapOf, Object, columns
from hyperstudy_source.tables.shaping import Shaper
from hyperstudy_source.tables.types import ColumnTypes

FIELDS: dict[str, Field] = {
    "id": TEXT, "n": NUMBER, "any": ANY, "data": FREE, "obj": Object({"min": NUMBER}), "items": ListOf(ANY),
    "things": ListOf(Object({"name": TEXT})), "map": MapOf(ANY), "roles": MapOf(Object({"name": TEXT})),
}
RESERVED = ("row_key", "onset_sec", "experiment_id")
NAMES = ("A>B", "A<B", "aB", "a_b", "a", "A", "a_text", "aText", "aNumber", "a_2", "a__b", "b", "value", "key", "list",
         "value_text", "valueNumber", "otherFields", "n_text", "", "ö", "rowKey", "_dlt_id", "ratings", "\ud800",
         "x" * 70)
"""Few names, of which many are alike."""

Step = str | int
Path = tuple[Step, ...]
"""The names that lead to a value; 0 is an item of a list, 1 an entry of a map."""


class Runs:
    """What runs make of rows, each with what dlt keeps of those before it."""

    def __init__(self, *, whole_pages: bool) -> None:
        self.whole_pages = whole_pages
        self.known = {("__".join(("t", *table)), column): kind
                      for table, declared in columns(FIELDS).items() for column, kind in declared.items()}
        self.state: dict[str, Any] = {}

    def load(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows of one run in their columns."""
        self.state = json.loads(json.dumps(self.state))
        shaper = Shaper("t", FIELDS, RESERVED, ColumnTypes(dict(self.known)), self.state)
        shaped = shaper.page(rows).rows() if self.whole_pages else [shaper.page([row]).rows()[0] for row in rows]
        for row in shaped:
            for table, column, value in cells(row, "t"):
                kind = {str: "text", float: "double", bool: "bool"}[type(value)]
                assert self.known.setdefault((table, column), kind) == kind, (table, column)
        return shaped


def cells(row: Mapping[str, Any], table: str, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Table, column and value of everything that dlt would store."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from cells(value, table, prefix + name + "__")
        elif isinstance(value, list):
            for item in value:
                yield from cells(item, f"{table}__{prefix}{name}")
        elif value is not None:
            yield table, prefix + name, value


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every scalar with the path that leads to it."""
    if isinstance(value, dict):
        is_map = path[-1:] == ("ratings",) or path in (("map",), ("roles",))
        for name, item in value.items():
            yield from leaves(item, (*path, 1 if is_map else name))
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, (*path, 0))
    else:
        yield (*path, 0) if path in (("items",), ("things",)) else path, value


def marked(value: Any, count: Iterator[int]) -> Any:
    """The same with every scalar made one of its own."""
    if isinstance(value, dict):
        return {name: marked(item, count) for name, item in value.items()}
    if isinstance(value, list):
        return [marked(item, count) for item in value]
    return f"text {next(count)}" if value == "text" else next(count) + 0.5


def told(path: Path) -> Path:
    """A path without the lists of objects: where a table of one and the object itself meet is dlt's rule."""
    steps = [step if isinstance(step, str) else 0 for step in path]
    return tuple(step for step, after in zip(steps, [*steps[1:], 0], strict=True) if step != 0 or after == 0)


VALUES = st.recursive(
    st.sampled_from(["text", "number"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=6)
ROWS = st.lists(st.dictionaries(st.sampled_from([*NAMES, *FIELDS]), VALUES, min_size=1, max_size=5), max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=3), st.booleans())
def test_random_rows_of_several_runs_never_mix_two_fields_in_a_column(
    runs: list[list[dict[str, Any]]], whole_pages: bool
) -> None:
    count = iter(range(10**6))
    sent = [[marked(row, count) for row in rows] for rows in runs]
    paths = {str(value): path for rows in sent for row in rows for path, value in leaves(row)}
    loading = Runs(whole_pages=whole_pages)
    owners, places = defaultdict[Any, set[Path]](set), defaultdict[Any, set[Any]](set)
    for rows in sent:
        found = {str(value): (table, column) for shaped in loading.load(rows)
                 for table, column, value in cells(shaped, "t")}
        for text, path in paths.items():
            if text in found:
                owners[found[text]].add(told(path))
                places[path, text[:4] == "text"].add(found[text])
    assert {place: found for place, found in owners.items() if len(found) > 1} == {}
    assert {path: found for path, found in places.items() if len(found) > 1} == {}
