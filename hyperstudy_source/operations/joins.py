"""How the tables join: child tables to their parents, and every table to the nearest thing that its rows belong to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableReferenceStandalone
from dlt.helpers.mermaid import schema_to_mermaid

from hyperstudy_source.data_types import TABLES

NEAREST: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("recordings", ("experiment_id", "recording_id"), ("experiment_id", "recording_id")),
    ("participants", ("experiment_id", "room_id", "participant_id"), ("experiment_id", "room_id", "participant_id")),
    ("rooms", ("experiment_id", "room_id"), ("experiment_id", "id")),
    ("deployments", ("experiment_id", "deployment_id"), ("experiment_id", "id")),
    ("experiments", ("experiment_id",), ("experiment_id",)),
)
"""What rows belong to, from near to far: the table, the columns of the rows, and those of the table."""
HIERARCHY = tuple(name for name, _, _ in NEAREST)


@dataclass(frozen=True)
class Join:
    """Rows of one table belong to rows of another."""

    table: str
    columns: tuple[str, ...]
    to_table: str
    to_columns: tuple[str, ...]

    @property
    def condition(self) -> str:
        """On which columns, for people: one name where both tables call it so."""
        pairs = zip(self.columns, self.to_columns, strict=True)
        return ", ".join(own if own == other else f"{own} = {other}" for own, other in pairs)


def joins(schema: Schema, names: Collection[str]) -> Iterator[Join]:
    """The joins between some tables of a schema."""
    for name in names:
        table = schema.tables[name]
        if parent := table.get("parent"):
            yield Join(name, ("_dlt_parent_id",), parent, ("_dlt_id",))
        elif name in TABLES and TABLES[name].of_experiment:
            farther = HIERARCHY[HIERARCHY.index(name) + 1:] if name in HIERARCHY else HIERARCHY
            found = (Join(name, own, to, columns) for to, own, columns in NEAREST
                     if to in farther and to in names and table["columns"].keys() >= {*own})
            yield from [next(found)] if name != HIERARCHY[-1] else []


def diagram(schema: Schema, names: Collection[str]) -> str:
    """The tables and their joins as a Mermaid diagram, by dlt."""
    stored = schema.to_dict()
    stored["tables"] = {name: stored["tables"][name] for name in names}
    references: list[TTableReferenceStandalone] = [{
        "label": ", ".join(join.columns), "cardinality": "many_to_one", "table": join.table,
        "columns": list(join.columns), "referenced_table": join.to_table, "referenced_columns": list(join.to_columns),
    } for join in joins(schema, names)]
    return schema_to_mermaid(stored, references=references, hide_columns=True)
