"""What is told of a recording's file: to the next run, in the manifest, and in the summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hyperstudy_source.fields import Row
from hyperstudy_source.recordings import Recording

FileStatus = Literal["downloaded", "skipped", "pending", "failed"]


@dataclass(frozen=True)
class File:
    """A whole file under its final name: what is kept of it in the state."""

    mark: str
    """The `name_mark` of its name: the state keeps no person's name."""
    size: int
    announced: int | None
    md5: str
    sha256: str
    content_type: str | None
    downloaded_at: str
    """ISO 8601, UTC."""


@dataclass
class Job:
    """One recording on its way to its file."""

    recording: Recording
    name: str
    known: File | None
    """What the state has of a file of this name."""
    intact: bool
    """Whether that file is still there at its size."""
    tried: int
    """Attempts of earlier runs."""
    file: File | None = None
    error: str | None = None
    attempts: int = 0
    settled: bool = False
    """Whether it is over for this run."""


def summary(experiment_id: str, counts: Counter[str]) -> str:
    """How many recordings of an experiment ended how, for people."""
    told = ", ".join(f"{counts[status]} {status}" for status in get_args(FileStatus) if counts[status])
    return f"recording_files of experiment {experiment_id}: {told}."


def manifest_row(recording: Recording, status: FileStatus, **more: Any) -> Row:
    """A row of the table `recording_files`."""
    row = recording.row
    return {
        "experiment_id": recording.experiment_id, "recording_id": recording.recording_id,
        "participant_id": row.get("participant_id"), "room_id": row.get("room_id"), "status": status,
        "expected_size_bytes": recording.size, "recording_type": recording.kind, "attempts": 0, **more,
    }
