"""One room of the demo: who is in it, when its states begin, and how its rows are made."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hyperstudy_source.standin.demo_definitions import CLIP_SECONDS, states
from hyperstudy_source.standin.study import Json, Study

STATE_NAMES = {state["id"]: state["name"] for state in states()}
STATE_COMPONENTS = {state["id"]: state["focusComponent"]["type"] for state in states()}
VIDEOS = {"state_clip_after_chat": "film_sea", "state_clip_after_wait": "film_city"}
DURATION_MS = 180_000


def iso(moment: datetime) -> str:
    """Return a time as the API writes it: UTC, milliseconds, `Z`."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Person:
    """Someone, or an agent, in a room."""

    id: str
    name: str
    role: str
    is_agent: bool = False
    code: str = "SUCCESS"


@dataclass
class Room:
    """A session: rows are added to its study through it.

    Attributes:
        timetable: the states in this room's order: id, start and duration (ms).
    """

    study: Study
    experiment_id: str
    id: str
    start: datetime
    people: list[Person]
    deployment_id: str
    deployment_name: str
    talk_first: bool
    status: str = "completed"
    has_scanner: bool = False
    rng: random.Random = field(init=False, repr=False)
    timetable: list[tuple[str, int, int]] = field(init=False, repr=False)
    _numbers: dict[str, int] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Seed the room by its name, so that one room's rows do not depend on another's."""
        self.rng = random.Random(self.id)
        self.timetable = self._plan()
        self._begins = {state_id: start for state_id, start, _ in self.timetable}

    def _plan(self) -> list[tuple[str, int, int]]:
        talk = [("state_chat", 30_000), ("state_clip_after_chat", CLIP_SECONDS * 1000)]
        wait = [("state_wait", 30_000), ("state_clip_after_wait", CLIP_SECONDS * 1000)]
        halves = talk + wait if self.talk_first else wait + talk
        plan = [("state_welcome", 10_000), *halves, ("state_ranking", 25_000), ("state_mood", 25_000)]
        starts = [0]
        for _, duration in plan:
            starts.append(starts[-1] + duration)
        return [
            (state_id, start, duration) for (state_id, duration), start in zip(plan, starts, strict=False)
        ]

    def begins(self, state_id: str) -> int:
        """Return when a state begins, in ms from the start."""
        return self._begins[state_id]

    def at(self, onset: float) -> str:
        """Return the time of an onset (ms)."""
        return iso(self.start + timedelta(milliseconds=onset))

    def number(self, value: float) -> float | int:
        """Return a value with one decimal; a whole one is written `45` at times and `45.0` at others."""
        rounded = round(float(value), 1)
        return int(rounded) if rounded.is_integer() and self.rng.random() < 0.5 else rounded

    def next_id(self, prefix: str) -> str:
        """Return a fresh id, such as `evt_v01_0003`."""
        self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        return f"{prefix}_{self.id.removeprefix('room_')}_{self._numbers[prefix]:04d}"

    def add(self, data_type: str, row: Json, person: Person | None = None) -> None:
        """Store a row of this room."""
        self.study.add(
            data_type,
            row,
            experiment_id=self.experiment_id,
            room_id=self.id,
            participant_id=person.id if person else None,
        )

    def event(
        self, person: Person | None, onset: float, category: str, event_type: str | None, **fields: Any
    ) -> None:
        """Store an event; without a type the field is absent, as it is for older rows."""
        row: Json = {
            "id": self.next_id("evt"),
            "experimentId": self.experiment_id,
            "roomId": self.id,
            "participantId": person.id if person else None,
            "participantRole": person.role if person else None,
            "sessionId": f"session_{self.id}",
            "onset": onset,
            "timestamp": self.at(onset),
            "sessionTime": onset + 120_000,
            "category": category,
        }
        if event_type is not None:
            row["eventType"] = event_type
        state_id = fields.get("stateId")
        if state_id is not None:
            row["stateName"] = STATE_NAMES[state_id]
        self.add("events", row | fields, person)

    def component(
        self, person: Person, state_id: str, onset: float, config: Json, response: Any, **more: Any
    ) -> None:
        """Store a component's answer."""
        kind = STATE_COMPONENTS[state_id]
        row = {
            "componentId": f"{kind}_{state_id}",
            "componentType": kind,
            "stateId": state_id,
            "participantId": person.id,
            "roomId": self.id,
            "completed": response is not None,
            "config": config,
            "variables": {"condition": "talk_first" if self.talk_first else "wait_first", "round": 1},
            "response": response,
            "startTime": self.at(self.begins(state_id)),
            "timestamp": self.at(onset),
            "onset": onset,
            **more,
        }
        self.add("components", row, person)
