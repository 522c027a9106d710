"""A read of participants: one person may be in a room twice, and then both rows are kept.

The second has its number behind its id, as in `p1 (2)`. Which one that is must be the same in every run, so the rows
are held back until all have come: they are ordered by when the person joined, then by what else they say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from hyperstudy_source.errors import HyperStudyError
from hyperstudy_source.sync.cursors import FAR_FUTURE, Cursors
from hyperstudy_source.sync.filling import Table
from hyperstudy_source.sync.paging import Moved
from hyperstudy_source.sync.scopes import Scope
from hyperstudy_source.sync.window_reads import WindowVisit
from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.frames import Shaped
from hyperstudy_source.tables.values import digest

Stay = tuple[str, str]
"""(room, person)"""


class ParticipantsVisit(WindowVisit):
    """A read of the participants of a scope.

    Two rows of one answer that differ are two stays. In different answers they are two where the person joined at
    other times; else it may be one that changed, and took another place, while it was read.
    """

    def __init__(self, table: Table, scope: Scope, cursors: Cursors) -> None:
        super().__init__(table, scope, cursors)
        self._waiting: dict[Stay, dict[datetime, dict[str, Row]]] = {}
        """The rows by what they say, for every time at which somebody joined a room."""
        self._handed_on = set(self._twins)

    def rows(self) -> Iterator[Shaped]:
        """All rows once they have come, or those that have come where that is broken off."""
        try:
            for stretch in self._walk:
                rows, _ = self._held(stretch)
                before = self.came
                self._walk.discount(len(self.shaped(rows)) - (self.came - before))
        except (HyperStudyError, Moved) as stop:
            if self._waiting:
                yield from self._pages_of_rows()
                if not isinstance(stop, Moved):
                    self._keep_place()
            raise
        yield from self._pages_of_rows()
        self._end()

    def _pages_of_rows(self) -> Iterator[list[Row]]:
        rows, size = self._told_apart(), self.table.page_size
        for first in range(0, len(rows), size):
            yield rows[first:first + size]

    def _count_rows(self, shaped: Sequence[Row]) -> None:
        """Counts the rows of one answer, and holds them. Raises `Moved` where the other row may be handed on by now."""
        here: dict[Stay, dict[datetime, dict[str, Row]]] = {}
        for row in shaped:
            stay, told = (str(row["room_id"]), str(row["id"])), digest(row)
            mark = "stay " + digest({"stay": list(stay)})
            if mark in self._handed_on:
                self.doubt("one person is twice in a room, and an earlier run has read the other row only", again=True)
                raise Moved
            self._twins[mark] = 1
            joined = row.get("joined_at") or FAR_FUTURE
            alike = here.setdefault(stay, {}).setdefault(joined, {})
            if told in alike:
                self._repeats[stay[1]] += 1
            elif joined not in self._waiting.get(stay, ()):
                self._distinct += 1
            else:
                self.straddles = True
            alike[told] = row
        for stay, by_time in here.items():
            self._waiting.setdefault(stay, {}).update(by_time)

    def _told_apart(self) -> list[Row]:
        """The rows that are held, with the numbers of those that are not the first of their person in a room."""
        rows: list[Row] = []
        twice = Counter[str]()
        for (room, person), by_time in self._waiting.items():
            stays = [alike[told] for _, alike in sorted(by_time.items()) for told in sorted(alike)]
            twice[room] += len(stays) > 1
            number = 1
            for row in stays[1:]:
                number += 1
                while (room, f"{person} ({number})") in self._waiting:
                    number += 1
                row["id"] = f"{person} ({number})"
            rows += stays
        for room, people in twice.items():
            if people:
                said = "1 person is" if people == 1 else f"{people:,} people are"
                self.run.remark(f"participants: {said} twice in room {room}")
        return rows
