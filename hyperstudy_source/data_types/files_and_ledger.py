"""What no endpoint serves and this source writes: the manifest of files, and the ledger of what was read."""

from __future__ import annotations

from hyperstudy_source.data_types.data_type import DataType
from hyperstudy_source.tables.fields import COUNT, TEXT, TIME

RECORDING_FILES = DataType(
    "recording_files", "The files of the recordings: where each lies, or why it is missing",
    "/data/recordings/download", "read:recordings",
    {
        "experimentId": TEXT("The experiment's id."),
        "recordingId": TEXT("The recording's id, as in `recordings`."),
        "participantId": TEXT("The id of the participant who was recorded.", names="participant"),
        "roomId": TEXT("The room's id."),
        "status": TEXT(
            "downloaded, skipped (it was there), pending (the recording is not complete), or failed (see `error`)."),
        "fileUrl": TEXT("Where the file lies; null where it is missing.", names="contact"),
        "fileName": TEXT("The name of the file, which may hold the participant's.", names="contact"),
        "sizeBytes": COUNT("The size of the file; null where it is missing.", unit="bytes"),
        "expectedSizeBytes": COUNT("The size by the API; null where it does not tell.", unit="bytes"),
        "md5": TEXT("The MD5 of the file, hexadecimal; null where it is missing."),
        "sha256": TEXT("The SHA-256 of the file, hexadecimal; null where it is missing."),
        "contentType": TEXT("The media type by the storage host."),
        "recordingType": TEXT("What was recorded: video or audio."),
        "attempts": COUNT("How often the file was asked for in this run."),
        "error": TEXT("Why the file is missing; null where it is there or is to come.", names="free_text"),
        "downloadedAt": TIME("When the file was fetched, in UTC; null where it is missing."),
    },
    key=(("recordingId",),), is_served=False,
)
"""The manifest: a row for each recording, written by `recordings`."""

SYNC_LEDGER = DataType(
    "sync_ledger", "What each run read, and whether it is complete", "", "",
    {
        "rowKey": TEXT("The row's key: a digest of the run, the data type and the scope."),
        "runId": TEXT("The run, the same in all rows that it wrote."),
        "experimentId": TEXT("The experiment that was read; null where a data type is read for all at once."),
        "roomId": TEXT("The room that was read; null where the whole experiment was."),
        "participantId": TEXT("The participant who was read; null where the whole room was.", names="participant"),
        "dataType": TEXT("The data type, which is a table."),
        "status": TEXT("complete, quiet (nothing can have changed), incomplete, forbidden, failed or stopped."),
        "rowsExpected": COUNT("Rows by the API's own count; null where it gives none."),
        "rowsReceived": COUNT("Rows that came."),
        "rowsDistinct": COUNT("Rows that came, each once."),
        "pages": COUNT("Pages that came."),
        "requests": COUNT("Requests that were sent."),
        "windowStart": TIME("The time from which rows were asked for, in UTC; null for all from the first on."),
        "windowEnd": TIME("The time up to which rows were asked for, in UTC; null for all up to the last."),
        "cursorBefore": TIME("The time of the newest row that was known before, in UTC."),
        "cursorAfter": TIME("The time of the newest row that is known now, in UTC."),
        "reason": TEXT("What is missing and why; null for what is complete or quiet.", names="free_text"),
        "startedAt": TIME("When the read began, in UTC."),
        "finishedAt": TIME("When the read ended, in UTC."),
    },
    key=(("rowKey",),), of_experiment=False, is_served=False,
)
"""The ledger: a row for each run, scope and data type, made by `sync`."""
