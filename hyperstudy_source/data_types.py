"""The table of data types: what the HyperStudy V3 API serves, and what each becomes in the database.

Start reading here: resources, columns, documentation, the command's choices and the tests all derive from
`DATA_TYPES`. A row states facts of the API; an endpoint of another shape is a named function in `endpoints`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hyperstudy_source.tables.fields import (
    ANY,
    CONFIGURATION,
    COUNT,
    FLAG,
    FREE,
    MOSTLY_TEXT,
    NUMBER,
    TEXT,
    TIME,
    Field,
    ListOf,
    MapOf,
    Object,
    column_name,
)

__all__ = ["DATA_TYPES", "DEFAULT_DATA_TYPES", "RECORDING_FILES", "SYNC_LEDGER", "TABLES", "DataType", "ScopeKind"]

ScopeKind = Literal["experiment", "room", "participant"]

EVERY_SCOPE: tuple[ScopeKind, ...] = ("experiment", "room", "participant")

PLACE_FIELDS = frozenset({"experimentId", "roomId"})
"""Where a row is from; what was asked for says it too."""

BEFORE_EVENTS = 24.0
"""h before their room for which people may have consented and been instructed."""

Alternatives = tuple[str, ...]
"""API fields of which the first that is present counts."""


@dataclass(frozen=True)
class DataType:
    """One table: where it is read, what identifies a row, which time moves its cursor, which fields it has.

    Raises `ValueError` where a row of the table contradicts itself.
    """

    name: str
    description: str
    path: str
    """Below the base URL; data endpoints end in `/{scope}/{scope id}`."""
    permission: str
    """The scope that the API key needs."""
    fields: Mapping[str, Field]
    scopes: tuple[ScopeKind, ...] = ()
    """Which scopes the endpoint serves; empty for endpoints outside `/data`."""
    key: tuple[Alternatives, ...] = ()
    """What identifies a row within its experiment. Empty: the API gives no key, see `identity`."""
    identity: Alternatives = ()
    """Without a key: the fields that tell a row from others while the rest changes. Empty: all documented ones."""
    key_where_present: str | None = None
    """Without a guaranteed key: the field that is the key in the rows that have it."""
    most_rows: int | None = None
    """How many rows the API gives of one scope at most, whatever there are."""
    cursor: str | None = None
    """The time that `startTime` and `endTime` filter on and that orders the rows. None: always read whole."""
    before_room_hours: float = 1.0
    """How many h before its room began a row may be from: it is served only once there is a room."""
    derived_from: str | None = None
    """The data type whose rows this one is a part of; it costs no request."""
    selected: bool = True
    """False: loaded only where it is asked for."""
    of_experiment: bool = True
    """Whether a row belongs to one experiment and so has `experiment_id`."""
    timeout: float | None = None
    """How long an answer may take, in s; None: as long as most."""

    def __post_init__(self) -> None:
        if self.cursor and self.cursor not in self.fields:
            raise ValueError(f"{self.name}: the cursor {self.cursor!r} is not one of its fields")
        if self.key and (self.identity or self.key_where_present):
            raise ValueError(f"{self.name}: a row with a key needs no identity")
        named = [name for part in self.key for name in part] + list(self.identity)
        for name in [*named, *filter(None, [self.key_where_present])]:
            if name not in self.fields:
                raise ValueError(f"{self.name}: the key field {name!r} is not one of its fields")

    @property
    def told_by(self) -> Alternatives:
        """Without a key: the documented fields of which `row_key` is the digest.

        Not those that say where the row is from: whether a row holds them may differ from one scope to another.
        """
        return self.identity or tuple(name for name in self.fields if name not in PLACE_FIELDS)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The primary key of the table."""
        scope = ("experiment_id",) if self.of_experiment else ()
        if self.key:
            return (*scope, *(column_name(part[0]) for part in self.key))
        room = ("room_id",) if self.scopes == ("room",) else ()
        return (*scope, *room, "row_key")

    @property
    def added_columns(self) -> dict[str, str]:
        """The columns that no field of the API fills, with their dlt data types."""
        added = {"experiment_id": "text"} if self.of_experiment else {}
        if not self.key:
            added["row_key"] = "text"
        if "onset" in self.fields:
            added["onset_sec"] = "double"
        return added


PLACE: dict[str, Field] = {"experimentId": TEXT, "roomId": TEXT, "participantId": TEXT}
TIMED: dict[str, Field] = {"timestamp": TIME, "onset": NUMBER}

