"""`recordings_metadata.csv` beside the files: the manifest with the recordings' metadata, as the platform's SDK has it.

Its columns are those that the SDK writes, then those of the manifest, whose `status` is `download_status` here. Rows of
recordings that a run did not see stay.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime

from hyperstudy_source.api.redaction import without_secrets
from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.recordings.names import METADATA_FILE, folder_name
from hyperstudy_source.recordings.recording import Recording
from hyperstudy_source.recordings.targets import Target
from hyperstudy_source.tables.fields import Object, Row, column_name

__all__ = ["METADATA_FILE", "update_metadata"]

NAMING_FIELDS = tuple(name for name, kind in DATA_TYPES["recordings"].fields.items() if kind.names == "contact")
"""Columns that are left out where no person is to be named in file names."""


def update_metadata(
    target: Target, experiment_id: str, written: Sequence[tuple[Recording, Row]], with_names: bool
) -> None:
    """Writes the file anew with the manifest rows of these recordings. Raises `NotWritten` or `OSError`."""
    folder = folder_name(experiment_id)
    rows = _rows(target, folder)
    for recording, row in written:
        path = target.local_path(folder, row["file_name"]) if row.get("file_url") else None
        manifest = {name: value for name, value in row.items() if name != "status"}
        rows[recording.recording_id] = {
            **_sdk_columns(recording), **manifest, "local_path": path, "download_status": row["status"]}
    hidden = () if with_names else NAMING_FIELDS
    with target.draft(folder) as draft:
        draft.write(_csv([{k: v for k, v in row.items() if k not in hidden} for row in rows.values()]).encode())
        draft.publish(METADATA_FILE)


def _rows(target: Target, folder: str) -> dict[str, Row]:
    """The file as it stands, by recording; one that the SDK wrote counts too."""
    if METADATA_FILE not in target.files(folder):
        return {}
    text = b"".join(target.read(folder, METADATA_FILE)).decode("utf-8-sig", "replace")
    rows = [{name: without_secrets(value or "") for name, value in row.items() if name and name != "downloadUrl"}
            for row in csv.DictReader(io.StringIO(text, newline=""))]
    return {str(row.get("recording_id") or row.get("recordingId") or row.get("egressId")): row for row in rows}


def _sdk_columns(recording: Recording) -> Row:
    """The documented fields of a recording under the names that the platform's SDK gives them."""
    columns: Row = {}
    for api_name, kind in DATA_TYPES["recordings"].fields.items():
        value = recording.row.get(column_name(api_name))
        if isinstance(kind, Object):
            inner = value if isinstance(value, dict) else {}
            named = {name: inner[column_name(name)] for name in kind.fields if column_name(name) in inner}
            columns[api_name] = json.dumps(named, ensure_ascii=False, default=str) if named else None
            columns |= {f"{api_name}_{name}": named.get(name) for name in kind.fields}
        else:
            columns[api_name] = value
    return columns


def _csv(rows: Sequence[Row]) -> str:
    """A table with a header; the columns are those of all rows, in the order in which they come."""
    text = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()})
    return text.getvalue()
