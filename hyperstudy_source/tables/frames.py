"""The rows of one page as columns, with the rows of their lists and maps as the columns of child tables."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple, Union

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hyperstudy_source.tables.columns import python_times
from hyperstudy_source.tables.fields import Path, Row

Shaped = Union["Frame", list[Row]]
"""Rows as a table wants them: as columns, or as nested objects where there are few."""
Places = npt.NDArray[np.int64]
"""Numbers of rows, from 0."""
ID_DIGITS = 10
"""Of the number behind the random beginning of an id of dlt's."""


class Child(NamedTuple):
    """The rows of a child table."""

    path: Path
    """Where the list is in a row of its parent."""
    frame: Frame
    parents: Places
    """By row: its parent."""
    order: Places
    """By row: its place in the list."""


@dataclass
class Frame:
    """Rows of one table. A page without rows is false."""

    count: int
    columns: dict[Path, pa.Array] = field(default_factory=dict)
    """By path through the objects in a row; a column that is not here is null."""
    json: dict[Path, list[Any]] = field(default_factory=dict)
    """Columns of JSON."""
    children: list[Child] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def put(self, path: Path, column: pa.Array) -> None:
        """Fills a column, or what is null in it."""
        known = self.columns.get(path)
        self.columns[path] = column if known is None else pc.coalesce(known, column)

    def split(self, path: Path, lists: Sequence[Sequence[Any] | None]) -> tuple[Frame, list[Any]]:
        """The child table of a list in every row, still without columns, and the items of all lists."""
        items = list(chain.from_iterable(filter(None, lists)))
        lengths = np.fromiter((len(each) if each else 0 for each in lists), np.int64, len(lists))
        starts = np.cumsum(lengths) - lengths
        parents = np.repeat(np.arange(len(lists)), lengths)
        child = Frame(len(items))
        if items:
            self.children.append(Child(path, child, parents, np.arange(len(items)) - starts[parents]))
        return child, items

    def values(self, name: str) -> list[Any]:
        """The values of a column."""
        column = self.columns.get((name,))
        return [None] * self.count if column is None else list(column.to_pylist())

    def moments(self, names: Sequence[str]) -> list[datetime | None]:
        """The first time that each row has in these columns."""
        found = [self.columns[name,] for name in names if (name,) in self.columns]
        times = [each for each in found if pa.types.is_timestamp(each.type)]
        return python_times(pc.coalesce(*times)) if times else [None] * self.count

    def take(self, rows: Places) -> Frame:
        """Some of the rows, in their order."""
        taken = Frame(len(rows), {path: column.take(pa.array(rows)) for path, column in self.columns.items()},
                      {path: [values[row] for row in rows] for path, values in self.json.items()})
        numbers = np.full(self.count, -1)
        numbers[rows] = np.arange(len(rows))
        for path, frame, parents, order in self.children:
            kept = np.flatnonzero(numbers[parents] >= 0)
            if len(kept):
                taken.children.append(Child(path, frame.take(kept), numbers[parents[kept]], order[kept]))
        return taken

    def without(self, rows: Sequence[int]) -> Frame:
        """All rows but some."""
        return self.take(np.delete(np.arange(self.count), rows))

    def rows(self) -> list[Row]:
        """The rows as nested objects and lists, without nulls."""
        rows: list[Row] = [{} for _ in range(self.count)]
        for path, values in chain(((path, each.to_pylist()) for path, each in self.columns.items()), self.json.items()):
            *outer, name = path
            for row, value in zip(rows, values, strict=True):
                if value is not None:
                    _inside(row, outer)[name] = value
        for (*outer, name), frame, parents, _ in self.children:
            for parent, row in zip(parents.tolist(), frame.rows(), strict=True):
                _inside(rows[parent], outer).setdefault(name, []).append(row)
        return rows

    def tables(self, name: str, key: Collection[str], load_id: str) -> Iterator[tuple[str, pa.Table]]:
        """The tables that are to be loaded, children first: a child whose root does not come is not merged.

        `key`: the columns of which dlt knows that they are never null.
        """
        ids = _ids(self.count)
        yield from self._child_tables(name, ids, ids)
        own = {"_dlt_load_id": pa.repeat(load_id, self.count), "_dlt_id": ids}
        yield name, _table(self.columns, own, key)

    def _child_tables(self, name: str, ids: pa.Array, roots: pa.Array) -> Iterator[tuple[str, pa.Table]]:
        for path, frame, parents, order in self.children:
            at, own, table = pa.array(parents), _ids(frame.count), "__".join((name, *path))
            own_roots = roots.take(at)
            yield from frame._child_tables(table, own, own_roots)
            yield table, _table(frame.columns, {
                "_dlt_root_id": own_roots, "_dlt_parent_id": ids.take(at), "_dlt_list_idx": pa.array(order),
                "_dlt_id": own})


def _inside(row: Row, path: Sequence[str]) -> Row:
    for name in path:
        row = row.setdefault(name, {})
    return row


def _table(columns: dict[Path, pa.Array], own: dict[str, pa.Array], key: Collection[str] = ()) -> pa.Table:
    """A table with dlt's own columns, which are declared to be never null as those of the key are.

    A column of nothing but nulls is left out, as dlt does with objects.
    """
    filled = {"__".join(path): column for path, column in columns.items() if column.null_count < len(column)}
    named = filled | own
    fields = [pa.field(name, column.type, nullable=name not in key and name not in own)
              for name, column in named.items()]
    return pa.Table.from_arrays(list(named.values()), schema=pa.schema(fields))


class _Ids:
    """Ids that no other process gives: a random beginning and a number. Side by side they take little space."""

    def __init__(self) -> None:
        self._begin = np.frombuffer(base64.urlsafe_b64encode(os.urandom(9)), np.uint8)
        self._next, self._lock = 0, threading.Lock()

    def __call__(self, count: int) -> pa.Array:
        with self._lock:
            numbers = np.arange(self._next, self._next + count)
            self._next += count
        length = len(self._begin) + ID_DIGITS
        ids = np.empty((count, length), np.uint8)
        ids[:, :len(self._begin)] = self._begin
        for place in range(length - 1, len(self._begin) - 1, -1):
            numbers, digit = np.divmod(numbers, 10)
            ids[:, place] = digit + ord("0")
        ends = np.arange(0, length * count + 1, length, dtype=np.int32)
        return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(ids))


_ids = _Ids()
