"""How people talked: chat and video chat."""

from __future__ import annotations

from hyperstudy_source.data_types.data_type import EVERY_SCOPE, DataType
from hyperstudy_source.data_types.place_and_time import PLACE, TIMED
from hyperstudy_source.tables.fields import FLAG, FREE, MOSTLY_TEXT, TEXT, ListOf

CHAT = DataType(
    "chat", "Chat messages", "/data/chat", "read:chat",
    {
        "messageId": TEXT("The message's id; that of `id` where the row has no other."),
        "id": TEXT("The row's id, which may stand in place of the message's; null where the row has none."),
        **PLACE,
        "participantId": TEXT("The id of the participant who sent the message.", names="participant"),
        "senderId": TEXT("The id of the participant who sent the message, as the API has it.", names="participant"),
        "senderName": TEXT("The name of who sent the message.", names="contact"),
        "content": MOSTLY_TEXT("What was written.", names="free_text"),
        **TIMED,
        "recipientIds": ListOf(
            TEXT("The id of a participant to whom the message was sent.", names="participant"),
            says="To whom each message was sent."),
        "deleted": FLAG("Whether the message was deleted."),
    },
    scopes=EVERY_SCOPE, key=(("messageId", "id"),), cursor="timestamp",
)

VIDEOCHAT = DataType(
    "videochat", "Connection events of video chats", "/data/videochat", "read:videochat",
    {
        "id": TEXT("The event's id; null where the row has none."),
        **PLACE,
        **TIMED,
        "trackPublications": ListOf(
            FREE, says="The tracks of sound and picture that were published at each event.", names="free_text"),
    },
    scopes=EVERY_SCOPE, key_where_present="id", cursor="timestamp",
)
