"""A data type as a table of dlt: its hints, its child tables, and its rows with key and place filled in.

What surprises: dlt creates child tables when their first row comes; `declare` puts them into the schema before that,
with dlt's own columns, so that `loading.load` can create them empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from dlt.common.data_types import TDataType
from dlt.common.schema import Schema
from dlt.common.schema.typing import (
    TColumnSchema,
    TLoaderMergeStrategy,
    TTableSchema,
    TTableSchemaColumns,
)
from dlt.common.schema.utils import new_table

from hyperstudy_source.data_types import DataType
from hyperstudy_source.tables.fields import Column

MERGE_STRATEGY: TLoaderMergeStrategy = "delete-insert"
"""Takes rows that come twice in one load, as pages that shift deliver them; `upsert` inserts them twice."""
LINKS: TTableSchemaColumns = {
    "_dlt_root_id": {"name": "_dlt_root_id", "data_type": "text", "nullable": False, "root_key": True,
                     "description": "The `_dlt_id` of the row of the main table that the row belongs to."},
    "_dlt_parent_id": {"name": "_dlt_parent_id", "data_type": "text", "nullable": False, "parent_key": True,
                       "description": "The `_dlt_id` of the row of the parent table that the row belongs to."},
    "_dlt_list_idx": {"name": "_dlt_list_idx", "data_type": "bigint", "nullable": False,
                      "description": "The place of the row in its list or map, from 0."},
    "_dlt_id": {"name": "_dlt_id", "data_type": "text", "nullable": False, "unique": True, "row_key": True,
                "description": "The row's id, made by dlt; child tables have it as `_dlt_parent_id`."},
}
"""dlt's own columns of a child table whose root is merged."""
OWN: Sequence[TColumnSchema] = (
    {"name": "_dlt_load_id", "data_type": "text", "nullable": False,
     "description": "The load that brought the row, as in `load_id` of `_dlt_loads`."}, LINKS["_dlt_id"])
"""dlt's own columns of a table."""


def hints(data_type: DataType) -> dict[str, Any]:
    """The arguments with which a data type becomes a `dlt.resource`."""
    return {
        "name": data_type.name,
        "primary_key": list(data_type.key_columns),
        "write_disposition": {"disposition": "merge", "strategy": MERGE_STRATEGY},
        "columns": {name: _column(column) for name, column in data_type.tables[()].columns.items()},
        "selected": data_type.selected,
    }


def child_tables(data_type: DataType) -> dict[str, TTableSchema]:
    """The declared child tables of a data type, each after its parent."""
    tables = {}
    for path, declared in sorted(data_type.tables.items(), key=lambda item: len(item[0])):
        if path:
            name, parent = ("__".join((data_type.name, *lists)) for lists in (path, path[:-1]))
            own = [_column(column) for column in declared.columns.values()]
            made = new_table(name, parent_table_name=parent, columns=[*own, *LINKS.values()])
            tables[name] = _described(made, declared.description)
    return tables


def declare(schema: Schema, data_type: DataType) -> None:
    """Puts a data type's tables into the schema, and lets no text be guessed at."""
    schema.remove_type_detection("iso_timestamp")
    own = hints(data_type)["columns"] | {
        name: {**hints(data_type)["columns"][name], "nullable": False, "primary_key": True}
        for name in data_type.key_columns}
    root = new_table(
        data_type.name, write_disposition="merge", resource=data_type.name, columns=[*own.values(), *OWN])
    schema.update_table(_described(root, data_type.tables[()].description))
    for table in child_tables(data_type).values():
        schema.update_table(table)


def _described(table: TTableSchema, description: str) -> TTableSchema:
    """A table with what is known of it, under the name that most read and under that of BigQuery."""
    return cast(TTableSchema, {**table, "description": description, "x-bigquery-table-description": description})


def _column(column: Column) -> TColumnSchema:
    return {"name": column.name, "data_type": cast(TDataType, column.data_type), "description": column.description}