EVENT: dict[str, Field] = {
    "id": TEXT, **PLACE, "participantRole": TEXT, "sessionId": TEXT, **TIMED, "sessionTime": NUMBER,
    "category": TEXT, "eventType": TEXT, "componentId": TEXT, "componentType": TEXT, "stateId": TEXT,
    "stateName": TEXT, "content": MOSTLY_TEXT, "response": ANY, "value": ANY, "data": FREE, "context": FREE,
    "metadata": FREE,
}

RATING: dict[str, Field] = {
    "ratingId": TEXT, **PLACE, "componentId": TEXT, **TIMED, "rawOnset": NUMBER, "clockOffsetApplied": NUMBER,
    "value": NUMBER, "rawValue": NUMBER, "scale": Object({"min": NUMBER, "max": NUMBER}), "type": TEXT,
    "stateId": TEXT, "stimulusId": TEXT, "stimulusTime": NUMBER, "responseTime": NUMBER, "confidence": NUMBER,
    "labels": ANY,
    "metadata": Object({"question": TEXT, "dimension": TEXT, "componentType": TEXT, "sampleIndex": COUNT}),
    "ratingEndOnset": NUMBER, "stateStartTime": TIME, "stateDuration": NUMBER,
}

SPARSE_RATING: dict[str, Field] = {
    **RATING,
    "sparseRatingData": Object({
        "videoId": TEXT, "pauseIndex": COUNT, "videoRelativeTime": NUMBER, "pauseTimestamp": NUMBER,
        "componentType": TEXT, "componentData": ANY, "previousRatings": MapOf(NUMBER),
        "mediaPauseOnset": NUMBER, "mediaResumeOnset": NUMBER, "actualPauseDuration": NUMBER,
    }),
}

EXPERIMENT: dict[str, Field] = {
    "id": TEXT, "name": TEXT, "description": TEXT, "ownerEmail": TEXT, "ownerId": TEXT, "roomCount": COUNT,
    "participantCount": COUNT, "createdAt": TIME, "updatedAt": TIME, "requiredParticipants": COUNT,
    "states": ListOf(Object({
        "id": TEXT, "name": TEXT, "order": COUNT,
        "focusComponent": Object({"type": TEXT, "config": CONFIGURATION}),
        "transitionRules": Object({"type": TEXT, "durationMs": NUMBER}),
        "globalComponentsVisibility": MapOf(ANY),
    })),
    "roles": MapOf(Object({"name": TEXT, "participantCount": COUNT, "mode": TEXT, "personaId": TEXT})),
    "globalComponents": MapOf(CONFIGURATION), "variables": MapOf(ANY), "instructionsPages": ListOf(FREE),
    "postExperimentQuestionnaire": Object({"enabled": FLAG, "questions": ListOf(FREE)}),
    "waitingRoomConfig": Object({"maxWaitTimeMs": NUMBER, "countdownTimeMs": NUMBER}),
    "disconnectTimeout": Object({"enabled": FLAG, "durationMs": NUMBER, "autoReconnectDelay": NUMBER}),
}

