"""Rooms, as many as there are, and their variables: one answer for each room fills two tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import dlt

from hyperstudy_source.data_types import DATA_TYPES, DataType
from hyperstudy_source.errors import Forbidden, NotFound
from hyperstudy_source.sync.reader import Reader, selected, task_of
from hyperstudy_source.sync.reads import Visit
from hyperstudy_source.sync.scopes import Scope, whole_number
from hyperstudy_source.sync.sharing import Items
from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.values import digest

VARIABLES = ("variable_writes", "variable_timeline")
"""The tables that one answer for each room fills."""
OPEN_TIMES = ("id", "start_time", "created_at", "end_time")
"""What tells of a room when it is open."""


def detail_path(scope: Scope) -> str:
    """Where the detail of an experiment is read."""
    return f"/experiments/{quote(scope.experiment_id, safe='')}"


def is_in(row: Row, scope: Scope) -> bool:
    """Whether a deployment belongs to an experiment; one that does not say so was asked for by it."""
    return str(row.get("experimentId") or scope.experiment_id) == scope.experiment_id


def rooms(reader: Reader, data_type: DataType) -> Items:
    """`GET /data/rooms`: asked for by deployment where that may bring more.

    As many as the API gives at most may not be all, nor are fewer than it counts.
    """
    table = reader.table(data_type)
    variables = selected(VARIABLES)
    task = replace(table, loaded=[*table.loaded, *variables])
    unread = [_missing(name) for name in variables]
    for scope in reader.due(task, unless=lambda scope: any(scope.experiment_id in each.values() for each in unread)):
        visit, found = Visit(table, scope), list[Row]()
        with visit:
            for rows in _rooms(reader, visit, scope):
                found += [{name: row.get(name) for name in OPEN_TIMES} for row in rows]
                yield rows
            reader.freshness.note_rooms(scope.cursor_key, found)
            for name in task.still_loaded:
                if name in variables:
                    reader.freshness.note_read(name, scope, visit.started, reader.freshness.mark(scope))
        reader.over(task, visit)


def _rooms(reader: Reader, visit: Visit, scope: Scope) -> Iterator[list[Row]]:
    """The rooms of a scope, and whether they are all."""
    for page in visit.pages(limit=reader.page_size):
        yield visit.shaped(page.rows)
    most = visit.table.data_type.most_rows or 0
    counted = None if scope.room_id else reader.scopes.counted_rooms(scope.experiment_id)
    if most and visit.received >= most:
        yield from _rooms_by_deployment(reader, visit, scope)
        _doubt_the_rest(visit, scope, most)
    elif counted is None or counted <= visit.distinct:
        visit.check_total()
    else:
        yield from _missing_rooms(reader, visit, scope, counted)


def _missing_rooms(reader: Reader, visit: Visit, scope: Scope, counted: int) -> Iterator[list[Row]]:
    """The rooms of which the list of experiments counts more, by deployment; what is missing then leaves a doubt.

    The list may have counted some that are gone by now: then the detail does not any more.
    """
    totals = visit.totals
    try:
        yield from _rooms_by_deployment(reader, visit, scope)
        if visit.distinct < counted:
            counted = _by_detail(visit, scope) or counted
    except (Forbidden, NotFound) as refusal:
        reader.run.remark(f"rooms of {scope} cannot be asked for by deployment: {refusal}")
    visit.check_total(totals)
    if visit.distinct < counted:
        visit.doubt(f"{visit.distinct:,} of {counted:,} rooms came, by the list of experiments")


def _rooms_by_deployment(reader: Reader, visit: Visit, scope: Scope) -> Iterator[list[Row]]:
    """The rooms of each deployment; what is still cut off leaves a doubt."""
    of_experiment = {"experimentId": scope.experiment_id}
    listed = [row for page in visit.at("/deployments", of_experiment) for row in page.rows if is_in(row, scope)]
    most = visit.table.data_type.most_rows
    for deployment in listed:
        received = 0
        for page in visit.pages({"deploymentId": deployment.get("id")}, limit=reader.page_size):
            received += len(page.rows)
            yield visit.shaped(page.rows)
        if most and received >= most:
            visit.doubt(f"the API gives at most {most:,} rows, and deployment {deployment.get('id')} has as many")


def _doubt_the_rest(visit: Visit, scope: Scope, most: int) -> None:
    """Rooms that belong to no deployment leave a doubt, unless the experiment's detail counts no more than came."""
    counted = _by_detail(visit, scope)
    if counted is None or counted < visit.distinct:
        visit.doubt(f"the API gives at most {most:,} rows, there may be more that belong to no deployment")
    elif visit.distinct < counted:
        visit.doubt(f"the API gives at most {most:,} rows, {visit.distinct:,} of {counted:,} came by deployment")


