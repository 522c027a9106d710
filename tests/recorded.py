"""Studies with recordings, and runs that fetch their files: extracted only, which is what brings them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import dlt

from hyperstudy_source import hyperstudy_source
from hyperstudy_source.load import reasons
from hyperstudy_source.standin import Link, Made, StandIn, Study, digest
from hyperstudy_source.standin.files import Content, blocks
from hyperstudy_source.sync.run import Run, current_run

Row = dict[str, Any]

PERSON = "Mia Müller"
MINT = "/data/recordings/download"
STORAGE = "/storage"
VIDEO = Made(3000)


def room_of(experiment_id: str) -> str:
    """The only room of an experiment."""
    return "room_" + re.sub(r"\W", "_", experiment_id)


def recorded_study(*experiment_ids: str) -> Study:
    """Experiments of one room each, `room_exp_1` of `exp_1` and so on, without recordings."""
    study = Study.empty(*experiment_ids or ("exp_1",))
    for experiment_id in experiment_ids or ("exp_1",):
        study.add_room(room_of(experiment_id), experiment_id=experiment_id, participants=["p1"])
    return study


def add_video(
    study: Study, recording_id: str, content: Content | None = VIDEO, *, experiment_id: str = "exp_1",
    link: Link | None = "path", **fields: Any,
) -> Row:
    """Adds a complete recording; `fields` go over the row's."""
    row = {"recordingId": recording_id, "participantId": "p1", "participantName": PERSON, "format": "mp4",
           "status": "complete", "metadata": {"type": "video"}, **fields}
    return study.add_recording(row, content, experiment_id=experiment_id, room_id=room_of(experiment_id),
                               participant_id="p1", link=link)


class Fetched(NamedTuple):
    """What a run brought: the manifest by recording, the bytes by file, and what it says of itself."""

    rows: dict[str, Row]
    notices: list[str]
    remarks: list[str]

    def statuses(self) -> dict[str, str]:
        return {recording_id: row["status"] for recording_id, row in self.rows.items()}


def fetch(api: StandIn, pipeline: dlt.Pipeline, target: str | Path | None = "target", **options: Any) -> Fetched:
    """One run of `recordings` and `recording_files` up to where the destination would come in."""
    rows: dict[str, Row] = {}

    def keep(row: Row) -> Row:
        rows[row["recording_id"]] = row
        return row

    if target is not None:
        options["bucket_url"] = str(target)
    with current_run(Run()) as run:
        source = hyperstudy_source(api_key=api.api_key, base_url=api.base_url, **options)
        source = source.with_resources("recordings", "recording_files")
        source.resources["recording_files"].add_map(keep)
        pipeline.extract(source)
    return Fetched(rows, [*reasons(run), *run.notices], run.remarks)


def files_in(folder: str | Path) -> dict[str, bytes]:
    """Every file of a folder and its folders, by its path in it, the metadata aside."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and path.name != "recordings_metadata.csv"}


def whole(content: Content) -> bytes:
    """All bytes of a file in the storage."""
    return b"".join(blocks(content))


def md5(content: Content) -> str:
    return digest(content, "md5").hex()
