"""What is told of a recording's file: to the next run, in the manifest, in the ledger, and in the summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from hyperstudy_source.recordings.recording import Recording
from hyperstudy_source.tables.fields import Row

FileStatus = Literal["downloaded", "skipped", "pending", "failed"]
TRIED_IN_VAIN = 3
"""Runs without success after which there may be no file, where nobody knows what a recording's status means."""


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

    @property
    def whole(self) -> File | None:
        """The file that is there now: the new one, or else the old one."""
        return self.file or (self.known if self.intact else None)


@dataclass
class FileTally:
    """How the files of one experiment's recordings stand in a run."""

    began: datetime
    statuses: dict[str, FileStatus] = field(default_factory=dict)
    """By recording."""
    missing: dict[str, str] = field(default_factory=dict)
    """By recording: why a file that the platform should have is not there."""
    given_up: set[str] = field(default_factory=set)
    """Recordings without a file of which nobody knows whether there should be one; they are tried again."""
    postponed: set[str] = field(default_factory=set)
    """Recordings that are left for the next slice."""
    links: int = 0
    """How many were asked for."""

    def is_over(self, recording: Recording) -> bool:
        """Whether nothing more is to be done for a recording in this run."""
        return self.statuses.get(recording.recording_id, "pending") != "pending"

    def note(self, recording: Recording, row: Row, failures: int) -> None:
        """Takes the manifest row of a recording, of which so many runs one after the other did not get the file."""
        self.statuses[recording.recording_id] = row["status"]
        self.postponed.discard(recording.recording_id)
        if row["status"] != "failed" or recording.is_lost:
            return
        if recording.unknown_status and failures >= TRIED_IN_VAIN:
            self.given_up.add(recording.recording_id)
        else:
            self.missing[recording.recording_id] = row["error"]

    @property
    def counts(self) -> Counter[str]:
        """How many recordings ended with each status."""
        return Counter(self.statuses.values())

    @property
    def present(self) -> int:
        """How many files are there."""
        return self.counts["downloaded"] + self.counts["skipped"]

    @property
    def ready(self) -> int:
        """How many should be there."""
        return len(self.statuses) - self.counts["pending"]

    @property
    def is_whole(self) -> bool:
        """Whether no file is missing and none is to come."""
        return not (self.missing or self.given_up or self.postponed or self.counts["pending"])

    def summary(self, experiment_id: str) -> str:
        """How many recordings of an experiment ended how, for people."""
        told = ", ".join(f"{self.counts[status]} {status}" for status in get_args(FileStatus) if self.counts[status])
        return f"recording_files of experiment {experiment_id}: {told}."


def manifest_row(recording: Recording, status: FileStatus, **more: Any) -> Row:
    """A row of the table `recording_files`."""
    row = recording.row
    return {
        "experiment_id": recording.experiment_id, "recording_id": recording.recording_id,
        "participant_id": row.get("participant_id"), "room_id": row.get("room_id"), "status": status,
        "expected_size_bytes": recording.size, "recording_type": recording.kind, "attempts": 0, **more,
    }
