"""The rooms that the destination knows of rows whose room cannot be told by now: they stay.

A row may have been read in its room before, or while the lists told it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import dlt
from dlt.common.configuration.container import Container
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.pipeline import PipelineContext
from dlt.destinations.exceptions import DatabaseUndefinedRelation

MOST_KEYS = 500
"""Rows that one query asks for."""


def known_rooms(tables: Iterable[str], column: str, experiment_id: str, keys: Sequence[str]) -> dict[str, str]:
    """By key, the rooms of an experiment's rows in these tables. `column` is the one that holds the keys."""
    context = Container()[PipelineContext]
    pipeline = context.pipeline() if context.is_active() else None
    found: dict[str, str] = {}
    if not keys or not isinstance(pipeline, dlt.Pipeline):
        return found
    try:
        client = pipeline.sql_client()
    except SqlClientNotAvailable:
        return found
    with client:
        for table in tables:
            name = client.make_qualified_table_name(table)
            key, experiment, room = (client.escape_column_name(each) for each in (column, "experiment_id", "room_id"))
            for first in range(0, len(keys), MOST_KEYS):
                part = keys[first:first + MOST_KEYS]
                listed = ", ".join(["%s"] * len(part))
                query = (f"SELECT {key}, {room} FROM {name} "  # noqa: S608 - names of our own, values apart
                         f"WHERE {experiment} = %s AND {room} IS NOT NULL AND {key} IN ({listed})")
                try:
                    rows = client.execute_sql(query, experiment_id, *part)
                except DatabaseUndefinedRelation:
                    break
                found.update((str(known), str(room_id)) for known, room_id in rows or ())
    return found
