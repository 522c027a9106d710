"""What artificial agents did, with which models and at what cost, and the personas behind them."""

from __future__ import annotations

from hyperstudy_source.data_types.data_type import DataType
from hyperstudy_source.data_types.place_and_time import PLACE, ROOM_ID_IN_KEY
from hyperstudy_source.tables.fields import (
    ANY,
    COUNT,
    FLAG,
    FREE,
    MOSTLY_TEXT,
    NUMBER,
    TEXT,
    TIME,
    Fields,
    ListOf,
    MapOf,
    Object,
)

AGENT: Fields = {
    **PLACE,
    "roomId": ROOM_ID_IN_KEY,
    "participantId": TEXT("The id of the agent as a participant.", names="participant"),
}
MODEL: Fields = {
    "model": TEXT("The language model behind the agent."),
    "provider": TEXT("Who provides that model."),
}

AGENT_DECISIONS = DataType(
    "agent_decisions", "Turns of artificial agents, with prompt and reasoning", "/data/agent-decisions", "read:events",
    {
        "_type": TEXT("What the row is: a decision."),
        "id": TEXT("The decision's id in its room, made of the agent's id and `seq`.", names="participant"),
        **AGENT,
        "seq": COUNT("The number of the decision among those of the agent in the room."),
        "stateId": TEXT("The id of the state in which the agent decided."),
        "stateName": TEXT("The name of that state, as the researcher gave it."),
        "turnKind": TEXT("The kind of turn, such as one in a chat or at a component."),
        "action": TEXT("What the agent did."),
        "value": ANY("What the agent said or answered.", names="free_text"),
        **MODEL,
        "latencyMs": NUMBER("How long the model took.", unit="ms"),
        "inputTokens": COUNT("Tokens that the model was given.", unit="tokens"),
        "outputTokens": COUNT("Tokens that the model gave.", unit="tokens"),
        "timestamp": TIME("When the agent decided, in UTC."),
        "prompt": MOSTLY_TEXT("What the model was told.", names="free_text"),
        "reasoning": MOSTLY_TEXT("Why the model decided so, by its own words.", names="free_text"),
        "chain": ListOf(
            Object({
                "stage": TEXT("The stage of the reasoning."),
                "output": MOSTLY_TEXT("What came out of the stage.", names="free_text"),
            }),
            says="The stages of the reasoning that led to each decision."),
        "peerModelSnapshot": MapOf(
            ANY("What the agent holds of that participant.", names="free_text"),
            key=TEXT("The id of another participant.", names="participant"),
            says="What the agent held of the other participants at each decision.", names="free_text"),
        "predictionUpdate": FREE("How the agent's predictions changed with the decision.", names="free_text"),
    },
    scopes=("experiment", "room"), key=(("roomId",), ("id",)),
)

AGENT_RUNS = DataType(
    "agent_runs", "One agent in one room: model, tokens, cost", "/data/agent-runs", "read:events",
    {
        "id": TEXT("The run's id in its room.", names="participant"),
        **AGENT,
        "personaId": TEXT("The persona of the agent."),
        **MODEL,
        "seed": COUNT("The seed of the run."),
        "totalInputTokens": COUNT("Tokens that the model was given in all.", unit="tokens"),
        "totalOutputTokens": COUNT("Tokens that the model gave in all.", unit="tokens"),
        "totalCostUsd": NUMBER("What the run cost.", unit="USD"),
        "turns": COUNT("Turns of the agent."),
        "codeCommitSha": TEXT("The version of the platform's code that ran."),
        "roomStatus": TEXT("The status of the room."),
        "orphaned": FLAG("Whether the room ended abnormally."),
        "startedAt": TIME("When the run began, in UTC."),
        "endedAt": TIME("When the run ended, in UTC; null while it goes on."),
    },
    scopes=("experiment",), key=(("roomId",), ("id",)),
)

PERSONAS = DataType(
    "personas", "Personas of artificial agents", "/personas", "read:personas",
    {
        "id": TEXT("The persona's id."),
        "name": TEXT("The persona's name; no person's."),
        "description": TEXT("The researcher's description of the persona."),
        "provider": TEXT("Who provides its language model."),
        "model": TEXT("Its language model."),
        "ownerId": TEXT("The id of the researcher who owns the persona.", names="researcher"),
    },
    key=(("id",),), selected=False, of_experiment=False,
)
