"""The data endpoints: `/data/{type}/{scope}/{id}` for every table, and the odd ones beside them."""

from __future__ import annotations

import time
from typing import Any

from hyperstudy_source.standin.answers import Answer, ApiError, invalid, not_found, success
from hyperstudy_source.standin.query import (
    DEFAULT_LIMIT,
    filter_of,
    page_of,
    whole_number,
    with_shuffled_ties,
)
from hyperstudy_source.standin.routing import Asked, get
from hyperstudy_source.standin.storage import with_links
from hyperstudy_source.standin.study import TABLES, Row, Scope, Table

DETAIL_FIELDS = ("prompt", "reasoning", "chain", "peerModelSnapshot", "predictionUpdate")
"""Fields of an agent decision that only `detail=true` shows."""
KEEP_THEIR_IDS = ("rooms", "participants", "agent_decisions", "agent_runs")
"""Tables whose rows could not be told apart without their room."""
COUNTED = {"chat": "textchat"}
"""Names in the counts that differ from the table's."""
_BY_PATH = {table.path: table for table in TABLES.values()}


@get("/data/check-access/experiment/{experiment_id}")
def check_access(asked: Asked, experiment_id: str) -> Answer:
    """Say whether the key's user may view and export an experiment."""
    allowed = not asked.behaviour.forbids("*", experiment_id)
    if allowed:
        asked.experiment(experiment_id, "*")
    access = {"canView": allowed, "canExport": allowed}
    return success(access, asked.metadata("access", "experiment", experiment_id))


@get("/data/variables/room/{room_id}")
def variables(asked: Asked, room_id: str) -> Answer:
    """Show a room's variable writes; the matrix is in the metadata."""
    asked.require("read:events")
    _room(asked, "variables", room_id)
    written = asked.study.variables.get(room_id, {"data": [], "metadata": {}})
    metadata = asked.metadata("variables", "room", room_id) | written.get("metadata", {})
    return success(written.get("data", []), metadata)


@get("/data/counts/participant/{participant_id}")
def counts(asked: Asked, participant_id: str) -> Answer:
    """Count a participant's rows in one room: a list of one."""
    asked.require("read:events")
    room = _participants_room(asked, "counts", participant_id)
    found: dict[str, int] = {}
    for table in TABLES.values():
        if "participant" in table.scopes:
            rows = asked.study.of(table.name, room.experiment_id)
            mine = [
                row for row in rows if (row.room_id, row.participant_id) == (room.room_id, participant_id)
            ]
            found[COUNTED.get(table.name, table.name)] = len(mine)
    row = {
        "participantId": participant_id,
        "roomId": room.room_id,
        "counts": found,
        "hasData": {name: count > 0 for name, count in found.items()},
    }
    return success(asked.one_or_list([row]), asked.metadata("counts", "participant", participant_id))


@get("/data/recordings/download/{room_id}/{recording_id}")
def download_link(asked: Asked, room_id: str, recording_id: str) -> Answer:
    """Mint a short-lived link to a recording's file."""
    asked.require("read:recordings")
    room = _room(asked, "recordings", room_id)
    for row in asked.study.of("recordings", room.experiment_id):
        name = row.file or row.get("url") or row.get("downloadUrl")
        if row.room_id == room_id and row.get("recordingId", row.get("egressId")) == recording_id and name:
            seconds = asked.behaviour.minted_seconds
            link = {"url": asked.links.signed(name, seconds), "expiresIn": seconds}
            return success(link, asked.metadata("recordingDownload", "room", room_id))
    raise not_found("Recording", recording_id)


@get("/data/agent-decisions/room/{room_id}/decision/{decision_id}")
def agent_decision(asked: Asked, room_id: str, decision_id: str) -> Answer:
    """Show one agent decision in full detail: an object."""
    asked.require("read:events")
    room = _room(asked, "agent_decisions", room_id)
    for row in asked.study.of("agent_decisions", room.experiment_id):
        if row.room_id == room_id and row.get("id") == decision_id:
            return success(row, asked.metadata("agentDecisions", "room", room_id))
    raise not_found("Decision", decision_id)


