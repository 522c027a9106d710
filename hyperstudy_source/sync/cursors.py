"""Which window of time to read for one data type in one scope, and how far its cursor may move.

Cursors are kept per scope in the resource's state, `cursors: {scope: time}`: with one for all, a new experiment would
lose its history. They move when a window was read to its end; where a read stands that was interrupted is kept beside
them. Both move when the rows that they cover have been handed on, in the same load package.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import dlt

from hyperstudy_source.errors import SettingError
from hyperstudy_source.sync.checkpoints import Place
from hyperstudy_source.tables.values import read_time

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


def window(
    cursor: dlt.sources.incremental[datetime], positions: Sequence[Positions], key: str,
    open_since: datetime | None = None, *, full: bool = False,
) -> Window:
    """The window of a scope: bound by the user or a scheduler, else from the oldest cursor less the lookback.

    It begins with the oldest room that was open when the scope was last read, if that is earlier, and has no start
    where everything is to be read (`full`).
    """
    first, last = _bound(cursor.initial_value), _bound(cursor.end_value)
    if is_bound(cursor):
        return Window(first, last, bound=True)
    lasts = [read_time(cursors.get(key)) for cursors in positions]
    known = [last for last in lasts if last is not None]
    if full or not known or len(known) < len(lasts):
        return Window(None if last else first, None, bound=False)
    start = earlier(min(known), float(cursor.lag or 0))
    return Window(min(start, open_since) if open_since else start, None, bound=False)


def earlier(moment: datetime, seconds: float) -> datetime:
    """A time so many s before another, but not before all times that are asked for."""
    return FAR_PAST if (moment - FAR_PAST).total_seconds() <= seconds else moment - timedelta(seconds=seconds)


def is_bound(cursor: dlt.sources.incremental[datetime]) -> bool:
    """Whether the user or a scheduler binds the window; an interval of no length binds nothing."""
    last = _bound(cursor.end_value)
    return last is not None and last != _bound(cursor.initial_value)


def _bound(value: datetime | str | None) -> datetime | None:
    """A bound of the incremental; dlt hands on what its configuration holds, which may be text."""
    if value is None or isinstance(value, datetime):
        return value
    moment = read_time(value)
    if moment is None:
        raise SettingError(f"A cursor's bound is {value!r}, which is no time. Give ISO 8601, such as 2024-06-15.")
    return moment


@dataclass
class Cursors:
    """The cursors of one scope for a data type and the tables derived from it, and where an interrupted read stands."""

    window: Window
    positions: Sequence[Positions]
    key: str
    places: MutableMapping[str, Any]
    """Interrupted reads, by scope and window."""
    tables: Sequence[str]
    full: bool = False
    others: Sequence[MutableMapping[str, Any]] = ()
    """The same of the other tables that the rows are for. They keep only that there is a place: one that was dropped
    does not know of it, and then lacks the rows before it."""

    @property
    def newest(self) -> datetime | None:
        """Where the cursors stand; the oldest, if they differ."""
        return self._oldest(self.positions)

    def _oldest(self, positions: Sequence[Positions]) -> datetime | None:
        known = [read_time(cursors.get(self.key)) for cursors in positions]
        return min([moment for moment in known if moment], default=None) if all(known) else None

    @property
    def place(self) -> Place | None:
        """Where an interrupted read of this window, for these tables, goes on."""
        kept = self.places.get(self.task)
        if not kept or not set(self.tables) <= set(kept["tables"]):
            return None
        if any(self.task not in each for each in self.others):
            return None
        place = Place.read(kept["place"])
        if place.start and (self.window.start is None or self.window.start < place.start):
            return None
        return place

    def keep(self, place: Place, tables: Iterable[str] | None = None) -> None:
        """Keeps where the read stands, for these of its tables."""
        self.places[self.task] = {"tables": list(self.tables if tables is None else tables), "place": place.written()}
        for each in self.others:
            each[self.task] = True

    def drop_place(self) -> None:
        """Forgets it: the window was read to its end."""
        for each in (self.places, *self.others):
            each.pop(self.task, None)

    def move(self, newest: datetime | None, now: datetime, tables: Sequence[str] | None = None) -> datetime | None:
        """Moves the cursors of these tables to the newest row, and says where they stand then.

        They move never back and not past this machine's clock; a backfill moves none.
        """
        moving = self.positions if tables is None else [
            cursors for name, cursors in zip(self.tables, self.positions, strict=False) if name in tables]
        if newest and not self.window.bound:
            for cursors in moving:
                last = read_time(cursors.get(self.key))
                reached = min(newest, now)
                cursors[self.key] = (max(reached, last) if last else reached).isoformat()
        return self._oldest(moving)

    @property
    def task(self) -> str:
        """What tells this read from others of the data type."""
        window = self.window
        bounds = f" {window.start} to {window.end}" if window.bound else ""
        return f"{self.key}{bounds}{' in full' if self.full else ''}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
