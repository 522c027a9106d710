"""What the resources of one run share: what was read, how that went, and when to stop.

A run of `load` goes through several slices, each a load package of its own; a run of a bare pipeline is one slice.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

from dlt.common import logger

from hyperstudy_source.api.client import ATTEMPTS, Client
from hyperstudy_source.errors import (
    ApiError,
    Forbidden,
    Intercepted,
    QuotaReached,
    RateLimited,
    ServerFailed,
    Unreachable,
)
from hyperstudy_source.sync.ledger import SETTLED, LedgerRow
from hyperstudy_source.sync.repeated_names import RepeatRemarks
from hyperstudy_source.sync.room_lists import RoomLists
from hyperstudy_source.sync.scopes import Scope, Scopes
from hyperstudy_source.sync.sharing import Extract
from hyperstudy_source.tables.misfits import Misfit, remarks

FAILURES_IN_A_ROW = 3
"""Reads of a data type that fail one after the other before it is not asked for any more in a run; of different data
types before nothing is."""
EVERYTHING = "*"
SLICE_ROWS = 300_000
"""Rows after which a slice ends: what a destination needs to merge them grows with their number."""


class Target(Protocol):
    """Where files go."""

    def prove_writable(self) -> None:
        """Raises `TargetError` where no file can be written."""


@dataclass
class Reads:
    """What a run knows of its reads of one data type in one scope."""

    made: int = 0
    """How many have come to an end."""
    went_on: bool = False
    """Whether one of them went on where an earlier run had stopped, and so does not know what came since."""
    by_offset: bool = False
    """Whether times do not lead to all rows."""
    straddles: bool = False
    """Whether rows of one id came in different answers, as they do when pages shift."""
    twins: Counter[str] | None = None
    """The keys of the rows that came so far, which may be too many for dlt's state."""
    rooms: set[str] = field(default_factory=set)
    """The rooms that the rows of the last read name; the empty name stands for rows that name none."""
    expected: int | None = None
    """How many rows that read should have brought."""
    doubts: Sequence[str] = ()
    """Why it may not have brought all."""
    untold: int = 0
    """How many rows of that read were loaded without their room."""
    remark: str | None = None
    """What the report says of these."""
    misfits: Counter[Misfit] = field(default_factory=Counter)
    """How many values of that read each column could not take."""
    room_by_room: bool = False
    """Whether the next read is to ask for the rooms of the experiment, one by one."""


