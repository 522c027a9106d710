"""What people answered: ratings while and between they watch, and the components that they saw."""

from __future__ import annotations

from hyperstudy_source.data_types.data_type import EVERY_SCOPE, DataType
from hyperstudy_source.data_types.place_and_time import PLACE, SEEN_IN_STATE, TIMED
from hyperstudy_source.tables.fields import (
    ANY,
    CONFIGURATION,
    COUNT,
    FLAG,
    NUMBER,
    TEXT,
    TIME,
    Fields,
    MapOf,
    Object,
)

RATING: Fields = {
    "ratingId": TEXT("The rating's id; null where the row has none."),
    **PLACE,
    "componentId": TEXT("The id of the component with which it was rated."),
    **TIMED,
    "rawOnset": NUMBER("The raw onset, before the clock was corrected.", unit="ms"),
    "clockOffsetApplied": NUMBER("By how much the clock was corrected.", unit="ms"),
    "value": NUMBER("The rating, on the scale from `scale__min` to `scale__max`."),
    "rawValue": NUMBER("The raw value of the rating."),
    "scale": Object({
        "min": NUMBER("The lowest value of the scale."),
        "max": NUMBER("The highest value of the scale."),
    }),
    "type": TEXT("The kind of rating."),
    "stateId": TEXT("The id of the state in which it was rated."),
    "stimulusId": TEXT("The id of what was rated."),
    "stimulusTime": NUMBER("The time in the stimulus at which it was rated.", unit="ms"),
    "responseTime": NUMBER("How long the answer took; may be null.", unit="ms"),
    "confidence": NUMBER("The confidence of the rating; may be null."),
    "labels": ANY("The labels of the rating; may be null."),
    "metadata": Object({
        "question": TEXT("The question that was asked."),
        "dimension": TEXT("What was rated, as the researcher named it."),
        "componentType": TEXT("The kind of the component with which it was rated."),
        "sampleIndex": COUNT("The number of the rating among those of its component."),
    }),
    "ratingEndOnset": NUMBER("When the rating was ended, as time since the start of the experiment.", unit="ms"),
    "stateStartTime": TIME("When the state began, in UTC."),
    "stateDuration": NUMBER("How long the state took.", unit="ms"),
}

AT_A_PAUSE: Fields = {
    "videoId": TEXT("The id of the video that was paused."),
    "pauseIndex": COUNT("The number of the pause in the video."),
    "videoRelativeTime": NUMBER("The time in the video at which it was paused.", unit="ms"),
    "pauseTimestamp": NUMBER("When it was paused, since 1970-01-01 in UTC.", unit="ms"),
    "componentType": TEXT("The kind of the component that was shown at the pause."),
    "componentData": ANY("What was answered at the pause, in the form of the component.", names="free_text"),
    "previousRatings": MapOf(
        NUMBER("The earlier rating."), key=TEXT("What it was a rating of, as the researcher named it."),
        says="The ratings that were given before each rating; none where there were none."),
    "mediaPauseOnset": NUMBER("When the video stopped, as time since the start of the experiment.", unit="ms"),
    "mediaResumeOnset": NUMBER("When the video went on, as time since the start of the experiment.", unit="ms"),
    "actualPauseDuration": NUMBER("How long the video stood still.", unit="ms"),
}

RATINGS_CONTINUOUS = DataType(
    "ratings_continuous", "Ratings by slider, every 100 to 500 ms", "/data/ratings/continuous", "read:ratings",
    RATING, scopes=EVERY_SCOPE, key_where_present="ratingId", cursor="timestamp",
)

RATINGS_SPARSE = DataType(
    "ratings_sparse", "Ratings at pauses of the video", "/data/ratings/sparse", "read:ratings",
    {**RATING, "sparseRatingData": Object(AT_A_PAUSE)},
    scopes=EVERY_SCOPE, key=(("ratingId",),), cursor="timestamp",
)

COMPONENTS = DataType(
    "components", "Components as each participant saw and answered them", "/data/components", "read:components",
    {
        **PLACE,
        **SEEN_IN_STATE,
        "completed": FLAG("Whether the participant completed the component."),
        "config": CONFIGURATION("How the component was configured: its texts, scales and stimuli."),
        "variables": MapOf(
            ANY("The variable's value.", names="free_text"), key=TEXT("The variable's name."),
            says="The variables that each component had."),
        "response": ANY(
            "What the participant answered, in the form of the component; null before it is.", names="free_text"),
    },
    scopes=EVERY_SCOPE, identity=("roomId", "participantId", "stateId", "componentId"),
)
