"""`describe()`: the data dictionary of what is loaded. Reads the destination only; no request is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dlt
from dlt.common.schema import Schema
from dlt.destinations.job_client_impl import SqlJobClientBase

from hyperstudy_source.data_types import TABLES
from hyperstudy_source.destination.alignment import SOURCE
from hyperstudy_source.destination.whereabouts import require_database
from hyperstudy_source.errors import DestinationError
from hyperstudy_source.operations.definitions import Definition, definitions
from hyperstudy_source.operations.figures import Figures, figures
from hyperstudy_source.operations.joins import Join, diagram, joins
from hyperstudy_source.tables.known import Known, known_of, table_description


@dataclass(frozen=True)
class DescribedColumn:
    """A column, with what is known of it and what the loaded rows hold in it."""

    name: str
    data_type: str
    known: Known
    figures: Figures


@dataclass(frozen=True)
class DescribedTable:
    """A table that is loaded."""

    name: str
    description: str
    rows: int
    columns: tuple[DescribedColumn, ...]


@dataclass(frozen=True)
class Dictionary:
    """The data dictionary of a dataset."""

    dataset_name: str
    tables: tuple[DescribedTable, ...]
    definitions: tuple[Definition, ...]
    joins: tuple[Join, ...]
    diagram: str
    """The tables and their joins in the language of Mermaid."""


def describe(pipeline: dlt.Pipeline) -> Dictionary | None:
    """The dictionary of a pipeline's dataset; None where nothing was loaded yet.

    Raises `DestinationError` where the file that was loaded into is gone, and for a destination without SQL.
    """
    require_database(pipeline)
    if SOURCE not in pipeline.schemas:
        return None
    schema = pipeline.schemas[SOURCE]
    with pipeline.destination_client(SOURCE) as client:
        if not isinstance(client, SqlJobClientBase):
            name = pipeline.destination.destination_name
            raise DestinationError(f"The destination {name} takes no SQL, so its tables cannot be described.")
        names = _in_order(schema)
        stored = dict(client.get_storage_tables(names))
        columns = {name: tuple(stored[name]) for name in names if stored[name]}
        if not columns:
            return None
        sql = client.sql_client
        return Dictionary(
            sql.dataset_name, tuple(_described(client, schema, columns)), tuple(definitions(sql, columns)),
            tuple(joins(schema, columns)), diagram(schema, columns))


def _in_order(schema: Schema) -> Sequence[str]:
    """The tables in the order in which data types are listed, each before its child tables."""
    order = {name: number for number, name in enumerate(TABLES)}
    return sorted(schema.data_table_names(), key=lambda name: (order.get(name.split("__")[0], len(order)), name))


def _described(
    client: SqlJobClientBase, schema: Schema, columns: dict[str, tuple[str, ...]]
) -> Iterator[DescribedTable]:
    for name, stored in columns.items():
        hints = [hint for column, hint in schema.tables[name]["columns"].items() if column in stored]
        known = {str(hint["name"]): known_of(name, str(hint["name"])) for hint in hints}
        rows, found = figures(client.sql_client, name, hints, known)
        yield DescribedTable(name, table_description(name), rows, tuple(
            DescribedColumn(column, str(hint.get("data_type")), known[column], found[column])
            for hint in hints if (column := str(hint["name"]))))
