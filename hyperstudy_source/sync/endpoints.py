"""The endpoints of another shape than `/data/{type}/{scope}/{scope id}`, and the tables that are parts of another.

Each is a named function that yields rows. Where a table costs a request per experiment, deployment or room, the
resource's state keeps what was last seen of it, and nothing is asked for what has not changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import quote

import numpy as np

from hyperstudy_source.api.envelope import Page
from hyperstudy_source.data_types import DataType
from hyperstudy_source.sync.reader import Reader, task_of
from hyperstudy_source.sync.reads import Visit
from hyperstudy_source.sync.rooms import detail_path, is_in, rooms
from hyperstudy_source.sync.scopes import EVERYWHERE, Scope
from hyperstudy_source.sync.sharing import Items
from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.frames import Frame, Places
from hyperstudy_source.tables.values import digest

FINAL_STATUSES = frozenset({
    "abandoned", "archived", "canceled", "cancelled", "closed", "complete", "completed", "ended", "expired", "failed",
    "finished", "stopped", "terminated",
})
"""Statuses of deployments after which nothing is written any more. Any other means: still open."""
DECISIONS_PER_ROOM = 5000
"""The cap of `GET /data/agent-decisions` where no `limit` is given."""
MOST_DECISIONS_PER_ROOM = 5_000_000
"""Where raising the cap ends: a thousand times the default."""


def experiments(reader: Reader, data_type: DataType) -> Items:
    """`GET /experiments/{id}`: the detail of every experiment that is new or whose row in the list has changed.

    The detail has all fields of the list. A list without `updatedAt` cannot tell, so each detail is read then.
    """
    table = reader.table(data_type)
    seen = table.state.setdefault("seen", {})
    visited = reader.run.visited.setdefault(table.name, set())
    for scope in dict.fromkeys(Scope(scope.experiment_id) for scope in reader.found_scopes()):
        if scope in visited or reader.is_done(table, scope):
            continue
        if reader.run.slice_is_over:
            reader.run.unfinished = True
            return
        summary = reader.scopes.summaries.get(scope.experiment_id, {})
        reader.run.repeats.note(data_type, [each for each in reader.scopes.repeats if each[0] is summary])
        mark = digest(summary) if summary.get("updatedAt") else None
        visit = Visit(table, scope)
        if mark and seen.get(scope.experiment_id) == mark and not reader.run.full:
            visit.close("quiet")
        else:
            with visit:
                for page in visit.at(detail_path(scope)):
                    if not page.rows:
                        visit.doubt("the API gives no detail")
                    found = page.rows or [{"id": scope.experiment_id}]
                    yield visit.shaped([{**summary, **row} for row in found])
                    if mark and page.rows and not page.warnings:
                        seen[scope.experiment_id] = mark
        reader.over(table, visit)


def deployments(reader: Reader, data_type: DataType) -> Items:
    """`GET /deployments`: one request for all experiments, or one for each that was asked for."""
    table = reader.table(data_type)
    wanted: list[Scope | None] = [None]
    if reader.scopes.named:
        wanted = [*dict.fromkeys(Scope(scope.experiment_id) for scope in reader.found_scopes())]
    visited = reader.run.visited.setdefault(table.name, set())
    for scope in wanted:
        if (scope or EVERYWHERE) in visited:
            continue
        with Visit(table, scope) as visit:
            for page in visit.at("/deployments", {"experimentId": scope.experiment_id} if scope else {}):
                yield visit.shaped([row for row in page.rows if not scope or is_in(row, scope)])
        reader.over(table, visit)


def sessions(reader: Reader, data_type: DataType, of_deployments: Sequence[Row]) -> Items:
    """`GET /deployments/{id}/sessions`, for deployments that are open or have changed; none of a quiet experiment."""
    table = reader.table(data_type)
    by_experiment: dict[str, list[Row]] = {}
    for deployment in [*reader.run.waiting_for(table.name), *of_deployments]:
        by_experiment.setdefault(deployment["experiment_id"], []).append(deployment)
    for experiment_id, found in by_experiment.items():
        if reader.run.slice_is_over:
            reader.run.wait(table.name, found)
            continue
        yield from _sessions(reader, Visit(table, Scope(experiment_id)), found)
        if reader.run.stopped:
            reader.run.wait(table.name, found)


def _sessions(reader: Reader, visit: Visit, of_deployments: Sequence[Row]) -> Iterator[list[Row]]:
    """The sessions of one experiment's deployments. Those of a closed one are read once more when they are over."""
    table, run, freshness = visit.table, reader.run, reader.freshness
    seen, task = table.state.setdefault("seen", {}), task_of(table)
    scope = Scope(of_deployments[0]["experiment_id"])
    as_seen = [row for row in of_deployments if seen.get(row["id"]) == digest(row)]
    if len(as_seen) == len(of_deployments) and freshness.is_quiet([table.name], scope):
        visit.close("quiet")
        return
    over = {row["id"] for row in as_seen if _is_over(row) and not run.full}
    marks = {row["id"]: f"{digest(row)} {visit.listed}" for row in of_deployments if row["id"] not in over}
    due = [row for row in of_deployments if row["id"] in marks
           and not reader.round.is_done(task, row["id"], marks[row["id"]])]
    with visit:
        for row in due:
            for page in visit.at(f"/deployments/{quote(row['id'], safe='')}/sessions"):
                shaped = visit.shaped([{"deploymentId": row["id"], **each} for each in page.rows])
                yield shaped
                if not page.warnings:
                    reader.round.note_done(task, row["id"], marks[row["id"]])
                    is_open = any(not _is_over(each) and freshness.open_until(each) > run.now() for each in shaped)
                    seen[row["id"]] = None if is_open else digest(row)
    if len(due) < len(marks):
        freshness.forget(table.name, scope)


