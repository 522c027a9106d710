"""The fields that most rows share: where they are from and when; and the columns that this source adds."""

from __future__ import annotations

from hyperstudy_source.tables.fields import NUMBER, TEXT, TIME, Fields, Scalar

EXPERIMENT_ID = TEXT("The experiment's id; the one that was asked for where the row does not have it.")
ROOM_ID = TEXT(
    "The room's id; where the row does not have it, the room that was asked for or in which the participant was; null "
    "where that cannot be told.")
ROOM_ID_IN_KEY = TEXT(
    "The room's id; where it cannot be told, an empty text, or a number in brackets that tells rows apart.")
PLACE: Fields = {
    "experimentId": EXPERIMENT_ID,
    "roomId": ROOM_ID,
    "participantId": TEXT("The participant's id.", names="participant"),
}
PLACE_FIELDS = frozenset({"experimentId", "roomId"})
"""Where a row is from; what was asked for says it too."""

TIMED: Fields = {
    "timestamp": TIME("When it happened, in UTC."),
    "onset": NUMBER("Time since the start of the experiment; negative before it.", unit="ms"),
}
SEEN_IN_STATE: Fields = {
    "componentId": TEXT("The id of the component that it belongs to."),
    "componentType": TEXT("The kind of the component."),
    "stateId": TEXT("The id of the state in which it happened."),
}

ADDED: dict[str, Scalar] = {
    "experiment_id": EXPERIMENT_ID,
    "row_key": TEXT("The row's key, made by this source: the API's id where the row has one, else a digest of it."),
    "onset_sec": NUMBER("Time since the start of the experiment, made of `onset`; negative before it.", unit="s"),
}
"""What is known of the columns that no field of the API fills."""
