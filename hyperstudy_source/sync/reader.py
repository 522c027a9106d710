"""What is to be read in a run, scope by scope; rows are handed on page by page.

Types with a cursor are read in windows of time, all others whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import dlt

from hyperstudy_source.api.client import Client
from hyperstudy_source.data_types import DATA_TYPES, DataType
from hyperstudy_source.errors import QuotaReached
from hyperstudy_source.sync.chosen import choose, was_read
from hyperstudy_source.sync.cursors import Cursors, Positions, Window, earlier, is_bound, window
from hyperstudy_source.sync.filling import Table
from hyperstudy_source.sync.freshness import Freshness
from hyperstudy_source.sync.ledger import SETTLED
from hyperstudy_source.sync.narrowing import InTheirRooms, RoomByRoom, can_be_narrowed
from hyperstudy_source.sync.participants import ParticipantsVisit
from hyperstudy_source.sync.reads import WITHOUT_ROOMS, Visit
from hyperstudy_source.sync.room_ids import may_lack_rooms
from hyperstudy_source.sync.room_lists import LISTS
from hyperstudy_source.sync.rounds import Round, Task
from hyperstudy_source.sync.run import Reads, Run
from hyperstudy_source.sync.scopes import EVERYWHERE, READS, Scope, Scopes
from hyperstudy_source.sync.sharing import Items
from hyperstudy_source.sync.window_reads import WindowVisit
from hyperstudy_source.tables.frames import Shaped
from hyperstudy_source.tables.pages import TablePages

TURNS_TO_BEGIN = 3
"""Turns of all other resources after which one that has not begun is not waited for."""


class Reader:
    """What the resources of one source share: the client, the scopes, the run, and how many rows to ask for at once."""

    def __init__(self, client: Client, scopes: Scopes, page_size: int, run: Run, freshness: Freshness) -> None:
        self.client, self.scopes, self.page_size = client, scopes, page_size
        self.run, self.freshness, self.round = run, freshness, Round(run)
        self._tables: dict[str, Table] = {}

    def table(self, data_type: DataType) -> Table:
        """A data type in the current slice; the same one until dlt starts another."""
        state = dlt.current.resource_state(data_type.name)
        known, loaded = self._tables.get(data_type.name), _loaded(data_type)
        if known is None or known.state is not state or known.loaded != loaded:
            pages = TablePages(data_type, dlt.current.source_schema(), state)
            known = self._tables[data_type.name] = Table(
                data_type, pages, state, loaded, self.client, self.run, self.freshness, self.page_size)
        return known

    def due(
        self, table: Table, *, backfill: str = "", unless: Callable[[Scope], bool] | None = None
    ) -> Iterator[Scope]:
        """The scopes that this run has not visited, until the slice is over.

        Those that an earlier run of the round has begun come last, else that of the oldest read first. A scope in
        which nothing can have changed is quiet, and is not among them, nor is one that the round has read or given up;
        `unless` names exceptions. A backfill, told by its window, knows no quiet.
        """
        with self.run.room_lists.read_by(table.name, task_of(table, backfill).tables):
            yield from self._due(table, backfill, unless)

    def _due(self, table: Table, backfill: str, unless: Callable[[Scope], bool] | None) -> Iterator[Scope]:
        task, visited = task_of(table, backfill), self.run.visited.setdefault(table.name, set())
        due = [scope for scope in self.found_scopes() if scope not in visited]
        for doubt in self.scopes.doubts:
            self.run.notice(doubt)
        for scope in sorted(due, key=lambda each: (
                self.round.was_begun(task, each.cursor_key), self.freshness.read_at(table.name, each))):
            if self.run.slice_is_over:
                self.run.unfinished = True
                return
            tries, reason = self.round.tries(task, scope.cursor_key)
            quiet = not backfill and self.freshness.is_quiet(table.loaded, scope)
            if tries >= READS:
                self.run.notice(f"{table.name} of {scope}: {reason}")
            elif (unless and unless(scope)) or self._lacks_rooms(table, scope) or not (
                    quiet or self.is_done(table, scope, backfill)):
                yield scope
                continue
            elif quiet:
                Visit(table, scope).close("quiet")
            visited.add(scope)

    def ready(
        self, table: Table, *, backfill: str = "", unless: Callable[[Scope], bool] | None = None
    ) -> Iterator[Scope | None]:
        """The scopes that are due, each when the lists that tell the rooms of its rows are there.

        None, at which dlt turns to the other resources: they are still being read.
        """
        for scope in self.due(table, backfill=backfill, unless=unless):
            turns = 0
            while may_lack_rooms(table.data_type, scope) and self._lists_come(scope, turns):
                turns += 1
                yield None
            if turns and self.run.slice_is_over:
                self.run.unfinished = True
                return
            if self._lacks_rooms(table, scope) and not self._read_anew_if_told(table, scope) and not (
                    unless and unless(scope)):
                quiet = not backfill and self.freshness.is_quiet(table.loaded, scope)
                if quiet or self.is_done(table, scope, backfill):
                    if quiet:
                        Visit(table, scope).close("quiet")
                    self.run.visited.setdefault(table.name, set()).add(scope)
                    continue
            yield scope

    def _lacks_rooms(self, table: Table, scope: Scope) -> bool:
        """Whether rows of a scope have no room, for want of a list."""
        return scope.cursor_key in table.state.get(WITHOUT_ROOMS, {})

    def _read_anew_if_told(self, table: Table, scope: Scope) -> bool:
        """Lets a scope be read from its beginning if the list that was wanting is there now."""
        if not self.run.room_lists.has_people(scope.experiment_id):
            return False
        del table.state[WITHOUT_ROOMS][scope.cursor_key]
        for name in table.loaded:
            self.freshness.forget(name, scope)
            dlt.current.resource_state(name).get("cursors", {}).pop(scope.cursor_key, None)
        return True

    def _lists_come(self, scope: Scope, turns: int) -> bool:
        """Whether this slice is about to read a list of an experiment, after so many turns of the other resources."""
        lists, mark = self.run.room_lists, self.freshness.mark(scope)
        for name in LISTS:
            tables, visited = lists.reader(name), self.run.visited.get(name, ())
            if tables is None and turns < TURNS_TO_BEGIN:
                if name in [resource.name for resource in dlt.current.source().resources.extracted]:
                    return True
            elif tables and scope not in visited and not lists.is_known(name, scope.experiment_id):
                task = Task(tables)
                passed = self.round.is_done(task, scope.cursor_key, mark) or (
                    self.round.tries(task, scope.cursor_key)[0] >= READS)
                if not (passed or self.freshness.is_quiet(tables, scope)):
                    return True
        return False

    def found_scopes(self) -> list[Scope]:
        """All scopes of the run; none where it has no requests left to find them."""
        try:
            choose(self.scopes, was_read)
            return list(self.scopes)
        except QuotaReached as stop:
            self.run.stopped, self.run.unfinished = self.run.stopped or stop, True
            return []

    def is_done(self, table: Table, scope: Scope, backfill: str = "") -> bool:
        """Whether an earlier run of the round has read a scope of which neither the list nor its rooms tell news."""
        is_done = self.round.is_done(task_of(table, backfill), scope.cursor_key, self.freshness.mark(scope))
        return is_done and (bool(backfill) or not self.freshness.has_finds(table.loaded, scope))

    def over(self, table: Table, visit: Visit, backfill: str = "") -> None:
        """Takes note that a scope is read for this run, unless the next slice is to go on with it.

        It is read again there where that may bring what is missing, and not here: of a row that comes twice in one
        load package, dlt takes either version.
        """
        run, scope, task = self.run, visit.scope or EVERYWHERE, task_of(table, backfill)
        if visit.status in SETTLED:
            self.round.note_done(task, scope.cursor_key, visit.listed)
        else:
            self.round.note_try(task, scope.cursor_key, visit.reason if visit.status != "stopped" else None)
        if run.stopped or visit.status == "stopped":
            return
        reads = run.reads[table.name, scope]
        reads.made += 1
        whole = not reads.went_on
        if run.is_sliced and self._reads_again(table, visit, reads):
            run.unfinished = True
        else:
            run.visited.setdefault(table.name, set()).add(scope)
        final = scope in run.visited.get(table.name, ())
        run.room_lists.settle(table.name, scope, visit.status or "failed", whole=whole, final=final)

    def _reads_again(self, table: Table, visit: Visit, reads: Reads) -> bool:
        """Whether another read may bring what is missing: the same again, what has come since, or room by room.

        What a run doubted that was interrupted, the one that goes on may find in order.
        """
        scope = visit.scope or EVERYWHERE
        if visit.status in ("complete", "incomplete") and reads.went_on:
            reads.went_on = False
            is_new = visit.status == "incomplete" or not self.freshness.is_quiet(table.loaded, scope)
            if visit.status == "complete" or not self.run.is_limited:
                return not self.run.is_limited and is_new
        if visit.again and reads.made < READS:
            return True
        if reads.room_by_room or visit.status != "incomplete" or not isinstance(visit, WindowVisit):
            return False
        reads.room_by_room = not self.run.is_limited and can_be_narrowed(table.data_type, scope)
        return reads.room_by_room

    def in_windows(self, data_type: DataType, cursor: dlt.sources.incremental[datetime]) -> Items:
        """The rows of a data type with a cursor, each scope from where its cursor stands.

        The cursors of the tables derived from it move along if they are loaded too; a table that was not loaded
        before gets its whole history.
        """
        table = self.table(data_type)
        backfill = f"{cursor.initial_value} to {cursor.end_value}" if is_bound(cursor) else ""
        for scope in self.ready(table, backfill=backfill):
            if scope is None:
                yield None
                continue
            yield from self._window(table, scope, self._cursors(table, scope, cursor), backfill)

    def whole(self, data_type: DataType) -> Items:
        """The rows of a data type without a cursor, all of them in every scope."""
        table = self.table(data_type)
        everything = Window(None, None, bound=False)
        for scope in self.ready(table):
            if scope is None:
                yield None
                continue
            yield from self._window(table, scope, self._progress(table, scope, everything))

    def _window(self, table: Table, scope: Scope, cursors: Cursors, backfill: str = "") -> Iterator[Shaped]:
        visit: WindowVisit
        if self.run.reads[table.name, scope].room_by_room:
            visit = RoomByRoom(table, scope, cursors, self.scopes)
        elif table.name == "participants":
            visit = ParticipantsVisit(table, scope, cursors)
        elif "roomId" in table.data_type.identity and may_lack_rooms(table.data_type, scope):
            visit = InTheirRooms(table, scope, cursors, self.scopes)
        else:
            visit = WindowVisit(table, scope, cursors)
        with visit:
            yield from visit.rows()
        self.over(table, visit, backfill)

    def _cursors(self, table: Table, scope: Scope, cursor: dlt.sources.incremental[datetime]) -> Cursors:
        positions: list[Positions] = [
            dlt.current.resource_state(name).setdefault("cursors", {}) for name in table.loaded]
        full, key = self.run.full, scope.cursor_key
        span = window(cursor, positions, key, self._since(table, scope), full=full)
        return self._progress(table, scope, span, positions)

    def _since(self, table: Table, scope: Scope) -> datetime | None:
        """From when on rows may be of rooms that were open, or not yet found, when a scope was last read.

        That is before they began: as long as the data type says, and when the first of their people joined.
        """
        since = self.freshness.open_since(table.loaded, scope)
        if since is None:
            return None
        joined = self.run.room_lists.first_joined(scope.experiment_id, since)
        return min(filter(None, [earlier(since, table.data_type.before_room_hours * 3600), joined]))

    def _progress(
        self, table: Table, scope: Scope, span: Window, positions: Sequence[Positions] = ()
    ) -> Cursors:
        places = table.state.setdefault("places", {})
        others = [dlt.current.resource_state(name).setdefault("places", {})
                  for name in table.loaded if name != table.name]
        return Cursors(span, positions, scope.cursor_key, places, table.loaded, self.run.full, others)


def task_of(table: Table, backfill: str = "") -> Task:
    """What is read in a round for these tables; a backfill is told by its window."""
    return Task(tuple(table.loaded), backfill)


def selected(names: Iterable[str]) -> list[str]:
    """Which of these resources are loaded in the current run."""
    loaded = dlt.current.source().resources.selected
    return [name for name in names if name in loaded]


def _loaded(data_type: DataType) -> list[str]:
    return selected([data_type.name, *(t.name for t in DATA_TYPES.values() if t.derived_from == data_type.name)])
