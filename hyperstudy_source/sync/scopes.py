"""What a run reads: every experiment that the key can see, some of them, or rooms or participants within them.

The truth about who may see what is `GET /experiments` and, with an organisation, `GET /experiments/shared`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from urllib.parse import quote

from hyperstudy_source.api.client import Client
from hyperstudy_source.api.json_objects import Repeat
from hyperstudy_source.data_types import DATA_TYPES, DataType, ScopeKind
from hyperstudy_source.errors import ApiError, Forbidden, NotFound, SettingError
from hyperstudy_source.tables.fields import Row

EXPERIMENTS_PAGE = 50
"""Rows of a page of `GET /experiments`: its default, and the only size known to be accepted."""


READS = 3
"""How often what changes while it is read is read before what is still missing is called missing."""
ROOMS_PAGE = 1000
"""Rows of a page of `GET /data/rooms`: its default."""
NO_ROOM = "Room {!r} is in no experiment that the key can read. Check the id, or name its experiment too."


@dataclass(frozen=True)
class Scope:
    """One experiment, one room, or one participant in one room."""

    experiment_id: str
    room_id: str | None = None
    participant_id: str | None = None

    @property
    def cursor_key(self) -> str:
        """Under which name cursors of this scope are kept: an experiment's own id, else room or participant."""
        if self.participant_id:
            return f"participant:{self.participant_id}@{self.room_id}"
        return f"room:{self.room_id}" if self.room_id else self.experiment_id

    def endpoint(self, data_type: DataType) -> tuple[str, dict[str, str]]:
        """Path and parameters of the narrowest endpoint of a data type that holds this scope."""
        kind = self._kind_for(data_type)
        params = {"roomId": str(self.room_id)} if kind == "participant" else {}
        scope_id = {"experiment": self.experiment_id, "room": self.room_id, "participant": self.participant_id}[kind]
        return f"{data_type.path}/{kind}/{quote(str(scope_id), safe='')}", params

    def holds(self, data_type: DataType, row: Row) -> bool:
        """Whether a row is in this scope: to be asked where the endpoint reads a wider one."""
        kind = self._kind_for(data_type)
        person = str(row.get("participantId") or row.get("id"))
        has_person = self.participant_id and kind != "participant" and "participantId" in data_type.fields
        if has_person and person != self.participant_id:
            return False
        room = str(row.get("id" if data_type.name == "rooms" else "roomId"))
        return not self.room_id or kind != "experiment" or room == self.room_id

    def cannot_place(self, data_type: DataType, row: Row) -> bool:
        """Whether a row of a wider endpoint does not say if it is in this scope's room."""
        wider = self.room_id and self._kind_for(data_type) == "experiment" and "roomId" in data_type.fields
        return bool(wider) and not row.get("roomId")

    def _kind_for(self, data_type: DataType) -> ScopeKind:
        if self.participant_id and "participant" in data_type.scopes:
            return "participant"
        return "room" if self.room_id and "room" in data_type.scopes else "experiment"

    def __str__(self) -> str:
        if self.participant_id:
            return f"participant {self.participant_id} in room {self.room_id}"
        return f"room {self.room_id}" if self.room_id else f"experiment {self.experiment_id}"


EVERYWHERE = Scope("")
"""Stands for all experiments at once, where an endpoint serves no narrower scope."""


