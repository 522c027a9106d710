"""What the researcher defined: states, roles, questions and scales, from `experiments` and its child tables."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlt.destinations.sql_client import SqlClientBase

from hyperstudy_source.tables.fields import ANY_SUFFIXES, Row
from hyperstudy_source.tables.known import DLT_COLUMNS

EXPERIMENTS = "experiments"
LISTS: Mapping[str, str] = {
    f"{EXPERIMENTS}__states": "States",
    f"{EXPERIMENTS}__roles": "Roles",
    f"{EXPERIMENTS}__post_experiment_questionnaire__questions": "Questions at the end",
    f"{EXPERIMENTS}__global_components": "Components of several states",
    f"{EXPERIMENTS}__variables": "Variables",
}
"""By table: what it lists."""


@dataclass(frozen=True)
class Definition:
    """A list that the researcher made of an experiment."""

    experiment_id: str
    experiment: str
    """Its name."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def definitions(sql: SqlClientBase[Any], columns: Mapping[str, Sequence[str]]) -> Iterator[Definition]:
    """The lists of every experiment. `columns`: those of the loaded tables."""
    read = {table: _rows(sql, table, columns[table]) for table in columns if table.split("__")[0] == EXPERIMENTS}
    children: defaultdict[str, list[tuple[str, Row]]] = defaultdict(list)
    for table, rows in read.items():
        for row in rows:
            children[row.get("_dlt_parent_id") or ""].append((table, row))
    for experiment in sorted(read.get(EXPERIMENTS, []), key=lambda row: str(row["id"])):
        for table, title in LISTS.items():
            found = [_told(table, row, children) for of, row in children[experiment["_dlt_id"]] if of == table]
            if found:
                names = tuple(dict.fromkeys(name for row in found for name in row))
                yield Definition(str(experiment["id"]), str(experiment.get("name") or experiment["id"]), title, names,
                                 tuple(tuple(row.get(name, "") for name in names) for row in found))


def _rows(sql: SqlClientBase[Any], table: str, columns: Sequence[str]) -> list[Row]:
    """The rows of a table, those of a list in their order."""
    chosen = ", ".join(map(sql.escape_column_name, columns))
    found = sql.execute_sql(f"SELECT {chosen} FROM {sql.make_qualified_table_name(table)}") or ()  # noqa: S608
    return sorted((dict(zip(columns, row, strict=True)) for row in found), key=lambda row: row.get("_dlt_list_idx", 0))


def _told(table: str, row: Row, children: Mapping[str, list[tuple[str, Row]]]) -> dict[str, str]:
    """A row's columns as texts, with what its own lists and maps hold; a value of whichever form under one name."""
    told = {_plain(name): _text(value) for name, value in row.items() if name not in DLT_COLUMNS and value is not None}
    inside: defaultdict[str, list[str]] = defaultdict(list)
    for child, of_child in children.get(row["_dlt_id"], ()):
        inside[child.removeprefix(f"{table}__")].append(": ".join(_told(child, of_child, children).values()))
    return told | {name: " | ".join(texts) for name, texts in inside.items()}


def _plain(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in ANY_SUFFIXES.values() if name == f"value{suffix}"), name)


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)
