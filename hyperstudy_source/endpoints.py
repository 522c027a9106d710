"""The endpoints of another shape than `/data/{type}/{scope}/{scope id}`, and the tables that are parts of another.

Each is a named function that yields rows. Where a table costs a request per experiment, deployment or room, the
resource's state keeps what was last seen of it, and nothing is asked for what has not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import dlt

from hyperstudy_source.data_types import DATA_TYPES, DataType
from hyperstudy_source.errors import NotFound
from hyperstudy_source.fields import Row
from hyperstudy_source.reading import Reader, selected
from hyperstudy_source.scopes import Scope
from hyperstudy_source.tables import opening
from hyperstudy_source.values import digest

FINAL_STATUSES = frozenset({
    "abandoned", "archived", "canceled", "cancelled", "closed", "complete", "completed", "ended", "expired", "failed",
    "finished", "stopped", "terminated",
})
"""Statuses of rooms and deployments after which nothing is written any more. Any other means: still open."""
DECISIONS_PER_ROOM = 5000
"""The cap of `GET /data/agent-decisions` where no `limit` is given."""
MOST_DECISIONS_PER_ROOM = 5_000_000
"""Where raising the cap ends: a thousand times the default."""


def experiments(reader: Reader, data_type: DataType) -> Iterator[Any]:
    """`GET /experiments/{id}`: the detail of every experiment that is new or whose row in the list has changed.

    The detail has all fields of the list. A list without `updatedAt` cannot tell, so each detail is read then.
    """
    table = reader.reading(data_type)
    seen = dlt.current.resource_state(data_type.name).setdefault("seen", {})
    yield opening()
    listed = {} if reader.scopes.named else {str(row["id"]): row for row in reader.scopes.listed}
    for experiment_id in reader.scopes.experiments():
        summary = listed.get(experiment_id, {})
        mark = digest(summary) if summary.get("updatedAt") else None
        if mark and seen.get(experiment_id) == mark:
            continue
        scope = Scope(experiment_id)
        for page in table.at(f"/experiments/{quote(experiment_id, safe='')}", scope=scope):
            if mark and page.rows and not page.warnings:
                seen[experiment_id] = mark
            if not page.rows:
                table.notes.notice(f"experiments: the API gives no detail of {scope}.")
            yield table.shaped([{**summary, **row} for row in page.rows or [{"id": experiment_id}]], scope)


def deployments(reader: Reader, data_type: DataType) -> Iterator[Any]:
    """`GET /deployments`: one request for all experiments, or one for each that was asked for."""
    table = reader.reading(data_type)
    yield opening()
    wanted: list[Scope | None] = [None]
    if reader.scopes.named:
        wanted = [Scope(experiment_id) for experiment_id in reader.scopes.experiments()]
    for scope in wanted:
        params = {"experimentId": scope.experiment_id} if scope else {}
        for page in table.at("/deployments", params, scope):
            of_scope = [row for row in page.rows if not scope or _is_in(row, scope)]
            yield table.shaped(of_scope, scope)


def _is_in(row: Row, scope: Scope) -> bool:
    return str(row.get("experimentId") or scope.experiment_id) == scope.experiment_id


def sessions(reader: Reader, data_type: DataType, of_deployments: Sequence[Row]) -> Iterator[Any]:
    """`GET /deployments/{id}/sessions`, for deployments that are open or have changed."""
    table = reader.reading(data_type)
    seen = dlt.current.resource_state(data_type.name).setdefault("seen", {})
    yield opening()
    for deployment in of_deployments:
        deployment_id, mark = deployment["id"], digest(deployment)
        if _is_over(deployment) and seen.get(deployment_id) == mark:
            continue
        scope = Scope(deployment["experiment_id"])
        for page in table.at(f"/deployments/{quote(deployment_id, safe='')}/sessions", scope=scope):
            if not page.warnings:
                seen[deployment_id] = mark
            yield table.shaped([{"deploymentId": deployment_id, **row} for row in page.rows], scope)


def agent_decisions(reader: Reader, data_type: DataType) -> Iterator[Any]:
    """`GET /data/agent-decisions`: not paginated, but cut per room; a cut answer is asked for again with a higher cap.

    The answer also holds rows of `_type` run; `agent_runs` reads the same ones, and more of each.
    """
    table = reader.reading(data_type)
    yield opening()
    for scope in reader.scopes:
        cap = DECISIONS_PER_ROOM
        pages = list(table.pages(scope, {"detail": "true"}))
        while any(page.metadata.get("truncated") for page in pages) and cap < MOST_DECISIONS_PER_ROOM:
            cap *= 10
            pages = list(table.pages(scope, {"detail": "true", "limit": cap}))
        if any(page.metadata.get("truncated") for page in pages):
            table.notes.notice(f"agent_decisions of {scope}: the API cuts the answer off, rows are missing.")
        for page in pages:
            yield table.shaped([row for row in page.rows if row.get("_type") != "run"], scope)


def agent_runs(reader: Reader, data_type: DataType) -> Iterator[Any]:
    """`GET /data/agent-runs`: not paginated."""
    table = reader.reading(data_type)
    yield opening()
    for scope in reader.scopes:
        for page in table.pages(scope, {}):
            yield table.shaped(page.rows, scope)


def room_variables(reader: Reader, rooms: Sequence[Row]) -> Iterator[Any]:
    """`GET /data/variables/room/{id}`, for rooms that are open or have changed: writes and timeline in one answer."""
    tables = selected("variable_writes", "variable_timeline")
    seen = [dlt.current.resource_state(name).setdefault("seen", {}) for name in tables]
    for room in rooms:
        room_id, mark = room["id"], digest(room)
        if _is_over(room) and all(marks.get(room_id) == mark for marks in seen):
            continue
        scope = Scope(room["experiment_id"], room_id)
        table = reader.reading(DATA_TYPES["variable_writes"])
        try:
            pages = list(table.pages(scope, {}))
        except NotFound:
            table.notes.notice(f"variable_writes and variable_timeline of {scope}: the API knows none (404).")
            continue
        for marks in seen:
            if not any(page.warnings for page in pages):
                marks[room_id] = mark
        for page in pages:
            if dropped := page.metadata.get("droppedWrites"):
                number = len(dropped) if isinstance(dropped, list) else dropped
                table.notes.remark(f"variable_writes of {scope}: the API dropped {number} faulty writes.")
            yield {"scope": scope, "writes": page.rows, "metadata": page.metadata}


def variable_writes(reader: Reader, data_type: DataType, answer: Any) -> Iterator[Any]:
    """The write log of a room's variables."""
    yield opening()
    if answer:
        yield reader.reading(data_type).shaped(answer["writes"], answer["scope"])


