"""One read of one data type in one scope: its requests, its doubts, and its row in the ledger.

An error of the API ends a visit and nothing else; only a key that the API does not accept ends a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

from hyperstudy_source.api.envelope import Page
from hyperstudy_source.errors import ApiError, HyperStudyError, KeyRejected, QuotaReached
from hyperstudy_source.sync.filling import Table
from hyperstudy_source.sync.ledger import SETTLED, LedgerRow, Status, status_of
from hyperstudy_source.sync.paging import Moved, OffsetPages, Params
from hyperstudy_source.sync.room_ids import RoomIds
from hyperstudy_source.sync.room_lists import LISTS
from hyperstudy_source.sync.scopes import EVERYWHERE, Scope, explained
from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.frames import Frame
from hyperstudy_source.tables.misfits import Misfit

GOES_ON = "the slice was over; the next one goes on from here"
CLOSED = "the resource was closed before all of its rows were taken, as add_limit does; the next run reads it again"


WITHOUT_ROOMS = "without_rooms"
"""Under this name the state of a resource has the scopes of which rows have no room, since no list told it."""


class NotAsked(HyperStudyError):
    """A data type is not asked for, since the API has refused it or failed before in this run."""


class Visit:
    """A read of a scope, or of all scopes at once where there is none. To be used in a `with` block."""

    def __init__(self, table: Table, scope: Scope | None = None) -> None:
        self.table, self.scope, self.run = table, scope, table.run
        self.started = self.run.now()
        self.status: Status | None = None
        """How it ended; None: not yet."""
        self.reason: str | None = None
        """Why, where it is not complete."""
        self.again = False
        """Whether another read of the scope may bring what is missing."""
        self.straddles = False
        """Whether rows of one id came in different answers, as they do when pages shift."""
        self.listed = table.freshness.mark(scope) if scope else None
        """What the list said of the experiment when the read began, as a digest."""
        self._doubts: list[str] = []
        self._pages = self._requests = self._received = self._left_out = self._distinct = 0
        self._expected: int | None = None
        self._totals: list[int] = []
        self._keys: set[int] = set()
        self._repeats: Counter[str] = Counter()
        """By id: how often more than once it came in one answer, where no shifting of pages can be the cause."""
        self._twins: Counter[str] = Counter()
        self._misfits: Counter[Misfit] = Counter()
        self._room_ids = RoomIds(table.run, table.client, table.data_type, scope, table.loaded)

    def __enter__(self) -> Visit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        name, run = self.table.name, self.run
        if isinstance(error, QuotaReached):
            run.stopped, run.unfinished = run.stopped or error, True
            self.close("stopped", str(error))
        elif isinstance(error, NotAsked):
            self.close("forbidden" if name in run.forbidden else "failed", str(error))
        elif isinstance(error, ApiError) and not isinstance(error, KeyRejected):
            run.answered(name, error)
            self.close(status_of(error), str(explained(error, self.table.data_type, self.scope)))
        elif isinstance(error, Moved):
            self._has_moved(error)
            self.close("incomplete")
        elif error is None:
            run.answered(name)
            self.close("incomplete" if self._doubts else "complete")
        else:
            if isinstance(error, GeneratorExit):
                self.close("stopped", CLOSED)
            return False
        return True

    def pages(self, params: Params | None = None, *, limit: int | None = None) -> Iterator[Page]:
        """The pages of the scope with only the rows that are in it."""
        path, place = self.endpoint(self.scope)
        for page in self.at(path, {**place, **(params or {})}, limit=limit):
            rows = self.in_scope(page.rows)
            yield page if len(rows) == len(page.rows) else replace(page, rows=rows)

    def at(self, path: str, params: Params | None = None, *, limit: int | None = None) -> Iterator[Page]:
        """The pages of any endpoint, counted, with their doubts noted. Raises `ApiError`, `NotAsked` and `Moved`."""
        has_key = bool(self.table.data_type.key)
        by_offset = OffsetPages(partial(self.page, path, limit), params or {}, has_key=has_key) if limit else None
        for page in by_offset or self._answers(path, params):
            self._received += len(page.rows)
            yield page

    def page(self, path: str, limit: int, params: Params, offset: int, mark: str) -> Page | None:
        """The page at an offset, behind one with that mark; None if that was the last."""
        return self._counted_page(self.table.client.pages(
            path, params, timeout=self.table.timeout, limit=limit, offset=offset, previous=mark))

    def endpoint(self, scope: Scope | None) -> tuple[str, dict[str, str]]:
        """Path and parameters of a scope."""
        if scope is None:
            raise TypeError(f"{self.table.name} has no scope to read")
        return scope.endpoint(self.table.data_type)

    def in_scope(self, rows: list[Row]) -> list[Row]:
        """The rows without those of a wider endpoint that are not in the scope."""
        scope, data_type = self.scope, self.table.data_type
        if scope is None or not scope.room_id:
            return rows
        if any(scope.cannot_place(data_type, row) for row in rows):
            self.doubt("the API does not say in which room rows are; they are left out")
        found = [row for row in rows if scope.holds(data_type, row)]
        self._left_out += len(rows) - len(found)
        return found

    def _answers(self, path: str, params: Params | None) -> Iterator[Page]:
        answers = self.table.client.pages(path, params, timeout=self.table.timeout)
        while page := self._counted_page(answers):
            yield page

    def _counted_page(self, answers: Iterator[Page]) -> Page | None:
        if refusal := self.run.refusal(self.table.name):
            raise NotAsked(refusal)
        before = self.table.client.sent_here
        try:
            page = next(answers, None)
        finally:
            self._requests += self.table.client.sent_here - before
        if page is None:
            return None
        self._pages += 1
        self._totals += [page.total] if page.total is not None else []
        self.run.repeats.note(self.table.data_type, page.repeats)
        for warning in page.warnings:
            self.doubt(f"the API warns, rows may be missing: {warning}")
        if page.stops_short:
            self.doubt("the API says that there is more, and gives none")
        return page

    def shaped(self, rows: Sequence[Row], scope: Scope | None = None) -> list[Row]:
        """Rows of the API as rows of the table, counted."""
        shaped = self._with_rooms(self._placed(rows, scope or self.scope).rows(), self._room_ids)
        if self.table.data_type.key:
            self._count_rows(shaped)
        else:
            self._distinct += len(shaped)
        return shaped

    def frame(self, rows: Sequence[Row], scope: Scope | None = None, turn: int | None = None) -> Frame:
        """The same as columns; from the row `turn` on, none is like one that came before."""
        frame = self._placed(rows, scope or self.scope, turn)
        left_out = self._without_room(self._room_ids)
        if left_out:
            turn = None if turn is None else turn - sum(row < turn for row in left_out)
            frame = frame.without(left_out)
        if not self.table.data_type.key:
            self._distinct += len(frame)
            return frame
        keys = list(zip(*(frame.values(column) for column in self._told_by), strict=True))
        self._count_keys(keys[:turn])
        if turn is not None:
            self._keys.clear()
            self._count_keys(keys[turn:])
        return frame

    def _count_rows(self, shaped: Sequence[Row]) -> None:
        """Counts rows of one answer by their keys."""
        self._count_keys([tuple(row.get(column) for column in self._told_by) for row in shaped])

    def _count_keys(self, keys: Sequence[tuple[Any, ...]]) -> None:
        hashes = list(map(hash, keys))
        here = set(hashes)
        if len(here) < len(hashes):
            for key, repeated in Counter(keys).items():
                if repeated > 1:
                    self._repeats[str(key[-1])] += repeated - 1
        known = here & self._keys
        self.straddles = self.straddles or bool(known)
        self._distinct += len(here) - len(known)
        self._keys |= here

    @property
    def _told_by(self) -> Sequence[str]:
        """The columns that tell rows with a key."""
        return self.table.data_type.key_columns

    def _placed(self, rows: Sequence[Row], scope: Scope | None, turn: int | None = None) -> Frame:
        """The rows with the rooms of those that do not name theirs, as far as they can be told."""
        room_ids, before = self._room_ids, self.table.client.sent_here
        frame = self.table.page(rows, scope, self._twins, room_ids.tell, turn)
        self._misfits.update(self.table.pages.misfits())
        if self.table.name in LISTS:
            self.run.room_lists.observe(self.table.name, self.scope, self.started, rows, frame.rows())
        room_ids.look_up(frame)
        self._requests += self.table.client.sent_here - before
        return frame

    def _without_room(self, room_ids: RoomIds) -> list[int]:
        """The rows that can only be loaded once their room is known: they would come under another key then."""
        _, untold = room_ids.taken()
        if untold and (reason := room_ids.why_left_out()):
            self.doubt(f"rows do not say their room, and {reason.rstrip('.')}; they are left out")
            self._left_out += len(untold)
            return untold
        room_ids.count += len(untold)
        return []

    def _with_rooms(self, shaped: list[Row], room_ids: RoomIds) -> list[Row]:
        left_out = set(self._without_room(room_ids))
        return [row for number, row in enumerate(shaped) if number not in left_out]

    @property
    def received(self) -> int:
        """Rows that came, repeated ones too."""
        return self._received

    @property
    def distinct(self) -> int:
        """Rows that came, each once."""
        return self._distinct

    @property
    def came(self) -> int:
        """Rows that the API counts as well: those of an id that one answer has twice are two."""
        return self._distinct + self._repeats.total()

    @property
    def totals(self) -> tuple[int, ...]:
        """The API's counts, answer by answer."""
        return tuple(self._totals)

    def count(self, rows: int) -> None:
        """Counts rows that another table shapes."""
        self._distinct += rows

    def doubt(self, reason: str, *, again: bool = False) -> None:
        """Takes a reason why rows may be missing; `again`: another read may bring them."""
        if reason not in self._doubts:
            self._doubts.append(reason)
        self.again = self.again or again

    def check_total(self, totals: Sequence[int] | None = None) -> None:
        """Compares what came with the API's counts, these or all, for a read of everything in a scope."""
        totals = self.totals if totals is None else totals
        if totals:
            self._expected, came = totals[-1], self.came + self._left_out
            if len(set(totals)) > 1:
                self.doubt("rows came or went while it was read", again=True)
            elif came < self._expected:
                self.doubt(f"{came:,} of {self._expected:,} rows came", again=True)

    def close(self, status: Status, reason: str | None = None) -> None:
        """Ends the visit: writes its row in the ledger, and notes a complete read."""
        if self.status:
            return
        self.status = status
        self._room_ids.remark()
        if status != "quiet":
            self.run.reads[self.table.name, self.scope or EVERYWHERE].misfits = self._misfits
        self._remark_repeats()
        if self.scope and self._room_ids.may_be_told_later:
            self.table.state.setdefault(WITHOUT_ROOMS, {})[self.scope.cursor_key] = True
        if self.scope and status == "complete" and not self._room_ids.passing:
            self._note_read(self.scope)
        self.reason = None if status in SETTLED else reason or "; ".join(self._doubts) or None
        for name in self.table.loaded:
            if name in self.run.extract.left and status != "quiet":
                self.run.record(self._ledger_row(name, "stopped", CLOSED))
            else:
                self.run.record(self._ledger_row(name, status, self.reason))

    def _remark_repeats(self) -> None:
        """Says in the run's report which ids came twice; not one that may name a person, as those within a room do."""
        if repeats := self._repeats.total():
            what = f"{self.table.name} of {self.scope}" if self.scope else self.table.name
            in_room = any("roomId" in part for part in self.table.data_type.key)
            such = "" if in_room else f", such as {next(iter(self._repeats))}"
            self.run.remark(f"{what}: {repeats:,} row{'s' if repeats > 1 else ''} came with the id of another{such}; "
                            "the table has one of each.")

    def _note_read(self, scope: Scope) -> None:
        for name in self.table.still_loaded:
            self.table.freshness.note_read(name, scope, self.started, self.listed)

    def _ledger_row(self, name: str, status: Status, reason: str | None) -> LedgerRow:
        return LedgerRow(
            name, self.scope, status, self.started, self.run.now(), self._expected, self._received, self._distinct,
            self._pages, self._requests, reason=reason)

    def _has_moved(self, _: Moved) -> None:
        """Takes note that what was read cannot be gone on with."""
        self.doubt("rows came or went while it was read", again=True)
