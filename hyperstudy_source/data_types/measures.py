"""What was measured and recorded: synchronisation, gaze, sound and picture."""

from __future__ import annotations

from hyperstudy_source.data_types.data_type import EVERY_SCOPE, DataType
from hyperstudy_source.data_types.place_and_time import PLACE, TIMED
from hyperstudy_source.tables.fields import COUNT, NUMBER, TEXT, TIME, Object

SYNC = DataType(
    "sync", "Samples of media synchronisation against the host", "/data/sync", "read:sync",
    {
        **PLACE,
        **TIMED,
        "timeDrift": NUMBER("How far the participant's video is from the host's.", unit="ms"),
        "playbackRate": NUMBER("The speed at which the video plays; 1 is the usual one."),
        "syncQuality": NUMBER("How well the videos are synchronised, from 0 to 1."),
        "latency": NUMBER("The latency of the connection.", unit="ms"),
    },
    scopes=EVERY_SCOPE, cursor="timestamp",
)

EYETRACKING = DataType(
    "eyetracking", "Gaze samples", "/data/eyetracking", "read:events", {**PLACE, **TIMED},
    scopes=EVERY_SCOPE, cursor="timestamp",
)

RECORDINGS = DataType(
    "recordings", "Video and audio recordings: what is known of each file", "/data/recordings", "read:recordings",
    {
        "recordingId": TEXT("The recording's id; that of `egress_id` where the row has no other."),
        "egressId": TEXT("The media server's id of the recording."),
        **PLACE,
        "participantName": TEXT("The name of the participant who was recorded.", names="contact"),
        "startTime": TIME("When the recording began, in UTC."),
        "endTime": TIME("When the recording ended, in UTC; null until it is complete."),
        "duration": NUMBER("How long the recording is; null until it is complete.", unit="ms"),
        "videoOffset": NUMBER("The offset of the video, as the API gives it.", unit="ms"),
        "url": TEXT("Where the platform keeps the file, without the signature that opens it.", names="contact"),
        "downloadPath": TEXT("Where the API gives a link to the file; null on older backends."),
        "fileName": TEXT("The platform's name of the file.", names="contact"),
        "fileSize": COUNT("The size of the file; null until the recording is complete.", unit="bytes"),
        "format": TEXT("The format of the file, such as mp4 or webm."),
        "resolution": TEXT("The resolution of the picture; null for sound alone."),
        "status": TEXT("How far the recording is: complete, or a state before it such as active or processing."),
        "metadata": Object({
            "type": TEXT("What was recorded: video or audio."),
            "recordingType": TEXT("The kind of recording, such as individual or audio."),
            "roomName": TEXT("The media server's name of the room."),
            "experimentId": TEXT("The experiment's id."),
        }),
    },
    scopes=EVERY_SCOPE, key=(("recordingId", "egressId"),), timeout=300.0,
)