def agent_decisions(reader: Reader, data_type: DataType) -> Items:
    """`GET /data/agent-decisions`: not paginated, but cut per room; a cut answer is asked for again with a higher cap.

    The answer also holds rows of `_type` run; `agent_runs` reads the same ones, and more of each.
    """
    table = reader.table(data_type)
    for scope in reader.ready(table):
        if scope is None:
            yield None
            continue
        with Visit(table, scope) as visit:
            cap = DECISIONS_PER_ROOM
            pages = list(visit.pages({"detail": "true"}))
            while _is_cut(pages, cap) and cap < MOST_DECISIONS_PER_ROOM:
                cap *= 10
                pages = list(visit.pages({"detail": "true", "limit": cap}))
            if _is_cut(pages, cap):
                visit.doubt("the API cuts the answer off, rows are missing")
            for page in pages:
                yield visit.shaped([row for row in page.rows if row.get("_type") != "run"])
        reader.over(table, visit)


def _is_cut(pages: Sequence[Page], cap: int) -> bool:
    """Whether the API says that rows are missing, or a room has exactly as many as it gives at most."""
    by_room = Counter(row.get("roomId") for page in pages for row in page.rows if row.get("_type") != "run")
    return any(page.metadata.get("truncated") for page in pages) or cap in by_room.values()


def agent_runs(reader: Reader, data_type: DataType) -> Items:
    """`GET /data/agent-runs`: not paginated."""
    table = reader.table(data_type)
    for scope in reader.ready(table):
        if scope is None:
            yield None
            continue
        with Visit(table, scope) as visit:
            for page in visit.pages():
                yield visit.shaped(page.rows)
        reader.over(table, visit)


def personas(reader: Reader, data_type: DataType) -> Items:
    """`GET /personas`: needs a permission of its own, so it is read only where it is asked for."""
    table = reader.table(data_type)
    if EVERYWHERE not in reader.run.visited.setdefault(table.name, set()):
        with Visit(table) as visit:
            for page in visit.at("/personas"):
                yield visit.shaped(page.rows)
        reader.over(table, visit)


def questionnaire(events: Frame) -> Places:
    """The events that are answers to a questionnaire."""
    return _those(events, "questionnaire")


def instructions(events: Frame) -> Places:
    """The events of the instruction pages."""
    return _those(events, "pre_experiment", "instructions.")


def consent(events: Frame) -> Places:
    """The events of the consent form."""
    return _those(events, "pre_experiment", "consent.")


def _those(events: Frame, category: str, prefix: str = "") -> Places:
    categories, types = events.values("category"), events.values("event_type")
    return np.flatnonzero([each == category and (event_type or "").startswith(prefix)
                           for each, event_type in zip(categories, types, strict=True)])


def _is_over(row: Row) -> bool:
    """Whether a deployment is in a state in which nothing is written any more."""
    return str(row.get("status")).lower() in FINAL_STATUSES


READ_BY: Mapping[str, Callable[[Reader, DataType], Items]] = {
    "experiments": experiments, "deployments": deployments, "rooms": rooms, "agent_decisions": agent_decisions,
    "agent_runs": agent_runs, "personas": personas,
}
"""Data types that are read by an endpoint of their own shape."""

WITHOUT_PAGES = frozenset({"agent_decisions", "agent_runs"})
"""Data types of which an answer is the whole."""
