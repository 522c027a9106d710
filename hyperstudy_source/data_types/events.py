"""What happened: all events, and the three parts of them that have tables of their own."""

from __future__ import annotations

from functools import partial

from hyperstudy_source.data_types.data_type import EVERY_SCOPE, DataType
from hyperstudy_source.data_types.place_and_time import PLACE, SEEN_IN_STATE, TIMED
from hyperstudy_source.tables.fields import ANY, FREE, MOSTLY_TEXT, NUMBER, TEXT, Fields

BEFORE_EVENTS = 24.0
"""h before their room for which people may have consented and been instructed."""

EVENT: Fields = {
    "id": TEXT("The event's id."),
    **PLACE,
    "participantRole": TEXT("The role of the participant."),
    "sessionId": TEXT("The session's id."),
    **TIMED,
    "sessionTime": NUMBER("Time of the event in its session.", unit="ms"),
    "category": TEXT(
        "What kind of event it is, such as component, state, media, communication, sync, system, pre_experiment, "
        "questionnaire, sparse_rating or scanner."),
    "eventType": TEXT(
        "What happened, such as component.complete, state.transition, media.play or consent.accepted; may be null."),
    **SEEN_IN_STATE,
    "stateName": TEXT("The name of that state, as the researcher gave it."),
    "content": MOSTLY_TEXT("What the event holds, mostly text.", names="free_text"),
    "response": ANY("What a participant answered, in the form of the component.", names="free_text"),
    "value": ANY("The event's value, in the form of the component.", names="free_text"),
    "data": FREE("Details of the event, which differ by its type.", names="free_text"),
    "context": FREE("The context of the event.", names="free_text"),
    "metadata": FREE("What else is known of the event.", names="free_text"),
}

_events = partial(
    DataType, path="/data/events", permission="read:events", fields=EVENT, scopes=EVERY_SCOPE, key=(("id",),),
    cursor="timestamp", before_room_hours=BEFORE_EVENTS)

EVENTS = _events("events", "Everything that happened: components, states, media, system")
QUESTIONNAIRE = _events("questionnaire", "Events of category `questionnaire`", derived_from="events")
INSTRUCTIONS = _events(
    "instructions", "Events of the instruction pages before the experiment", derived_from="events")
CONSENT = _events("consent", "Events of the consent form before the experiment", derived_from="events")
