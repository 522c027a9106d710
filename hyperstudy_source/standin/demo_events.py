"""What happens in a demo room besides ratings: events, components, chat, calls, questionnaire, scanner."""

from __future__ import annotations

from hyperstudy_source.standin.demo_room import VIDEOS, Person, Room

RANKING = ("Quality", "Story", "Music")
TALK = (
    "Hi, have you seen anything like this before?",
    "No, first time 🎬",
    "Shall we compare ratings afterwards?",
    "2024-06-12T10:00:00Z",
    'Sure; "everything" counts, even the music',
    "I am curious",
)


def fill_events(room: Room) -> None:
    """Add the room's events, components and chat."""
    room.event(None, -120_000, "system", None, content="room_opened", data={"capacity": 2})
    for person in room.people:
        _before(room, person)
        _states(room, person)
        _answers(room, person)
        _questionnaire(room, person)
    if room.has_scanner:
        _scanner(room, room.people[0])
    _chat(room)
    for person in room.people:
        if not person.is_agent:
            _call(room, person)


def _before(room: Room, person: Person) -> None:
    if person.is_agent:
        return
    room.event(person, -90_000, "pre_experiment", "consent.accepted", content="agreed")
    for page in (0, 1):
        onset = -80_000 + page * 12_500.5
        data = {"pageIndex": page, "dwellMs": 12_500.5}
        room.event(
            person, onset, "pre_experiment", "instructions.page_view", content=f"page_{page + 1}", data=data
        )
    check = {"question": "When do you move the slider?", "answer": "While I watch", "attempts": 1}
    room.event(
        person,
        -40_000,
        "pre_experiment",
        "instructions.comprehension_check",
        content="correct",
        response=check,
    )


def _states(room: Room, person: Person) -> None:
    previous = None
    for state_id, start, duration in room.timetable:
        data = {"from": previous, "to": state_id, "durationMs": duration}
        room.event(person, start, "state", "state.transition", stateId=state_id, content=state_id, data=data)
        if state_id in VIDEOS:
            drift = {"timeDrift": 4.5, "host": person is room.people[0]}
            room.event(person, start + 100, "sync", "sync.check", stateId=state_id, data=drift)
            media = {"videoId": VIDEOS[state_id], "position": 0, "playbackRate": 1}
            room.event(person, start + 200, "media", "media.play", stateId=state_id, data=media)
            ended = media | {"position": duration / 1000, "buffered": [[0, 20.5]]}
            room.event(person, start + duration - 100, "media", "media.ended", stateId=state_id, data=ended)
        previous = state_id


def _answers(room: Room, person: Person) -> None:
    start = room.begins("state_ranking")
    order = room.rng.sample(RANKING, k=3)
    ranked = [{"text": text, "position": place} for place, text in enumerate(order, 1)]
    named = {"componentId": "ranking_state_ranking", "componentType": "ranking", "stateId": "state_ranking"}
    room.event(
        person,
        start + 9_000,
        "component",
        "component.complete",
        **named,
        content="Ranking",
        response=ranked,
        value=None,
    )
    room.component(person, "state_ranking", start + 9_000, {"items": list(RANKING), "shuffle": True}, ranked)
    start = room.begins("state_mood")
    valence, arousal = room.rng.randint(40, 90), room.rng.randint(20, 80)
    epoch = int(room.start.timestamp() * 1000) + start
    mood = {
        "ratings": {"Valence": valence, "Arousal": float(arousal)},
        "timestamps": {"displayed": epoch, "submitted": epoch + 6_400},
        "interactions": [
            {"dimension": "Valence", "time": 1_200, "value": valence - 7},
            {"dimension": "Valence", "time": 2_900, "value": valence},
            {"dimension": "Arousal", "time": 4_100.5, "value": arousal},
        ],
    }
    named = {"componentId": "rapidrate_state_mood", "componentType": "rapidrate", "stateId": "state_mood"}
    finished = person.code == "SUCCESS"
    if finished:
        room.event(
            person, start + 6_400, "component", None, **named, content="Mood", response=mood, value=valence
        )
    room.component(
        person,
        "state_mood",
        start + 6_400,
        {"dimensions": ["Valence", "Arousal"]},
        mood if finished else None,
    )
    shown = {"text": "Welcome!", "style": {"align": "center"}}
    room.component(person, "state_welcome", 9_000, shown, "seen", durationMs=9_000)
    films = {"captions": False, "volume": 0.8}
    for state_id in VIDEOS:
        room.component(
            person, state_id, room.begins(state_id) + 20_000, films, room.rng.choice([True, 20, 20.0])
        )


