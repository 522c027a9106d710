"""The rooms of one visit's rows that do not name theirs: as the lists tell them, or as the destination knows them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime

import pyarrow as pa

from hyperstudy_source.api.client import Client
from hyperstudy_source.data_types import DataType
from hyperstudy_source.sync.membership import TIMES, People, Rooms
from hyperstudy_source.sync.room_lists import LISTS, Unlisted
from hyperstudy_source.sync.run import Run
from hyperstudy_source.sync.scopes import EVERYWHERE, Scope
from hyperstudy_source.tables.frames import Frame


def may_lack_rooms(data_type: DataType, scope: Scope | None) -> bool:
    """Whether rows may not say in which room they are, and what is asked for does not say it either."""
    of_rooms = "roomId" in data_type.fields and "experiment" in data_type.scopes and data_type.name not in LISTS
    return bool(scope and not scope.room_id and of_rooms)


class RoomIds:
    """Tells the rooms of one visit's rows. `tables`: where they go."""

    def __init__(
        self, run: Run, client: Client, data_type: DataType, scope: Scope | None, tables: Sequence[str]
    ) -> None:
        self._run, self._client, self._data_type, self._tables = run, client, data_type, tables
        self._scope, self._apply = scope or EVERYWHERE, may_lack_rooms(data_type, scope)
        self.by_time: list[int] = []
        """Rows of the last page whose room their time told."""
        self.untold: list[int] = []
        """Rows of the last page whose room is not known."""
        self.count = 0
        """How many of the latter were loaded."""
        self.passing: str | None = None
        """Why the lists are not there, if the next run may get them."""
        self._lacking = ""

    @property
    def in_key(self) -> bool:
        """Whether the key of a row says its room."""
        data_type = self._data_type
        return "roomId" in data_type.identity or any("roomId" in part for part in data_type.key)

    def why_left_out(self) -> str | None:
        """Why rows whose key needs their room are not loaded without it: they may come, or came, under another key."""
        known = self._run.extract.known_rooms
        if not self.in_key or self.passing or not self._lacking:
            return self.passing if self.in_key else None
        return self._lacking if known.are_there(self._tables, self._scope.experiment_id) else None

    def tell(self, frame: Frame) -> None:
        """Fills in the rooms of a page's rows that do not name theirs, where one is the only one possible."""
        self.by_time, self.untold = [], []
        rooms = frame.values("room_id") if self._apply else []
        lacking = [row for row, room in enumerate(rooms) if not room]
        if not lacking:
            return
        people, moments = frame.values("participant_id"), frame.moments(TIMES)
        only = self._only_rooms({people[row] for row in lacking}, max(filter(None, moments), default=None))
        for row in lacking:
            rooms[row] = only.get(people[row]) or self._told(row, people[row], moments[row])
        frame.columns["room_id",] = pa.array(rooms, pa.string())

    def _only_rooms(self, people: Set[str | None], latest: datetime | None) -> dict[str | None, str]:
        """The rooms of those who were in no other until the latest time."""
        found: dict[str | None, str] = {}
        try:
            for person in filter(None, people):
                if room := self._people().only_room(person, latest):
                    found[person] = room
        except Unlisted as lack:
            self._note(lack)
        return found

    def _told(self, row: int, person: str | None, moment: datetime | None) -> str | None:
        room = None
        try:
            room = self._room_of(row, person, moment)
        except Unlisted as lack:
            self._note(lack)
        if room is None:
            self.untold.append(row)
        return room

    def _room_of(self, row: int, person: str | None, moment: datetime | None) -> str | None:
        if not person:
            return self._rooms().open_at(moment) if moment else None
        people = self._people()
        if room := people.only_room(person, moment):
            return room
        if room := people.room_at(person, moment, self._rooms):
            self.by_time.append(row)
        return room

    def _people(self) -> People:
        return self._run.room_lists.people(self._client, self._scope.experiment_id)

    def _rooms(self) -> Rooms:
        return self._run.room_lists.rooms(self._client, self._scope.experiment_id)

    def _note(self, lack: Unlisted) -> None:
        self._lacking = str(lack)
        self.passing = self._lacking if lack.passing else self.passing

    def look_up(self, frame: Frame) -> None:
        """Takes the rooms that the destination knows of rows whose room is not told, unless their key needs it."""
        if not self.untold or self.in_key:
            return
        column = self._data_type.key_columns[-1]
        keys, rooms = frame.values(column), frame.values("room_id")
        known = self._run.extract.known_rooms.of(
            self._tables, column, self._scope.experiment_id, [str(keys[row]) for row in self.untold])
        for row in self.untold:
            rooms[row] = known.get(str(keys[row]))
        frame.columns["room_id",] = pa.array(rooms, pa.string())
        self.untold = [row for row in self.untold if not rooms[row]]

    def taken(self) -> tuple[list[int], list[int]]:
        """The rows `by_time` and `untold` of the last page."""
        taken = self.by_time, self.untold
        self.by_time, self.untold = [], []
        return taken

    @property
    def may_be_told_later(self) -> bool:
        """Whether rows were loaded without a room for want of a list."""
        return bool(self.count and self._lacking)

    def remark(self) -> None:
        """Says in the run's report how many rooms are not known, in place of what an earlier read has said."""
        if not self._apply:
            return
        run, reads = self._run, self._run.reads[self._data_type.name, self._scope]
        if reads.remark in run.remarks:
            run.remarks.remove(reads.remark)
        reads.remark = None
        if self.count:
            rows = f"{self.count:,} row{'s' if self.count > 1 else ''} of {self._data_type.name} of {self._scope}"
            says = "name no room, and theirs" if self.count > 1 else "names no room, and its room"
            since = f", since {self._lacking.rstrip('.')}" if self._lacking else ""
            value = "empty" if any("roomId" in part for part in self._data_type.key) else "NULL"
            reads.remark = (f"{rows} {says} cannot be told{since}; {'their' if self.count > 1 else 'its'} room_id is "
                            f"{value}.")
            run.remark(reads.remark)
