"""A study whose people change rooms and roles, with a row of every data type for each of their stays."""

from __future__ import annotations

from typing import Any

import dlt
from loaded import at
from truth import query

from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.standin import Study

EXPERIMENT = "exp_1"
TIMES = {"room_1": (0, 600), "room_2": (7200, 7800), "room_3": (0, 600)}
"""Room -> from when to when it was open, in s."""
STAYS = (("ann", "room_1", "talker"), ("bob", "room_1", "listener"), ("bob", "room_2", "talker"),
         ("eve", "room_1", "talker"), ("eve", "room_3", "listener"))
"""Ann was in one room, Bob in two one after the other, Eve in two at the same time. Zoe got none."""
TYPES = tuple(name for name, each in DATA_TYPES.items()
              if "roomId" in each.fields and "experiment" in each.scopes and not each.derived_from
              and name != "participants")
KEYLESS = ("videochat", "sync", "ratings_continuous", "eyetracking", "components")


def study_of_stays(*, name_rooms: bool = False, **fields: Any) -> Study:
    """Rows name their room only where that is asked for; `mark` says it too: room, person and number."""
    study = Study.empty(EXPERIMENT)
    for room, (start, end) in TIMES.items():
        study.add_room(room, experiment_id=EXPERIMENT, createdAt=at(start - 60), startTime=at(start), endTime=at(end))
    for person, room, role in STAYS:
        start, end = TIMES[room]
        study.add_participant(person, experiment_id=EXPERIMENT, room_id=room, role=role, joinedAt=at(start - 30),
                              completedAt=at(end - 30))
        for number, seconds in enumerate((start + 10, end - 40)):
            for name in TYPES:
                put(study, name, room, person, seconds, number, name_rooms=name_rooms, **fields)
    for name in TYPES:
        put(study, name, None, "zoe", 20, 0, **fields)
    study.recount(EXPERIMENT)
    return study


def put(
    study: Study, name: str, room: str | None, person: str | None, seconds: float, number: int, *,
    name_rooms: bool = False, **fields: Any,
) -> None:
    mark = f"{room} {person} {number}"
    row: dict[str, Any] = {"mark": mark, **ids_of(name, mark), **fields}
    time = {"agent_runs": "startedAt", "recordings": "startTime"}.get(name, "timestamp")
    row |= {"senderId": person} if name == "chat" else {"participantId": person}
    row |= {} if name == "components" else {time: at(seconds)}
    row |= {"roomId": room} if name_rooms and room else {}
    study.add(name, row, experiment_id=EXPERIMENT, room_id=room, participant_id=person)


def ids_of(name: str, mark: str) -> dict[str, Any]:
    """The key of a row; what a component is told by is the same in both rooms of a person."""
    if name in KEYLESS:
        return {"stateId": "s", "componentId": mark[-1]} if name == "components" else {}
    return {str(DATA_TYPES[name].key[-1][0]): mark}


def rooms(pipeline: dlt.Pipeline, table: str) -> dict[str, str | None]:
    """The room of each row of a table, by its mark; none comes twice."""
    found = query(pipeline, f"SELECT mark, room_id FROM {table}")
    assert len(found) == len(dict(found)), table
    return {mark: room or None for mark, room in found}


def true_rooms(*, told: bool = False, name: str = "") -> dict[str, str | None]:
    """What the tables should say. `told`: rows name their room, or were read in it."""
    certain = told or name == "components"
    found: dict[str, str | None] = {
        f"{room} {person} {number}": room if certain or person != "eve" else None
        for person, room, _ in STAYS for number in range(2)}
    return found | {"None zoe 0": None}
