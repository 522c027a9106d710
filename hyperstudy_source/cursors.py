"""Which window of time to read for one data type in one scope, and how far its cursor may move.

Cursors are kept per scope in the resource's state, `cursors: {scope: time}`: with one for all, a new experiment would
lose its history. They move before the rows that they cover are yielded, so that both are committed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import dlt

from hyperstudy_source.envelope import Page
from hyperstudy_source.errors import SettingError
from hyperstudy_source.values import read_time

FAR_PAST = datetime(1970, 1, 1, tzinfo=timezone.utc)
FAR_FUTURE = datetime(9999, 1, 1, tzinfo=timezone.utc)
"""The ends of a window that is bound on its other side only."""
MARGIN = timedelta(milliseconds=1)
"""Asked for on both sides: whether the API counts a row at exactly the bound is not known. Its times have ms."""

Positions = MutableMapping[str, str]
"""The cursors of one resource: scope -> time of the newest row that is loaded, ISO 8601."""


@dataclass(frozen=True)
class Window:
    """What to read: from `start` to `end`, both included. `bound`: a backfill, which leaves the cursors alone."""

    start: datetime | None
    end: datetime | None
    bound: bool

    @property
    def params(self) -> dict[str, str]:
        """`startTime` and `endTime`, a little wider than the window."""
        params = {}
        if self.start and self.start > FAR_PAST:
            params["startTime"] = _iso(self.start - MARGIN)
        if self.end and self.end < FAR_FUTURE:
            params["endTime"] = _iso(self.end + MARGIN)
        return params

    def holds(self, moment: datetime | None) -> bool:
        """Whether a row belongs to the window; one without a readable time always does."""
        if not self.bound or moment is None:
            return True
        return (self.start or FAR_PAST) <= moment <= (self.end or FAR_FUTURE)


def window(cursor: dlt.sources.incremental[datetime], positions: Sequence[Positions], key: str) -> Window:
    """The window of a scope: bound by the user or a scheduler, else from the oldest cursor less the lookback.

    An interval of no length, as schedulers give for a run by hand, binds nothing.
    """
    first, last = _bound(cursor.initial_value), _bound(cursor.end_value)
    if last is not None and last != first:
        return Window(first, last, bound=True)
    lasts = [read_time(cursors.get(key)) for cursors in positions]
    known = [last for last in lasts if last is not None]
    if not known or len(known) < len(lasts):
        return Window(None if last else first, None, bound=False)
    return Window(min(known) - timedelta(seconds=float(cursor.lag or 0)), None, bound=False)


def _bound(value: datetime | str | None) -> datetime | None:
    """A bound of the incremental; dlt hands on what its configuration holds, which may be text."""
    if value is None or isinstance(value, datetime):
        return value
    moment = read_time(value)
    if moment is None:
        raise SettingError(f"A cursor's bound is {value!r}, which is no time. Give ISO 8601, such as 2024-06-15.")
    return moment


class Progress:
    """Moves the cursors of one scope while its window is read."""

    def __init__(self, window: Window, positions: Sequence[Positions], key: str, now: Callable[[], datetime]) -> None:
        self._positions = [] if window.bound else positions
        self._key, self._now = key, now
        self._newest: datetime | None = None
        self._ascending = True
        self._held = False

    def see(self, page: Page, moments: Iterable[datetime | None]) -> None:
        """Takes note of a page and its rows' times, and moves the cursors as far as is safe.

        Within a scope they move only while rows come in ascending order; a warning of the API stops them, and so does
        an end before what it announced; a row from the future moves them to the present.
        """
        for moment in moments:
            if moment is None:
                continue
            self._ascending = self._ascending and (self._newest is None or moment >= self._newest)
            self._newest = moment if self._newest is None else max(self._newest, moment)
        self._held = self._held or bool(page.warnings) or page.stops_short
        if self._newest is None or self._held or not (page.last or self._ascending):
            return
        reached = min(self._newest, self._now())
        for cursors in self._positions:
            last = read_time(cursors.get(self._key))
            cursors[self._key] = (max(reached, last) if last else reached).isoformat()


def _iso(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
