"""What the API says of a recording as far as its file depends on it: ready or not, where to get it, what to call it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from hyperstudy_source.tables.fields import Row

RUNNING_STATUSES = frozenset({
    "0", "1", "2",
    "active", "created", "ending", "finalizing", "in_progress", "initializing", "new", "paused", "pending",
    "processing", "queued", "recording", "running", "saving", "started", "starting", "transcoding", "uploading",
    "waiting",
})
"""Statuses of recordings whose file is not ready. The numbers are the media server's own, here and below."""
FINAL_STATUSES = frozenset({
    "3", "6",
    "archived", "available", "complete", "completed", "done", "ended", "finished", "limit_reached", "ready", "saved",
    "stopped", "success", "succeeded", "uploaded",
})
"""Statuses of recordings whose file is ready. A recording of any other status is ready once it ended, one of none also
once it has a link."""
LOST_STATUSES = frozenset({"4", "5", "aborted", "canceled", "cancelled", "error", "failed"})
"""Statuses of recordings that the platform gave up; there may be a part of a file."""


@dataclass(frozen=True)
class Listed:
    """What the API says of a recording and no table may keep: its signed link. It lives as long as the run."""

    link: str | None = field(repr=False)
    has_id: bool


def link_in(raw: Row) -> Listed:
    """The link in a recording's row: `downloadUrl`, else `url`; and whether the row has an id."""
    link = next((raw[name] for name in ("downloadUrl", "url") if isinstance(raw.get(name), str) and raw[name]), None)
    return Listed(link, bool(raw.get("recordingId") or raw.get("egressId")))


@dataclass(frozen=True)
class Recording:
    """A row of the table `recordings`, as far as its file depends on it."""

    row: Row
    listed: Listed

    @property
    def experiment_id(self) -> str:
        """The experiment that it belongs to."""
        return str(self.row["experiment_id"])

    @property
    def recording_id(self) -> str:
        """Its id in the tables."""
        return str(self.row["recording_id"])

    @property
    def kind(self) -> str | None:
        """`audio` or `video`, or whatever else its metadata say."""
        metadata = self.row.get("metadata")
        found = metadata.get("type") if isinstance(metadata, dict) else None
        return str(found) if found else None

    @property
    def size(self) -> int | None:
        """Bytes of its file as the API has it, which is information and no truth."""
        size = self.row.get("file_size")
        return size if isinstance(size, int) else None

    @property
    def is_lost(self) -> bool:
        """Whether the platform gave it up."""
        return self._status in LOST_STATUSES

    @property
    def is_ready(self) -> bool:
        """Whether its file will not change any more."""
        if self._status in FINAL_STATUSES | LOST_STATUSES:
            return True
        if self._status in RUNNING_STATUSES:
            return False
        if self._status:
            return bool(self.row.get("end_time"))
        return bool(self.row.get("end_time") or self.row.get("download_path") or self.listed.link)

    @property
    def unknown_status(self) -> str | None:
        """Its status, where nobody knows what it means."""
        status = self._status
        return status if status and status not in FINAL_STATUSES | LOST_STATUSES | RUNNING_STATUSES else None

    @property
    def _status(self) -> str:
        status = self.row.get("status")
        return re.sub(r"[\s-]+", "_", str("" if status is None else status).strip().lower()).removeprefix("egress_")

    @property
    def name_fields(self) -> dict[str, str]:
        """What a file's name is made of, with the fallbacks of the platform's SDK."""
        person = str(self.row.get("participant_id") or "unknown")
        return {
            "participant_name": str(self.row.get("participant_name") or person), "participant_id": person,
            "type": self.kind or "recording", "recording_id": self.recording_id if self.listed.has_id else "unknown",
            "room_id": str(self.row.get("room_id") or "unknown"), "experiment_id": self.experiment_id,
        }

    @property
    def extension(self) -> str:
        """Of the file's name, without a dot."""
        return str(self.row.get("format") or "").strip(". ") or ("webm" if self.kind == "audio" else "mp4")


def path_within_api(path: str) -> str:
    """A `downloadPath` if it stays within the API, whatever ids are quoted in it. Raises `ValueError` for any other."""
    plain = path
    for _ in range(3):
        plain = unquote(plain)
    within = re.fullmatch(r"/?[^/\\?#:\s\x00-\x1f]+(/[^\\?#\s\x00-\x1f]*)?", path)
    if not within or {"..", "."} & set(re.split(r"[/\\]", plain)) or re.search(r"[\x00-\x1f\x7f]", plain):
        raise ValueError("The recording's downloadPath leads out of the API; it is refused.")
    return path
