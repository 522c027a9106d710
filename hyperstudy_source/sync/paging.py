"""How one scope is read to its end although rows come, go and change places meanwhile.

Rows with a cursor are paged by time: the next page is asked for from the time of the last row on, and all rows of that
time come from the one answer that has them together. So neither a row that is removed or comes late between two pages,
nor rows of one time that the API orders anew with every request, are missed or doubled. Where the API does not heed
`startTime`, and for rows without a cursor, offsets have to do: each page begins with the last row of the one before it,
and `pagination.total` must not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hyperstudy_source.api.client import REPEATED_PAGES
from hyperstudy_source.api.envelope import Page
from hyperstudy_source.sync.checkpoints import Link, Place
from hyperstudy_source.sync.cursors import MARGIN, Window
from hyperstudy_source.tables.columns import python_times, times_column
from hyperstudy_source.tables.fields import Row, field_of

Params = dict[str, Any]
Ask = Callable[[Params, int, str], Page | None]
"""Asks for one page: (parameters, offset, mark of the page before) -> the page, or None if that was the last."""


class Moved(Exception):
    """Rows came or went between two pages, so that the offsets of what follows mean other rows."""


class Unordered(Moved):
    """Rows come in no order of time, so that the ones that are alike are not side by side."""


class OffsetPages:
    """Pages by offset. Each begins with some of the last rows before it, and comes without those.

    Where it cannot, for pages are short or rows alike, these are asked for once more by themselves.
    """

    def __init__(
        self, ask: Ask, params: Params, offset: int = 0, link: Link | None = None, *, has_key: bool = True
    ) -> None:
        self._ask, self._params, self._has_key = ask, params, has_key
        self.offset, self.link = offset, link
        """Where the next page begins, and what tells the rows before it; no link where the API skips some itself."""

    def __iter__(self) -> Iterator[Page]:
        """Raises `Moved` if other rows stand where the last ones stood: rows came or went."""
        previous, repeats = self.link.page if self.link else "", 0
        while True:
            link, overlap = self.link, self.link.overlap if self.link else 0
            start = self.offset - overlap
            page = self._ask(self._params, start, previous)
            if page is None:
                return
            repeats = repeats + 1 if page.mark and page.mark == previous else 0
            if repeats > REPEATED_PAGES or (link and not link.holds(page.rows if overlap else self._rows_told(link))):
                raise Moved
            self.offset, previous = page.next_offset(start), page.mark
            touches = self.offset == start + len(page.rows)
            self.link = Link.behind(page, start, self._has_key, link) if touches else None
            if len(page.rows) > overlap or page.last:
                yield _without_first(page, overlap) if overlap else page
            if page.last:
                return

    def _rows_told(self, link: Link) -> list[Row]:
        """The rows where those told lay, however few a page holds."""
        rows: list[Row] = []
        while len(rows) < len(link.told):
            page = self._ask(self._params, link.at + len(rows), "")
            if page is None or not page.rows:
                break
            rows += page.rows
        return rows


def _without_first(page: Page, overlap: int) -> Page:
    """The page behind its first rows; what it says of what follows stays."""
    pagination = {**(page.metadata.get("pagination") or {}), "hasMore": not page.last}
    return replace(page, rows=page.rows[overlap:], metadata={**page.metadata, "pagination": pagination})


@dataclass(frozen=True)
class Stretch:
    """Some rows on their way into the table."""

    rows: Sequence[Row]
    moments: Sequence[datetime | None]
    is_last: bool
    """Whether the API says that this is the end."""
    turn: int | None = None
    """From this row on times are later than all before, so that no row is like an earlier one; None: there is no such
    row. Rows that are alike have one time."""


class Walk:
    """The rows of a window from a place on, each once.

    `field`: the time of a row, if it has one. `by_offset`: times are not to lead through the window.
    """

    def __init__(
        self, ask: Ask, field: str | None, window: Window, place: Place, *, by_offset: bool = False,
        has_key: bool = True,
    ) -> None:
        self._ask, self._field, self._window, self._has_key = ask, field, window, has_key
        self._leads = bool(field) and not by_offset
        self.place = place
        """Where the read stands behind the rows that came."""
        self._forgotten = place.newest if place.offset and place.ordered else None
        """The time of the rows that came last, if those of earlier times need not be remembered."""
        self.heeded: bool | None = None
        """Whether the API heeds `startTime`; None: it was not put to the test."""

    def __iter__(self) -> Iterator[Stretch]:
        """Raises `Moved` where offsets have become meaningless; then the window is to be read anew."""
        return self._by_time() if self._leads and not self.place.offset else self._by_offset()

    def discount(self, repeated: int) -> None:
        """Takes note that of the last stretch so many rows had come before."""
        place = self.place
        self.place = replace(
            place, delivered=place.delivered - repeated, received=max(0, place.received - repeated))

    def _by_time(self) -> Iterator[Stretch]:
        """As long as times lead on; what is left then by offset."""
        held: tuple[Stretch, Place] | None = None
        while True:
            page = self._answer()
            moments = self._moments(page)
            if self.place.jumped:
                self.heeded = self._is_heeded(page, moments)
            if self.heeded is False:
                if held is None:
                    raise Moved
                stretch, behind = held
                self._forgotten = behind.newest
                self.place = replace(behind, delivered=self.place.delivered + len(stretch.rows))
                yield stretch
                yield from self._by_offset()
                return
            due = [index for index, moment in enumerate(moments) if not self.place.jumped or self._is_due(moment)]
            rows, moments = [page.rows[index] for index in due], [moments[index] for index in due]
            behind = replace(
                self.place, offset=len(page.rows), link=Link.behind(page, 0, self._has_key, None),
                received=len(page.rows), counted=page.total)
            turn = None if page.last or page.total is None else _turn(moments, self.place.after)
            if turn is None:
                self.place = replace(behind, delivered=self.place.delivered + len(rows))
                yield Stretch(rows, moments, page.last, self._turn_by_offset(moments))
                if not page.last:
                    yield from self._by_offset()
                return
            cut = moments.index(turn)
            held = None if self.place.jumped else (
                Stretch(rows[cut:], moments[cut:], is_last=False), replace(behind, newest=turn))
            self.place = replace(
                self.place, after=turn, newest=turn, jumped=True, delivered=self.place.delivered + cut)
            yield Stretch(rows[:cut], moments[:cut], is_last=False, turn=cut)

    def _answer(self) -> Page:
        """The first page from the place on."""
        page = self._ask(self._params(), 0, "")
        if page is None:
            raise TypeError("a first page has none before it")
        if self.place.expected is None:
            self.place = replace(self.place, expected=page.total)
        return page

    def _by_offset(self) -> Iterator[Stretch]:
        """What is left of the window, page by page as the API has it."""
        pages = OffsetPages(
            self._ask, self._params(), self.place.offset, self.place.link, has_key=self._has_key)
        for page in pages:
            place, total = self.place, page.total
            counted = place.expected if place.counted is None and not place.jumped else place.counted
            if total is not None and counted is not None and (
                    total < counted or (total > counted and not self._has_key)):
                raise Moved
            moments = self._moments(page)
            turn = self._turn_by_offset(moments)
            self.place = replace(
                self.place, offset=pages.offset, link=pages.link, delivered=place.delivered + len(page.rows),
                received=place.received + len(page.rows), counted=counted if total is None else total,
                expected=total if place.expected is None else place.expected)
            yield Stretch(page.rows, moments, page.last, turn)

    def _turn_by_offset(self, moments: Sequence[datetime | None]) -> int | None:
        """The first row of the latest time, if rows came in order until there.

        Raises `Unordered` where that breaks off, and rows without a key may be like some that are forgotten.
        """
        known, forgotten = [moment for moment in moments if moment is not None], self._forgotten
        self.place = replace(self.place, newest=max(filter(None, [*known, self.place.newest]), default=None))
        if not moments or not self.place.ordered:
            return None
        if len(known) < len(moments) or known != sorted(known) or (forgotten is not None and known[0] < forgotten):
            if forgotten is not None and not self._has_key:
                raise Unordered
            self.place = replace(self.place, ordered=False)
            return None
        self._forgotten = known[-1]
        return known.index(known[-1]) if known[-1] != forgotten else None

    def _params(self) -> Params:
        order = {"sort": self._field, "order": "asc"} if self._field else {}
        return {**order, **replace(self._window, start=self.place.after).params}

    def _moments(self, page: Page) -> list[datetime | None]:
        field = self._field
        return python_times(times_column(field_of(page.rows, field))) if field else [None] * len(page.rows)

    def _is_due(self, moment: datetime | None) -> bool:
        return moment is None or self.place.after is None or moment >= self.place.after

    def _is_heeded(self, page: Page, moments: Sequence[datetime | None]) -> bool:
        """Whether the API took `startTime`, as the rows show."""
        earliest, after = min(filter(None, moments), default=None), self.place.after
        late_enough = earliest is None or after is None or earliest >= after - 2 * MARGIN
        return "startTime" in page.params and late_enough


def _turn(moments: Sequence[datetime | None], after: datetime | None) -> datetime | None:
    """The time from which the next page is to be asked for, or None where times do not lead on."""
    known = [moment for moment in moments if moment is not None]
    if len(known) < len(moments) or not known or known != sorted(known):
        return None
    return known[-1] if known[-1] > known[0] and (after is None or known[-1] > after) else None
