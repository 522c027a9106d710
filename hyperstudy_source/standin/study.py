"""A synthetic study: what the stand-in serves.

Rows are kept as the API would send them. What scopes a row (its experiment, room and participant) stands
beside it as attributes, because some rows are served without those fields.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from hyperstudy_source.data_types import DATA_TYPES, ScopeKind
from hyperstudy_source.standin.files import Content

Scope = ScopeKind
Json = dict[str, Any]
Link = Literal["path", "download_url", "url"]
"""How a recording's row leads to its file: `downloadPath`, a signed `downloadUrl`, or a signed `url`."""


@dataclass(frozen=True)
class Table:
    """A data type as the stand-in serves it: path under `/data/`, permission, scopes and time field."""

    name: str
    path: str
    permission: str
    scopes: tuple[Scope, ...]
    time_field: str | None


SORTED_BY = {"recordings": "startTime", "agent_decisions": "timestamp"}
"""The order of rows, and what times filter on, where the data type has no cursor."""

TABLES: dict[str, Table] = {
    each.name: Table(
        each.name, each.path.removeprefix("/data/"), each.permission, each.scopes,
        each.cursor or SORTED_BY.get(each.name))
    for each in DATA_TYPES.values()
    if "experiment" in each.scopes and not each.derived_from
}
"""The data types of which a study holds rows."""


class Row(dict[str, Any]):
    """A stored row: the dict that is served, with the ids that scope it as attributes.

    Attributes:
        file: a recording's name in the storage, None where only its links tell.
    """

    __slots__ = ("experiment_id", "file", "participant_id", "room_id")

    def __init__(
        self, data: Json, experiment_id: str, room_id: str | None = None, participant_id: str | None = None
    ) -> None:
        """Copy the served fields and keep the ids beside them."""
        super().__init__(data)
        self.experiment_id = experiment_id
        self.room_id = room_id
        self.participant_id = participant_id
        self.file: str | None = None


def _no_rows() -> dict[str, dict[str, list[Row]]]:
    return {name: defaultdict(list) for name in TABLES}


