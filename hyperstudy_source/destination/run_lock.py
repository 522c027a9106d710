"""One run at a time of one pipeline: a lock of the operating system on the pipeline's working folder.

A second run would discard what the first is about to load. The lock ends with the process that holds it, however that
ends. It lies beside the working folder, which dlt deletes now and then.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from dlt.common.pipeline import SupportsPipeline
from filelock import FileLock, Timeout

from hyperstudy_source.errors import PipelineBusy, SettingError


class RunLock:
    """The lock of one run of a pipeline."""

    def __init__(self, pipeline: SupportsPipeline) -> None:
        folder = self._folder = Path(pipeline.working_dir)
        self.file = folder.with_name(f".{folder.name}.lock")
        self._holder = folder.with_name(f".{folder.name}.run.json")
        self._lock = FileLock(self.file, thread_local=False)

    def take(self) -> None:
        """Takes the lock. Raises `PipelineBusy` where another run has it."""
        try:
            self._lock.acquire(timeout=0)
            since = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
            self._holder.write_text(json.dumps({"since": since, "process": os.getpid(), "host": socket.gethostname()}))
        except Timeout:
            raise PipelineBusy(f"Another run of this pipeline is under way{self._told()}. Wait for it to end, or "
                               "choose another pipeline name.") from None
        except OSError as failure:
            raise SettingError(f"Whether the pipeline runs already cannot be told: {self.file} cannot be locked "
                               f"({failure.strerror}). Choose another folder with DLT_DATA_DIR.") from None

    def release(self) -> None:
        """Lets others run."""
        self._holder.unlink(missing_ok=True)
        self._lock.release()

    def _told(self) -> str:
        """Who has the lock, once that is written down."""
        with suppress(OSError, ValueError, KeyError):
            told = json.loads(self._holder.read_text())
            return f" (since {told['since']}, process {told['process']} on {told['host']})"
        return ""


@contextmanager
def only_run(pipeline: SupportsPipeline) -> Iterator[None]:
    """Keeps other runs of the pipeline out. Raises `PipelineBusy` where one is under way."""
    lock = RunLock(pipeline)
    lock.take()
    try:
        yield
    finally:
        lock.release()
