"""`sync_status()`: how far the tables are, by the ledger and the state that the destination holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import dlt

from hyperstudy_source.data_types import SYNC_LEDGER
from hyperstudy_source.destination.whereabouts import require_database
from hyperstudy_source.sync.ledger import SETTLED


@dataclass
class DataTypeStatus:
    """How far one data type is, over all scopes that it was read in."""

    data_type: str
    cursor: str | None = None
    """The time of the newest row, ISO 8601, where the data type has a cursor."""
    scopes: int = 0
    unsettled: int = 0
    """Scopes of which the newest read is not complete."""
    last_complete: datetime | None = None
    """When the newest complete read of any scope ended."""


def sync_status(pipeline: dlt.Pipeline) -> list[DataTypeStatus]:
    """The data types that were ever read, in the order of their names; none where nothing was loaded yet.

    Raises `DestinationError` where the file that it was loaded into is gone.
    """
    require_database(pipeline)
    found: dict[str, DataTypeStatus] = {}
    for name, *_, status, finished_at in _newest_reads(pipeline):
        told = found.setdefault(name, DataTypeStatus(name, max(_state(pipeline, name).get("cursors", {}).values(),
                                                               default=None)))
        told.scopes += 1
        told.unsettled += status not in SETTLED
        if status in SETTLED:
            told.last_complete = max(filter(None, [told.last_complete, finished_at]))
    return sorted(found.values(), key=lambda told: told.data_type)


def experiments_with_open_rooms(pipeline: dlt.Pipeline) -> int:
    """Experiments that are read again from the start of a room, since its rows may still arrive."""
    now = datetime.now(timezone.utc).isoformat()
    days = _state(pipeline, "rooms").get("open", {}).values()
    return sum(any(until > now for _, until in of_experiment) for of_experiment in days)


def _state(pipeline: dlt.Pipeline, name: str) -> dict[str, Any]:
    """What dlt keeps for a resource."""
    resources: dict[str, Any] = pipeline.state.get("sources", {}).get("hyperstudy", {}).get("resources", {})
    return dict(resources.get(name, {}))


def _newest_reads(pipeline: dlt.Pipeline) -> list[tuple[Any, ...]]:
    """Data type, experiment, room, participant, status and end of the newest read of each scope."""
    schema = pipeline.default_schema if pipeline.default_schema_name else None
    if not schema or SYNC_LEDGER.name not in schema.data_table_names(seen_data_only=True):
        return []
    with pipeline.sql_client() as client:
        query = (f"SELECT data_type, experiment_id, room_id, participant_id, status, finished_at "  # noqa: S608 - our own
                 f"FROM {client.make_qualified_table_name(SYNC_LEDGER.name)} ORDER BY finished_at")
        newest = {row[:4]: row for row in client.execute_sql(query) or ()}
    return list(newest.values())