@dataclass
class Run:
    """One run, from its first request to its report. `clock` gives epoch seconds, `sleep` counts in s."""

    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    full: bool = False
    """Read everything from its beginning, whatever is known."""
    max_requests: int | None = None
    """How many requests may be sent."""
    stop_on_quota: bool = False
    """Whether to stop in place of waiting for the next hour's requests."""
    slice_requests: int | None = None
    """Requests after which a slice ends; None: a run is one slice."""
    warn_only: bool = False
    """Whether incomplete data counts as success."""
    attempts: int = ATTEMPTS
    """How often a request that fails is sent."""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self.client: Client | None = None
        """Made by the first source of the run, as are the scopes, and used by the others."""
        self.scopes: Scopes | None = None
        self.target: Target | None = None
        """Where the recordings' files go, if anywhere."""
        self.token = uuid.uuid4().hex
        """Tells its resources from those of others, for as long as it lives."""
        self.extract = Extract()
        self._told: tuple[object, object] | None = None
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Begins anew."""
        self.began = self.now()
        self.notices: list[str] = []
        """Why the data may be incomplete, beside what the ledger says."""
        self.remarks: list[str] = []
        """What is odd, but leaves the data complete."""
        self.new_fields: set[str] = set()
        """`table.column` of fields that the API has grown and that came for the first time."""
        self.ledger: dict[tuple[str, ...], LedgerRow] = {}
        """The newest row of each scope and data type."""
        self.reads: defaultdict[tuple[str, Scope], Reads] = defaultdict(Reads)
        self.visited: dict[str, set[Scope]] = {}
        """By data type: scopes that are over for this run, however they ended."""
        self.stopped: QuotaReached | None = None
        """Why nothing more may be asked for in this run."""
        self.forbidden: set[str] = set()
        """Data types that the key may not read."""
        self.counts_all: dict[str, bool] = {}
        """By data type: whether `pagination.total` counts rows that were not asked for."""
        self.files: dict[str, Any] = {}
        """By experiment: how the files of its recordings stand, a `FileTally`."""
        self.room_lists = RoomLists(self.refusal, self.forbidden)
        """Who was in which room, as far as this run has read it."""
        self.repeats = RepeatRemarks(self.remarks, self.remark)
        """Rows in which a name came twice."""
        self.unfinished = False
        """Whether something is left for another slice."""
        self._refused: dict[str, str] = {}
        self._unwritten: dict[tuple[str, ...], LedgerRow] = {}
        self._failures: dict[str, int] = {}
        self._broken: set[str] = set()
        """Data types that failed since the API last served anything."""
        self._waiting: dict[str, list[Any]] = {}
        self._slice_began = 0
        self.slice_rows = 0
        """Rows that this slice has read."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.fromtimestamp(self.clock(), timezone.utc)

    def begin(self, state: object, source: object) -> None:
        """Is told dlt's state and source by every resource that starts: other ones mean another extract.

        A run without slices begins anew with each, under an id of its own.
        """
        with self._lock:
            if self._told and self._told[0] is state and self._told[1] is source:
                return
            if self._told and not self.is_sliced:
                self.forget()
                self.run_id = uuid.uuid4().hex
                if self.scopes:
                    self.scopes.forget()
            self._told, self.extract = (state, source), Extract()

    @property
    def requests(self) -> int:
        """Requests sent, every attempt counted."""
        return self.client.request_count if self.client else 0

    @property
    def requests_left(self) -> int | None:
        """What is left of the hour's requests, by this machine's count; None where there is no limit."""
        return self.client.budget.left if self.client and self.client.budget else None

    def begin_slice(self) -> None:
        """Starts the count of requests of a slice."""
        self._slice_began, self.slice_rows, self.unfinished = self.requests, 0, False
        self.room_lists.begin_slice()

    @property
    def slice_is_over(self) -> bool:
        """Whether to stop at the next place where reading can go on later."""
        if self.slice_requests is None:
            return bool(self.stopped)
        over = self.requests - self._slice_began >= self.slice_requests or self.slice_rows >= SLICE_ROWS
        return bool(over or self.stopped)

    @property
    def is_sliced(self) -> bool:
        """Whether another slice follows where something is left."""
        return self.slice_requests is not None

    @property
    def is_limited(self) -> bool:
        """Whether the run may have to stop before it has read everything."""
        return self.max_requests is not None or self.stop_on_quota

    def record(self, row: LedgerRow, *, of_run: bool = False) -> None:
        """Takes a row of the ledger, which replaces an earlier one of the same scope and data type.

        `of_run`: it tells of the whole run already, not of one read. What is missing is logged, for runs that show
        no report.
        """
        if row.status not in (*SETTLED, "stopped"):
            logger.warning(f"{row}: {row.reason}")
        earlier = None if of_run else self.ledger.get(row.place)
        self.ledger[row.place] = self._unwritten[row.place] = row.after(earlier)

    def answered(self, data_type: str, failure: ApiError | None = None) -> None:
        """Takes note of whether the API served a data type, so that one which is down is not asked for in every scope.

        A key that lacks a permission lacks it in every scope; what breaks three times in a row is broken, and so is
        the API where three data types break one after the other.
        """
        if isinstance(failure, Forbidden) and failure.required:
            self._refused[data_type] = str(failure)
            self.forbidden.add(data_type)
        if not isinstance(failure, (ServerFailed, Unreachable, RateLimited, Intercepted)):
            self._failures.pop(data_type, None)
            self._broken.clear()
            return
        self._failures[data_type] = self._failures.get(data_type, 0) + 1
        if not isinstance(failure, Intercepted):  # an older API may answer so for all paths that it does not have
            self._broken.add(data_type)
        reason = f"Not asked for: {FAILURES_IN_A_ROW} reads before it failed. {failure}"
        if self._failures[data_type] >= FAILURES_IN_A_ROW:
            self._refused[data_type] = reason
        if len(self._broken) >= FAILURES_IN_A_ROW:
            self._refused[EVERYTHING] = reason

    def refusal(self, data_type: str) -> str | None:
        """Why a data type is not to be asked for any more in this run."""
        return self._refused.get(data_type) or self._refused.get(EVERYTHING)

    def wait(self, name: str, left: Sequence[Any]) -> None:
        """Keeps what the next slice is to go on with."""
        self._waiting.setdefault(name, []).extend(left)
        self.unfinished = True

    def waiting_for(self, name: str) -> list[Any]:
        """What earlier slices left."""
        return self._waiting.pop(name, [])

    def written(self) -> list[dict[str, Any]]:
        """The rows of the ledger since the last call, for its table."""
        rows, self._unwritten = self._unwritten, {}
        return [row.as_row(self.run_id) for row in rows.values()]

    def notice(self, text: str) -> None:
        """Takes a reason why the data may be incomplete, once, and logs it."""
        if text not in self.notices:
            self.notices.append(text)
            logger.warning(text)

    def misfits(self) -> list[str]:
        """What the columns could not take, once for every column."""
        return remarks(sum((reads.misfits for reads in self.reads.values()), Counter[Misfit]()))

    def remark(self, text: str) -> None:
        """Takes something odd, once, and logs it."""
        if text not in self.remarks:
            self.remarks.append(text)
            logger.info(text)


_current: ContextVar[Run | None] = ContextVar("hyperstudy_run", default=None)


@contextmanager
def current_run(run: Run) -> Iterator[Run]:
    """Every source that is made inside the block belongs to this run."""
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)


def this_run() -> Run:
    """The run that a source belongs to; one of its own outside of `current_run`."""
    return _current.get() or Run()
