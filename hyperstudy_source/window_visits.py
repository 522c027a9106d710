"""A visit of a window of time: it can be interrupted after each page, and moves the cursors when all has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from hyperstudy_source.completeness import LedgerRow, Status
from hyperstudy_source.cursors import Cursors, Place
from hyperstudy_source.envelope import Page
from hyperstudy_source.fields import Row
from hyperstudy_source.paging import TimeWalk
from hyperstudy_source.scopes import Scope
from hyperstudy_source.visits import GOES_ON, Table, Visit

NOTHING_IS_LATER = "9999-01-01T00:00:00.000Z"
"""A `startTime` for which there are no rows."""


class WindowVisit(Visit):
    """A read of a window of time. It can be interrupted after each page, and goes on there with the next slice."""

    def __init__(self, table: Table, scope: Scope, cursors: Cursors, *, by_offset: bool = False) -> None:
        super().__init__(table, scope)
        self._cursors, self._window, self._by_offset = cursors, cursors.window, by_offset
        self._before = self._after = cursors.newest
        self._place = cursors.place
        self._newest: datetime | None = self._place.after if self._place else None
        if self._place:
            self.started = self._place.started
            self._doubts += self._place.doubts
        self.interrupted = False
        """Whether the visit ended before its window did, to go on with the next slice."""
        self.passed_over = False
        """Whether rows are missing that have no time, or come in no order, so that only offsets find them."""
        self._repeated = self._repeated_since = 0
        """Rows that came before: in all, and since the API was last asked for later times."""

    def rows(self) -> Iterator[list[Row]]:
        """The rows of the window, page by page. State moves before the rows that it covers are handed on."""
        walk = TimeWalk(
            self._ask, str(self.table.data_type.cursor), self._window, self._place,
            by_offset=self._by_offset or bool(self.table.state.get("by_offset")),
            has_key=bool(self.table.data_type.key))
        for stretch in walk:
            self._newest = max(filter(None, [self._newest, *stretch.moments]), default=None)
            inside = [row for row, moment in zip(stretch.rows, stretch.moments, strict=True)
                      if self._window.holds(moment)]
            rows = self._counted(inside)
            if stretch.place:
                self._keep_place(walk, stretch.place)
                if self.run.slice_is_over:
                    self.interrupted = self.run.unfinished = True
                    self.close("stopped", GOES_ON)
                    yield rows
                    return
            if stretch.is_last:
                self._settle(walk)
            yield rows
        self._settle(walk)

    def _ask(self, params: dict[str, Any], offset: int, mark: str) -> Iterator[Page]:
        path, place = self._endpoint()
        return self.at(path, {**place, **params}, limit=self.table.page_size, offset=offset, previous=mark)

    def _counted(self, rows: Sequence[Row]) -> list[Row]:
        before = self.distinct
        shaped = self.shaped(rows)
        repeated = len(shaped) - (self.distinct - before)
        self._repeated += repeated
        self._repeated_since += repeated
        return shaped

    def _keep_place(self, walk: TimeWalk, after: datetime) -> None:
        """Keeps that all rows before a time came, and forgets what they were: they do not come again."""
        self._twins.clear()
        if walk.heeded:
            self._keys.clear()
            self._repeated_since = 0
        self._cursors.keep(Place(
            self.started, self._window.start, after, walk.expected, walk.delivered, tuple(self._doubts)))

    def _forget_place(self) -> None:
        self._cursors.drop_place()

    def _settle(self, walk: TimeWalk) -> None:
        """Compares what came with the API's counts, and moves the cursors if it is all."""
        if self._closed:
            return
        if walk.heeded is False:
            self.table.state["by_offset"] = True
        self._compare(walk)
        self._cursors.drop_place()
        if not self._doubts:
            self._after = self._cursors.move(self._newest, self.run.now())
        self.close("incomplete" if self._doubts else "complete")

    def _compare(self, walk: TimeWalk) -> None:
        """A count larger than what came means missing rows, unless the API counts those out of the window too.

        The first answer counted the rows of the window, the last one those that were left of it then.
        """
        everything = self._window.start is None and self._window.end is None
        self._expected = walk.expected
        came, counted = walk.delivered - self._repeated, walk.expected or 0
        left_came, left_counted = walk.remaining or (0, 0)
        left_came -= self._repeated_since
        if came < counted and (everything or not self._counts_all()):
            self._miss(f"{came:,} of {counted:,} rows came", walk)
        elif left_came < left_counted and ((everything and not walk.jumped) or not self._counts_all()):
            self._miss(f"{left_came:,} of the last {left_counted:,} rows came", walk)
        elif not everything and (came < counted or left_came < left_counted):
            self._expected = None

    def _miss(self, reason: str, walk: TimeWalk) -> None:
        self.passed_over = walk.jumped
        self.doubt(reason, again=True)

    def _counts_all(self) -> bool:
        """Whether `total` counts rows out of the window too, as a window without any row shows. Asked once in a run."""
        known = self.run.counts_all
        if self.table.name not in known:
            path, place = self._endpoint()
            probe = next(self.at(path, {**place, "startTime": NOTHING_IS_LATER, "limit": 1}))
            known[self.table.name] = not probe.rows and bool(probe.total)
        return known[self.table.name]

    def _note_read(self, scope: Scope) -> None:
        if not self._window.bound:
            super()._note_read(scope)

    def _ledger_row(self, name: str, status: Status, reason: str | None) -> LedgerRow:
        return replace(
            super()._ledger_row(name, status, reason), window_start=self._window.start, window_end=self._window.end,
            cursor_before=self._before, cursor_after=self._after)
