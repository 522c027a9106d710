"""What is measured in a demo room: ratings, sync, gaze and recordings.

The effect to find: engagement is about 15 points higher after the partners talked, and listeners rate about 8
points lower than their partners.
"""

from __future__ import annotations

import math

from hyperstudy_source.standin.demo_definitions import CLIP_SECONDS
from hyperstudy_source.standin.demo_room import VIDEOS, Person, Room
from hyperstudy_source.standin.storage import tone
from hyperstudy_source.standin.study import Json, Link

RATINGS_PER_FILM = 40
SYNC_PER_FILM = 15
GAZE_PER_FILM = 20
TALK_EFFECT = 15
ROLE_EFFECT = {"talker": 0, "companion": 0, "listener": -8}


def fill_measures(room: Room) -> None:
    """Add ratings, sync and gaze of everyone in the room."""
    for person in room.people:
        for state_id in VIDEOS:
            _continuous(room, person, state_id)
            _sparse(room, person, state_id)
            _sync(room, person, state_id)
            if not person.is_agent:
                _gaze(room, person, state_id)


def _engagement(room: Room, person: Person, state_id: str, progress: float) -> float:
    talked = TALK_EFFECT if state_id == "state_clip_after_chat" else 0
    curve = 8 * math.sin(progress * math.pi) + 6 * progress
    return max(0, min(100, 48 + talked + ROLE_EFFECT[person.role] + curve + room.rng.gauss(0, 6)))


def _rating(
    room: Room, person: Person, state_id: str, onset: float, value: float, kind: str, sample: int
) -> Json:
    drift = 20 if person is room.people[1] else 0
    return {
        "ratingId": room.next_id("rat" if kind == "continuous" else "sparse"),
        "participantId": person.id,
        "componentId": f"{kind}_{state_id}",
        "timestamp": room.at(onset),
        "onset": room.number(onset),
        "rawOnset": onset + drift,
        "clockOffsetApplied": drift,
        "value": room.number(value),
        "rawValue": round(value),
        "scale": {"min": 0, "max": 100},
        "type": kind,
        "stateId": state_id,
        "stimulusId": VIDEOS[state_id],
        "stimulusTime": onset - room.begins(state_id),
        "responseTime": None if kind == "continuous" else room.rng.randint(900, 3_000),
        "confidence": None,
        "labels": ["bored", "gripped"] if kind == "sparse" else None,
        "metadata": {
            "question": "How engaging is this film?",
            "dimension": "engagement",
            "componentType": "continuousrating" if kind == "continuous" else "vasrating",
            "sampleIndex": sample,
        },
        "stateStartTime": room.at(room.begins(state_id)),
        "stateDuration": CLIP_SECONDS * 1000,
    }


def _continuous(room: Room, person: Person, state_id: str) -> None:
    """An agent's ratings have no `ratingId`, which the API gives only at times."""
    for sample in range(RATINGS_PER_FILM):
        value = _engagement(room, person, state_id, sample / RATINGS_PER_FILM)
        onset = room.begins(state_id) + 500 * sample
        row = _rating(room, person, state_id, onset, value, "continuous", sample)
        if person.is_agent:
            del row["ratingId"]
        room.add("ratings_continuous", row, person)


def _sparse(room: Room, person: Person, state_id: str) -> None:
    previous: dict[str, float] | None = None
    for pause, position in enumerate((5_000, 15_000)):
        onset = room.begins(state_id) + position
        value = _engagement(room, person, state_id, position / 20_000)
        row = _rating(room, person, state_id, onset, value, "sparse", pause)
        kind, answer = (
            ("vasrating", {"value": row["rawValue"]}) if pause == 0 else ("ranking", _ranking(room))
        )
        row["metadata"]["componentType"] = kind
        row["ratingEndOnset"] = onset + row["responseTime"]
        row["sparseRatingData"] = {
            "videoId": VIDEOS[state_id],
            "pauseIndex": pause,
            "videoRelativeTime": position,
            "pauseTimestamp": int(room.start.timestamp() * 1000) + onset,
            "componentType": kind,
            "componentData": answer,
            "previousRatings": previous,
            "mediaPauseOnset": onset - 200,
            "mediaResumeOnset": onset + row["responseTime"] + 200,
            "actualPauseDuration": row["responseTime"] + 400,
        }
        room.add("ratings_sparse", row, person)
        room.event(
            person,
            onset,
            "sparse_rating",
            "sparse_rating.submit",
            stateId=state_id,
            value=row["value"],
            response=answer,
            data={"ratingId": row["ratingId"], "pauseIndex": pause},
        )
        previous = {VIDEOS[state_id]: row["value"], "Scene 1: the pier": row["rawValue"]}


def _ranking(room: Room) -> Json:
    order = room.rng.sample(["Quality", "Story", "Music"], k=3)
    return {"ranking": [{"text": text, "position": place} for place, text in enumerate(order, 1)]}


def _sync(room: Room, person: Person, state_id: str) -> None:
    for sample in range(SYNC_PER_FILM):
        onset = room.begins(state_id) + 1_000 * sample
        row = {
            "timestamp": room.at(onset),
            "onset": onset,
            "participantId": person.id,
            "roomId": room.id,
            "timeDrift": room.number(room.rng.gauss(0, 12)),
            "playbackRate": room.rng.choice([1, 1.0, 1.02]),
            "syncQuality": round(room.rng.uniform(0.8, 1), 3),
            "latency": room.rng.randint(20, 90),
        }
        room.add("sync", row, person)
        if sample == 7 and room.has_scanner:
            room.add("sync", dict(row), person)


def _gaze(room: Room, person: Person, state_id: str) -> None:
    for sample in range(GAZE_PER_FILM):
        onset = room.begins(state_id) + 1_000 * sample + 0.5
        valid = room.rng.random() > 0.05
        row = {
            "timestamp": room.at(onset),
            "onset": onset,
            "participantId": person.id,
            "stateId": state_id,
            "gazeX": round(room.rng.gauss(0.5, 0.1), 4) if valid else None,
            "gazeY": round(room.rng.gauss(0.45, 0.1), 4) if valid else None,
            "pupilLeft": round(room.rng.gauss(3.2, 0.2), 3) if valid else None,
            "pupilRight": round(room.rng.gauss(3.2, 0.2), 3) if valid else None,
            "validity": 1 if valid else 0,
        }
        room.add("eyetracking", row, person)


def record(room: Room, person: Person, kind: str, link: Link = "path", ready: bool = True) -> None:
    """Add a recording of one second and its file; `link` leads to the file once it is ready."""
    recording_id = f"EG_{room.id.removeprefix('room_')}_{person.role}_{kind}"
    row: Json = {
        "recordingId": recording_id,
        "egressId": recording_id,
        "participantId": person.id,
        "participantName": person.name,
        "startTime": room.at(5_000),
        "videoOffset": 500,
        "fileName": f"recordings/{room.id}/{recording_id}.wav",
        "format": "wav",
        "resolution": "1280x720" if kind == "video" else None,
        "status": "complete" if ready else "processing",
        "metadata": {
            "type": kind,
            "recordingType": "individual" if kind == "video" else "audio",
            "roomName": room.id,
            "experimentId": room.experiment_id,
        },
    }
    content = None
    if ready:
        content = tone(room.rng.choice([262, 330, 392, 523]))
        row |= {"endTime": room.at(6_000), "duration": 1_000}
    room.study.add_recording(
        row,
        content,
        experiment_id=room.experiment_id,
        room_id=room.id,
        participant_id=person.id,
        link=link if ready else None,
    )
