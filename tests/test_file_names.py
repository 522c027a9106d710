"""Names of files: the SDK's, safe everywhere, never shared, always the same."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from hyperstudy_source.errors import SettingError
from hyperstudy_source.recordings.names import (
    METADATA_FILE,
    MOST_BYTES,
    SDK_PATTERN,
    FileNames,
    folder_name,
    name_mark,
    name_pattern,
)
from hyperstudy_source.recordings.recording import Recording, link_in

HOSTILE = [
    "../../etc/passwd", "..", ".", "/", "\\", "a/b", "a\\b", "C:\\x", "\x00", "a\nb", "\x1b[31m", "CON", "nul",
    "com1.txt", "-rf", "~", "*?", "a b", " ", "trailing.", "trailing ", "x" * 300, "名" * 300, "é" * 300, "Zoë",
    "e\u0301", "\u202egnp.exe", "\ud800", "🎬", "%2e%2e%2f", "$(rm)", "|", "'\"", "recordings_metadata", "name_video_1",
]


def name(row: dict[str, Any], pattern: str = SDK_PATTERN, names: FileNames | None = None) -> str:
    """The name of a recording as the API sends it."""
    metadata = row.get("metadata") or {}
    shaped = {
        "experiment_id": "exp_1", "recording_id": row.get("recordingId") or row.get("egressId") or "a digest",
        "participant_id": row.get("participantId"), "participant_name": row.get("participantName"),
        "format": row.get("format"), "metadata": metadata, "room_id": row.get("roomId")}
    recording = Recording(shaped, link_in(row))
    names = names or FileNames(name_pattern(pattern))
    return names.name(recording.recording_id, recording.name_fields, recording.extension)


@pytest.mark.parametrize(("row", "expected"), [
    ({"participantName": "Mia", "metadata": {"type": "video"}, "recordingId": "EG_1", "format": "mp4"},
     "Mia_video_EG_1.mp4"),
    ({"participantName": "Zoë O'Neill-Łęcka", "metadata": {"type": "audio"}, "recordingId": "EG_1"},
     "Zoë_O_Neill-Łęcka_audio_EG_1.webm"),
    ({"participantId": "p 1", "metadata": {"type": "video"}, "egressId": "EG_1"}, "p_1_video_EG_1.mp4"),
    ({}, "unknown_recording_unknown.mp4"),
    ({"participantName": "Mia", "metadata": {"type": "audio"}, "format": "ogg"}, "Mia_audio_unknown.ogg"),
])
def test_a_name_is_the_one_that_the_sdk_gives(row: dict[str, Any], expected: str) -> None:
    downloads = pytest.importorskip("hyperstudy._downloads")
    assert expected == downloads.build_filename(row)
    assert name(row) == expected


@pytest.mark.parametrize("field", ["participantName", "participantId", "recordingId", "format", "type"])
@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_hostile_field_makes_no_hostile_name(field: str, value: str) -> None:
    row: dict[str, Any] = {"participantName": "Mia", "recordingId": "EG_1", "metadata": {"type": "video"}}
    if field == "participantId":
        row["participantName"] = None
    row |= {"metadata": {"type": value}} if field == "type" else {field: value}
    for pattern in (SDK_PATTERN, "{participant_id}", "{recording_id}", "{participant_name}"):
        made = name(row, pattern)
        stem, _, ending = made.rpartition(".")
        assert len(made.encode()) <= MOST_BYTES
        assert stem
        assert ending
        assert all(character.isalnum() or character in "_-" for character in stem + ending), made
        assert stem.casefold() not in ("con", "nul", "com1", "prn")
        assert made != METADATA_FILE
        assert made == name(row, pattern)


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_hostile_experiment_has_a_folder_of_its_own(value: str) -> None:
    made = folder_name(value)
    assert made
    assert len(made.encode()) <= MOST_BYTES
    assert all(character.isalnum() or character in "_-" for character in made)
    assert folder_name("exp_abc123") == "exp_abc123"


def test_experiments_that_differ_have_folders_that_differ() -> None:
    folders = [folder_name(each) for each in dict.fromkeys(HOSTILE)]
    assert len({name_mark(each) for each in folders}) == len(folders)


@pytest.mark.parametrize("pair", [
    ("EG/1", "EG_1"), ("EG_a", "EG_A"), ("EG 1", "EG\t1"), ("x" * 300, "x" * 299), ("1", "A_video_1")],
    ids=["replaced", "case", "spaces", "cut off", "part of another"])
def test_two_recordings_never_share_a_name(pair: tuple[str, str]) -> None:
    rows = [{"participantName": "A_video_A" if each == "1" else "A", "recordingId": each, "metadata": {"type": "video"}}
            for each in pair]
    for order in itertools.permutations(rows):
        names = FileNames(name_pattern(SDK_PATTERN))
        assert len({name(row, names=names).casefold() for row in order}) == 2


def test_a_pattern_without_the_id_tells_recordings_apart_as_well() -> None:
    names = FileNames(name_pattern("{participant_id}"))
    made = [name({"participantId": "p1", "recordingId": each}, names=names) for each in ("EG_1", "EG_2")]
    assert len(set(made)) == 2
    assert made == [name({"participantId": "p1", "recordingId": each}, "{participant_id}") for each in ("EG_1", "EG_2")]


def test_whoever_had_a_name_before_keeps_it() -> None:
    ids = ["EG_a", "EG_A"]
    rows = [{"participantName": "A", "recordingId": each, "metadata": {"type": "video"}} for each in ids]
    first = FileNames(name_pattern(SDK_PATTERN))
    before = [name(row, names=first) for row in rows]
    again = FileNames(name_pattern(SDK_PATTERN))
    for recording_id, made in zip(ids, before, strict=True):
        again.claim("exp_1", name_mark(made), recording_id)
    assert [name(row, names=again) for row in reversed(rows)] == before[::-1]


@pytest.mark.parametrize(("pattern", "expected"), [
    ("{participant_id}_{type}_{recording_id}", "p1_video_EG_1.mp4"),
    ("{participantId}_{recordingId}.{ext}", "p1_EG_1.mp4"),
    ("{room_id}-{recording_id}", "room_1-EG_1.mp4"),
    ("of {participant_id}: {recording_id}", "of_p1__EG_1.mp4"),
])
def test_a_lab_names_files_as_it_likes(pattern: str, expected: str) -> None:
    row = {"participantName": "Mia", "participantId": "p1", "recordingId": "EG_1", "roomId": "room_1",
           "metadata": {"type": "video"}}
    assert name(row, pattern) == expected


@pytest.mark.parametrize("pattern", [
    "", "fixed", "{email}", "{", "{recording_id", "{}", "{0}", "{recording_id!r}", "{recording_id:>10}",
    "{recording_id.__class__}", "{room_id}/{recording_id}", "..\\{recording_id}"])
def test_a_pattern_that_cannot_work_is_refused(pattern: str) -> None:
    with pytest.raises(SettingError, match="filename is"):
        name_pattern(pattern)