def _questionnaire(room: Room, person: Person) -> None:
    if person.is_agent or person.code != "SUCCESS":
        return
    closeness = room.rng.randint(3, 7)
    answers = {
        "q_close": closeness if closeness % 2 else float(closeness),
        "q_agree": room.rng.choice(["Agree", "Disagree"]),
        "q_words": room.rng.choice(["Kind and quick", "quiet", "7", "true"]),
        "q_seen": room.rng.choice([[], ["sea"], ["sea", "city"]]),
    }
    for number, (question, answer) in enumerate(answers.items()):
        onset = 162_000 + number * 4_000
        room.event(
            person,
            onset,
            "questionnaire",
            "questionnaire.response",
            componentId=question,
            content=question,
            value=None if isinstance(answer, list) else answer,
            response=answer,
            context={"page": 1, "device": "desktop"},
            metadata={"required": number < 2},
        )


def _scanner(room: Room, person: Person) -> None:
    for pulse in range(1, 13):
        onset = 2_000 * (pulse - 1)
        data = {
            "key": "5",
            "pulseNumber": pulse,
            "experimentPhase": "post_trigger",
            "timeSinceFirstPulse": onset,
            "timeSinceTrigger": None if pulse == 1 else onset,
            "stateIndex": 0 if onset < 10_000 else 1,
        }
        room.event(person, onset, "scanner", "scanner.pulse", content="5", data=data)


def _chat(room: Room) -> None:
    start = room.begins("state_chat")
    key = "id" if any(person.is_agent for person in room.people) else "messageId"
    for number, text in enumerate(TALK):
        sender, other = room.people[number % 2], room.people[1 - number % 2]
        onset = start + 2_000 + 4_000 * number
        row = {
            key: room.next_id("msg"),
            "senderId": sender.id,
            "senderName": sender.name,
            "content": text,
            "timestamp": room.at(onset),
            "onset": onset,
            "recipientIds": [other.id],
            "deleted": number == 2 and room.has_scanner,
        }
        room.add("chat", row, sender)
        sent = {"length": len(text), "recipients": 1}
        room.event(sender, onset, "communication", "chat.message_sent", stateId="state_chat", data=sent)


def _call(room: Room, person: Person) -> None:
    tracks = [
        {"trackSid": f"TR_{person.id}_cam", "kind": "video", "muted": False},
        {"trackSid": f"TR_{person.id}_mic", "kind": "audio", "muted": person.role == "listener"},
    ]
    for onset, kind in (
        (-5_000, "participant_connected"),
        (60_000, "quality"),
        (170_000, "participant_disconnected"),
    ):
        quality = {
            "bitrateKbps": room.rng.randint(700, 1500),
            "packetLoss": 0.01,
            "jitterMs": room.number(4.2),
        }
        row = {
            "participantId": person.id,
            "roomId": room.id,
            "eventType": kind,
            "timestamp": room.at(onset),
            "onset": onset,
            "trackPublications": tracks if kind != "participant_disconnected" else [],
            "qualityMetrics": quality if kind == "quality" else None,
        }
        if kind != "quality":
            row["id"] = room.next_id("vc")
        room.add("videochat", row, person)
