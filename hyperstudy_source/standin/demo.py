"""The demo study: twelve rooms of two, the same every time it is made."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hyperstudy_source.standin import demo_definitions as definitions
from hyperstudy_source.standin.demo_agents import fill_agents, fill_variables
from hyperstudy_source.standin.demo_definitions import AGENTS, ORGANIZATION, PAIRS, SHARED
from hyperstudy_source.standin.demo_events import fill_events
from hyperstudy_source.standin.demo_measures import fill_measures, record
from hyperstudy_source.standin.demo_room import DURATION_MS, Person, Room
from hyperstudy_source.standin.study import Study

NAMES = (
    "Mia",
    "Ben",
    "Ada",
    "Leo",
    "Zoë",
    "Kai",
    "Eva",
    "Tom",
    "Ida",
    "Mia",
    "Jon",
    "Lea",
    "Max",
    "Uma",
    "Per",
    "Sol",
)
RETURNING = 9
"""Place in `NAMES` where the first person, a talker, is back for a second session, as a listener."""
AGENT = Person("agent_companion", "Companion", "companion", is_agent=True)


def demo_study() -> Study:
    """Return a study of films watched in pairs, small enough to load in seconds."""
    study = Study()
    study.experiments += definitions.experiments()
    study.shared[ORGANIZATION] = [definitions.shared_experiment()]
    study.deployments += definitions.deployments()
    study.personas += definitions.personas()
    rooms = [_pair_room(study, number) for number in range(1, 9)] + [
        _agent_room(study, n) for n in range(1, 5)
    ]
    for room in rooms:
        _open(room)
        fill_events(room)
        fill_measures(room)
        fill_agents(room)
        fill_variables(room)
    _record(rooms)
    _share(study)
    for experiment_id in (PAIRS, AGENTS, SHARED):
        study.recount(experiment_id)
    study.shared[ORGANIZATION][0].update(roomCount=1, participantCount=2)
    return study


def _pair_room(study: Study, number: int) -> Room:
    pilot = number <= 2
    places = (2 * number - 2, 2 * number - 1)
    ids = [f"user_{(0 if place == RETURNING else place) + 1:02d}" for place in places]
    codes = ("SUCCESS", "TIMEOUT" if number in (4, 7) else "SUCCESS")
    return Room(
        study=study,
        experiment_id=PAIRS,
        id=f"room_v{number:02d}",
        start=datetime(2024, 6, 9, 14, tzinfo=timezone.utc) + timedelta(days=number),
        people=[
            Person(ids[0], NAMES[places[0]], "talker", code=codes[0]),
            Person(ids[1], NAMES[places[1]], "listener", code=codes[1]),
        ],
        deployment_id="dep_pilot" if pilot else "dep_main",
        deployment_name="Pilot" if pilot else "Main study",
        talk_first=number % 2 == 0,
        has_scanner=number in (3, 4),
    )


def _agent_room(study: Study, number: int) -> Room:
    return Room(
        study=study,
        experiment_id=AGENTS,
        id=f"room_a{number:02d}",
        start=datetime(2024, 9, 9, 9, 30, tzinfo=timezone.utc) + timedelta(days=number),
        people=[Person(f"guest_{number:02d}", f"Guest {number}", "talker"), AGENT],
        deployment_id="dep_agents",
        deployment_name="Agents",
        talk_first=number % 2 == 0,
        status="failed" if number == 4 else "completed",
    )


def _open(room: Room) -> None:
    ended = room.status == "completed"
    row = {
        "id": room.id,
        "experimentId": room.experiment_id,
        "deploymentId": room.deployment_id,
        "deploymentName": room.deployment_name,
        "status": room.status,
        "participantCount": len(room.people),
        "createdAt": room.at(-120_000),
        "startTime": room.at(0),
        "endTime": room.at(DURATION_MS) if ended else None,
        "duration": DURATION_MS if ended else None,
    }
    room.add("rooms", row)
    for person in room.people:
        finished = ended and person.code == "SUCCESS"
        row = {
            "id": person.id,
            "participantId": person.id,
            "email": None if person.is_agent else f"{person.id}@example.org",
            "name": person.name,
            "role": person.role,
            "status": "completed" if finished else "dropped",
            "joinedAt": room.at(-100_000),
            "completedAt": room.at(DURATION_MS) if finished else None,
            "completionCode": person.code if ended else "TECHNICAL",
            "deploymentId": room.deployment_id,
            "roomId": room.id,
            "prolificPid": None if person.is_agent else f"pid_{person.id}",
        }
        room.add("participants", row, person)


def _record(rooms: list[Room]) -> None:
    first, second, third = rooms[:3]
    for person in first.people:
        record(first, person, "video")
        record(first, person, "audio")
    record(second, second.people[0], "video", link="download_url")
    record(second, second.people[1], "video", link="url")
    record(third, third.people[0], "video")
    record(third, third.people[1], "video", ready=False)
    for room in rooms[8:10]:
        record(room, room.people[0], "video")


def _share(study: Study) -> None:
    people = [Person("viewer_01", "Viewer 1", "viewer"), Person("viewer_02", "Viewer 2", "viewer")]
    start = datetime(2024, 3, 5, 11, tzinfo=timezone.utc)
    room = Room(study, SHARED, "room_s01", start, people, "dep_faces", "Faces", talk_first=True)
    _open(room)
    for person in people:
        room.event(person, 1_000, "component", "component.complete", stateId="state_welcome", content="seen")