_ALL = (
    DataType(
        "experiments", "Experiments, with their states, roles and variables", "/experiments", "read:experiments",
        EXPERIMENT, key=(("id",),),
    ),
    DataType(
        "deployments", "Deployments of an experiment", "/deployments", "read:experiments",
        {"id": TEXT, "experimentId": TEXT, "name": TEXT, "status": TEXT, "ownerId": TEXT, "ownerName": TEXT,
         "participantCount": COUNT, "maxParticipants": COUNT, "createdAt": TIME, "updatedAt": TIME},
        key=(("id",),),
    ),
    DataType(
        "sessions", "The sessions of each deployment: its rooms", "/deployments/{id}/sessions",
        "read:experiments",
        {"id": TEXT, "experimentId": TEXT, "deploymentId": TEXT, "status": TEXT, "participantCount": COUNT,
         "createdAt": TIME},
        key=(("deploymentId",), ("id",)),
    ),
    DataType(
        "rooms", "Rooms: one run of an experiment by its participants", "/data/rooms", "read:events",
        {"id": TEXT, "experimentId": TEXT, "deploymentId": TEXT, "deploymentName": TEXT, "status": TEXT,
         "participantCount": COUNT, "createdAt": TIME, "startTime": TIME, "endTime": TIME, "duration": NUMBER},
        scopes=("experiment",), key=(("id",),), most_rows=5000,
    ),
    DataType(
        "participants", "Participants, once for every room they were in", "/data/participants",
        "read:events",
        {"id": TEXT, **PLACE, "email": TEXT, "name": TEXT, "role": TEXT, "status": TEXT, "joinedAt": TIME,
         "completedAt": TIME, "completionCode": TEXT, "deploymentId": TEXT, "prolificPid": TEXT},
        scopes=("experiment", "room"), key=(("roomId",), ("id", "participantId")),
    ),
    DataType(
        "events", "Everything that happened: components, states, media, system", "/data/events", "read:events",
        EVENT, scopes=EVERY_SCOPE, key=(("id",),), cursor="timestamp", before_room_hours=BEFORE_EVENTS,
    ),
    DataType(
        "questionnaire", "Events of category `questionnaire`", "/data/events", "read:events", EVENT,
        scopes=EVERY_SCOPE, key=(("id",),), cursor="timestamp", derived_from="events",
        before_room_hours=BEFORE_EVENTS,
    ),
    DataType(
        "instructions", "Events of the instruction pages before the experiment", "/data/events", "read:events",
        EVENT, scopes=EVERY_SCOPE, key=(("id",),), cursor="timestamp", derived_from="events",
        before_room_hours=BEFORE_EVENTS,
    ),
    DataType(
        "consent", "Events of the consent form before the experiment", "/data/events", "read:events", EVENT,
        scopes=EVERY_SCOPE, key=(("id",),), cursor="timestamp", derived_from="events",
        before_room_hours=BEFORE_EVENTS,
    ),
    DataType(
        "recordings", "Video and audio recordings: what is known of each file", "/data/recordings",
        "read:recordings",
        {"recordingId": TEXT, "egressId": TEXT, **PLACE, "participantName": TEXT, "startTime": TIME,
         "endTime": TIME, "duration": NUMBER, "videoOffset": NUMBER, "url": TEXT, "downloadPath": TEXT,
         "fileName": TEXT, "fileSize": COUNT, "format": TEXT, "resolution": TEXT, "status": TEXT,
         "metadata": Object(
             {"type": TEXT, "recordingType": TEXT, "roomName": TEXT, "experimentId": TEXT})},
        scopes=EVERY_SCOPE, key=(("recordingId", "egressId"),), timeout=300.0,
    ),
    DataType(
        "chat", "Chat messages", "/data/chat", "read:chat",
        {"messageId": TEXT, "id": TEXT, **PLACE, "senderId": TEXT, "senderName": TEXT, "content": MOSTLY_TEXT,
         **TIMED, "recipientIds": ListOf(TEXT), "deleted": FLAG},
        scopes=EVERY_SCOPE, key=(("messageId", "id"),), cursor="timestamp",
    ),
    DataType(
        "videochat", "Connection events of video chats", "/data/videochat", "read:videochat",
        {"id": TEXT, **PLACE, **TIMED, "trackPublications": ListOf(FREE)},
        scopes=EVERY_SCOPE, key_where_present="id", cursor="timestamp",
    ),
    DataType(
        "sync", "Samples of media synchronisation against the host", "/data/sync", "read:sync",
        {**PLACE, **TIMED, "timeDrift": NUMBER, "playbackRate": NUMBER, "syncQuality": NUMBER, "latency": NUMBER},
        scopes=EVERY_SCOPE, cursor="timestamp",
    ),
    DataType(
        "ratings_continuous", "Ratings by slider, every 100 to 500 ms", "/data/ratings/continuous",
        "read:ratings", RATING, scopes=EVERY_SCOPE, key_where_present="ratingId", cursor="timestamp",
    ),
    DataType(
        "ratings_sparse", "Ratings at pauses of the video", "/data/ratings/sparse", "read:ratings",
        SPARSE_RATING, scopes=EVERY_SCOPE, key=(("ratingId",),), cursor="timestamp",
    ),
    DataType(
        "components", "Components as each participant saw and answered them", "/data/components",
        "read:components",
        {**PLACE, "componentId": TEXT, "componentType": TEXT, "stateId": TEXT, "completed": FLAG,
         "config": CONFIGURATION, "variables": MapOf(ANY), "response": ANY},
        scopes=EVERY_SCOPE, identity=("roomId", "participantId", "stateId", "componentId"),
    ),
    DataType(
        "eyetracking", "Gaze samples", "/data/eyetracking", "read:events", {**PLACE, **TIMED},
        scopes=EVERY_SCOPE, cursor="timestamp",
    ),
    DataType(
        "agent_decisions", "Turns of artificial agents, with prompt and reasoning", "/data/agent-decisions",
        "read:events",
        {"_type": TEXT, "id": TEXT, **PLACE, "seq": COUNT, "stateId": TEXT, "stateName": TEXT,
         "turnKind": TEXT, "action": TEXT, "value": ANY, "model": TEXT, "provider": TEXT, "latencyMs": NUMBER,
         "inputTokens": COUNT, "outputTokens": COUNT, "timestamp": TIME, "prompt": MOSTLY_TEXT,
         "reasoning": MOSTLY_TEXT, "chain": ListOf(Object({"stage": TEXT, "output": MOSTLY_TEXT})),
         "peerModelSnapshot": MapOf(ANY), "predictionUpdate": FREE},
        scopes=("experiment", "room"), key=(("roomId",), ("id",)),
    ),
    DataType(
        "agent_runs", "One agent in one room: model, tokens, cost", "/data/agent-runs", "read:events",
        {"id": TEXT, **PLACE, "personaId": TEXT, "model": TEXT, "provider": TEXT, "seed": COUNT,
         "totalInputTokens": COUNT, "totalOutputTokens": COUNT, "totalCostUsd": NUMBER, "turns": COUNT,
         "codeCommitSha": TEXT, "roomStatus": TEXT, "orphaned": FLAG, "startedAt": TIME, "endedAt": TIME},
        scopes=("experiment",), key=(("roomId",), ("id",)),
    ),
    DataType(
        "variable_writes", "Every write to a room's variables", "/data/variables", "read:events",
        {**PLACE, "variable": TEXT, "value": ANY, "source": TEXT, "persisted": FLAG, "timestamp": TIME},
        scopes=("room",),
    ),
    DataType(
        "variable_timeline", "The values of a room's variables, state by state", "/data/variables",
        "read:events",
        {"experimentId": TEXT, "roomId": TEXT, "stateId": TEXT, "variables": MapOf(ANY)},
        scopes=("room",), identity=("stateId",),
    ),
    DataType(
        "personas", "Personas of artificial agents", "/personas", "read:personas",
        {"id": TEXT, "name": TEXT, "description": TEXT, "provider": TEXT, "model": TEXT, "ownerId": TEXT},
        key=(("id",),), selected=False, of_experiment=False,
    ),
)