@dataclass
class Study:
    """Everything one account can read. Every part may be changed at any time, also while it is served.

    Attributes:
        experiments: experiments in full detail; the list endpoint shows their summary fields.
        shared: experiments of other organisations, by the `X-Organization-Id` they are shared with.
        deployments: deployments; their sessions are the rooms that name them.
        personas: agent personas.
        rows: table name, then experiment id, then the rows as stored.
        variables: room id to `{"data": [...], "metadata": {...}}`.
        files: name in the storage to the bytes of a recording, or to a `Made` that stands for many.
        frozen: rows do not change any more, so selections are computed once; `add` ends it.
        lock: held while an answer is made and while a hook runs.
    """

    experiments: list[Json] = field(default_factory=list)
    shared: dict[str, list[Json]] = field(default_factory=dict)
    deployments: list[Json] = field(default_factory=list)
    personas: list[Json] = field(default_factory=list)
    rows: dict[str, dict[str, list[Row]]] = field(default_factory=_no_rows)
    variables: dict[str, Json] = field(default_factory=dict)
    files: dict[str, Content] = field(default_factory=dict)
    frozen: bool = field(default=False, compare=False)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)
    _selections: dict[object, list[Row]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def empty(cls, *experiment_ids: str) -> Study:
        """Make a study without rows: with these experiments, or entirely empty."""
        study = cls()
        for experiment_id in experiment_ids:
            study.add_experiment(experiment_id)
        return study

    def add_experiment(self, experiment_id: str, **fields: Any) -> Json:
        """Add an experiment; fields not given get plain values."""
        experiment: Json = {
            "id": experiment_id,
            "name": experiment_id,
            "description": None,
            "ownerEmail": "researcher@example.org",
            "ownerId": "user_owner",
            "roomCount": 0,
            "participantCount": 0,
            "createdAt": "2024-06-01T10:00:00.000Z",
            "updatedAt": "2024-06-01T10:00:00.000Z",
            "requiredParticipants": 2,
            "states": [],
            "roles": {},
            **fields,
        }
        self.experiments.append(experiment)
        return experiment

    def add(
        self,
        data_type: str,
        row: Json,
        *,
        experiment_id: str,
        room_id: str | None = None,
        participant_id: str | None = None,
    ) -> Row:
        """Store a row under a table name; the ids decide which scopes find it, the row is served as it is."""
        self.thaw()
        stored = Row(row, experiment_id, room_id, participant_id)
        self.rows[data_type][experiment_id].append(stored)
        return stored

    def add_room(
        self, room_id: str, *, experiment_id: str, participants: Sequence[str] = (), **fields: Any
    ) -> Row:
        """Add a completed room with participants; `fields` go over the room's. Recounts the experiment."""
        room = {
            "id": room_id,
            "experimentId": experiment_id,
            "deploymentId": None,
            "deploymentName": None,
            "status": "completed",
            "participantCount": len(participants),
            "createdAt": "2024-06-10T10:00:00.000Z",
            "startTime": "2024-06-10T10:00:00.000Z",
            "endTime": "2024-06-10T10:10:00.000Z",
            "duration": 600000,
            **fields,
        }
        stored = self.add("rooms", room, experiment_id=experiment_id, room_id=room_id)
        for participant_id in participants:
            self.add_participant(participant_id, experiment_id=experiment_id, room_id=room_id)
        self.recount(experiment_id)
        return stored

    def add_participant(self, participant_id: str, *, experiment_id: str, room_id: str, **fields: Any) -> Row:
        """Add a participant to a room."""
        participant = {
            "id": participant_id,
            "participantId": participant_id,
            "roomId": room_id,
            "name": participant_id,
            "email": None,
            "role": None,
            "status": "completed",
            "joinedAt": "2024-06-10T10:00:00.000Z",
            "completedAt": "2024-06-10T10:10:00.000Z",
            "completionCode": "SUCCESS",
            **fields,
        }
        scoped_by = {"experiment_id": experiment_id, "room_id": room_id, "participant_id": participant_id}
        return self.add("participants", participant, **scoped_by)

    def add_recording(
        self,
        row: Json,
        content: Content | None,
        *,
        experiment_id: str,
        room_id: str,
        participant_id: str | None = None,
        link: Link | None = "path",
    ) -> Row:
        """Add a recording and its file; the row gets `fileSize` and its link unless it has them.

        Args:
            row: as it is served; `path` needs its `recordingId` or `egressId`.
            content: of the file; None for no file, so that a link leads to a 404.
            experiment_id: of the room.
            room_id: where it was recorded.
            participant_id: who was recorded.
            link: `path` for `downloadPath` and an unsigned `url`, `download_url` for a signed `downloadUrl`
                and an unsigned `url`, `url` for a signed `url` alone, None for no way to the file.
        """
        recording_id = row.get("recordingId") or row.get("egressId")
        name = self._file_name(room_id, str(recording_id), str(row.get("format") or "bin"))
        added: Json = {}
        if content is not None:
            self.files[name] = content
            added["fileSize"] = len(content)
        if link is not None:
            added["url"] = name
        if link == "path":
            ids = "/".join(quote(each, safe="") for each in (room_id, str(recording_id)))
            added["downloadPath"] = f"/data/recordings/download/{ids}"
        if link == "download_url":
            added["downloadUrl"] = name
        stored = self.add(
            "recordings",
            row | {key: value for key, value in added.items() if key not in row},
            experiment_id=experiment_id,
            room_id=room_id,
            participant_id=participant_id,
        )
        stored.file = name if link is not None else None
        return stored

    def _file_name(self, room_id: str, recording_id: str, suffix: str) -> str:
        """Return a name in the storage that no other file has, and that is a plain path whatever the ids are."""
        room, stem, kind = (re.sub(r"[^\w-]", "_", each) for each in (room_id, recording_id, suffix))
        name = f"recordings/{room}/{stem}.{kind}"
        while name in self.files:
            stem += "_"
            name = f"recordings/{room}/{stem}.{kind}"
        return name

    def recount(self, experiment_id: str) -> None:
        """Set the experiment's `roomCount` and `participantCount` (people, not places) from its rows."""
        experiment = self.experiment(experiment_id)
        if experiment is not None:
            people = {row.participant_id for row in self.of("participants", experiment_id)}
            experiment["roomCount"] = len(self.of("rooms", experiment_id))
            experiment["participantCount"] = len(people)

    def of(self, data_type: str, experiment_id: str) -> list[Row]:
        """Return the rows of one table and experiment, as stored."""
        return self.rows[data_type].get(experiment_id, [])

    def experiment(self, experiment_id: str, organization: str | None = None) -> Json | None:
        """Return an experiment of this account, or one shared with the organisation."""
        readable = [*self.experiments, *self.shared.get(organization or "", [])]
        return next((each for each in readable if each["id"] == experiment_id), None)

    def room(self, room_id: str) -> Row | None:
        """Return a room by its id."""
        rooms = (row for rows in self.rows["rooms"].values() for row in rows)
        return next((row for row in rooms if row.room_id == room_id), None)

    def counts(self) -> dict[str, int]:
        """Return the number of rows in each table."""
        return {name: sum(map(len, by_experiment.values())) for name, by_experiment in self.rows.items()}

    def selection(self, key: object, select: Callable[[], list[Row]]) -> list[Row]:
        """Return `select()`, computed once per key while the study is frozen."""
        if not self.frozen:
            return select()
        if key not in self._selections:
            self._selections[key] = select()
        return self._selections[key]

    def thaw(self) -> None:
        """Let rows change again: forget the selections of a frozen study."""
        self.frozen = False
        self._selections.clear()
