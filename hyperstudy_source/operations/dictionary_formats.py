"""A data dictionary as Markdown, HTML, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from hyperstudy_source.operations.describe import DescribedColumn, DescribedTable, Dictionary
from hyperstudy_source.operations.documents import Block, Diagram, Grid, Heading, Paragraph, as_html, as_markdown
from hyperstudy_source.tables.known import DLT_COLUMNS

CSV_COLUMNS = ("table", "column", "type", "unit", "description", "api_field", "identifies", "rows", "nulls", "distinct",
               "lowest", "highest", "examples")
SHOWN = ("column", "type", "unit", "what it is", "API field", "nulls", "distinct", "range", "examples")


def markdown(dictionary: Dictionary) -> str:
    """For people, and for a paper's supplement."""
    return as_markdown(_document(dictionary))


def html(dictionary: Dictionary) -> str:
    """The same as a page of its own."""
    return as_html(list(_document(dictionary)))


def csv_text(dictionary: Dictionary) -> str:
    """One line for each column, for a spreadsheet."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, CSV_COLUMNS)
    writer.writeheader()
    for table in dictionary.tables:
        for column in table.columns:
            entry = {"table": table.name, "rows": table.rows, **_entry(table, column)}
            writer.writerow({**entry, "examples": " | ".join(entry["examples"])})
    return text.getvalue()


def json_text(dictionary: Dictionary) -> str:
    """Everything, for programs."""
    told = {
        "dataset": dictionary.dataset_name,
        "tables": [{
            "table": table.name, "description": table.description, "rows": table.rows,
            "columns": [_entry(table, column) for column in table.columns],
        } for table in dictionary.tables],
        "definitions": [asdict(each) for each in dictionary.definitions],
        "joins": [asdict(join) for join in dictionary.joins],
        "diagram": dictionary.diagram,
    }
    return json.dumps(told, indent=2, ensure_ascii=False, default=float) + "\n"


FORMATS: Mapping[str, Callable[[Dictionary], str]] = {
    "markdown": markdown, "html": html, "csv": csv_text, "json": json_text}
"""By the name that the command has for it."""


def _entry(table: DescribedTable, column: DescribedColumn) -> dict[str, Any]:
    known, found = column.known, column.figures
    return {
        "column": column.name, "type": column.data_type, "unit": known.unit, "description": known.description,
        "api_field": known.api_name, "identifies": known.names or "", "nulls": table.rows - found.filled,
        "distinct": found.distinct, "lowest": found.lowest, "highest": found.highest, "examples": list(found.examples)}


def _document(dictionary: Dictionary) -> Iterator[Block]:
    rows = sum(table.rows for table in dictionary.tables)
    yield Heading(f"Data dictionary of {dictionary.dataset_name}", 1)
    yield Paragraph(
        f"{len(dictionary.tables)} tables with {rows:,} rows. Values are shown of no column that tells who somebody is "
        "or in which people wrote what they liked.")
    yield Heading("What the researchers defined", 2)
    for each in dictionary.definitions:
        yield Heading(f"{each.title} of {each.experiment} ({each.experiment_id})", 3)
        yield Grid(each.columns, each.rows)
    yield Heading("How the tables join", 2)
    yield Grid(("table", "belongs to", "on"), [
        (join.table, join.to_table, join.condition) for join in dictionary.joins])
    yield Diagram(dictionary.diagram)
    yield Paragraph("Beside the columns that are listed below, dlt gives tables columns of its own:")
    yield Grid(("column", "what it is"), list(DLT_COLUMNS.items()))
    yield Heading("Tables", 2)
    for table in dictionary.tables:
        yield Heading(table.name, 3)
        yield Paragraph(f"{table.description} {table.rows:,} rows.")
        if lines := [_line(table, column) for column in table.columns if not column.known.is_of_dlt]:
            yield Grid(SHOWN, lines)


def _line(table: DescribedTable, column: DescribedColumn) -> tuple[str, ...]:
    known, found = column.known, column.figures
    between = "" if found.lowest is None else f"{_number(found.lowest)} to {_number(found.highest)}"
    distinct = "" if found.distinct is None else f"{found.distinct:,}"
    return (column.name, column.data_type, known.unit, known.description, known.api_name,
            f"{table.rows - found.filled:,}", distinct, between, ", ".join(found.examples))


def _number(value: Any) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)
