"""The destination is the truth: before a run reads, the state is made to say what the tables hold, and nothing more.

dlt takes the destination's state only where its version is the higher one. Where an older copy of a database was put
back, the local state would go on to call rows loaded that are gone. It also takes a table for present that its schema
knows. So both are compared with the destination here: the state by its content, the tables by their columns and rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.pipeline import TPipelineState
from dlt.common.schema import Schema
from dlt.common.schema.utils import get_root_table
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.pipeline.state_sync import force_state_extract, load_pipeline_state_from_destination

from hyperstudy_source.destination.comments import write_comments

SOURCE = "hyperstudy"
"""The name of the source, and so of its schema and of its part of the state."""
KEPT = frozenset({"by_offset", "files", "incremental", "maps", "names", "told_by", "unordered"})
"""What stays known of a resource whose rows are gone: how the API serves them, of what keys and columns are made, and
the files that lie elsewhere. All else says what was read."""
FILLED = "filled"
"""Under this name a resource's state keeps that its table was given rows."""
EMPTY = "empty"
"""Under this name it keeps the child tables that had no rows before all was read again, and may rightly have none."""


def align(pipeline: dlt.Pipeline, state: TPipelineState, name: str = SOURCE) -> dict[str, int]:
    """Makes state and tables of a source agree, and returns how many rows each table has.

    What the destination does not hold is forgotten, so that it is read again. `state` is that of the pipeline, managed
    by dlt. Destinations without SQL are left alone: they cannot replace rows, and no resource loads into them.
    """
    if pipeline.destination is None or name not in pipeline.schemas:
        return {}
    schema = pipeline.schemas[name]
    with pipeline.destination_client(name) as client:
        if not isinstance(client, SqlJobClientBase):
            return {}
        own: dict[str, Any] = state.setdefault("sources", {}).setdefault(name, {})
        if pipeline.config.restore_from_destination:
            _take_state(client, pipeline.pipeline_name, state, own, name)
        lost = _create_lost_tables(client, schema)
        counts = row_counts(pipeline, name)
        _empty_orphans(client, schema, counts)
    _forget_lost_rows(schema, own.get("resources", {}), lost, counts)
    return counts


def row_counts(pipeline: dlt.Pipeline, name: str = SOURCE) -> dict[str, int]:
    """Rows of every table of a source that ever had any, or was created to be empty."""
    if name not in pipeline.schemas:
        return {}
    tables = pipeline.schemas[name].data_table_names(seen_data_only=True)
    if not tables:
        return {}
    counts = pipeline.dataset(name).row_counts(table_names=tables).fetchall()
    return {str(table): int(rows) for table, rows in counts}


def _take_state(
    client: SqlJobClientBase, pipeline_name: str, state: TPipelineState, own: dict[str, Any], name: str
) -> None:
    """Puts the destination's newest state of a whole load in place of the local one, where they differ."""
    try:
        stored = load_pipeline_state_from_destination(pipeline_name, client)
    except DestinationUndefinedEntity:
        stored = None
    held = (stored or {}).get("sources", {}).get(name, {})
    if _told(held) != _told(own):
        columns = {resource: _columns(known) for resource, known in own.get("resources", {}).items()}
        own.clear()
        own.update(held)
        _keep_columns(own, columns)
        force_state_extract(state)


def _columns(known: Mapping[str, Any]) -> dict[str, Any]:
    """What a resource's state says of its columns. It belongs to the schema, which is not set back."""
    return {"names": known.get("names", {}), "maps": known.get("maps", [])}


def _keep_columns(own: dict[str, Any], columns: Mapping[str, Mapping[str, Any]]) -> None:
    for resource, kept in columns.items():
        if kept["names"] or kept["maps"]:
            known = own.setdefault("resources", {}).setdefault(resource, {})
            for place, owners in kept["names"].items():
                known.setdefault("names", {}).setdefault(place, {}).update(owners)
            known["maps"] = sorted({*known.get("maps", ()), *kept["maps"]})


def _told(own: Mapping[str, Any]) -> dict[str, Any]:
    """What a source's state says, without what dlt itself keeps there and resources of which it says nothing."""
    resources = {name: {key: value for key, value in known.items() if key not in ("incremental", "maps", "names")}
                 for name, known in own.get("resources", {}).items()}
    return {**own, "resources": {name: known for name, known in resources.items() if known}}


def _create_lost_tables(client: SqlJobClientBase, schema: Schema) -> set[str]:
    """Creates again what the destination lacks of the tables that were there, dlt's own too, and names them.

    dlt would not: it has noted in the destination that this version of the schema is there.
    """
    seen = schema.data_table_names(seen_data_only=True)
    if not seen:
        return set()
    case_sensitive = client.capabilities.generates_case_sensitive_identifiers()
    lost = {name for name, columns in client.get_storage_tables([*schema.dlt_table_names(), *seen])
            if schema.get_new_table_columns(name, columns, case_sensitive=case_sensitive)}
    if lost:
        client.initialize_storage()
        client.update_stored_schema(only_tables=lost, force=True)
        write_comments(client, schema)
    return lost


def _empty_orphans(client: SqlJobClientBase, schema: Schema, counts: dict[str, int]) -> None:
    """Empties the child tables of a table without rows: dlt would leave what they hold beside what comes again."""
    orphans = [name for name, rows in counts.items() if rows and not counts[_root(schema, name)]]
    if orphans:
        client.sql_client.truncate_tables(*orphans)
        counts.update(dict.fromkeys(orphans, 0))


def _root(schema: Schema, name: str) -> str:
    return str(get_root_table(schema.tables, name)["name"])


def _forget_lost_rows(
    schema: Schema, resources: dict[str, dict[str, Any]], lost: Collection[str], counts: Mapping[str, int]
) -> None:
    """Forgets what was read for tables that were lost, or are empty although rows were loaded into them.

    A child table may be rightly empty, since lists shrink: that is found out by one read of everything.
    """
    children: dict[str, set[str]] = {}
    gone: set[str] = set()
    for name, rows in counts.items():
        root = _root(schema, name)
        resource = str(schema.tables[root].get("resource"))
        known = resources.get(resource)
        if known is None:
            continue
        is_child, settled = name != root, known.get(EMPTY, [])
        if rows and is_child and name in settled:
            settled.remove(name)
        elif rows and not is_child and name not in lost:
            known[FILLED] = True
        elif is_child and not rows:
            children.setdefault(resource, set()).add(name)
        if name in lost or (not rows and (name not in settled if is_child else known.get(FILLED))):
            gone.add(resource)
    for resource in gone:
        known = resources[resource]
        for key in known.keys() - KEPT:
            del known[key]
        if resource in children:
            known[EMPTY] = sorted(children[resource])
