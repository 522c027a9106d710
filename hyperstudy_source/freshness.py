"""What may have changed since it was read: which experiments are quiet, and from when on a scope is to be read again.

A room is open until some hours after it ended, since rows still arrive, or some days after it began where it never
ends. What was read while a room was open is read again from that room's start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dlt

from hyperstudy_source.cursors import FAR_FUTURE
from hyperstudy_source.fields import Row
from hyperstudy_source.runs import Run
from hyperstudy_source.scopes import Scope, Scopes
from hyperstudy_source.values import digest

SETTLE_HOURS = 24.0
"""h after its end for which a room counts as open."""
MAX_OPEN_DAYS = 7.0
"""d after its start for which a room that never ends counts as open."""
CHECK_AGAIN = timedelta(days=7)
"""How long an experiment may be quiet before it is asked for all the same."""
REMEMBERED = timedelta(days=60)
"""For how long before the last read it is kept when rooms were open: what was read then is to be read again."""
TELLING_FIELDS = ("updatedAt", "roomCount", "participantCount")
"""The fields of the list of experiments that tell together whether something has happened."""


@dataclass(frozen=True)
class Freshness:
    """Knows when each scope was read, and what was open then. Its knowledge is the state of the resources."""

    run: Run
    scopes: Scopes
    settle_hours: float = SETTLE_HOURS
    max_open_days: float = MAX_OPEN_DAYS

    def read_at(self, name: str, scope: Scope) -> str:
        """When a scope of a data type was last read completely, ISO 8601; empty for never."""
        return str(_read(name).get(scope.cursor_key, [""])[0])

    def note_read(self, name: str, scope: Scope, started: datetime, listed: str | None) -> None:
        """Takes note that a scope was read completely by a read that began then, with that `mark`."""
        _read(name)[scope.cursor_key] = [started.isoformat(), listed]

    def mark(self, scope: Scope) -> str | None:
        """What the list says of a scope's experiment, as a digest; None where it does not say enough."""
        row = self.scopes.summaries.get(scope.experiment_id, {})
        return digest(row, TELLING_FIELDS) if all(row.get(name) is not None for name in TELLING_FIELDS) else None

    def forget(self, name: str, scope: Scope) -> None:
        """Takes note that a scope may have changed."""
        _read(name).pop(scope.cursor_key, None)

    def note_rooms(self, experiment_id: str, rooms: Iterable[Row]) -> None:
        """Takes note of when the rooms of an experiment are open, by the day on which they settle."""
        days: dict[str, list[str]] = {}
        found = 0
        before = self.read_at("rooms", Scope(experiment_id))
        kept_since = min(self.run.now(), datetime.fromisoformat(before) if before else FAR_FUTURE) - REMEMBERED
        for room in rooms:
            found += 1
            start, until = self.open_from(room), self.open_until(room)
            if until > kept_since:
                day = days.setdefault(until.date().isoformat(), [start.isoformat(), until.isoformat()])
                day[:] = [min(day[0], start.isoformat()), max(day[1], until.isoformat())]
        state = dlt.current.resource_state("rooms")
        state.setdefault("open", {})[experiment_id] = sorted(days.values())
        state.setdefault("found", {})[experiment_id] = found

    def open_from(self, room: Mapping[str, Any]) -> datetime:
        """When a room began; now where it does not say, or says a time to come."""
        times = [room.get(name) for name in ("start_time", "created_at")]
        return min([self.run.now(), *(time for time in times if isinstance(time, datetime))])

    def open_until(self, room: Mapping[str, Any]) -> datetime:
        """Until when rows of a room may still arrive; an end that is to come counts for none."""
        end = room.get("end_time")
        if isinstance(end, datetime) and end <= self.run.now():
            return end + timedelta(hours=self.settle_hours)
        return self.open_from(room) + timedelta(days=self.max_open_days)

    def open_since(self, names: Iterable[str], scope: Scope) -> datetime | None:
        """The start of the oldest room that was open when a scope was last read."""
        marks = [_read(name).get(scope.cursor_key) for name in names]
        starts = [start for start, until in self._open(scope) for mark in marks if mark and until > mark[0]]
        return datetime.fromisoformat(min(starts)) if starts else None

    def is_quiet(self, names: Iterable[str], scope: Scope) -> bool:
        """Whether nothing of these data types can have changed in a scope since they were read.

        Rooms of which the list speaks and which the API does not show may be open.
        """
        mark, now = self.mark(scope), self.run.now()
        if self.run.full or not mark or scope.room_id or self._has_hidden_rooms(scope):
            return False
        reads = [_read(name).get(scope.cursor_key) for name in (*names, "rooms")]
        settled = max((until for _, until in self._open(scope)), default="")
        return all(
            read and read[1] == mark and read[0] >= settled and datetime.fromisoformat(read[0]) > now - CHECK_AGAIN
            for read in reads)

    def _has_hidden_rooms(self, scope: Scope) -> bool:
        found = dlt.current.resource_state("rooms").get("found", {}).get(scope.experiment_id, 0)
        return not found and bool(self.scopes.summaries[scope.experiment_id]["roomCount"])

    def _open(self, scope: Scope) -> list[list[str]]:
        rooms: list[list[str]] = dlt.current.resource_state("rooms").get("open", {}).get(scope.experiment_id, [])
        return rooms


def _read(name: str) -> dict[str, list[Any]]:
    """When the scopes of a data type were read, and what the list said of their experiments then."""
    read: dict[str, list[Any]] = dlt.current.resource_state(name).setdefault("read", {})
    return read
