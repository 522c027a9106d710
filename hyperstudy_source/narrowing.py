"""A visit of an experiment room by room, where what the API gives for all of it leaves a doubt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from hyperstudy_source.cursors import Cursors
from hyperstudy_source.data_types import DataType
from hyperstudy_source.errors import ApiError, KeyRejected
from hyperstudy_source.fields import Row
from hyperstudy_source.places import Place
from hyperstudy_source.scopes import Scope, Scopes
from hyperstudy_source.visits import Table
from hyperstudy_source.window_visits import WindowVisit

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

    def __init__(self, table: Table, scope: Scope, cursors: Cursors, scopes: Scopes) -> None:
        super().__init__(table, scope, cursors)
        self._scopes, self._experiment_id, self._newest = scopes, scope.experiment_id, cursors.newest

    def rows(self) -> Iterator[list[Row]]:
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

    def _of_rooms(self, rooms: Iterable[str]) -> Iterator[list[Row]]:
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
        return bool(told) and self.distinct >= (self._expected or 0)

    def _forget_rows(self) -> None:
        """Forgets nothing: two rooms can have rows that are alike."""
