"""What is to be read in a run, scope by scope; rows are handed on page by page.

Types with a cursor are read in windows of time, all others whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import dlt

from hyperstudy_source.client import Client
from hyperstudy_source.cursors import Cursors, Positions, Window, is_bound, window
from hyperstudy_source.data_types import DATA_TYPES, DataType
from hyperstudy_source.fields import Row
from hyperstudy_source.freshness import Freshness
from hyperstudy_source.narrowing import RoomByRoom, can_be_narrowed
from hyperstudy_source.runs import Reads, Run
from hyperstudy_source.scopes import EVERYWHERE, READS, Scope, Scopes
from hyperstudy_source.tables import TableRows, opening
from hyperstudy_source.visits import Table, Visit
from hyperstudy_source.window_visits import WindowVisit

ROUND = timedelta(days=1)
"""After how long everything is read again, although the runs with few requests have not got to the end."""


class Reader:
    """What the resources of one source share: the client, the scopes, the run, and how many rows to ask for at once."""

    def __init__(self, client: Client, scopes: Scopes, page_size: int, run: Run, freshness: Freshness) -> None:
        self.client, self.scopes, self.page_size = client, scopes, page_size
        self.run, self.freshness = run, freshness
        self._tables: dict[str, Table] = {}

    def table(self, data_type: DataType) -> Table:
        """A data type in the current slice; the same one until dlt starts another."""
        state = dlt.current.resource_state(data_type.name)
        known = self._tables.get(data_type.name)
        if known is None or known.state is not state:
            rows = TableRows(data_type, dlt.current.source_schema(), state.get("told_by"))
            known = self._tables[data_type.name] = Table(
                data_type, rows, state, _loaded(data_type), self.client, self.run, self.freshness, self.page_size)
        return known

    def due(
        self, table: Table, *, backfill: str = "", unless: Callable[[Scope], bool] | None = None
    ) -> Iterator[Scope]:
        """The scopes that this run has not visited, until the slice is over.

        That of the oldest read comes first, and those last that an earlier run of the same round has tried in vain. A
        scope in which nothing can have changed is quiet, and is not among them, nor is one that the round has read;
        `unless` names exceptions. A backfill, told by its window, knows no quiet.
        """
        read, tried = (self._round(how).get(_task(table, backfill), []) for how in ("read", "tried"))
        visited = self.run.visited.setdefault(table.name, set())
        due = [scope for scope in self.scopes if scope not in visited]
        for doubt in self.scopes.doubts:
            self.run.notice(doubt)
        for scope in sorted(due, key=lambda each: (each.cursor_key in tried, self.freshness.read_at(table.name, each))):
            if self.run.slice_is_over:
                self.run.unfinished = True
                return
            quiet = not backfill and self.freshness.is_quiet(table.loaded, scope)
            if (unless and unless(scope)) or not (quiet or scope.cursor_key in read):
                yield scope
                continue
            if quiet:
                Visit(table, scope).close("quiet")
            visited.add(scope)

    def over(self, table: Table, visit: Visit, backfill: str = "") -> None:
        """Takes note that a scope is read for this run, unless the next slice is to go on with it.

        It is read again there where that may bring what is missing, and not here: of a row that comes twice in one
        load package, dlt takes either version.
        """
        run, scope = self.run, visit.scope or EVERYWHERE
        how = "read" if visit.status == "complete" else "tried"
        self._round(how).setdefault(_task(table, backfill), []).append(scope.cursor_key)
        if run.stopped or visit.status == "stopped":
            return
        reads = run.reads[table.name, scope]
        reads.made += 1
        if run.is_sliced and self._reads_again(table, visit, reads):
            run.unfinished = True
        else:
            run.visited.setdefault(table.name, set()).add(scope)

    def _reads_again(self, table: Table, visit: Visit, reads: Reads) -> bool:
        """Whether another read may bring what is missing: the same again, or room by room."""
        if visit.again and reads.made < READS:
            return True
        if reads.room_by_room or visit.status != "incomplete" or not isinstance(visit, WindowVisit):
            return False
        reads.room_by_room = self.run.max_requests is None and can_be_narrowed(
            table.data_type, visit.scope or EVERYWHERE)
        return reads.room_by_room

    def _round(self, how: str) -> dict[str, list[str]]:
        """What was read or tried since the last run that got to the end: several runs with few requests make one round.

        Else each of them would read the same again, and the same would never be reached.
        """
        run, state = self.run, dlt.current.source_state()
        known = state.get("round")
        if not run.is_limited:
            state.pop("round", None)
            return {}
        if not known or known["full"] != run.full or datetime.fromisoformat(known["began"]) < run.now() - ROUND:
            known = state["round"] = {"began": run.now().isoformat(), "full": run.full, "read": {}, "tried": {}}
        tasks: dict[str, list[str]] = known[how]
        return tasks

    def end_round(self) -> None:
        """Lets the next run read everything, if this one has got to its end."""
        if not self.run.stopped and not self.run.unfinished:
            dlt.current.source_state().pop("round", None)

    def in_windows(self, data_type: DataType, cursor: dlt.sources.incremental[datetime]) -> Iterator[Any]:
        """The rows of a data type with a cursor, each scope from where its cursor stands.

        The cursors of the tables derived from it move along if they are loaded too; a table that was not loaded
        before gets its whole history.
        """
        cursor.advance(None)  # type: ignore[arg-type]  # None is what switches the filter off
        table = self.table(data_type)
        yield opening()
        backfill = f"{cursor.initial_value} to {cursor.end_value}" if is_bound(cursor) else ""
        for scope in self.due(table, backfill=backfill):
            yield from self._window(table, scope, self._cursors(table, scope, cursor), backfill)

    def whole(self, data_type: DataType) -> Iterator[Any]:
        """The rows of a data type without a cursor, all of them in every scope."""
        table = self.table(data_type)
        yield opening()
        everything = Window(None, None, bound=False)
        for scope in self.due(table):
            yield from self._window(table, scope, self._progress(table, scope, everything))

    def _window(self, table: Table, scope: Scope, cursors: Cursors, backfill: str = "") -> Iterator[list[Row]]:
        narrowed = self.run.reads[table.name, scope].room_by_room
        visit = RoomByRoom(table, scope, cursors, self.scopes) if narrowed else WindowVisit(table, scope, cursors)
        with visit:
            yield from visit.rows()
        self.over(table, visit, backfill)

    def _cursors(self, table: Table, scope: Scope, cursor: dlt.sources.incremental[datetime]) -> Cursors:
        positions: list[Positions] = [
            dlt.current.resource_state(name).setdefault("cursors", {}) for name in table.loaded]
        full, key = self.run.full, scope.cursor_key
        span = window(cursor, positions, key, self.freshness.open_since(table.loaded, scope), full=full)
        return self._progress(table, scope, span, positions)

    def _progress(
        self, table: Table, scope: Scope, span: Window, positions: Sequence[Positions] = ()
    ) -> Cursors:
        places = table.state.setdefault("places", {})
        return Cursors(span, positions, scope.cursor_key, places, table.loaded, self.run.full)


def _task(table: Table, backfill: str) -> str:
    return " ".join([*table.loaded, backfill]).strip()


def selected(names: Iterable[str]) -> list[str]:
    """Which of these resources are loaded in the current run."""
    loaded = dlt.current.source().resources.selected
    return [name for name in names if name in loaded]


def _loaded(data_type: DataType) -> list[str]:
    return selected([data_type.name, *(t.name for t in DATA_TYPES.values() if t.derived_from == data_type.name)])
