"""What may have changed since it was read: which experiments are quiet, and from when on a scope is to be read again.

A room is open until some hours after it ended, since rows still arrive, or some days after it began where it never
ends. What was read while a room was open, or before it was found, is read again from that room's start: rows that
came before it, such as consent, are served only once there is a room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dlt

from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.sync.cursors import FAR_FUTURE
from hyperstudy_source.sync.run import Run
from hyperstudy_source.sync.scopes import Scope, Scopes
from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.values import digest

SETTLE_HOURS = 24.0
"""h after its end for which a room counts as open."""
MAX_OPEN_DAYS = 7.0
"""d after its start for which a room that never ends counts as open."""
CHECK_AGAIN = timedelta(days=7)
"""How long an experiment may be quiet before it is asked for all the same."""
REMEMBERED = timedelta(days=60)
"""For how long before the last read it is kept when rooms were open: what was read then is to be read again."""
TICK = timedelta(microseconds=1)
"""What was read at the very time at which a room was found may have been read before it."""
MOST_FINDS = 20
"""Times at which rooms were found that are told apart; of more, the two oldest count as one."""
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

    def note_rooms(self, key: str, rooms: Sequence[Row]) -> None:
        """Takes note of when the rooms of a scope are open, by the day on which they settle, and which are new."""
        each_once = {str(room.get("id", number)): room for number, room in enumerate(rooms)}
        days: dict[str, list[str]] = {}
        before = _read("rooms").get(key, [""])[0]
        kept_since = min(self.run.now(), datetime.fromisoformat(before) if before else FAR_FUTURE) - REMEMBERED
        for room in each_once.values():
            start, until = self.open_from(room), self.open_until(room)
            if until > kept_since:
                day = days.setdefault(until.date().isoformat(), [start.isoformat(), until.isoformat()])
                day[:] = [min(day[0], start.isoformat()), max(day[1], until.isoformat())]
        state = dlt.current.resource_state("rooms")
        state.setdefault("open", {})[key] = sorted(days.values())
        state.setdefault("found", {})[key] = len(each_once)
        self._note_new(state, key, each_once)

    def _note_new(self, state: dict[str, Any], key: str, rooms: Mapping[str, Row]) -> None:
        """Takes note of when rooms were found that were not there before, and of the start of the first of them.

        The state tells the rooms by the day on which they began: all of a day that has others than it had are new.
        Where they were never asked for, they were there when the run began.
        """
        days: dict[str, list[str]] = {}
        for room_id, room in rooms.items():
            days.setdefault(self.open_from(room).date().isoformat(), []).append(room_id)
        told = {day: digest({"rooms": sorted(ids)})[:8] for day, ids in days.items()}
        known = state.setdefault("known", {}).get(key)
        state["known"][key] = told
        starts = [self.open_from(rooms[room_id]) for day, ids in days.items() for room_id in ids
                  if known is None or known.get(day) != told[day]]
        if starts:
            found_at = self.run.began if known is None else self.run.now() + TICK
            finds = state.setdefault("finds", {}).setdefault(key, [])
            finds.append([min(starts).isoformat(), found_at.isoformat()])
            if len(finds) > MOST_FINDS:
                finds[:2] = [[min(finds[0][0], finds[1][0]), finds[1][1]]]

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
        """The start of the oldest room that was open, or not yet found, when a scope was last read."""
        marks = [_read(name).get(scope.cursor_key) for name in names]
        spans = [*_of_rooms("open", scope), *_of_rooms("finds", scope)]
        starts = [start for start, until in spans for mark in marks if mark and until > mark[0]]
        return datetime.fromisoformat(min(starts)) if starts else None

    def has_finds(self, names: Iterable[str], scope: Scope) -> bool:
        """Whether a room was found since those of these data types were read that are read by time."""
        reads = [_read(name).get(scope.cursor_key) for name in names if name in DATA_TYPES and DATA_TYPES[name].cursor]
        found = max((at for _, at in _of_rooms("finds", scope)), default="")
        return any(read and read[0] < found for read in reads)

    def is_quiet(self, names: Sequence[str], scope: Scope) -> bool:
        """Whether nothing of these data types can have changed in a scope since they were read.

        Rooms of which the list speaks and which the API does not show may be open.
        """
        mark, now = self.mark(scope), self.run.now()
        if self.run.full or not mark or scope.room_id or self._has_hidden_rooms(scope) or self.has_finds(names, scope):
            return False
        reads = [_read(name).get(scope.cursor_key) for name in (*names, "rooms")]
        settled = max((until for _, until in _of_rooms("open", scope)), default="")
        return all(
            read and read[1] == mark and read[0] >= settled and datetime.fromisoformat(read[0]) > now - CHECK_AGAIN
            for read in reads)

    def _has_hidden_rooms(self, scope: Scope) -> bool:
        found = dlt.current.resource_state("rooms").get("found", {}).get(scope.experiment_id, 0)
        return bool(found < (self.scopes.counted_rooms(scope.experiment_id) or 0))


def _of_rooms(what: str, scope: Scope) -> list[list[str]]:
    """From when until when rooms of a scope are `open`, or when they began and were found, for `finds`.

    Of a room whose scope was never looked at by itself it is what is known of its experiment.
    """
    kept = dlt.current.resource_state("rooms").get(what, {})
    spans: list[list[str]] = kept.get(scope.cursor_key, kept.get(scope.experiment_id, []))
    return spans


def _read(name: str) -> dict[str, list[Any]]:
    """When the scopes of a data type were read, and what the list said of their experiments then."""
    read: dict[str, list[Any]] = dlt.current.resource_state(name).setdefault("read", {})
    return read
