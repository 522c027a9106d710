"""Visits of an experiment that ask for its rooms one by one, where what the API gives for all of it leaves a doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Set
from typing import Any

from hyperstudy_source.data_types import DataType
from hyperstudy_source.errors import ApiError, KeyRejected, QuotaReached
from hyperstudy_source.sync.checkpoints import Place
from hyperstudy_source.sync.cursors import Cursors
from hyperstudy_source.sync.filling import Table
from hyperstudy_source.sync.membership import UNNAMED, moment_of
from hyperstudy_source.sync.paging import Stretch
from hyperstudy_source.sync.room_ids import RoomIds
from hyperstudy_source.sync.room_lists import Unlisted
from hyperstudy_source.sync.scopes import Scope, Scopes
from hyperstudy_source.sync.window_reads import WindowVisit
from hyperstudy_source.tables.fields import Row, column_name
from hyperstudy_source.tables.frames import Shaped
from hyperstudy_source.tables.values import digest

MOST_ROOMS = 50
"""Rooms of an experiment that are asked for one by one: each costs a request for each data type."""


def can_be_narrowed(data_type: DataType, scope: Scope) -> bool:
    """Whether rooms can be asked for in place of a scope, and give its rows the same keys."""
    in_key = "roomId" in data_type.identity or any("roomId" in part for part in data_type.key)
    return scope.room_id is None and "room" in data_type.scopes and not in_key


class RoomByRoom(WindowVisit):
    """A read of an experiment's window in all of its rooms. It is not interrupted.

    It is complete if they leave no doubt of their own, and the experiment shows no rows but those of its rooms.
    """

    _forgets = False
    """Two rooms can have rows that are alike."""

    def __init__(self, table: Table, scope: Scope, cursors: Cursors, scopes: Scopes) -> None:
        super().__init__(table, scope, cursors)
        self._scopes, self._experiment_id, self._newest = scopes, scope.experiment_id, cursors.newest

    def rows(self) -> Iterator[Shaped]:
        """The rows of the window, room by room."""
        try:
            rooms = self._scopes.rooms_of(self._experiment_id)
            if self._scopes.may_have_more_rooms(self._experiment_id):
                self.doubt("the API may not list all rooms")
            yield from self._of_rooms(sorted(rooms) if len(rooms) <= MOST_ROOMS else ())
        except KeyRejected:
            raise
        except ApiError as failure:
            rooms = frozenset()
            self.doubt(f"room by room: {failure}")
        self._expected = self._reads.expected
        if not self._doubts and self._is_whole(rooms):
            doubts = "; ".join(self._reads.doubts)
            self.run.remark(f"{self.table.name} of {self.scope} was read room by room, since {doubts}.")
        else:
            self._doubts = list(dict.fromkeys([*self._reads.doubts, *self._doubts]))
        self._settle(self._newest)

    def _of_rooms(self, rooms: Iterable[str]) -> Iterator[Shaped]:
        for room_id in rooms:
            scope, start = Scope(self._experiment_id, room_id), self._window.start
            walk = self._walk_through(scope, Place(self.run.run_id, self.started, None, start, start, ordered=False))
            for stretch in walk:
                yield self._counted(stretch, walk, scope)
            self._compare(walk)
            self._newest = max(filter(None, [self._newest, walk.place.newest]), default=None)

    def _is_whole(self, rooms: Set[str]) -> bool:
        """Whether these rooms have all rows of the experiment, as its own rows and their number tell."""
        told = 0 < len(rooms) <= MOST_ROOMS and self._reads.rooms and self._reads.rooms <= rooms
        return bool(told) and self.came >= (self._expected or 0)

class InTheirRooms(WindowVisit):
    """A read of rows whose key says their room. Where a room is not sure, the rooms of that person are read one by one.

    Until then all rows of people in several rooms are held back: the order of rows that are alike tells their keys.
    Rows of nobody are loaded without a room.
    """

    def __init__(self, table: Table, scope: Scope, cursors: Cursors, scopes: Scopes) -> None:
        super().__init__(table, scope, cursors)
        self._scopes, self._experiment_id = scopes, scope.experiment_id
        self._by_time: list[Row] = []
        self._untold: list[Row] = []

    def rows(self) -> Iterator[Shaped]:
        """The rows, page by page, then those that were held back; a read goes on before the first of these."""
        for stretch in self._walk:
            yield self._sure_rows(stretch)
            if not stretch.is_last and self.run.slice_is_over:
                yield from self._held_back()
                self._keep_place()
                self._stop()
                return
            if not stretch.is_last and not self._by_time and not self._untold:
                self._keep_place()
        yield from self._held_back()
        self._end()

    def _sure_rows(self, stretch: Stretch) -> list[Row]:
        rows, _ = self._held(stretch)
        before = self.came
        shaped = self.shaped(rows)
        self._walk.discount(len(shaped) - (self.came - before))
        return shaped

    def _with_rooms(self, shaped: list[Row], room_ids: RoomIds) -> list[Row]:
        by_time, untold = ([shaped[row] for row in rows] for rows in room_ids.taken())
        nobodys = [row for row in untold if not row.get("participant_id")]
        if nobodys and room_ids.why_left_out():
            nobodys = []
        room_ids.count += len(nobodys)
        loaded = {id(row) for row in nobodys}
        untold = [row for row in untold if id(row) not in loaded]
        self._by_time += by_time
        self._untold += untold
        held = {id(row) for row in (*by_time, *untold)}
        return [row for row in shaped if id(row) not in held]

    def _held_back(self) -> Iterator[list[Row]]:
        """The rows of those whose room time tells for all of them; those of others from their rooms."""
        by_time, untold = self._by_time, self._untold
        self._by_time, self._untold = [], []
        people = {row.get("participant_id") for row in untold}
        sure = [row for row in by_time if row.get("participant_id") not in people]
        self.count(len(sure))
        yield sure
        passing = self._room_ids.why_left_out() if untold else None
        try:
            if untold and not passing:
                by_time = [row for row in by_time if row.get("participant_id") in people]
                yield from self._of_rooms(people, by_time, untold)
        except QuotaReached as stop:
            self.run.stopped, self.run.unfinished = self.run.stopped or stop, True
            passing = str(stop)
        if untold and passing:
            self.doubt(f"rows do not say their room, and {passing.rstrip('.')}; they are left out")

    def _of_rooms(self, people: Set[Any], by_time: list[Row], untold: list[Row]) -> Iterator[list[Row]]:
        """The rows of people, room by room, and behind them those that are in none of the rooms."""
        found, expected = Counter[str](), self._expected
        for room_id in sorted(self._rooms_of(people, untold)):
            scope, twins = Scope(self._experiment_id, room_id), Counter[str]()
            walk = self._walk_through(scope, Place(self.run.run_id, self.started, None, None, None, ordered=False))
            for stretch in walk:
                shaped = self.table.shaped(stretch.rows, scope, twins)
                rows = [row for row in shaped if row.get("participant_id") in people]
                found.update(map(self._told, rows))
                self.count(len(rows))
                yield rows
            self._compare(walk)
        self._expected = expected
        found.subtract(map(self._told, by_time))
        left = []
        for row in untold:
            found[self._told(row)] -= 1
            left += [row] if found[self._told(row)] < 0 else []
        self._room_ids.count += len(left)
        self.count(len(left))
        yield left

    def _told(self, row: Row) -> str:
        """What tells a row within its room."""
        return digest(row, [column_name(field) for field in self.table.data_type.identity if field != "roomId"])

    def _rooms_of(self, people: Set[Any], rows: Iterable[Row]) -> Set[str]:
        """The rooms that these people were in; all of the experiment where that is not known of everyone."""
        lists, client, rooms = self.run.room_lists, self.table.client, set[str]()
        try:
            known = lists.people(client, self._experiment_id)
            moments = [moment for moment in map(moment_of, rows) if moment]
            if max(moments, default=known.asked) > known.asked or any(len(known.stays(each)) < 2 for each in people):
                lists.forget(self._experiment_id)
                known = lists.people(client, self._experiment_id)
            rooms = {room for person in people for room in known.stays(person)}
            if UNNAMED not in rooms and all(known.stays(person) for person in people):
                return rooms
        except Unlisted:
            rooms = set()
        every = self._scopes.rooms_of(self._experiment_id)
        return every if len(every) <= MOST_ROOMS else rooms - {UNNAMED}