def variable_timeline(reader: Reader, data_type: DataType, answer: Any) -> Iterator[Any]:
    """The values of a room's variables, a row for each state; the variables' own names are data, not columns."""
    yield opening()
    if not answer:
        return
    table = reader.reading(data_type)
    stated, timeline = (answer["metadata"].get(name) or [] for name in ("variableNames", "timeline"))
    written = [row.get("variable") for row in answer["writes"]]
    names = {str(name) for name in (*(stated if isinstance(stated, list) else ()), *written)} - {"stateId"}
    states = timeline if isinstance(timeline, list) else [timeline]
    if not all(isinstance(state, dict) for state in states):
        table.notes.notice(f"variable_timeline of {answer['scope']}: the API gives states that are not objects.")
    gathered = [{**{name: value for name, value in state.items() if name not in names},
                 "variables": {name: state[name] for name in state if name in names}}
                for state in states if isinstance(state, dict)]
    yield table.shaped(gathered, answer["scope"])


def personas(reader: Reader, data_type: DataType) -> Iterator[Any]:
    """`GET /personas`: needs a permission of its own, so it is read only where it is asked for."""
    table = reader.reading(data_type)
    yield opening()
    for page in table.at("/personas"):
        yield table.shaped(page.rows, None)


def is_questionnaire(event: Row) -> bool:
    """Whether an event is an answer to a questionnaire."""
    return event.get("category") == "questionnaire"


def is_instruction(event: Row) -> bool:
    """Whether an event comes from the instruction pages."""
    return _is_before_experiment(event, "instructions.")


def is_consent(event: Row) -> bool:
    """Whether an event comes from the consent form."""
    return _is_before_experiment(event, "consent.")


def _is_before_experiment(event: Row, prefix: str) -> bool:
    return event.get("category") == "pre_experiment" and str(event.get("event_type")).startswith(prefix)


def _is_over(row: Row) -> bool:
    """Whether a room or a deployment is in a state in which nothing is written any more."""
    return str(row.get("status")).lower() in FINAL_STATUSES


READ_BY: Mapping[str, Callable[[Reader, DataType], Iterator[Any]]] = {
    "experiments": experiments, "deployments": deployments, "agent_decisions": agent_decisions,
    "agent_runs": agent_runs, "personas": personas,
}
"""Data types that are read by an endpoint of their own shape."""

MADE_OF: Mapping[str, tuple[str, Callable[[Reader, DataType, Any], Iterator[Any]]]] = {
    "sessions": ("deployments", sessions),
    "variable_writes": ("room_variables", variable_writes),
    "variable_timeline": ("room_variables", variable_timeline),
}
"""Data types that follow from the rows of another resource."""

PART_OF_EVENTS: Mapping[str, Callable[[Row], bool]] = {
    "questionnaire": is_questionnaire, "instructions": is_instruction, "consent": is_consent,
}
"""Data types that are events of one kind."""
