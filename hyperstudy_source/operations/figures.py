"""What the loaded rows of a table hold, in figures: one query for each table.

Values of a column are shown only where its mark allows it: see `tables.fields.Naming`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dlt.common.schema.typing import TColumnSchema
from dlt.destinations.sql_client import SqlClientBase

from hyperstudy_source.tables.known import Known

MOST_EXAMPLES = 3
LONGEST_EXAMPLE = 60
"""Characters."""
COLUMNS_AT_ONCE = 200
"""Columns of one query: databases take some hundred expressions, and a table has up to six for each."""
HAVE_RANGE = frozenset({"bigint", "double", "decimal", "timestamp", "date"})
HAVE_EXAMPLES = frozenset({"text", "bool"})


@dataclass(frozen=True)
class Figures:
    """What the rows hold in one column."""

    filled: int = 0
    """Rows in which it is not null."""
    distinct: int | None = None
    """Different values; None for what no database compares."""
    lowest: Any = None
    highest: Any = None
    examples: tuple[str, ...] = ()
    """The most frequent values."""


def figures(
    sql: SqlClientBase[Any], table: str, columns: Sequence[TColumnSchema], known: Mapping[str, Known]
) -> tuple[int, dict[str, Figures]]:
    """How many rows a table has, and what they hold in each column."""
    rows = 0
    found: dict[str, Figures] = {}
    for start in range(0, len(columns), COLUMNS_AT_ONCE):
        asked = [(str(column["name"]), figure, term) for column in columns[start:start + COLUMNS_AT_ONCE]
                 for figure, term in _asked(sql, table, column, known[str(column["name"])])]
        terms = ", ".join(["count(*)", *(term for _, _, term in asked)])
        answer = sql.execute_sql(f"SELECT {terms} FROM {sql.make_qualified_table_name(table)}")  # noqa: S608 - our names
        rows, *values = (answer or [[0]])[0]
        for (name, figure, _), value in zip(asked, values, strict=True):
            found[name] = replace(found.get(name, Figures()), **{figure: _shown(figure, value)})
    return int(rows), found


def _asked(sql: SqlClientBase[Any], table: str, column: TColumnSchema, known: Known) -> Iterator[tuple[str, str]]:
    """The figures of a column, each with the term that a query has for it."""
    kind, name = column.get("data_type"), sql.escape_column_name(str(column["name"]))
    yield "filled", f"count({name})"
    if known.is_of_dlt or kind == "json":
        return
    yield "distinct", f"count(DISTINCT {name})"
    if kind in HAVE_RANGE and known.names in (None, "free_text"):
        yield "lowest", f"min({name})"
        yield "highest", f"max({name})"
    if kind in HAVE_EXAMPLES and known.is_documented and not known.names:
        yield "examples", (
            f"(SELECT array_agg(value ORDER BY times DESC, value) FROM (SELECT {name} AS value, count(*) AS times "  # noqa: S608
            f"FROM {sql.make_qualified_table_name(table)} WHERE {name} IS NOT NULL GROUP BY {name} "
            f"ORDER BY times DESC, value LIMIT {MOST_EXAMPLES}) AS frequent)")


def _shown(figure: str, value: Any) -> Any:
    if figure == "examples":
        return tuple(_shortened(str(each).lower() if isinstance(each, bool) else str(each)) for each in value or ())
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_EXAMPLE else f"{text[:LONGEST_EXAMPLE - 1]}…"
