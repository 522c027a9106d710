"""The table `recording_files`: for every recording, its file in the target, or why there is none.

A file that is there at its size costs no request. A failure is a row as well, and is tried again with the next run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.common.runtime.collector import NULL_COLLECTOR

from hyperstudy_source.api.client import Client
from hyperstudy_source.data_types import RECORDING_FILES, DataType
from hyperstudy_source.recordings.fetching import Fetcher
from hyperstudy_source.recordings.manifest import File, FileStatus, FileTally, Job, manifest_row
from hyperstudy_source.recordings.metadata import METADATA_FILE, update_metadata
from hyperstudy_source.recordings.names import FileNames, folder_name, name_mark
from hyperstudy_source.recordings.recording import Listed, Recording, link_in
from hyperstudy_source.recordings.targets import NotWritten, Target
from hyperstudy_source.sync.filling import Table
from hyperstudy_source.sync.ledger import LedgerRow, Status
from hyperstudy_source.sync.reader import Reader, selected, task_of
from hyperstudy_source.sync.reads import CLOSED, GOES_ON, Visit
from hyperstudy_source.sync.rounds import Task
from hyperstudy_source.sync.run import Run
from hyperstudy_source.sync.scopes import Scope
from hyperstudy_source.sync.sharing import Items
from hyperstudy_source.tables.fields import Row

DOWNLOAD_THREADS = 8
"""Files that are fetched at once where nothing else is set."""
EVERY_TYPE = "audio and video"
FILES = Task((RECORDING_FILES.name,))
"""Fetching the files of an experiment, beside listing its recordings."""
LONGEST_STATUS = 30
"""Characters of a status that a remark repeats."""
Written = list[tuple[Recording, Row]]
"""Recordings with their manifest rows."""


class RecordingFiles:
    """Fetches the files of one source's recordings into a target; its rows are the manifest."""

    def __init__(
        self, client: Client, target: Target, names: FileNames, *, recording_type: str | None = None,
        threads: int = DOWNLOAD_THREADS,
    ) -> None:
        self._client, self._target, self._names = client, target, names
        self._recording_type, self._threads = recording_type, threads
        self._links: dict[tuple[str, str], Listed] = {}
        self._table: Table | None = None
        self._task = FILES

    def read(self, reader: Reader, data_type: DataType) -> Items:
        """`GET /data/recordings`: the rows for the table, while the links in them, which no table keeps, stay here."""
        table = reader.table(data_type)
        wanted = bool(selected([RECORDING_FILES.name]))
        task = replace(table, loaded=[*table.loaded, RECORDING_FILES.name]) if wanted else table
        self._task = task_of(task)
        for scope in reader.ready(task, unless=partial(self._is_unsettled, reader) if wanted else None):
            if scope is None:
                yield None
                continue
            visit = Visit(table, scope)
            with visit:
                for page in visit.pages(limit=reader.page_size):
                    rows = visit.shaped(page.rows)
                    if wanted:
                        self._links.update(zip(map(_place, rows), map(link_in, page.rows), strict=True))
                    yield rows
                visit.check_total()
            reader.over(task, visit)
            if wanted and visit.status == "complete" and not visit.distinct:
                self._note(reader, scope.experiment_id, FileTally(visit.started), [])

    def rows(self, page: Sequence[Row], reader: Reader) -> Iterator[list[Row]]:
        """The manifest rows of a page of the table `recordings`, in parts, each as soon as its files are settled.

        The table's state has what is known of each file from earlier runs, by experiment and recording.
        """
        table, run = reader.table(RECORDING_FILES), reader.run
        self._begin(table)
        listed = [Recording(row, self._links.pop(_place(row), Listed(None, True))) for row in page]
        by_experiment: dict[str, list[Recording]] = {}
        for recording in [*run.waiting_for(table.name), *listed]:
            by_experiment.setdefault(recording.experiment_id, [])
            if _place(recording.row) not in self._seen and self._recording_type in (None, recording.kind):
                self._seen.add(_place(recording.row))
                by_experiment[recording.experiment_id].append(recording)
        files = table.state.setdefault("files", {})
        for experiment_id in by_experiment:
            self._forget_settled(reader, Scope(experiment_id))
        for experiment_id, recordings in by_experiment.items():
            tally: FileTally = run.files.setdefault(experiment_id, FileTally(run.now()))
            due = [recording for recording in recordings if not tally.is_over(recording)]
            written: Written = []
            try:
                for part in self._settled(due, files.setdefault(experiment_id, {})) if due else ():
                    written += part
                    yield [row for _, row in part]
            except GeneratorExit:
                run.record(LedgerRow(
                    table.name, Scope(experiment_id), "stopped", tally.began, run.now(), reason=CLOSED), of_run=True)
                raise
            self._postpone(due, tally, written, run)
            self._note(reader, experiment_id, tally, written)
            self._describe(experiment_id, written, table)

    def _begin(self, table: Table) -> None:
        """Forgets what belongs to an earlier slice."""
        if table is self._table:
            return
        context = Container()[PipelineContext]
        active = context.pipeline() if context.is_active() else None
        self._target.writer = active.pipeline_name if active else ""
        self._table = table
        self._seen: set[tuple[str, str]] = set()
        self._fetcher = Fetcher(self._client, self._target, self._names, table.run, self._threads,
                                active.collector if active else NULL_COLLECTOR)

    def _settled(self, recordings: Sequence[Recording], state: dict[str, Any]) -> Iterator[Written]:
        """The recordings of one experiment that are over, first those for which nothing is to be fetched."""
        experiment_id = recordings[0].experiment_id
        for recording_id, known in state.items():
            if "mark" in known:
                self._names.claim(experiment_id, known["mark"], recording_id)
        present: dict[str, int] = {}
        try:
            present = self._target.files(folder_name(experiment_id))
        except NotWritten as failure:
            self._fetcher.refusal = str(failure)
        settled, jobs = [], []
        for recording in recordings:
            job = self._job(recording, state.get(recording.recording_id, {}), present)
            if not recording.is_ready:
                settled.append((recording, manifest_row(recording, "pending")))
            elif job.file:
                settled.append((recording, self._row(job, "skipped", state)))
            else:
                jobs.append(job)
        if settled:
            yield settled
        for part in self._fetcher.fetched(jobs, present) if jobs else ():
            yield [(job.recording, self._row(job, status, state)) for job, status in part]

    def _job(self, recording: Recording, known: Mapping[str, Any], present: Mapping[str, int]) -> Job:
        name = self._names.name(recording.recording_id, recording.name_fields, recording.extension)
        file = File(**{key: known[key] for key in File.__dataclass_fields__}) if "mark" in known else None
        file = file if file and file.mark == name_mark(name) else None
        job = Job(recording, name, file, bool(file and file.size == present.get(name)), known.get("attempts", 0))
        if file and job.intact and recording.size in (None, file.announced, file.size):
            job.file = file
        return job

    def _row(self, job: Job, status: FileStatus, state: dict[str, Any]) -> Row:
        """The manifest row of a job that is over; what is known of its file goes into the state."""
        recording, known, file = job.recording, job.file or job.known, job.whole
        attempts = job.tried + job.attempts
        failures = state.get(recording.recording_id, {}).get("failures", 0) + 1 if status == "failed" else 0
        state[recording.recording_id] = {**(vars(known) if known else {}), "attempts": attempts, "failures": failures}
        error = job.error
        if status == "skipped" and file and recording.size not in (None, file.size):
            error = f"The API has {recording.size:,} bytes for it, the whole file has {file.size:,}."
        if status == "failed" and file:
            error = f"{error} The older file of {file.size:,} bytes stays."
        row = manifest_row(recording, status, file_name=job.name, attempts=attempts, error=error)
        if file:
            folder = folder_name(recording.experiment_id)
            row |= {"file_url": self._target.url(folder, job.name), "size_bytes": file.size, "md5": file.md5,
                    "sha256": file.sha256, "content_type": file.content_type,
                    "downloaded_at": datetime.fromisoformat(file.downloaded_at)}
        return row

    def _postpone(self, due: Sequence[Recording], tally: FileTally, written: Written, run: Run) -> None:
        """Leaves the recordings that are not over to the next slice."""
        over = {recording.recording_id for recording, _ in written}
        left = [recording for recording in due if recording.recording_id not in over]
        tally.postponed |= {recording.recording_id for recording in left}
        self._seen -= {_place(recording.row) for recording in left}
        if left:
            run.wait(RECORDING_FILES.name, left)

    def _note(self, reader: Reader, experiment_id: str, tally: FileTally, written: Written) -> None:
        """Says in the ledger and in the summary what came, and what is missing although the platform should have it."""
        table, run, scope = reader.table(RECORDING_FILES), reader.run, Scope(experiment_id)
        run.remarks[:] = [remark for remark in run.remarks if remark != tally.summary(experiment_id)]
        files = table.state.get("files", {}).get(experiment_id, {})
        for recording, row in written:
            tally.note(recording, row, files.get(recording.recording_id, {}).get("failures", 0))
            if recording.unknown_status:
                run.remark(f"recording_files of experiment {experiment_id}: nobody knows the status "
                           f"{recording.unknown_status[:LONGEST_STATUS]!r} of recording {recording.recording_id}; its "
                           f"file is {row['status']}.")
        if tally.statuses:
            run.remark(tally.summary(experiment_id))
        status: Status = "stopped" if tally.postponed else "incomplete" if tally.missing else "complete"
        since = next(iter(tally.missing.values()), "")
        reason = f"{len(tally.missing)} of {tally.ready} files are missing, one since: {since}" if since else None
        run.record(LedgerRow(
            table.name, scope, status, tally.began, run.now(), tally.ready, tally.present, tally.present,
            requests=tally.links, reason=GOES_ON if tally.postponed else reason), of_run=True)
        if not reader.scopes.is_narrowed:
            self._note_settled(reader, scope, tally, reason)

    def _note_settled(self, reader: Reader, scope: Scope, tally: FileTally, reason: str | None) -> None:
        """Takes note of whether the files of an experiment are there, for the next runs."""
        table, freshness = reader.table(RECORDING_FILES), reader.freshness
        mark = freshness.mark(scope)
        if tally.is_whole:
            freshness.note_read(table.name, scope, tally.began, mark)
            table.state.setdefault("whole", {})[scope.experiment_id] = self._recording_type or EVERY_TYPE
        else:
            self._forget_settled(reader, scope)
        if tally.missing and not tally.postponed:
            reader.round.note_try(self._task, scope.cursor_key, reason)
        elif not tally.postponed:
            reader.round.note_done(FILES, scope.cursor_key, mark)

    def _forget_settled(self, reader: Reader, scope: Scope) -> None:
        """Until it is known again: whether the files of an experiment are there."""
        if not reader.scopes.is_narrowed:
            reader.freshness.forget(RECORDING_FILES.name, scope)
            reader.table(RECORDING_FILES).state.setdefault("whole", {}).pop(scope.experiment_id, None)

    def _is_unsettled(self, reader: Reader, scope: Scope) -> bool:
        """Whether files are still to be fetched, or one that was fetched is not where it was."""
        if reader.round.is_done(FILES, scope.cursor_key, reader.freshness.mark(scope)):
            return False
        state = reader.table(RECORDING_FILES).state
        if state.get("whole", {}).get(scope.experiment_id) not in (EVERY_TYPE, self._recording_type or EVERY_TYPE):
            return True
        try:
            files = self._target.files(folder_name(scope.experiment_id))
        except NotWritten:
            return True
        found = {name_mark(name): size for name, size in files.items()}
        known = state.get("files", {}).get(scope.experiment_id, {}).values()
        return any(found.get(each.get("mark")) != each.get("size") for each in known if "mark" in each)

    def _describe(self, experiment_id: str, written: Written, table: Table) -> None:
        """Brings `recordings_metadata.csv` beside the files up to date."""
        if self._fetcher.refusal or not any(row.get("file_name") for _, row in written):
            return
        try:
            update_metadata(self._target, experiment_id, written, "{participant_name}" in self._names.pattern)
        except Exception as failure:
            reason = str(failure) if isinstance(failure, NotWritten) else type(failure).__name__
            table.run.notice(f"{table.name} of experiment {experiment_id}: {METADATA_FILE} is not up to date: {reason}")


def _place(row: Row) -> tuple[str, str]:
    return str(row["experiment_id"]), str(row["recording_id"])