@dataclass
class Scopes:
    """The scopes of one run, found out when first needed and then kept. Safe to share between threads."""

    client: Client
    experiment_ids: Sequence[str] = ()
    room_ids: Sequence[str] = ()
    participants: Sequence[tuple[str, str]] = ()
    """(participant id, room id)"""
    doubts: list[str] = field(default_factory=list)
    """Why experiments may be missing from the list, or from what was asked for."""
    is_whole: bool = True
    """Whether the list has as many experiments as it says."""
    repeats: list[tuple[Row, Repeat]] = field(default_factory=list)
    """Experiments of the list that have a name twice."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _listed: list[Row] | None = field(default=None, repr=False)
    _scopes: list[Scope] | None = field(default=None, repr=False)
    _rooms: dict[str, Set[str]] = field(default_factory=dict, repr=False)
    _doubtful: set[str] = field(default_factory=set, repr=False)
    """Experiments that may have more rooms than those found."""
    _given: Sequence[str] | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Scope]:
        with self.lock:
            if self._scopes is None:
                self._scopes = list(dict.fromkeys(self._found()))
        return iter(self._scopes)

    @property
    def is_chosen(self) -> bool:
        """Whether what was asked for has been looked up."""
        return self._given is not None

    def set_chosen(self, experiment_ids: Sequence[str]) -> None:
        """Takes the ids of the experiments that were asked for, maybe by their names."""
        self._given, self.experiment_ids = self.experiment_ids, tuple(dict.fromkeys(experiment_ids))

    def forget(self) -> None:
        """Lets the scopes be found anew."""
        with self.lock:
            self.experiment_ids, self._given = self._given or self.experiment_ids, None
            self._listed = self._scopes = None
            self._rooms.clear()
            self._doubtful.clear()
            self.doubts.clear()
            self.repeats.clear()

    @property
    def named(self) -> bool:
        """Whether something was asked for by its id; else a run reads all that the key can."""
        return bool(self.experiment_ids or self.room_ids or self.participants)

    @property
    def is_narrowed(self) -> bool:
        """Whether only rooms or participants of experiments are read."""
        return bool(self.room_ids or self.participants)

    def experiments(self) -> list[str]:
        """Ids of the experiments that the scopes are in."""
        return list(dict.fromkeys(scope.experiment_id for scope in self))

    @property
    def listed(self) -> list[Row]:
        """The rows of `GET /experiments` and, with an organisation, `GET /experiments/shared`; no id twice."""
        with self.lock:
            if self._listed is None:
                paths = ["/experiments"] + (["/experiments/shared"] if self.client.organization_id else [])
                try:
                    self._listed = list({str(row["id"]): row for path in paths for row in self._list(path)}.values())
                except ApiError as error:
                    raise explained(error, DATA_TYPES["experiments"], None) from None
        return self._listed

    def _list(self, path: str) -> list[Row]:
        """The rows of a list of experiments; read again where it changed meanwhile, and doubted where it is short."""
        for _ in range(READS):
            found: dict[str, Row] = {}
            totals, doubts = [], []
            for page in self.client.pages(path, limit=EXPERIMENTS_PAGE):
                found.update({str(row["id"]): row for row in page.rows if row.get("id")})
                totals += [page.total] if page.total is not None else []
                doubts += page.warnings
                self.repeats += page.repeats
            if len(set(totals)) > 1 or (totals and len(found) < totals[-1]):
                doubts.append(f"{len(found):,} of {totals[-1]:,} experiments came")
            self.is_whole = self.is_whole and bool(totals) and not doubts
            if not doubts:
                return list(found.values())
        self.doubts += [f"{path}: experiments may be missing: {doubt}." for doubt in doubts]
        return list(found.values())

    @property
    def summaries(self) -> Mapping[str, Row]:
        """By id, the rows of the list; none where something was asked for and no list was needed to find it."""
        if self.named and self._listed is None:
            return {}
        return {str(row["id"]): row for row in self.listed}

    def _found(self) -> Iterator[Scope]:
        for room_id in self.room_ids:
            yield Scope(self._experiment_of(room_id), room_id)
        for participant_id, room_id in self.participants:
            yield Scope(self._experiment_of(room_id), room_id, participant_id)
        if not self.is_narrowed:
            for experiment_id in self.experiment_ids or [str(row["id"]) for row in self.listed]:
                yield Scope(experiment_id)

    def _experiment_of(self, room_id: str) -> str:
        """The experiment that a room belongs to: the only one asked for, what its events say, or the lists of rooms."""
        if len(self.experiment_ids) == 1:
            return self.experiment_ids[0]
        try:
            events = self.client.get(f"/data/events/room/{quote(room_id, safe='')}", {"limit": 1})
        except Forbidden:
            events = None
        except NotFound:
            self._require_people_in(room_id)
            events = None
        named = [row["experimentId"] for row in (events.rows if events else []) if row.get("experimentId")]
        if named and (not self.experiment_ids or named[0] in self.experiment_ids):
            return str(named[0])
        for experiment_id in self.experiment_ids or [str(row["id"]) for row in self.listed]:
            if room_id in self.rooms_of(experiment_id):
                return experiment_id
        raise SettingError(NO_ROOM.format(room_id))

    def _require_people_in(self, room_id: str) -> None:
        """Raises `SettingError` for a room that has no people either, lest all lists of rooms are searched for it."""
        try:
            self.client.get(f"/data/participants/room/{quote(room_id, safe='')}", {"limit": 1})
        except NotFound:
            raise SettingError(NO_ROOM.format(room_id)) from None
        except Forbidden:
            return

    def rooms_of(self, experiment_id: str) -> Set[str]:
        """Ids of an experiment's rooms, asked for once; none where the key may not see them."""
        with self.lock:
            if experiment_id not in self._rooms:
                self._rooms[experiment_id] = self._found_rooms(experiment_id)
        return self._rooms[experiment_id]

    def may_have_more_rooms(self, experiment_id: str) -> bool:
        """Whether the API left a doubt about the rooms that it gave, or the list of experiments counts more."""
        rooms = self.rooms_of(experiment_id)
        return experiment_id in self._doubtful or (self.counted_rooms(experiment_id) or 0) > len(rooms)

    def counted_rooms(self, experiment_id: str) -> int | None:
        """How many rooms an experiment has by the list of experiments; None where that does not say it."""
        return whole_number(self.summaries.get(experiment_id, {}).get("roomCount"))

    def _found_rooms(self, experiment_id: str) -> Set[str]:
        path, found, total = f"/data/rooms/experiment/{quote(experiment_id, safe='')}", set[str](), 0
        try:
            for page in self.client.pages(path, limit=ROOMS_PAGE):
                found.update(str(row.get("id")) for row in page.rows)
                total = page.total or total
                if page.warnings or page.stops_short:
                    self._doubtful.add(experiment_id)
        except (Forbidden, NotFound):
            return set()
        if total > len(found):
            self._doubtful.add(experiment_id)
        return found


def whole_number(value: object) -> int | None:
    """A count of the API, which may come as 3, 3.0 or "3"; None where it is none."""
    text = str(value).removesuffix(".0")
    return int(text) if text.isdecimal() else None


def explained(error: ApiError, data_type: DataType, scope: Scope | None) -> ApiError:
    """The same error with a text that names data type, scope, and what to set."""
    what = f"{data_type.name} of {scope}" if scope else data_type.name
    if isinstance(error, Forbidden):
        needed = ", ".join(error.required) or data_type.permission
        text = (f"No access to {what}: {error} The key needs the permission {needed}, and its user must be allowed "
                "to view and export the experiment. Give the key the permission, or leave the data type or the "
                "experiment out.")
    elif isinstance(error, NotFound):
        text = (f"There is no {scope or data_type.name} that the key can see. {error} Check the id; "
                "data of another organisation needs organization_id.")
    else:
        return error
    error.args = (text,)
    return error
