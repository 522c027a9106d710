"""The lists of rooms and participants of a run: as its own tables are filled from them, or else asked for, once.

An experiment's rows wait until the lists that are read anyway are there; they are asked for only where they are not
read, and only if a row does not name its room.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, TypeVar

from hyperstudy_source.api.client import Client
from hyperstudy_source.data_types import DATA_TYPES, DataType
from hyperstudy_source.errors import ApiError, Forbidden, KeyRejected, NotFound, QuotaReached
from hyperstudy_source.sync.ledger import Status
from hyperstudy_source.sync.membership import People, Rooms
from hyperstudy_source.sync.scopes import ROOMS_PAGE, Scope
from hyperstudy_source.tables.fields import Row, column_name
from hyperstudy_source.tables.shaping import Shaper
from hyperstudy_source.tables.types import ColumnTypes

LISTS = ("rooms", "participants")
KEPT = tuple(column_name(name) for name in (
    "id", "participantId", "roomId", "joinedAt", "completedAt", "startTime", "createdAt", "endTime"))
"""The columns that matter here."""
Key = tuple[str, str]
"""(list, experiment)"""
Found = TypeVar("Found", Rooms, People)


class Unlisted(Exception):
    """There is no list; `passing`: the next run may get it."""

    def __init__(self, reason: str, *, passing: bool) -> None:
        super().__init__(reason)
        self.passing = passing


class RoomLists:
    """What a run knows of who was in which room. Safe to share between threads.

    `refusal` says why a data type is not to be asked for; those `forbidden` will not be served to the next run either.
    """

    def __init__(self, refusal: Callable[[str], str | None], forbidden: Set[str]) -> None:
        self._refusal, self._forbidden, self._lock = refusal, forbidden, threading.RLock()
        self._known: dict[Key, Rooms | People | Unlisted] = {}
        self._coming: dict[Key, tuple[datetime, list[Row]]] = {}
        self.begin_slice()

    def begin_slice(self) -> None:
        """Takes note that no list is being read yet."""
        self._readers: dict[str, tuple[str, ...]] = {}
        self._over: set[str] = set()

    @contextmanager
    def read_by(self, name: str, tables: tuple[str, ...]) -> Iterator[None]:
        """A resource reads its scopes inside the block."""
        self._readers[name] = tables
        try:
            yield
        finally:
            self._over.add(name)

    def reader(self, name: str) -> tuple[str, ...] | None:
        """The tables that a list is read for in this slice; none where that is over, None where it has not begun."""
        return () if name in self._over else self._readers.get(name)

    def is_known(self, name: str, experiment_id: str) -> bool:
        """Whether a list is there, or it is clear that there is none."""
        return (name, experiment_id) in self._known

    def observe(
        self, name: str, scope: Scope | None, started: datetime, rows: Sequence[Row], shaped: Sequence[Row]
    ) -> None:
        """Takes rows of a list, as they come and as its table has them, which a read that began then brings.

        Where a participant's row names no room, the table has a stand-in for it.
        """
        if name not in LISTS or scope is None or scope.room_id:
            return
        with self._lock:
            key = name, scope.experiment_id
            if key not in self._coming or self._coming[key][0] != started:
                self._coming[key] = started, []
            for row, each in zip(rows, shaped, strict=True):
                kept = {column: each.get(column) for column in KEPT}
                names_room = bool(row.get("roomId"))
                self._coming[key][1].append(kept if names_room else kept | {"room_id": None})

    def settle(self, name: str, scope: Scope, status: Status, *, whole: bool, final: bool) -> None:
        """Takes note of how the read of a list ended. `whole`: all of its rows were observed; `final`: none follows."""
        key = name, scope.experiment_id
        if name not in LISTS or scope.room_id or status in ("stopped", "quiet"):
            return
        with self._lock:
            started, rows = self._coming.pop(key, (None, []))
            if status in ("forbidden", "failed"):
                if final:
                    self._known[key] = Unlisted(f"the list of {name} {_SAID[status]}", passing=status == "failed")
            elif whole and started and (final or status == "complete"):
                self._known[key] = _made(name, rows, started, whole=status == "complete")

    def rooms(self, client: Client, experiment_id: str) -> Rooms:
        """The rooms of an experiment. Raises `Unlisted`."""
        return self._list(client, "rooms", experiment_id, Rooms)

    def people(self, client: Client, experiment_id: str) -> People:
        """The participants of an experiment. Raises `Unlisted`."""
        return self._list(client, "participants", experiment_id, People)

    def has_people(self, experiment_id: str) -> bool:
        """Whether all participants of an experiment are known by now."""
        known = self._known.get(("participants", experiment_id))
        return isinstance(known, People) and known.whole

    def first_joined(self, experiment_id: str, since: datetime) -> datetime | None:
        """When the first joined of those who were in rooms that began since then, as far as this run knows them."""
        with self._lock:
            rooms, people = (self._known.get((name, experiment_id)) for name in LISTS)
        if not isinstance(rooms, Rooms) or not isinstance(people, People):
            return None
        return people.first_joined(rooms.begun_since(since))

    def forget(self, experiment_id: str) -> None:
        """Lets the lists be asked for anew, unless they cannot be had."""
        with self._lock:
            for name in LISTS:
                if not isinstance(self._known.get((name, experiment_id)), Unlisted):
                    self._known.pop((name, experiment_id), None)

    def _list(self, client: Client, name: str, experiment_id: str, kind: type[Found]) -> Found:
        with self._lock:
            known = self._known.get((name, experiment_id))
            if known is None:
                known = self._known[name, experiment_id] = self._asked(client, name, experiment_id)
        if isinstance(known, kind):
            return known
        raise Unlisted(str(known), passing=isinstance(known, Unlisted) and known.passing)

    def _asked(self, client: Client, name: str, experiment_id: str) -> Rooms | People | Unlisted:
        """The list from the API. Without requests left there is none, and that is not remembered."""
        if reason := self._refusal(name):
            return Unlisted(f"the list of {name} cannot be read: {reason}", passing=name not in self._forbidden)
        data_type, started = DATA_TYPES[name], datetime.fromtimestamp(client.clock(), timezone.utc)
        path, params = Scope(experiment_id).endpoint(data_type)
        shaper = Shaper(name, data_type.fields, (), ColumnTypes({}))
        rows: list[Row] = []
        received, totals, doubted = 0, set[Any](), False
        try:
            for page in client.pages(path, params, limit=ROOMS_PAGE):
                received += len(page.rows)
                totals.add(page.total)
                doubted = doubted or bool(page.warnings) or page.stops_short
                rows += shaper.page(page.rows).rows()
        except QuotaReached:
            raise Unlisted(f"the list of {name} could not be asked for", passing=True) from None
        except (Forbidden, NotFound) as refusal:
            return Unlisted(f"the list of {name} cannot be read: {refusal}", passing=False)
        except KeyRejected:
            raise
        except ApiError as failure:
            return Unlisted(f"the list of {name} cannot be read: {failure}", passing=True)
        return _made(name, rows, started, whole=not doubted and _is_whole(data_type, received, totals))


_SAID = {"forbidden": "may not be read", "failed": "cannot be read"}


def _is_whole(data_type: DataType, received: int, totals: set[Any]) -> bool:
    total = max((each for each in totals if each is not None), default=0)
    return len(totals) == 1 and received >= total and not (data_type.most_rows and received >= data_type.most_rows)


def _made(name: str, rows: Sequence[Row], asked: datetime, *, whole: bool) -> Rooms | People:
    return Rooms(rows, asked, whole=whole) if name == "rooms" else People(rows, asked, whole=whole)
