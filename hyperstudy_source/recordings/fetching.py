"""The files of recordings, several at once: each has its link made, is fetched whole, and gets its final name.

A file that a killed run has left under its final name is taken as it is.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from dlt.common import logger
from dlt.common.runtime.collector_base import Collector

from hyperstudy_source.api.client import Client
from hyperstudy_source.api.redaction import without_secrets
from hyperstudy_source.errors import ApiError, KeyRejected, QuotaReached
from hyperstudy_source.recordings.bodies import Body, NotDelivered
from hyperstudy_source.recordings.downloads import Downloader, Link
from hyperstudy_source.recordings.manifest import File, FileStatus, Job
from hyperstudy_source.recordings.names import FileNames, folder_name, name_mark
from hyperstudy_source.recordings.recording import Recording, path_within_api
from hyperstudy_source.recordings.targets import NotWritten, Target
from hyperstudy_source.sync.run import Run

PROGRESS_NAME, PROGRESS_PERIOD = "Recordings (bytes)", 0.2
"""The counter in dlt's progress, and s between two moves of it."""


class Links:
    """How to get at files: by a link that is minted when it is needed, or by the one that an older backend sends."""

    def __init__(self, client: Client, run: Run) -> None:
        self._client, self._run = client, run
        self._lock = threading.Lock()
        self._key_refused: str | None = None

    def to(self, recording: Recording) -> Link:
        """The way to a recording's file. Raises `NotDelivered` where there is none."""
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
            self._run.files[experiment_id].links += 1
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


class Fetcher:
    """Brings files into a target for one slice of a run, with the same threads for all experiments."""

    def __init__(
        self, client: Client, target: Target, names: FileNames, run: Run, threads: int, collector: Collector
    ) -> None:
        self._target, self._names, self._run, self._collector = target, names, run, collector
        self._links, self._downloader = Links(client, run), Downloader(threads, client.sleep)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="recordings")
        self._lock = threading.Lock()
        self.refusal: str | None = None
        """Why the target takes no files."""
        self._target_proven = False
        self._quota_reached: QuotaReached | None = None
        self._received = self._shown = 0

    def fetched(
        self, jobs: Sequence[Job], present: Mapping[str, int]
    ) -> Iterator[list[tuple[Job, FileStatus]]]:
        """The jobs as they come to an end; those that the slice has no requests for are not among them.

        `present`: the files of the experiment that are there, with their sizes in bytes.
        """
        self._prove_target()
        expected = sum(job.recording.size or 0 for job in jobs)
        self._collector.update(PROGRESS_NAME, 0, total=expected, inc_total=expected)
        open_jobs: dict[Future[FileStatus | None], Job] = {}
        try:
            open_jobs |= {self._pool.submit(self._settle, job, present): job for job in jobs}
            while open_jobs:
                done, _ = wait(open_jobs, PROGRESS_PERIOD, FIRST_COMPLETED)
                received = self._received
                self._collector.update(PROGRESS_NAME, received - self._shown)
                self._shown = received
                ended = [(open_jobs.pop(future), future.result()) for future in done]
                if over := [(job, status) for job, status in ended if status]:
                    yield over
        finally:
            self._run.stopped = self._run.stopped or self._quota_reached
            if open_jobs:
                self._downloader.stopped.set()
                wait([future for future in open_jobs if not future.cancel()])

    def _prove_target(self) -> None:
        """Finds out before the first link is minted whether the target takes files at all."""
        if not self._target_proven and not self.refusal:
            try:
                self._target.prove_writable()
                self._target_proven = True
            except NotWritten as failure:
                self.refusal = str(failure)

    def _settle(self, job: Job, present: Mapping[str, int]) -> FileStatus | None:
        """Takes a file that is there, or fetches it; None: not in this slice.

        Runs in a thread; whatever goes wrong is told in the job.
        """
        try:
            if self._quota_reached or self._run.slice_is_over:
                return None
            if self.refusal:
                raise NotWritten(self.refusal)
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
        link = self._links.to(recording)
        with self._target.draft(folder_name(recording.experiment_id)) as draft:
            body = Body(draft, self._count)
            try:
                self._downloader.fetch(link, body)
            finally:
                job.attempts = max(1, body.attempts)
            file = File(name_mark(job.name), body.size, recording.size, body.md5, body.sha256, body.content_type,
                        self._run.now().isoformat())
            draft.publish(job.name)
        if recording.size not in (None, file.size):
            job.error = (f"The API has {recording.size:,} bytes for it, the storage host sent {file.size:,}, which is "
                         "the whole file.")
        return file

    def _count(self, received: int) -> None:
        with self._lock:
            self._received += received
