"""Which requests were sent with a key within the last hour, and what the API has asked to wait for.

A SQLite file that all processes of this machine share, or the memory of this one where no file can be kept. Times are
epoch seconds. What surprises: a clock may be set back; what then lies in the future is counted as of now.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeVar

import tenacity

from hyperstudy_source.api.access import origin

MINUTE, HOUR = 60.0, 3600.0
"""s over which the API counts: per endpoint, and per key."""
LOCK_PATIENCE = 5.0
"""s; another process holds the file for well under 1 ms."""
CLOCK_TOLERANCE = 1.0
"""s that a time may lie ahead before the clock must have been set back; more than any correction while it runs."""
KEPT = 2 * 24 * 3600.0
"""s after which a file that nobody uses any more is removed: each start of the stand-in makes one."""
EVERY_ENDPOINT = ""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS sent (id INTEGER PRIMARY KEY, endpoint TEXT NOT NULL, at REAL NOT NULL)",
    "CREATE INDEX IF NOT EXISTS sent_at ON sent (at)",
    "CREATE INDEX IF NOT EXISTS sent_endpoint_at ON sent (endpoint, at)",
    "CREATE TABLE IF NOT EXISTS held (endpoint TEXT PRIMARY KEY, at REAL NOT NULL, until REAL NOT NULL)",
)
_Result = TypeVar("_Result")


class Cause(Enum):
    """Why a request has to wait."""

    MINUTE = "the minute's requests to the endpoint are used up"
    HOUR = "the hour's requests are used up"
    HELD = "the API has asked to wait"


@dataclass(frozen=True)
class Wait:
    """What requests to the endpoint, or to `EVERY_ENDPOINT`, have to wait for, and how long from `now` on."""

    cause: Cause
    endpoint: str
    now: float
    until: float

    @property
    def seconds(self) -> float:
        """How long it still takes."""
        return self.until - self.now


class RequestLog:
    """The requests of one key. Safe to share between threads.

    Without a file, and from the moment on where the file fails, it is kept in memory; `warn` is told so once.
    """

    def __init__(self, file: Path | None, warn: Callable[[str], None]) -> None:
        self._file, self._warn = file, warn
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def take(
        self, endpoint: str, clock: Callable[[], float], per_minute: int | None, per_hour: int | None
    ) -> int | Wait:
        """Notes a request that is sent now, under the number returned, or says what it has to wait for.

        `clock` is read when no other process can note one before.
        """
        def work(database: sqlite3.Connection) -> int | Wait:
            now = clock()
            _tidy(database, now)
            waits = [wait for wait in _waits(database, endpoint, now, per_minute, per_hour) if wait.until > now]
            if waits:
                return max(waits, key=lambda wait: wait.until)
            row = database.execute("INSERT INTO sent (endpoint, at) VALUES (?, ?)", (endpoint, now))
            return int(row.lastrowid or 0)

        return self._do(work)

    def answered(self, number: int, at: float) -> None:
        """Counts a request from its answer on, since the API has counted it somewhere between the two."""
        self._do(lambda database: database.execute("UPDATE sent SET at = max(at, ?) WHERE id = ?", (at, number)))

    def hold(self, endpoint: str, now: float, until: float) -> Wait:
        """Lets no request to the endpoint, or to `EVERY_ENDPOINT`, be sent before `until`."""
        self._do(lambda database: database.execute(
            "INSERT INTO held (endpoint, at, until) VALUES (?, ?, ?) ON CONFLICT (endpoint) "
            "DO UPDATE SET at = excluded.at, until = max(until, excluded.until)", (endpoint, now, until)))
        return Wait(Cause.HELD, endpoint, now, until)

    def count(self, since: float) -> int:
        """How many requests were sent after that time."""
        return self._do(lambda database: int(
            database.execute("SELECT count(*) FROM sent WHERE at > ?", (since,)).fetchone()[0]))

    def _do(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        with self._lock:
            try:
                return self._in_transaction(work)
            except (sqlite3.Error, OSError) as failure:
                if self._file is None:
                    raise
                self._warn(
                    f"The requests of other runs with this key cannot be counted, only those of this run: {self._file} "
                    f"cannot be used ({failure}). Make its folder writable, or remove the file if it is damaged.")
                self._file = self._connection = None
                return self._in_transaction(work)

    def _in_transaction(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        if self._connection is None:
            self._connection = _opened(self._file)
            weakref.finalize(self, self._connection.close)
        with self._connection as database:
            database.execute("BEGIN IMMEDIATE")
            return work(database)


def file_name(url: str, key: str) -> str:
    """The file in which the requests with this key to the host of `url` are noted.

    The name tells neither the key nor the host.
    """
    told = "\n".join([*map(str, origin(url)), key])
    name = hashlib.blake2b(told.encode(), digest_size=16, person=b"hyperstudy-quota").hexdigest()
    return f"requests-{name}.sqlite"


@tenacity.retry(
    retry=tenacity.retry_if_exception_message(match="database is locked"), wait=tenacity.wait_fixed(0.01),
    stop=tenacity.stop_after_delay(LOCK_PATIENCE), reraise=True)
def _opened(file: Path | None) -> sqlite3.Connection:
    """The database with its tables. Two processes that make one at once lock each other out, without a time-out."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        _remove_unused(file)
    connection = sqlite3.connect(
        file or ":memory:", timeout=LOCK_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        # A write-ahead log needs no fsync for each request. What power loss takes of it, the API's own 429 makes good.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _TABLES:
                connection.execute(statement)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _remove_unused(file: Path) -> None:
    for other in file.parent.glob("requests-*.sqlite"):
        with contextlib.suppress(OSError):
            parts = list(file.parent.glob(f"{other.name}*"))
            if other != file and max(part.stat().st_mtime for part in parts) < time.time() - KEPT:
                for part in parts:
                    part.unlink()


def _tidy(database: sqlite3.Connection, now: float) -> None:
    ahead = now + CLOCK_TOLERANCE
    database.execute("UPDATE sent SET at = ? WHERE at > ?", (now, ahead))
    database.execute("UPDATE held SET until = until - at + ?, at = ? WHERE at > ?", (now, now, ahead))
    database.execute("DELETE FROM sent WHERE at < ?", (now - HOUR - CLOCK_TOLERANCE,))


def _waits(
    database: sqlite3.Connection, endpoint: str, now: float, per_minute: int | None, per_hour: int | None
) -> list[Wait]:
    """All that the next request to the endpoint must have waited for, also what is over."""
    held = "SELECT until FROM held WHERE endpoint = ?"
    found = [(Cause.HELD, name, 0.0, database.execute(held, (name,)).fetchone()) for name in (endpoint, EVERY_ENDPOINT)]
    if per_minute is not None:
        last = "SELECT at FROM sent WHERE endpoint = ? ORDER BY at DESC LIMIT 1 OFFSET ?"
        row = database.execute(last, (endpoint, per_minute - 1)).fetchone()
        found.append((Cause.MINUTE, endpoint, MINUTE, row))
    if per_hour is not None:
        last = "SELECT at FROM sent ORDER BY at DESC LIMIT 1 OFFSET ?"
        found.append((Cause.HOUR, EVERY_ENDPOINT, HOUR, database.execute(last, (per_hour - 1,)).fetchone()))
    return [Wait(cause, name, now, row[0] + period) for cause, name, period, row in found if row]