@get("/data/agent-decisions/{scope}/{scope_id}")
def agent_decisions(asked: Asked, scope: str, scope_id: str) -> Answer:
    """List decisions and run manifests, told apart by `_type`; at most `limit` decisions per room."""
    table = TABLES["agent_decisions"]
    asked.require(table.permission)
    rows = _scoped(asked, table, scope, scope_id)
    cap = whole_number(asked.params, "limit", asked.behaviour.decision_cap, 1)
    kept: list[dict[str, Any]] = []
    per_room: dict[str | None, int] = {}
    for row in rows:
        per_room[row.room_id] = per_room.get(row.room_id, 0) + 1
        if per_room[row.room_id] <= cap:
            kept.append({"_type": "decision", **row})
    if asked.params.get("detail") != "true":
        kept = [{name: row[name] for name in row if name not in DETAIL_FIELDS} for row in kept]
    runs = asked.study.of("agent_runs", _experiment_of(asked, table, scope, scope_id))
    kept += [{"_type": "run", **run} for run in runs if scope == "experiment" or run.room_id == scope_id]
    metadata = asked.metadata("agentDecisions", scope, scope_id) | _warnings(asked, table, scope)
    if any(count > cap for count in per_room.values()):
        metadata["truncated"] = True
    return success(asked.one_or_list(kept), metadata)


@get("/data/agent-runs/experiment/{experiment_id}")
def agent_runs(asked: Asked, experiment_id: str) -> Answer:
    """List run manifests, all in one answer."""
    table = TABLES["agent_runs"]
    asked.require(table.permission)
    rows = _scoped(asked, table, "experiment", experiment_id)
    metadata = asked.metadata("agentRuns", "experiment", experiment_id) | _warnings(asked, table, "experiment")
    return success(asked.one_or_list(rows), metadata)


@get("/data/{data_type}/{scope}/{scope_id}")
def data(asked: Asked, data_type: str, scope: str, scope_id: str) -> Answer:
    """List rows of a table, page by page."""
    return _page(asked, data_type, scope, scope_id)


@get("/data/ratings/{kind}/{scope}/{scope_id}")
def ratings(asked: Asked, kind: str, scope: str, scope_id: str) -> Answer:
    """List continuous or sparse ratings, page by page."""
    return _page(asked, f"ratings/{kind}", scope, scope_id)


def _page(asked: Asked, path: str, scope: str, scope_id: str) -> Answer:
    started = time.perf_counter()
    table = _BY_PATH.get(path)
    if table is None:
        raise not_found("Endpoint", asked.path)
    asked.require(table.permission)
    if asked.params.get("format", "json") != "json":
        raise invalid("format", "the stand-in speaks json only")
    limit, offset = page_of(asked.path, asked.params, asked.behaviour, DEFAULT_LIMIT)
    every = _scoped(asked, table, scope, scope_id)
    rows = _selected(asked, table, scope, scope_id, every)
    if asked.behaviour.whole_answers:
        limit, offset = max(len(rows), 1), 0
    served = [_served(asked, table, row) for row in rows[offset : offset + limit]]
    metadata = asked.metadata(path.split("/")[0], scope, scope_id)
    if "/" in path:
        metadata["ratingType"] = path.split("/")[1]
    metadata["query"] = {**asked.params, "limit": limit, "offset": offset}
    metadata["query"].setdefault("sort", table.time_field)
    metadata["query"].setdefault("order", "asc")
    metadata |= asked.pagination(len(rows), len(served), limit, offset, len(every))
    elapsed = round((time.perf_counter() - started) * 1000)
    metadata["processing"] = {
        "experimentStartedAt": _started_at(asked, table, scope, scope_id),
        "processingTimeMs": elapsed,
        "enriched": True,
        "version": "3.0.0",
    }
    return success(asked.one_or_list(served), metadata | _warnings(asked, table, scope))


