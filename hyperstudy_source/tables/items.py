"""How frames are handed on to dlt: as Arrow tables, which it normalises at no cost, or as objects.

Objects are for what only they can carry: steps that a user adds, a schema contract, columns of JSON, and destinations
that do not load Parquet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import dlt
import pyarrow as pa
from dlt.common.configuration.container import Container
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema
from dlt.common.schema.utils import new_table
from dlt.common.storages.load_package import LoadPackageStateInjectableContext

from hyperstudy_source.data_types import DataType
from hyperstudy_source.tables.frames import Frame, Shaped
from hyperstudy_source.tables.hints import LINKS


class _ChildTable(dict[str, Any]):
    """A child table of a schema, which tells its resource to nobody but the metrics of dlt's extract.

    Those ask every table that got rows for it, and dlt refuses to store it for a child table.
    """

    def __missing__(self, key: str) -> str:
        if key == "resource":
            return str(self["name"]).split("__")[0]
        raise KeyError(key)


def as_objects(shaped: Shaped) -> Iterator[Any]:
    """Rows as one item of nested objects."""
    yield shaped.rows() if isinstance(shaped, Frame) else shaped


class AsArrow:
    """Rows as Arrow tables, children first: a child whose root does not come is not merged."""

    def __init__(self, data_type: DataType, schema: Schema) -> None:
        self._name, self._key, self._schema, self._hinted = data_type.name, data_type.key_columns, schema, set[str]()

    def __call__(self, shaped: Shaped) -> Iterator[Any]:
        """The items of dlt for a frame, or the objects as they are."""
        if not isinstance(shaped, Frame):
            yield shaped
            return
        for name, parts in _by_table(shaped.tables(self._name, self._key, _load_id())).items():
            table = pa.concat_tables(parts, promote_options="default") if len(parts) > 1 else parts[0]
            if name == self._name:
                yield table
            elif name in self._hinted:
                yield dlt.mark.with_table_name(table, name)
            else:
                self._hinted.add(name)
                yield dlt.mark.with_hints(table, self._hints(name), create_table_variant=True)

    def _hints(self, name: str) -> Any:
        """What tells dlt that a table is a child of another."""
        if name not in self._schema.tables:
            self._schema.update_table(new_table(
                name, parent_table_name=self._parent(name), columns=list(LINKS.values())))
        parent = self._schema.tables[name]["parent"]
        self._schema.tables[name] = cast(TTableSchema, _ChildTable(self._schema.tables[name]))
        hints = dlt.mark.make_hints(table_name=name, parent_table_name=parent, columns={}, primary_key="")
        return {**hints, "original_columns": {}}

    def _parent(self, name: str) -> str:
        """The nearest table that a table's name begins with: its list may lie in objects."""
        steps = name.split("__")
        longer = ("__".join(steps[:end]) for end in range(len(steps) - 1, 1, -1))
        return next((each for each in longer if each in self._schema.tables), self._name)


def _by_table(tables: Iterable[tuple[str, pa.Table]]) -> dict[str, list[pa.Table]]:
    found: dict[str, list[pa.Table]] = {}
    for name, table in tables:
        found.setdefault(name, []).append(table)
    return found


def is_extracted() -> bool:
    """Whether dlt writes what it takes into a load package, in place of showing it."""
    return LoadPackageStateInjectableContext in Container()


def _load_id() -> str:
    return str(Container()[LoadPackageStateInjectableContext].load_id)
