"""The demo's experiments, deployments and personas.

Two people watch short films and rate how engaged they are: once after they talked, once after they waited in
silence. In the second experiment the partner is an agent.
"""

from __future__ import annotations

from typing import Any

from hyperstudy_source.standin.study import Json

PAIRS = "exp_video_pairs"
AGENTS = "exp_video_agents"
SHARED = "exp_faces_shared"
ORGANIZATION = "org_demo_lab"
PERSONA = "persona_film_fan"
OWNER = {"ownerEmail": "researcher@example.org", "ownerId": "user_owner"}
CLIP_SECONDS = 20


def _state(order: int, state_id: str, name: str, component: str, seconds: int, **config: Any) -> Json:
    timed = {"type": "timed", "durationMs": seconds * 1000}
    return {
        "id": state_id,
        "name": name,
        "order": order,
        "focusComponent": {"type": component, "config": config},
        "transitionRules": timed if seconds else {"type": "manual", "durationMs": None},
        "globalComponentsVisibility": {"continuousrating": component == "showvideo", "videochat": order < 5},
    }


def states() -> list[Json]:
    """Return the states every room goes through; even rooms talk first, odd rooms wait first."""
    clip = {"startAt": 0, "volume": 0.8, "loop": False}
    films = [{"text": "Quality"}, {"text": "Story"}, {"text": "Music"}]
    return [
        _state(
            0, "state_welcome", "Welcome", "showtext", 10, text="Welcome! You will watch two films together."
        ),
        _state(1, "state_chat", "Talk with your partner", "textchat", 30, maxLength=280),
        _state(
            2,
            "state_clip_after_chat",
            "Film after talking",
            "showvideo",
            CLIP_SECONDS,
            videoId="film_sea",
            **clip,
        ),
        _state(3, "state_wait", "Wait in silence", "waiting", 30),
        _state(
            4,
            "state_clip_after_wait",
            "Film after silence",
            "showvideo",
            CLIP_SECONDS,
            videoId="film_city",
            **clip,
        ),
        _state(5, "state_ranking", "What mattered", "ranking", 0, items=films, shuffle=True),
        _state(6, "state_mood", "Your mood", "rapidrate", 0, dimensions=["Valence", "Arousal"]),
    ]


def _experiment(
    experiment_id: str, name: str, description: str, created: str, updated: str, **more: Any
) -> Json:
    questions = [
        {
            "id": "q_close",
            "type": "likert",
            "text": "How close did you feel to your partner?",
            "min": 1,
            "max": 7,
        },
        {
            "id": "q_agree",
            "type": "choice",
            "text": "We liked the same film",
            "options": ["Agree", "Disagree"],
        },
        {"id": "q_words", "type": "text", "text": "Describe your partner"},
        {"id": "q_seen", "type": "multiple", "text": "Which films did you know?", "options": ["sea", "city"]},
    ]
    return {
        "id": experiment_id,
        "name": name,
        "description": description,
        **OWNER,
        "roomCount": 0,
        "participantCount": 0,
        "createdAt": created,
        "updatedAt": updated,
        "requiredParticipants": 2,
        "states": states(),
        "globalComponents": {
            "continuousrating": {"dimension": "engagement", "min": 0, "max": 100, "sampleRateMs": 500},
            "videochat": {"layout": "side-by-side", "record": True},
        },
        "variables": {"condition": "talk_first", "rounds": 2, "showScores": False},
        "instructionsPages": [
            {"title": "Your task", "content": "<p>Move the slider while you watch.</p>"},
            {"title": "Your partner", "content": "<p>Be kind.</p>"},
        ],
        "postExperimentQuestionnaire": {"enabled": True, "questions": questions},
        "waitingRoomConfig": {"maxWaitTimeMs": 300000, "countdownTimeMs": 5000},
        "disconnectTimeout": {"enabled": True, "durationMs": 60000, "autoReconnectDelay": 2000},
        **more,
    }


def experiments() -> list[Json]:
    """Return the two experiments of the demo's own account; counts are set later, from the rows."""
    human = {"participantCount": 1, "mode": "human"}
    talker = {"name": "Talker", **human}
    return [
        _experiment(
            PAIRS,
            "Watching in pairs",
            "Does talking before a film make it more engaging?",
            "2024-06-01T10:00:00.000Z",
            "2024-06-20T16:30:00.000Z",
            roles={"talker": talker, "listener": {"name": "Listener", **human}},
        ),
        _experiment(
            AGENTS,
            "Watching with an agent",
            "The same, with an agent as the partner",
            "2024-09-01T08:00:00.000Z",
            "2024-09-14T12:00:00.000Z",
            roles={
                "talker": talker,
                "companion": {
                    "name": "Companion",
                    "participantCount": 1,
                    "mode": "agent",
                    "personaId": PERSONA,
                },
            },
        ),
    ]


def shared_experiment() -> Json:
    """Return an experiment of another organisation."""
    return _experiment(
        SHARED,
        "Faces",
        "Shared by another laboratory",
        "2024-03-01T10:00:00.000Z",
        "2024-03-08T10:00:00.000Z",
        organizationId="org_other_lab",
        roles={"viewer": {"name": "Viewer", "participantCount": 2, "mode": "human"}},
    )


def _deployment(
    deployment_id: str, experiment_id: str, name: str, status: str, people: int, month: str
) -> Json:
    return {
        "id": deployment_id,
        "experimentId": experiment_id,
        "name": name,
        "status": status,
        "ownerId": OWNER["ownerId"],
        "ownerName": "Robin Researcher",
        "participantCount": people,
        "maxParticipants": 100,
        "createdAt": f"2024-{month}-02T09:00:00.000Z",
        "updatedAt": f"2024-{month}-20T09:00:00.000Z",
    }


def deployments() -> list[Json]:
    """Return a pilot, a main study and a study with agents."""
    return [
        _deployment("dep_pilot", PAIRS, "Pilot", "completed", 4, "06"),
        _deployment("dep_main", PAIRS, "Main study", "active", 12, "06"),
        _deployment("dep_agents", AGENTS, "Agents", "completed", 8, "09"),
    ]


def personas() -> list[Json]:
    """Return the persona behind the agents."""
    prompt = {
        "persona": "You love films and talk about them warmly.",
        "objective": "Watch a film with a stranger.",
        "guidance": "Short messages.",
        "examples": [],
        "additionalInstructions": "",
    }
    return [
        {
            "id": PERSONA,
            "name": "Film fan",
            "description": "Warm and talkative",
            "provider": "example",
            "model": "example-large-1",
            "prompt": prompt,
            "guardrails": {"maxTurns": 50, "budgetUsd": 2},
            "ownerId": OWNER["ownerId"],
            "createdAt": "2024-08-20T08:00:00.000Z",
        }
    ]
