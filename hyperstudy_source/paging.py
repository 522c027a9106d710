"""How one scope is read to its end although rows come, go and change places meanwhile.

Rows with a cursor are paged by time: the next page is asked for from the time of the last row on, and all rows of that
time come from the one answer that has them together. So neither a row that is removed or comes late between two pages,
nor rows of one time that the API orders anew with every request, are missed or doubled. Where the API does not heed
`startTime`, and for rows without a cursor, offsets have to do; they are checked against `pagination.total`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hyperstudy_source.cursors import MARGIN, Place, Window
from hyperstudy_source.envelope import Page
from hyperstudy_source.fields import Row
from hyperstudy_source.values import read_time

Ask = Callable[[dict[str, Any], int, str], Iterator[Page]]
"""Asks for the pages from an offset on, behind a page with this mark: (parameters, offset, mark) -> pages."""


class Moved(Exception):
    """Rows came or went between two pages, so that the offsets of what follows mean other rows."""


@dataclass(frozen=True)
class Stretch:
    """Some rows on their way into the table, and what can be said once they are there."""

    page: Page
    rows: Sequence[Row]
    moments: Sequence[datetime | None]
    is_last: bool
    """Whether the API says that this is the end."""
    place: datetime | None = None
    """All rows before this time are delivered and none after it: the read can be interrupted here, to go on later."""


class TimeWalk:
    """The rows of a window, each once. `by_offset`: times are not to lead through it.

    After the walk: `expected` rows by the API's count, of which `delivered` came.
    """

    def __init__(
        self, ask: Ask, field: str, window: Window, place: Place | None = None, *, by_offset: bool = False,
        has_key: bool = True,
    ) -> None:
        self._ask, self._field, self._window, self._has_key = ask, field, window, has_key
        self._leads = not by_offset
        self._after = place.after if place else window.start
        self._resumed = place is not None
        self.expected = place.expected if place else None
        self.delivered = place.delivered if place else 0
        self.heeded: bool | None = None
        """Whether the API heeds `startTime`; None: it was not put to the test."""
        self.jumped = place is not None
        """Whether the API was asked for later times than the start of the window."""
        self.remaining: tuple[int, int] | None = None
        """Of the last stretch of pages: rows that came, and rows that the API counted."""

    def __iter__(self) -> Iterator[Stretch]:
        """Raises `Moved` where offsets have become meaningless; then the window is to be read anew."""
        jumps = 1 if self._resumed else 0
        held: tuple[Page, list[Row], list[datetime | None]] | None = None
        base_after, received, mark = self._after, 0, ""
        while True:
            page = next(self._ask(self._params(), 0, ""))
            moments = [read_time(row.get(self._field)) for row in page.rows]
            if self.expected is None:
                self.expected = page.total
            if held:
                self.heeded = self._is_heeded(page, moments)
            if held and not self.heeded:
                if jumps > 1:
                    raise Moved
                self.jumped, self._after = False, base_after
                yield replace(self._stretch(*held), is_last=False)
                yield from self._by_offset(received, mark)
                return
            fresh = [index for index, moment in enumerate(moments) if not jumps or self._is_due(moment)]
            rows, moments = [page.rows[index] for index in fresh], [moments[index] for index in fresh]
            turn = _turn(moments, self._after) if self._leads and not page.last and page.total is not None else None
            if turn is None:
                self.remaining = (len(page.rows), page.total) if page.total is not None else None
                yield self._stretch(page, rows, moments)
                if not page.last:
                    yield from self._by_offset(len(page.rows), page.mark)
                return
            cut = next(index for index, moment in enumerate(moments) if moment == turn)
            if not jumps:
                base_after, received, mark = self._after, len(page.rows), page.mark
            held = page, rows[cut:], moments[cut:]
            self._after, self.jumped, jumps = turn, True, jumps + 1
            yield replace(self._stretch(page, rows[:cut], moments[:cut]), is_last=False, place=turn)

    def _by_offset(self, received: int, mark: str) -> Iterator[Stretch]:
        """The rest of the window behind the rows received, page by page as the API has them."""
        counted = self.remaining[1] if self.remaining else self.expected
        for page in self._ask(self._params(), received, mark):
            if page.total is not None and counted is not None and (
                    page.total < counted or (page.total > counted and not self._has_key)):
                raise Moved
            counted = page.total if page.total is not None else counted
            received += len(page.rows)
            self.remaining = (received, counted) if counted is not None else None
            yield self._stretch(page, page.rows, [read_time(row.get(self._field)) for row in page.rows])

    def _params(self) -> dict[str, Any]:
        return {"sort": self._field, "order": "asc", **replace(self._window, start=self._after).params}

    def _is_due(self, moment: datetime | None) -> bool:
        return moment is None or self._after is None or moment >= self._after

    def _is_heeded(self, page: Page, moments: Sequence[datetime | None]) -> bool:
        """Whether the API took `startTime`, as the rows show."""
        earliest = min(filter(None, moments), default=None)
        late_enough = earliest is None or self._after is None or earliest >= self._after - 2 * MARGIN
        return "startTime" in page.params and late_enough

    def _stretch(self, page: Page, rows: Sequence[Row], moments: Sequence[datetime | None]) -> Stretch:
        self.delivered += len(rows)
        return Stretch(page, rows, moments, page.last)


def _turn(moments: Sequence[datetime | None], after: datetime | None) -> datetime | None:
    """The time from which the next page is to be asked for, or None where times do not lead on."""
    known = [moment for moment in moments if moment is not None]
    if len(known) < len(moments) or not known or known != sorted(known):
        return None
    return known[-1] if known[-1] > known[0] and (after is None or known[-1] > after) else None