RECORDING_FILES = DataType(
    "recording_files", "The files of the recordings: where each lies, or why it is missing",
    "/data/recordings/download", "read:recordings",
    {"experimentId": TEXT, "recordingId": TEXT, "participantId": TEXT, "roomId": TEXT, "status": TEXT, "fileUrl": TEXT,
     "fileName": TEXT, "sizeBytes": COUNT, "expectedSizeBytes": COUNT, "md5": TEXT, "sha256": TEXT,
     "contentType": TEXT, "recordingType": TEXT, "attempts": COUNT, "error": TEXT, "downloadedAt": TIME},
    key=(("recordingId",),),
)
"""The manifest, which no endpoint serves: a row for each recording, written by `recordings`."""

SYNC_LEDGER = DataType(
    "sync_ledger", "What each run read, and whether it is complete", "", "",
    {"rowKey": TEXT, "runId": TEXT, "experimentId": TEXT, "roomId": TEXT, "participantId": TEXT, "dataType": TEXT,
     "status": TEXT, "rowsExpected": COUNT, "rowsReceived": COUNT, "rowsDistinct": COUNT, "pages": COUNT,
     "requests": COUNT, "windowStart": TIME, "windowEnd": TIME, "cursorBefore": TIME, "cursorAfter": TIME,
     "reason": TEXT, "startedAt": TIME, "finishedAt": TIME},
    key=(("rowKey",),), of_experiment=False,
)
"""The ledger, which no endpoint serves: a row for each run, scope and data type, made by `completeness`."""

DATA_TYPES: Mapping[str, DataType] = {data_type.name: data_type for data_type in _ALL}
"""All data types by the name of their table, in the order in which they are listed to people."""

TABLES: Mapping[str, DataType] = {
    **DATA_TYPES, RECORDING_FILES.name: RECORDING_FILES, SYNC_LEDGER.name: SYNC_LEDGER}
"""All tables that can be asked for: the data types, and what is made from them."""

DEFAULT_DATA_TYPES: tuple[str, ...] = tuple(name for name, data_type in DATA_TYPES.items() if data_type.selected)
"""What is loaded where nothing is chosen."""
