"""How a study is set up and who took part: experiments, deployments, sessions, rooms, participants."""

from __future__ import annotations

from hyperstudy_source.data_types.data_type import DataType
from hyperstudy_source.data_types.place_and_time import EXPERIMENT_ID, PLACE, ROOM_ID_IN_KEY
from hyperstudy_source.tables.fields import (
    ANY,
    CONFIGURATION,
    COUNT,
    FLAG,
    FREE,
    NUMBER,
    TEXT,
    TIME,
    Fields,
    ListOf,
    MapOf,
    Object,
)

CHANGED: Fields = {
    "createdAt": TIME("When it was made, in UTC."),
    "updatedAt": TIME("When it was last changed, in UTC."),
}

STATE: Fields = {
    "id": TEXT("The state's id, as in `state_id` of other tables."),
    "name": TEXT("The state's name, as the researcher gave it."),
    "order": COUNT("The state's place among the states of the experiment."),
    "focusComponent": Object({
        "type": TEXT("The kind of the component that the state shows."),
        "config": CONFIGURATION("How that component is configured: its texts, scales and stimuli."),
    }),
    "transitionRules": Object({
        "type": TEXT("What ends the state."),
        "durationMs": NUMBER("How long the state takes; null where time does not end it.", unit="ms"),
    }),
    "globalComponentsVisibility": MapOf(
        ANY("Whether the component is shown in the state."),
        key=TEXT("The global component, as in `experiments__global_components`."),
        says="Which global components each state shows."),
}

ROLE: Fields = {
    "name": TEXT("The role's name, for people."),
    "participantCount": COUNT("Participants of this role in a room."),
    "mode": TEXT("Who takes the role: people, or an artificial agent."),
    "personaId": TEXT("The persona of the agent that takes the role; null for people."),
}

EXPERIMENT: Fields = {
    "id": TEXT("The experiment's id."),
    "name": TEXT("The experiment's name."),
    "description": TEXT("The researcher's description of the experiment."),
    "ownerEmail": TEXT("The e-mail address of the researcher who owns the experiment.", names="contact"),
    "ownerId": TEXT("The id of the researcher who owns the experiment.", names="researcher"),
    "roomCount": COUNT("Rooms of the experiment, by the API's list of experiments."),
    "participantCount": COUNT("Participants of the experiment, by the API's list of experiments."),
    **CHANGED,
    "requiredParticipants": COUNT("Participants that a room needs."),
    "states": ListOf(Object(STATE), says="The states of each experiment, through which a room goes."),
    "roles": MapOf(
        Object(ROLE), key=TEXT("The role, as in `role` of participants."), says="The roles of each experiment."),
    "globalComponents": MapOf(
        CONFIGURATION("How the component is configured."), key=TEXT("The global component."),
        says="The components of each experiment that several states show, such as a slider or a video chat."),
    "variables": MapOf(
        ANY("The variable's value at the start."), key=TEXT("The variable's name."),
        says="The variables of each experiment, as the researcher defined them."),
    "instructionsPages": ListOf(FREE, says="The pages of instructions of each experiment."),
    "postExperimentQuestionnaire": Object({
        "enabled": FLAG("Whether the experiment ends with a questionnaire."),
        "questions": ListOf(FREE, says="The questions of the questionnaire at the end of each experiment."),
    }),
    "waitingRoomConfig": Object({
        "maxWaitTimeMs": NUMBER("How long participants wait for others at most.", unit="ms"),
        "countdownTimeMs": NUMBER("How long it is counted down before the experiment begins.", unit="ms"),
    }),
    "disconnectTimeout": Object({
        "enabled": FLAG("Whether a lost connection ends a participant's part after some time."),
        "durationMs": NUMBER("How long a connection may be lost.", unit="ms"),
        "autoReconnectDelay": NUMBER("The delay before a lost connection is made again.", unit="ms"),
    }),
}

EXPERIMENTS = DataType(
    "experiments", "Experiments, with their states, roles and variables", "/experiments", "read:experiments",
    EXPERIMENT, key=(("id",),),
)

DEPLOYMENTS = DataType(
    "deployments", "Deployments of an experiment", "/deployments", "read:experiments",
    {
        "id": TEXT("The deployment's id."),
        "experimentId": EXPERIMENT_ID,
        "name": TEXT("The deployment's name."),
        "status": TEXT("The deployment's status."),
        "ownerId": TEXT("The id of the researcher who owns the deployment.", names="researcher"),
        "ownerName": TEXT("The name of the researcher who owns the deployment.", names="contact"),
        "participantCount": COUNT("Participants so far."),
        "maxParticipants": COUNT("Participants at most."),
        **CHANGED,
    },
    key=(("id",),),
)

SESSIONS = DataType(
    "sessions", "The sessions of each deployment: its rooms", "/deployments/{id}/sessions", "read:experiments",
    {
        "id": TEXT("The session's id."),
        "experimentId": EXPERIMENT_ID,
        "deploymentId": TEXT("The deployment's id."),
        "status": TEXT("The session's status."),
        "participantCount": COUNT("Participants of the session."),
        "createdAt": TIME("When the session was made, in UTC."),
    },
    key=(("deploymentId",), ("id",)),
)

ROOMS = DataType(
    "rooms", "Rooms: one run of an experiment by its participants", "/data/rooms", "read:events",
    {
        "id": TEXT("The room's id, as in `room_id` of other tables."),
        "experimentId": EXPERIMENT_ID,
        "deploymentId": TEXT("The deployment that the room belongs to."),
        "deploymentName": TEXT("The name of that deployment."),
        "status": TEXT("The room's status."),
        "participantCount": COUNT("Participants in the room."),
        "createdAt": TIME("When the room was made, in UTC."),
        "startTime": TIME("When the room began, in UTC."),
        "endTime": TIME("When the room ended, in UTC; null until then."),
        "duration": NUMBER("How long the room took.", unit="ms"),
    },
    scopes=("experiment",), key=(("id",),), most_rows=5000,
)

PARTICIPANTS = DataType(
    "participants", "Participants, once for every room they were in", "/data/participants", "read:events",
    {
        "id": TEXT("The participant's id, with a number behind it for a second row of one room.", names="participant"),
        **PLACE,
        "roomId": ROOM_ID_IN_KEY,
        "email": TEXT("The participant's e-mail address.", names="contact"),
        "name": TEXT("The participant's name.", names="contact"),
        "role": TEXT("The participant's role in the room, as in `experiments__roles`."),
        "status": TEXT("The participant's status."),
        "joinedAt": TIME("When the participant joined, in UTC."),
        "completedAt": TIME("When the participant completed the experiment, in UTC; null for one who did not."),
        "completionCode": TEXT(
            "How it ended: SUCCESS, TIMEOUT, TECHNICAL, NOCONSENT, ABANDONED, IN_PROGRESS or COMPLETED_NO_CODE."),
        "deploymentId": TEXT("The deployment in which the participant was."),
        "prolificPid": TEXT("The participant's id at Prolific; null for people from elsewhere.", names="contact"),
    },
    scopes=("experiment", "room"), key=(("roomId",), ("id", "participantId")),
)