def _selected(asked: Asked, table: Table, scope: str, scope_id: str, every: list[Row]) -> list[Row]:
    wanted = filter_of(table, asked.params, asked.behaviour, _rooms_asked_for(asked, scope, scope_id))
    key = (table.name, scope, scope_id, asked.params.get("roomId"), wanted)
    rows = asked.study.selection(key, lambda: wanted.apply(every))
    if asked.behaviour.ties == "shuffled":
        rows = with_shuffled_ties(rows, table, asked.earlier)
    if table.name == "rooms":
        rows = rows[: asked.behaviour.room_cap]
    if asked.behaviour.rooms_are_whole and scope != "experiment":
        return rows
    return rows[: len(rows) - min(len(rows), asked.behaviour.left_out.get(table.name, 0))]


def _rooms_asked_for(asked: Asked, scope: str, scope_id: str) -> frozenset[str] | None:
    rooms = {asked.params["roomId"]} if "roomId" in asked.params and scope == "experiment" else None
    if "deploymentId" in asked.params and scope == "experiment":
        deployed = {
            room.room_id or ""
            for room in asked.study.of("rooms", scope_id)
            if room.get("deploymentId") == asked.params["deploymentId"]
        }
        rooms = deployed if rooms is None else rooms & deployed
    return None if rooms is None else frozenset(rooms)


def _experiment_of(asked: Asked, table: Table, scope: str, scope_id: str) -> str:
    if scope not in table.scopes:
        raise not_found("Endpoint", asked.path)
    chosen: Scope = scope
    if chosen == "experiment":
        return str(asked.experiment(scope_id, table.name)["id"])
    if chosen == "room":
        return _room(asked, table.name, scope_id).experiment_id
    return _participants_room(asked, table.name, scope_id).experiment_id


def _scoped(asked: Asked, table: Table, scope: str, scope_id: str) -> list[Row]:
    rows = asked.study.of(table.name, _experiment_of(asked, table, scope, scope_id))
    if scope == "experiment":
        return rows
    if scope == "room":
        return [row for row in rows if row.room_id == scope_id]
    here = (asked.params["roomId"], scope_id)
    return [row for row in rows if (row.room_id, row.participant_id) == here]


def _room(asked: Asked, table: str, room_id: str) -> Row:
    room = asked.study.room(room_id)
    if room is None:
        raise not_found("Room", room_id)
    asked.experiment(room.experiment_id, table)
    return room


def _participants_room(asked: Asked, table: str, participant_id: str) -> Row:
    if "roomId" not in asked.params:
        raise ApiError(400, "VALIDATION_ERROR", "roomId is required for participant scope")
    room = _room(asked, table, asked.params["roomId"])
    present = asked.study.of("participants", room.experiment_id)
    if not any((row.room_id, row.participant_id) == (room.room_id, participant_id) for row in present):
        raise not_found("Participant", participant_id)
    return room


def _served(asked: Asked, table: Table, row: Row) -> dict[str, Any]:
    served = with_links(row, asked.links) if table.name == "recordings" else row
    if asked.behaviour.rows_with_ids is None or table.name in KEEP_THEIR_IDS:
        return served
    bare = {name: value for name, value in served.items() if name not in ("experimentId", "roomId")}
    ids = {"experimentId": row.experiment_id, "roomId": row.room_id}
    return {**bare, **ids} if asked.behaviour.rows_with_ids else bare


def _started_at(asked: Asked, table: Table, scope: str, scope_id: str) -> str | None:
    rooms = asked.study.of("rooms", _experiment_of(asked, table, scope, scope_id))
    return min((str(room["startTime"]) for room in rooms if room.get("startTime")), default=None)


def _warnings(asked: Asked, table: Table, scope: str) -> dict[str, Any]:
    texts = asked.behaviour.warnings.get(table.name)
    if asked.behaviour.rooms_are_whole and scope != "experiment":
        texts = None
    return {"_warnings": texts} if texts else {}