def _by_detail(visit: Visit, scope: Scope) -> int | None:
    """How many rooms an experiment has by its detail, where that says anything."""
    detail = next(visit.at(detail_path(scope)))
    return whole_number(detail.rows[0].get("roomCount")) if detail.rows else None


def room_variables(reader: Reader, of_rooms: Sequence[Row]) -> Items:
    """`GET /data/variables/room/{id}`, for rooms that are open or have changed: writes and timeline in one answer."""
    table = replace(reader.table(DATA_TYPES["variable_writes"]), loaded=selected(VARIABLES))
    task = task_of(table)
    waiting = [*reader.run.waiting_for("room_variables"), *of_rooms]
    due = [room for room in waiting
           if (reader.run.full or any(_seen(name).get(room["id"]) != digest(room) for name in table.loaded))
           and not reader.round.is_done(task, room["id"], _state_of(reader, room))]
    for name in table.loaded:
        _missing(name).update({room["id"]: room["experiment_id"] for room in due})
    for number, room in enumerate(due):
        if reader.run.slice_is_over:
            reader.run.wait("room_variables", due[number:])
            return
        room_id = room["id"]
        scope = Scope(room["experiment_id"], room_id)
        with Visit(table, scope) as visit:
            for page in visit.pages():
                if dropped := page.metadata.get("droppedWrites"):
                    count = len(dropped) if isinstance(dropped, list) else dropped
                    writes = "faulty write" if count == 1 else "faulty writes"
                    reader.run.remark(f"variable_writes of {scope}: the API dropped {count} {writes}.")
                visit.count(len(page.rows))
                yield {"scope": scope, "writes": page.rows, "metadata": page.metadata}
                if not page.warnings:
                    reader.round.note_done(task, room_id, _state_of(reader, room))
                    _note_read(reader, room, table.still_loaded)
        if reader.run.stopped:
            reader.run.wait("room_variables", [room])


def _state_of(reader: Reader, room: Row) -> str:
    """A room as it is, and whether more may still be written to its variables."""
    return f"{digest(room)}{'' if _is_settled(reader, room) else ' open'}"


def _is_settled(reader: Reader, room: Row) -> bool:
    return reader.freshness.open_until(room) < reader.run.now()


def _note_read(reader: Reader, room: Row, names: Sequence[str]) -> None:
    """Takes note that the variables of a room were read for these tables; of an open room they may still change."""
    for name in names:
        _missing(name).pop(room["id"], None)
        if _is_settled(reader, room):
            _seen(name)[room["id"]] = digest(room)


def variable_writes(reader: Reader, answer: Any) -> list[Row]:
    """The write log of a room's variables."""
    table = reader.table(DATA_TYPES["variable_writes"])
    return table.shaped(answer["writes"], answer["scope"], Counter())


def variable_timeline(reader: Reader, answer: Any) -> list[Row]:
    """The values of a room's variables, a row for each state; the variables' own names are data, not columns."""
    stated, timeline = (answer["metadata"].get(name) or [] for name in ("variableNames", "timeline"))
    written = [row.get("variable") for row in answer["writes"]]
    names = {str(name) for name in (*(stated if isinstance(stated, list) else ()), *written)} - {"stateId"}
    states = timeline if isinstance(timeline, list) else [timeline]
    if not all(isinstance(state, dict) for state in states):
        reader.run.notice(f"variable_timeline of {answer['scope']}: the API gives states that are not objects.")
    gathered = [{**{name: value for name, value in state.items() if name not in names},
                 "variables": {name: state[name] for name in state if name in names}}
                for state in states if isinstance(state, dict)]
    return reader.table(DATA_TYPES["variable_timeline"]).shaped(gathered, answer["scope"], Counter())


def _seen(name: str) -> dict[str, str]:
    """Rooms whose variables were read when nothing more was to come, as they were then."""
    seen: dict[str, str] = dlt.current.resource_state(name).setdefault("seen", {})
    return seen


def _missing(name: str) -> dict[str, str]:
    """Rooms whose variables are still to be read, though the rooms are, and their experiments."""
    missing: dict[str, str] = dlt.current.resource_state(name).setdefault("missing", {})
    return missing
