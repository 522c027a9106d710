"""The variables of a room: who wrote what into them, and what they held."""

from __future__ import annotations

from hyperstudy_source.data_types.data_type import DataType
from hyperstudy_source.data_types.place_and_time import EXPERIMENT_ID, PLACE, ROOM_ID
from hyperstudy_source.tables.fields import ANY, FLAG, TEXT, TIME, MapOf

VARIABLE_WRITES = DataType(
    "variable_writes", "Every write to a room's variables", "/data/variables", "read:events",
    {
        **PLACE,
        "participantId": TEXT("Who wrote; null for what is set at the start.", names="participant"),
        "variable": TEXT("The variable's name."),
        "value": ANY("What was written.", names="free_text"),
        "source": TEXT("Where the value is from: a constant set at the start, a participant's answer or an agent's."),
        "persisted": FLAG("Whether the write was stored."),
        "timestamp": TIME("When it was written, in UTC."),
    },
    scopes=("room",),
)

VARIABLE_TIMELINE = DataType(
    "variable_timeline", "The values of a room's variables, state by state", "/data/variables", "read:events",
    {
        "experimentId": EXPERIMENT_ID,
        "roomId": ROOM_ID,
        "stateId": TEXT("The id of the state."),
        "variables": MapOf(
            ANY("The variable's value in the state, which stays until it is written again.", names="free_text"),
            key=TEXT("The variable's name."), says="The variables of each room in each state."),
    },
    scopes=("room",), identity=("stateId",),
)
