"""The files of recordings: which to fetch, and the manifest row that says how it went.

A file that is there at its size costs no request. A failure is a row as well, and is tried again with the next run.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime
from typing import Any

import dlt
from dlt.common import logger
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.common.runtime.collector import NULL_COLLECTOR

from hyperstudy_source.bodies import Body, NotDelivered
from hyperstudy_source.client import Client
from hyperstudy_source.completeness import LedgerRow, Status
from hyperstudy_source.data_types import RECORDING_FILES, DataType
from hyperstudy_source.downloads import Downloader, Link
from hyperstudy_source.errors import ApiError, KeyRejected, QuotaReached
from hyperstudy_source.fields import Row
from hyperstudy_source.file_names import FileNames, folder_name, name_mark
from hyperstudy_source.manifest import File, FileStatus, Job, manifest_row, summary
from hyperstudy_source.metadata_file import METADATA_FILE, update_metadata
from hyperstudy_source.reading import Reader, selected
from hyperstudy_source.recordings import Listed, Recording, listed, path_within_api
from hyperstudy_source.redaction import without_secrets
from hyperstudy_source.runs import Run
from hyperstudy_source.scopes import READS, Scope
from hyperstudy_source.tables import opening
from hyperstudy_source.targets import NotWritten, Target
from hyperstudy_source.visits import GOES_ON, Table, Visit

DOWNLOAD_THREADS = 8
"""Files that are fetched at once where nothing else is set."""
PROGRESS_NAME, PROGRESS_PERIOD = "Recordings (bytes)", 0.2
"""The counter in dlt's progress, and s between two moves of it."""


