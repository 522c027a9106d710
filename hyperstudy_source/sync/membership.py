"""Who was in which room of an experiment, and when: that tells the room of a row which names none.

A room is told only where it is the only one possible; none is better than a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.values import read_time

MARGIN = timedelta(hours=1)
"""How long before a room begins and after it ended its people may leave rows: consent comes before, the last answers
come after."""
TIMES = ("timestamp", "start_time", "started_at", "completed_at", "created_at")
"""The columns of which the first that has a time says when a row came to be."""
UNNAMED = ""
"""Stands for the room of a participant whose row names none."""


def moment_of(row: Row) -> datetime | None:
    """When a row of a table came to be; None where it does not say."""
    times = (_time(row.get(name)) for name in TIMES)
    return next((time for time in times if time), None)


@dataclass(frozen=True)
class Span:
    """From when to when something was; None: that is not known."""

    start: datetime | None
    end: datetime | None

    def holds(self, moment: datetime, margin: timedelta = timedelta()) -> bool:
        """Whether it was then, or so shortly before or after."""
        began = self.start is None or self.start - moment <= margin
        return began and (self.end is None or moment - self.end <= margin)

    def within(self, outer: Span) -> Span:
        """The same, with what is not known taken from another."""
        return Span(self.start or outer.start, self.end or outer.end)


class Rooms:
    """The rooms of an experiment: when each was open."""

    def __init__(self, rows: Iterable[Row], asked: datetime, *, whole: bool) -> None:
        self.spans: dict[str, Span] = {}
        """From a room's start, or where it has none its creation, to its end."""
        self.asked, self.whole = asked, whole
        """When they were asked for, and whether they are all."""
        self._since: dict[str, Span] = {}
        for row in rows:
            start, created, end = (_time(row.get(name)) for name in ("start_time", "created_at", "end_time"))
            self.spans[str(row.get("id"))] = Span(start or created, end)
            self._since[str(row.get("id"))] = Span(min(filter(None, [start, created]), default=None), end)

    def begun_since(self, moment: datetime) -> set[str]:
        """The rooms that began at a time or later, or may have."""
        return {room for room, span in self._since.items() if span.start is None or span.start >= moment}

    def open_at(self, moment: datetime | None) -> str | None:
        """The only room that there was at a time, from its creation on."""
        if moment is None or moment > self.asked or not self.whole:
            return None
        return _only([room for room, span in self._since.items() if span.holds(moment)])


class People:
    """The participants of an experiment: in which rooms each was, and when."""

    def __init__(self, rows: Iterable[Row], asked: datetime, *, whole: bool) -> None:
        self.asked, self.whole = asked, whole
        """When they were asked for, and whether they are all."""
        self._stays: dict[str, dict[str, Span]] = {}
        for row in rows:
            room = str(row.get("room_id") or UNNAMED)
            stay = Span(_time(row.get("joined_at")), _time(row.get("completed_at")))
            for person in {str(row[name]) for name in ("participant_id", "id") if row.get(name)}:
                stays = self._stays.setdefault(person, {})
                stays[room] = _both(stays[room], stay) if room in stays else stay

    def stays(self, person: str) -> Mapping[str, Span]:
        """By room: from when to when a person was there."""
        return self._stays.get(person, {})

    def first_joined(self, rooms: Collection[str]) -> datetime | None:
        """When the first person joined any of these rooms."""
        starts = [stay.start for stays in self._stays.values() for room, stay in stays.items() if room in rooms]
        return min(filter(None, starts), default=None)

    def only_room(self, person: str, moment: datetime | None) -> str | None:
        """The room of a person who was in no other, until they were asked for."""
        late = moment is not None and moment > self.asked
        return _only(list(self.stays(person))) if self.whole and not late else None

    def in_several_rooms(self) -> list[str]:
        """Those who were in more rooms than one."""
        return [person for person, stays in self._stays.items() if len(stays) > 1]

    def room_at(self, person: str, moment: datetime | None, rooms: Callable[[], Rooms]) -> str | None:
        """The room of a person at a time: the only one that was open or that the person was in.

        Of several, the only one of which both holds. If there is none, the only one shortly before or after.
        Participants who may not be all have other rooms too, perhaps: only a room of which both holds is told then.
        """
        stays = self.stays(person)
        if moment is None or moment > self.asked or not stays:
            return None
        open_times = {room: rooms().spans.get(room, Span(None, None)) for room in stays}

        def near(margin: timedelta) -> list[str]:
            return [room for room, stay in stays.items()
                    if open_times[room].holds(moment, margin) or stay.within(open_times[room]).holds(moment, margin)]

        found = near(timedelta())
        if len(found) > 1 or not self.whole:
            found = [room for room in found if open_times[room].holds(moment)
                     and stays[room].within(open_times[room]).holds(moment)]
            return _only(found)
        return _only(found or near(MARGIN))


def _only(rooms: list[str]) -> str | None:
    return rooms[0] or None if len(rooms) == 1 else None


def _both(one: Span, other: Span) -> Span:
    """What holds whenever either does."""
    starts, ends = (one.start, other.start), (one.end, other.end)
    return Span(min(starts) if all(starts) else None,  # type: ignore[type-var]  # all of them are times
                max(ends) if all(ends) else None)  # type: ignore[type-var]


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else read_time(value) if value is not None else None
