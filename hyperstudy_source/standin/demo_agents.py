"""The agents of the demo: their decisions, their runs and what they write into variables."""

from __future__ import annotations

from typing import Any

from hyperstudy_source.standin.demo_definitions import PERSONA
from hyperstudy_source.standin.demo_room import STATE_NAMES, Person, Room
from hyperstudy_source.standin.study import Json

MODEL = {"model": "example-large-1", "provider": "example"}
TURNS: tuple[tuple[str, str, str, Any], ...] = (
    ("state_chat", "chat", "send_message", "Hello! Nice to meet you."),
    ("state_clip_after_chat", "component", "respond", 72),
    ("state_clip_after_wait", "component", "respond", 55.5),
    ("state_ranking", "component", "respond", ["Story", "Music", "Quality"]),
    ("state_mood", "component", "respond", {"Valence": 70, "Arousal": 40}),
)


def fill_agents(room: Room) -> None:
    """Add decisions and the run of every agent in the room."""
    for person in room.people:
        if person.is_agent:
            _run(room, person, [_decision(room, person, number) for number in range(1, len(TURNS) + 1)])


def _decision(room: Room, person: Person, number: int) -> Json:
    state_id, turn, action, value = TURNS[number - 1]
    row = {
        "_type": "decision",
        "id": f"{person.id}_{number}",
        "participantId": person.id,
        "roomId": room.id,
        "seq": number,
        "stateId": state_id,
        "stateName": STATE_NAMES[state_id],
        "turnKind": turn,
        "action": action,
        "value": value,
        **MODEL,
        "latencyMs": room.rng.randint(900, 2_200),
        "inputTokens": room.rng.randint(1_800, 2_600),
        "outputTokens": room.rng.randint(12, 70),
        "timestamp": room.at(room.begins(state_id) + 6_000),
        "prompt": "You love films and talk about them warmly.\n\nCurrent situation: ...",
        "reasoning": f"My partner seems at ease, so: {action}.",
        "chain": [
            {"stage": "goal_infer", "output": "The partner wants company."},
            {"stage": "decide", "output": f"{action}({value!r})"},
        ],
        "peerModelSnapshot": {room.people[0].id: {"inferredGoal": "company", "trust": 0.5}},
        "predictionUpdate": {"predictionError": 0.18, "surprise": number == 1},
    }
    room.add("agent_decisions", row, person)
    return row


def _run(room: Room, person: Person, decisions: list[Json]) -> None:
    failed = room.status == "failed"
    spent = sum(each["inputTokens"] for each in decisions), sum(each["outputTokens"] for each in decisions)
    row = {
        "id": f"{person.id}_{room.id.removeprefix('room_')}",
        "participantId": person.id,
        "roomId": room.id,
        "personaId": PERSONA,
        **MODEL,
        "seed": 42,
        "totalInputTokens": spent[0],
        "totalOutputTokens": spent[1],
        "totalCostUsd": round(spent[0] * 3e-6 + spent[1] * 15e-6, 6),
        "turns": len(decisions),
        "codeCommitSha": "0a1b2c3d4",
        "roomStatus": room.status,
        "orphaned": failed,
        "startedAt": room.at(0),
        "endedAt": None if failed else room.at(180_000),
    }
    room.add("agent_runs", row, person)


def fill_variables(room: Room) -> None:
    """Set the room's variable writes and the matrix of states and values made from them."""
    condition = "talk_first" if room.talk_first else "wait_first"
    writes: list[Json] = [
        {
            "variable": "condition",
            "value": condition,
            "source": "seed",
            "persisted": True,
            "timestamp": room.at(0),
        }
    ]
    for person in room.people:
        onset = room.begins("state_mood") + 6_400
        source = "agent" if person.is_agent else "human"
        writes.append(
            {
                "variable": f"mood_{person.role}",
                "value": room.rng.randint(40, 90),
                "source": source,
                "persisted": True,
                "participantId": person.id,
                "stateId": "state_mood",
                "timestamp": room.at(onset),
                "onset": onset,
            }
        )
    names = [str(write["variable"]) for write in writes]
    moods = {write["variable"]: write["value"] for write in writes}
    timeline: list[Json] = [
        {"stateId": state_id, "condition": condition}
        if state_id != "state_mood"
        else {"stateId": state_id, **moods}
        for state_id, _, _ in room.timetable
    ]
    metadata = {
        "timeline": timeline,
        "variableNames": names,
        "matrixColumns": ["stateId", *names],
        "droppedWrites": [{"variable": "mood_talker", "reason": "mismatch"}]
        if room.status == "failed"
        else [],
        "mode": "replay",
    }
    room.study.variables[room.id] = {"data": writes, "metadata": metadata}