class RecordingFiles:
    """Fetches the files of one source's recordings into a target; its rows are the manifest."""

    def __init__(
        self, client: Client, target: Target, names: FileNames, *, recording_type: str | None = None,
        threads: int = DOWNLOAD_THREADS, now: Callable[[], datetime],
    ) -> None:
        self._client, self._target, self._names = client, target, names
        self._recording_type, self._threads, self._now = recording_type, threads, now
        self._links: dict[tuple[str, str], Listed] = {}
        self._table: Table | None = None
        self._lock = threading.Lock()

    def read(self, reader: Reader, data_type: DataType) -> Iterator[Any]:
        """`GET /data/recordings`: the rows for the table, while the links in them, which no table keeps, stay here."""
        table = reader.table(data_type)
        yield opening()
        wanted = bool(selected([RECORDING_FILES.name]))
        task = replace(table, loaded=[*table.loaded, RECORDING_FILES.name]) if wanted else table
        for scope in reader.due(task, unless=self._is_missing_files if wanted else None):
            for _ in range(READS):
                with Visit(table, scope) as visit:
                    for page in visit.pages(limit=reader.page_size):
                        rows = visit.shaped(page.rows)
                        if wanted:
                            self._links.update(zip(map(_place, rows), map(listed, page.rows), strict=True))
                        yield rows
                    visit.check_total()
                if not visit.again:
                    break
            reader.over(task, scope)

    def rows(self, page: Sequence[Row], table: Table) -> Iterator[list[Row]]:
        """The manifest rows of a page of the table `recordings`, in parts, each as soon as its files are settled.

        `table.state` has what is known of each file from earlier runs, by experiment and recording.
        """
        self._begin(table)
        by_experiment: dict[str, list[Recording]] = {}
        for row in table.run.waiting_for(table.name, page):
            recording = Recording(row, self._links.pop(_place(row), Listed(None, True)))
            if _place(row) not in self._seen and self._recording_type in (None, recording.kind):
                self._seen.add(_place(row))
                by_experiment.setdefault(recording.experiment_id, []).append(recording)
        files = table.state.setdefault("files", {})
        for experiment_id, recordings in by_experiment.items():
            written: list[tuple[Recording, Row]] = []
            for part in self._experiment(recordings, files.setdefault(experiment_id, {}), table.run):
                written += part
                yield [row for _, row in part]
            self._note(table, experiment_id, len(recordings), written)
            self._describe(experiment_id, written, table.run)

    def _begin(self, table: Table) -> None:
        """Forgets what belongs to an earlier slice."""
        if table is self._table:
            return
        self._table = table
        self._seen: set[tuple[str, str]] = set()
        self._target_refuses: str | None = None
        self._key_refused: str | None = None
        self._target_proven = False
        self._quota_reached: QuotaReached | None = None
        self._links_of = table.run.file_counts
        self._began = table.run.now()
        self._received = self._shown = 0
        self._downloader = Downloader(self._threads, self._client.sleep)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="recordings")
        context = Container()[PipelineContext]
        active = context.pipeline() if context.is_active() else None
        self._collector = active.collector if active else NULL_COLLECTOR
        self._target.writer = active.pipeline_name if active else ""

    def _experiment(
        self, recordings: Sequence[Recording], state: dict[str, Any], run: Run
    ) -> Iterator[list[tuple[Recording, Row]]]:
        experiment_id = recordings[0].experiment_id
        for recording_id, known in state.items():
            if "mark" in known:
                self._names.claim(experiment_id, known["mark"], recording_id)
        present: dict[str, int] = {}
        try:
            present = self._target.files(folder_name(experiment_id))
        except NotWritten as failure:
            self._target_refuses = str(failure)
        settled, jobs = [], []
        for recording in recordings:
            job = self._job(recording, state.get(recording.recording_id, {}), present)
            if not recording.is_ready:
                settled.append((recording, manifest_row(recording, "pending")))
            elif job.file:
                settled.append((recording, self._settled(job, "skipped", state)))
            else:
                jobs.append(job)
        if settled:
            yield settled
        if jobs:
            yield from self._fetched(jobs, present, state, run)
        for job in jobs:
            if not job.settled:
                self._links[_place(job.recording.row)] = job.recording.listed
                run.wait(RECORDING_FILES.name, [job.recording.row])

    def _job(self, recording: Recording, known: Mapping[str, Any], present: Mapping[str, int]) -> Job:
        name = self._names.name(recording.recording_id, recording.name_fields, recording.extension)
        file = File(**{key: known[key] for key in File.__dataclass_fields__}) if "mark" in known else None
        file = file if file and file.mark == name_mark(name) else None
        job = Job(recording, name, file, bool(file and file.size == present.get(name)), known.get("attempts", 0))
        if file and job.intact and recording.size in (None, file.announced, file.size):
            job.file = file
        return job

    def _fetched(
        self, jobs: Sequence[Job], present: Mapping[str, int], state: dict[str, Any], run: Run
    ) -> Iterator[list[tuple[Recording, Row]]]:
        """Downloads with the threads of the run, since dlt has the pages of several experiments under way at once."""
        self._prove_target()
        expected = sum(job.recording.size or 0 for job in jobs)
        self._collector.update(PROGRESS_NAME, 0, total=expected, inc_total=expected)
        open_jobs: dict[Future[FileStatus | None], Job] = {}
        try:
            open_jobs |= {self._pool.submit(self._settle, job, present, run): job for job in jobs}
            while open_jobs:
                done, _ = wait(open_jobs, PROGRESS_PERIOD, FIRST_COMPLETED)
                received = self._received
                self._collector.update(PROGRESS_NAME, received - self._shown)
                self._shown = received
                finished = [(open_jobs.pop(future), future.result()) for future in done]
                if rows := [(job.recording, self._settled(job, status, state)) for job, status in finished if status]:
                    yield rows
        finally:
            run.stopped = run.stopped or self._quota_reached
            if open_jobs:
                self._downloader.stopped.set()
                wait([future for future in open_jobs if not future.cancel()])

    def _prove_target(self) -> None:
        """Finds out before the first link is minted whether the target takes files at all."""
        if not self._target_proven and not self._target_refuses:
            try:
                self._target.prove_writable()
                self._target_proven = True
            except NotWritten as failure:
                self._target_refuses = str(failure)

    def _settle(self, job: Job, present: Mapping[str, int], run: Run) -> FileStatus | None:
        """Takes a file that is there, or fetches it; None: not in this slice.

        Runs in a thread; whatever goes wrong is told in the job.
        """
        try:
            if self._quota_reached or run.slice_is_over:
                return None
            if self._target_refuses:
                raise NotWritten(self._target_refuses)
            if self._is_there(job, present):
                job.file = self._adopted(job)
                return "skipped"
            job.file = self._download(job)
            return "downloaded"
        except QuotaReached as stop:
            self._quota_reached = stop
            return None
        except (NotDelivered, NotWritten, ApiError) as failure:
            job.error = without_secrets(str(failure))
        except Exception as failure:
            job.error = f"It failed for a reason that is not foreseen ({type(failure).__name__}). Please report it."
            logger.error(f"A recording was not fetched. {job.error}")
        return "failed"

    def _is_there(self, job: Job, present: Mapping[str, int]) -> bool:
        """Whether a file that the state does not have at its size is whole: a killed run may have left it there.

        Where the API does not say the size, one that had another size when it was fetched is not.
        """
        recording, size = job.recording, present.get(job.name)
        if not size or job.intact or self._names.is_contended(recording.experiment_id, job.name):
            return False
        return recording.size == size or (recording.size is None and not job.known)

    def _adopted(self, job: Job) -> File:
        folder = folder_name(job.recording.experiment_id)
        md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        for block in self._target.read(folder, job.name):
            md5.update(block)
            sha256.update(block)
            size += len(block)
        written = self._target.written_at(folder, job.name)
        return File(name_mark(job.name), size, job.recording.size, md5.hexdigest(), sha256.hexdigest(), None,
                    written.isoformat())

    def _download(self, job: Job) -> File:
        recording = job.recording
        job.attempts = 1
        link = self._link(recording)
        with self._target.draft(folder_name(recording.experiment_id)) as draft:
            body = Body(draft, self._count)
            try:
                self._downloader.fetch(link, body)
            finally:
                job.attempts = max(1, body.attempts)
            file = File(name_mark(job.name), body.size, recording.size, body.md5, body.sha256, body.content_type,
                        self._now().isoformat())
            draft.publish(job.name)
        if recording.size not in (None, file.size):
            job.error = (f"The API has {recording.size:,} bytes for it, the storage host sent {file.size:,}, which is "
                         "the whole file.")
        return file

    def _count(self, received: int) -> None:
        with self._lock:
            self._received += received

    def _link(self, recording: Recording) -> Link:
        """How to get at a recording's file. Raises `NotDelivered` where there is no way."""
        if path := recording.row.get("download_path"):
            try:
                safe_path = path_within_api(str(path))
            except ValueError as hostile:
                raise NotDelivered(str(hostile)) from None
            return Link(lambda: self._minted(safe_path, recording.experiment_id), renewable=True)
        if link := recording.listed.link:
            return Link(lambda: link, renewable=False)
        raise NotDelivered("The platform gave this recording up; there is no file." if recording.is_lost
                           else "The API gives no link to the file.")

    def _minted(self, path: str, experiment_id: str) -> str:
        """`GET {downloadPath}`: a short-lived link."""
        with self._lock:
            self._links_of[experiment_id]["links"] += 1
        if self._key_refused:
            raise NotDelivered(self._key_refused)
        try:
            rows = self._client.get(path).rows
        except KeyRejected as failure:
            self._key_refused = str(failure)
            raise
        link = rows[0].get("url") if rows else None
        if not isinstance(link, str) or not link:
            raise NotDelivered("The API gives no link where the recording's downloadPath leads.")
        return link

    def _settled(self, job: Job, status: FileStatus, state: dict[str, Any]) -> Row:
        """The manifest row of a job that is over; what is known of its file goes into the state."""
        job.settled = True
        attempts = job.tried + job.attempts
        known = job.file or job.known
        state[job.recording.recording_id] = {**(vars(known) if known else {}), "attempts": attempts}
        file = job.file or (job.known if job.intact else None)
        error = job.error
        if status == "skipped" and file and job.recording.size not in (None, file.size):
            error = f"The API has {job.recording.size:,} bytes for it, the whole file has {file.size:,}."
        if status == "failed" and file:
            error = f"{error} The older file of {file.size:,} bytes stays."
        row = manifest_row(job.recording, status, file_name=job.name, attempts=attempts, error=error)
        if file:
            folder = folder_name(job.recording.experiment_id)
            row |= {"file_url": self._target.url(folder, job.name), "size_bytes": file.size, "md5": file.md5,
                    "sha256": file.sha256, "content_type": file.content_type,
                    "downloaded_at": datetime.fromisoformat(file.downloaded_at)}
        return row

    def _note(self, table: Table, experiment_id: str, wanted: int, written: Sequence[tuple[Recording, Row]]) -> None:
        """Says in the ledger and in the summary what came, and what is missing although the platform should have it."""
        run, scope = table.run, Scope(experiment_id)
        counts = run.file_counts[experiment_id]
        earlier = summary(experiment_id, counts)
        counts.update(str(row["status"]) for _, row in written)
        run.remarks[:] = [remark for remark in run.remarks if remark != earlier]
        run.remark(summary(experiment_id, counts))
        missing = [row for recording, row in written if row["status"] == "failed" and not recording.is_lost]
        counts["missing"] += len(missing)
        postponed = len(written) < wanted
        if missing or postponed or counts["pending"]:
            run.incomplete_files.setdefault(experiment_id, missing[0]["error"] if missing else GOES_ON)
        if experiment_id in run.incomplete_files:
            table.freshness.forget(table.name, scope)
        else:
            table.freshness.note_read(table.name, scope, self._began)
        ready = sum(counts[status] for status in ("downloaded", "skipped", "failed"))
        status: Status = "stopped" if postponed else "incomplete" if counts["missing"] else "complete"
        since = run.incomplete_files.get(experiment_id)
        reason = f"{counts['missing']} of {ready} files are missing, one since: {since}"
        run.record(LedgerRow(
            table.name, scope, status, self._began, run.now(), ready, counts["downloaded"] + counts["skipped"],
            counts["downloaded"] + counts["skipped"], requests=counts["links"],
            reason=GOES_ON if postponed else reason if counts["missing"] else None), of_run=True)

    def _is_missing_files(self, scope: Scope) -> bool:
        """Whether a file that was fetched is not where it was."""
        state = dlt.current.resource_state(RECORDING_FILES.name).get("files", {}).get(scope.experiment_id, {})
        try:
            files = self._target.files(folder_name(scope.experiment_id))
        except NotWritten:
            return True
        found = {name_mark(name): size for name, size in files.items()}
        return any(found.get(known.get("mark")) != known.get("size") for known in state.values() if "mark" in known)

    def _describe(self, experiment_id: str, written: Sequence[tuple[Recording, Row]], run: Run) -> None:
        """Brings `recordings_metadata.csv` beside the files up to date."""
        if self._target_refuses or not any(row.get("file_name") for _, row in written):
            return
        try:
            update_metadata(self._target, experiment_id, written, "{participant_name}" in self._names.pattern)
        except Exception as failure:
            reason = str(failure) if isinstance(failure, NotWritten) else type(failure).__name__
            run.notice(f"recording_files of experiment {experiment_id}: {METADATA_FILE} is not up to date: {reason}")


def _place(row: Row) -> tuple[str, str]:
    return str(row["experiment_id"]), str(row["recording_id"])
