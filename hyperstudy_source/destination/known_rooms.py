"""The rooms that the destination knows of rows whose room cannot be told by now: they stay.

A row may have been read in its room before, or while the lists told it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dlt
from dlt.common.configuration.container import Container
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.pipeline import PipelineContext
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase

MOST_KEYS = 500
"""Rows that one query asks for."""


class KnownRooms:
    """What the destination knows while dlt extracts once: nothing is loaded meanwhile.

    Most experiments have no row there whose room is known and is not told anew, so that is asked first, and once.
    """

    def __init__(self) -> None:
        self._has_any: dict[tuple[str, str], bool] = {}

    def of(self, tables: Sequence[str], column: str, experiment_id: str, keys: Sequence[str]) -> dict[str, str]:
        """By key, the rooms of an experiment's rows in these tables. `column` is the one that holds the keys."""
        asked = [table for table in tables if self._has_any.get((table, experiment_id), True)]
        client = _client() if keys and asked else None
        found: dict[str, str] = {}
        if client is None:
            return found
        with client:
            for table in asked:
                try:
                    if self._has_rooms(client, table, experiment_id):
                        found.update(_rooms(client, table, column, experiment_id, keys))
                except DatabaseUndefinedRelation:
                    self._has_any[table, experiment_id] = False
        return found

    def are_there(self, tables: Sequence[str], experiment_id: str) -> bool:
        """Whether these tables have a row of an experiment whose room is known."""
        self.of(tables, "room_id", experiment_id, [""])
        return any(self._has_any.get((table, experiment_id)) for table in tables)

    def _has_rooms(self, client: SqlClientBase[object], table: str, experiment_id: str) -> bool:
        known = self._has_any.get((table, experiment_id))
        if known is None:
            known = bool(client.execute_sql(_query(client, table, "1", "LIMIT 1"), experiment_id))
            self._has_any[table, experiment_id] = known
        return known


def _client() -> SqlClientBase[object] | None:
    """The destination of the pipeline that runs, if it is asked by SQL."""
    context = Container()[PipelineContext]
    pipeline = context.pipeline() if context.is_active() else None
    if not isinstance(pipeline, dlt.Pipeline):
        return None
    try:
        return pipeline.sql_client()
    except SqlClientNotAvailable:
        return None


def _rooms(
    client: SqlClientBase[object], table: str, column: str, experiment_id: str, keys: Sequence[str]
) -> Iterator[tuple[str, str]]:
    key, room = client.escape_column_name(column), client.escape_column_name("room_id")
    for first in range(0, len(keys), MOST_KEYS):
        part = keys[first:first + MOST_KEYS]
        query = _query(client, table, f"{key}, {room}", f"AND {key} IN ({', '.join(['%s'] * len(part))})")
        for known, room_id in client.execute_sql(query, experiment_id, *part) or ():
            yield str(known), str(room_id)


def _query(client: SqlClientBase[object], table: str, columns: str, rest: str) -> str:
    """A query for rows of an experiment whose room is known."""
    experiment, room = (client.escape_column_name(name) for name in ("experiment_id", "room_id"))
    return (f"SELECT {columns} FROM {client.make_qualified_table_name(table)} "  # noqa: S608 - names of our own
            f"WHERE {experiment} = %s AND {room} IS NOT NULL {rest}")
