"""A study of nothing but continuous ratings, as large as wanted: for benchmarks."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hyperstudy_source.standin.demo_room import iso
from hyperstudy_source.standin.study import Json, Study

BULK = "exp_bulk"
START = datetime(2024, 6, 10, tzinfo=timezone.utc)
SCALE = {"min": 0, "max": 100}
METADATA = {
    "question": "How engaging is this film?",
    "dimension": "engagement",
    "componentType": "continuousrating",
}


def ratings_study(rows: int, rooms: int = 4, experiment_id: str = BULK, interval_ms: int = 100) -> Study:
    """Return a frozen study of one experiment: `rows` ratings in rooms of two, in the order of time."""
    study = Study.empty(experiment_id)
    people = [(f"room_{room}", f"p{room}_{seat}") for room in range(rooms) for seat in (1, 2)]
    end = iso(START + timedelta(milliseconds=interval_ms * (rows // len(people) + 1)))
    for room in range(rooms):
        room_id = f"room_{room}"
        here = [participant_id for place, participant_id in people if place == room_id]
        study.add_room(
            room_id, experiment_id=experiment_id, participants=here, startTime=iso(START), endTime=end
        )
    for number in range(rows):
        sample, seat = divmod(number, len(people))
        room_id, participant_id = people[seat]
        study.add(
            "ratings_continuous",
            _rating(number, participant_id, sample * interval_ms),
            experiment_id=experiment_id,
            room_id=room_id,
            participant_id=participant_id,
        )
    study.frozen = True
    return study


def _rating(number: int, participant_id: str, onset: int) -> Json:
    value = number * 7 % 101
    return {
        "ratingId": f"rat_{number:09d}",
        "participantId": participant_id,
        "componentId": "continuousrating_1",
        "timestamp": iso(START + timedelta(milliseconds=onset)),
        "onset": onset,
        "rawOnset": onset + 20,
        "clockOffsetApplied": 20,
        "value": value,
        "rawValue": value,
        "scale": SCALE,
        "type": "continuous",
        "stateId": "state_film",
        "stimulusId": "film_sea",
        "stimulusTime": onset,
        "metadata": METADATA,
    }
