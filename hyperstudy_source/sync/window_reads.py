"""A visit of a window of time: it can be interrupted after each page, and moves the cursors when all has come.

A data type without a cursor has one window without bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial

from hyperstudy_source.api.envelope import Page
from hyperstudy_source.sync.checkpoints import Place
from hyperstudy_source.sync.cursors import Cursors
from hyperstudy_source.sync.filling import Table
from hyperstudy_source.sync.ledger import LedgerRow, Status
from hyperstudy_source.sync.paging import Moved, Params, Stretch, Unordered, Walk
from hyperstudy_source.sync.reads import GOES_ON, Visit
from hyperstudy_source.sync.rounds import LONGEST_ROUND
from hyperstudy_source.sync.scopes import Scope
from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.frames import Frame, Shaped

NOTHING_IS_LATER = "9999-01-01T00:00:00.000Z"
"""A `startTime` for which there are no rows."""
MOST_TWINS = 10_000
"""Keys of rows that the state holds at most, to tell later rows from them where these come in no order of time."""


class WindowVisit(Visit):
    """A read of a window of time. It can be interrupted after each page, and goes on there with the next slice."""

    _forgets = True
    """Whether no row is like one of an earlier time, so that those need not be remembered."""

    def __init__(self, table: Table, scope: Scope, cursors: Cursors) -> None:
        super().__init__(table, scope)
        self._cursors, self._window = cursors, cursors.window
        self._reads = self.run.reads[table.name, scope]
        self._rooms: set[str] = set()
        self._before = self._after = cursors.newest
        self._walk = self._walk_through(scope, self._begin())

    def rows(self) -> Iterator[Shaped]:
        """The rows of the window, page by page. State moves when the rows that it covers have been handed on.

        A limit closes a resource at its last item, and whether that is stored nobody knows.
        """
        for stretch in self._walk:
            yield self._counted(stretch, self._walk)
            if not stretch.is_last:
                self._keep_place()
                if self.run.slice_is_over:
                    self._stop()
                    return
        self._end()

    def _stop(self) -> None:
        """Leaves the rest to the next slice."""
        self.run.unfinished = True
        self.close("stopped", GOES_ON)

    def _end(self) -> None:
        self._compare(self._walk)
        self._reads.expected, self._reads.rooms, self._reads.doubts = self._expected, self._rooms, self._doubts
        self._settle(self._walk.place.newest)

    def _begin(self) -> Place:
        """Where an earlier slice or run has left off, or the start of the window."""
        kept = self._kept_place()
        twins = self._reads.twins if kept is None or kept.twins is None else kept.twins
        if kept is None or twins is None:
            self._reads.went_on = False
            start, ordered = self._window.start, not self.table.state.get("unordered")
            return Place(self.run.run_id, self.started, self.listed, start, start, ordered=ordered)
        self._reads.went_on = self._reads.went_on or kept.run_id != self.run.run_id
        self.started, self.listed = kept.started, kept.listed
        self._doubts += kept.doubts
        self._twins = Counter(twins)
        self._misfits = Counter(self._reads.misfits)
        self._rooms |= self._reads.rooms or {""}
        self._room_ids.count, self._room_ids.passing = self._reads.untold, kept.passing
        return kept

    def _kept_place(self) -> Place | None:
        """The place in the state, if this run may go on there.

        A bare run begins anew, and so does one that is to read everything, unless the place is of its own round.
        """
        run, kept = self.run, self._cursors.place
        if kept is None or kept.run_id == run.run_id:
            return kept
        of_round = run.is_limited and kept.started > run.now() - LONGEST_ROUND
        return kept if run.is_sliced and (of_round or not run.full) else None

    def _walk_through(self, scope: Scope, place: Place) -> Walk:
        data_type = self.table.data_type
        by_offset = self._reads.by_offset or bool(self.table.state.get("by_offset") and not self.run.full)
        return Walk(partial(self._page, *self.endpoint(scope)), data_type.cursor, self._window, place,
                    by_offset=by_offset, has_key=bool(data_type.key))

    def _page(self, path: str, place: Params, params: Params, offset: int, mark: str) -> Page | None:
        """A page. Where rows of one id came in two of them, others are asked for: they may be in one answer then."""
        size = self.table.client.rows_to_ask(path)
        if self._reads.straddles and self._reads.made % 2:
            size -= size // 3
        return self.page(path, size, {**place, **params}, offset, mark)

    def _counted(self, stretch: Stretch, walk: Walk, scope: Scope | None = None) -> Frame:
        """The rows that belong to the window, as the table wants them."""
        rows, turn = self._held(stretch)
        before = self.came
        frame = self.frame(rows, scope, turn)
        walk.discount(len(frame) - (self.came - before))
        return frame

    def _held(self, stretch: Stretch) -> tuple[list[Row], int | None]:
        """The rows of a stretch that belong to the window, and where its turn is among them."""
        self._received += len(stretch.rows)
        self._rooms.update(str(room or "") for room in {row.get("roomId") for row in stretch.rows})
        turn = stretch.turn if self._forgets else None
        before = self._in_window(stretch, slice(None, turn))
        if turn is None:
            return before, None
        return before + self._in_window(stretch, slice(turn, None)), len(before)

    def _in_window(self, stretch: Stretch, part: slice) -> list[Row]:
        if not self._window.bound:
            return self.in_scope(list(stretch.rows[part]))
        rows = zip(stretch.rows[part], stretch.moments[part], strict=True)
        return self.in_scope([row for row, moment in rows if self._window.holds(moment)])

    def _keep_place(self) -> None:
        self._reads.twins, self._reads.rooms = self._twins, self._rooms
        self._reads.untold = self._room_ids.count
        twins = dict(self._twins) if len(self._twins) <= MOST_TWINS else None
        place = replace(
            self._walk.place, run_id=self.run.run_id, doubts=tuple(self._doubts), twins=twins,
            passing=self._room_ids.passing)
        self._cursors.keep(place, self.table.still_loaded)

    def _drop_place(self) -> None:
        self._cursors.drop_place()
        self._reads.twins = None
        if self._walk.heeded is not None:
            self.table.state["by_offset"] = not self._walk.heeded

    def _has_moved(self, moved: Moved) -> None:
        super()._has_moved(moved)
        if isinstance(moved, Unordered):
            self.table.state["unordered"] = True
        self._reads.rooms, self._reads.doubts = {""}, self._doubts
        self._drop_place()

    def _settle(self, newest: datetime | None) -> None:
        """Moves the cursors, if all has come."""
        self._drop_place()
        if not self._doubts and not self._room_ids.passing:
            self._after = self._cursors.move(newest, self.run.now(), self.table.still_loaded)
        self.close("incomplete" if self._doubts else "complete")

    def _compare(self, walk: Walk) -> None:
        """Compares what came with the API's counts.

        A larger one means that rows are missing, unless it counts those out of the window too.
        The first answer counted the rows of the window, the last one those that were left of it then. A count that is
        too small cannot show that times led past rows.
        """
        place, everything = walk.place, self._window.start is None and self._window.end is None
        self._expected = place.expected
        expected, counted = place.expected or 0, place.counted or 0
        if place.jumped and place.counted is not None and place.received > place.counted:
            self._miss(f"{place.received:,} rows came where the API counts {place.counted:,}", walk)
            return
        if place.delivered < expected and (everything or not self._counts_all()):
            self._miss(f"{place.delivered:,} of {expected:,} rows came", walk)
        elif place.received < counted and ((everything and not place.jumped) or not self._counts_all()):
            self._miss(f"{place.received:,} of the last {counted:,} rows came", walk)
        elif not everything and (place.delivered < expected or place.received < counted):
            self._expected = None

    def _miss(self, reason: str, walk: Walk) -> None:
        """Takes note that rows are missing; ones without a time, or in no order, are found by offset only."""
        self._reads.by_offset = self._reads.by_offset or walk.place.jumped
        self._reads.straddles = self._reads.straddles or self.straddles
        self.doubt(reason, again=True)

    def _counts_all(self) -> bool:
        """Whether `total` counts rows out of the window too, as a window without any row shows. Asked once in a run."""
        known = self.run.counts_all
        if self.table.name not in known:
            path, place = self.endpoint(self.scope)
            probe = self.page(path, 1, {**place, "startTime": NOTHING_IS_LATER}, 0, "")
            known[self.table.name] = bool(probe and not probe.rows and probe.total)
        return known[self.table.name]

    def _note_read(self, scope: Scope) -> None:
        if not self._window.bound:
            super()._note_read(scope)

    def _ledger_row(self, name: str, status: Status, reason: str | None) -> LedgerRow:
        return replace(
            super()._ledger_row(name, status, reason), window_start=self._window.start, window_end=self._window.end,
            cursor_before=self._before, cursor_after=self._after)
