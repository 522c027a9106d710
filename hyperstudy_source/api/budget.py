"""How many requests may be sent: per endpoint and minute, per key and hour, and in one run.

The limits stand at https://docs.hyperstudy.io. Every attempt counts, whatever comes of it, and every process of this
machine that uses the same key counts along.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from hyperstudy_source.api.request_log import EVERY_ENDPOINT, HOUR, MINUTE, Cause, RequestLog, Wait, file_name
from hyperstudy_source.errors import QuotaReached, SettingError

REQUESTS_PER_MINUTE = 100
"""To one endpoint (documented)."""
REQUESTS_PER_HOUR = 1000
"""With one key (documented)."""
LONGEST_HOLD = 2 * HOUR
"""s that a 429 can hold back other runs: twice the hour over which the API counts, whatever it asks for."""

SCOPE = re.compile(r"/(?:experiment|room|participant)/")
"""Where the path of an endpoint ends and the scope that is asked for begins."""


@dataclass
class Budget:
    """What one run may send. Safe to share between threads; a limit of None is no limit.

    `clock` gives epoch seconds, `sleep` counts in s, `announce` is told at least once a minute what is waited for.
    Raises `SettingError` for a limit that lets nothing through.
    """

    requests_per_minute: int | None = REQUESTS_PER_MINUTE
    requests_per_hour: int | None = REQUESTS_PER_HOUR
    max_requests: int | None = None
    """How many requests this run may send."""
    stop_on_quota: bool = False
    """Whether to raise `QuotaReached` in place of waiting more than a minute for the hour's requests."""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    announce: Callable[[str], None] = logging.getLogger("dlt").warning
    folder: Path | None = None
    """Where requests are noted, for all that use a key on this machine; None: this budget counts by itself."""
    spent: int = field(default=0, init=False)
    """How many requests this run has sent."""

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "requests_per_hour", "max_requests"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise SettingError(f"{name} is {limit}, which lets no request through. Set it to at least 1.")
        self._shared: str | None = None
        self._log = RequestLog(None, self.announce)
        self._lock = threading.Lock()
        self._announced: dict[str, float] = {}

    def share(self, base_url: str, api_key: str) -> None:
        """Counts from now on together with all that use this key for the host of `base_url` on this machine.

        Raises `SettingError` where the budget already counts for another key.
        """
        name = file_name(base_url, api_key)
        if self._shared not in (None, name):
            raise SettingError("A budget counts the requests of one key. Make another Budget for the other key.")
        if self._shared is None:
            self._shared = name
            if self.folder:
                self._log = RequestLog(self.folder / name, self.announce)

    @property
    def left(self) -> int | None:
        """How many requests are left this hour by this machine's count; None without a limit."""
        if self.requests_per_hour is None:
            return None
        return max(0, self.requests_per_hour - self._log.count(self.clock() - HOUR))

    @contextmanager
    def request(self, path: str) -> Iterator[None]:
        """Around one request to `path`, relative to the base URL: waits until it may be sent, and counts it.

        Raises `QuotaReached` where this run may not send it, or not soon.
        """
        number = self._slot(endpoint_of(path))
        try:
            yield
        finally:
            self._log.answered(number, self.clock())

    def hold(self, path: str, seconds: float) -> None:
        """Keeps back the requests to the endpoint of `path`, as a 429 asks; for more than a minute, all requests.

        Raises `QuotaReached` where the run is not to wait that long.
        """
        now = self.clock()
        seconds = min(seconds, LONGEST_HOLD)
        endpoint = EVERY_ENDPOINT if seconds > MINUTE else endpoint_of(path)
        self._stop_rather_than_wait(self._log.hold(endpoint, now, now + seconds))

    def _slot(self, endpoint: str) -> int:
        waited_until = 0.0
        while True:
            with self._lock:
                if self.max_requests is not None and self.spent >= self.max_requests:
                    raise QuotaReached(
                        f"The run has sent the {self.max_requests:,} requests that max_requests allows. Run again to "
                        "go on, or set a larger max_requests.")
                # Who has slept until then does so once, even if the clock stood still or was set back meanwhile.
                clock = partial(self._time, waited_until)
                slot = self._log.take(endpoint, clock, self.requests_per_minute, self.requests_per_hour)
                if not isinstance(slot, Wait):
                    self.spent += 1
                    return slot
            self._stop_rather_than_wait(slot)
            waited_until = self._wait(slot)

    def _time(self, at_least: float) -> float:
        return max(self.clock(), at_least)

    def _wait(self, wait: Wait) -> float:
        """Sleeps until the wait is over or its next announcement is due; returns that time."""
        next_due = self._say(f"{self._reason(wait)}; going on at {_clock_time(wait.until)}.", wait.now)
        end = min(wait.until, next_due)
        self.sleep(end - wait.now)
        return end

    def _say(self, text: str, now: float) -> float:
        """Announces unless another thread has said the same within a minute; returns when it is due again."""
        with self._lock:
            self._announced = {said: at for said, at in self._announced.items() if at <= now < at + MINUTE}
            is_due = text not in self._announced
            next_due = self._announced.setdefault(text, now) + MINUTE
        if is_due:
            self.announce(text)
        return next_due

    def _stop_rather_than_wait(self, wait: Wait) -> None:
        if self.stop_on_quota and wait.endpoint == EVERY_ENDPOINT and wait.seconds > MINUTE:
            raise QuotaReached(
                f"{self._reason(wait)}. Run again after {_clock_time(wait.until)}; what was loaded before "
                "is unchanged.", until=wait.until)

    def _reason(self, wait: Wait) -> str:
        if wait.cause is Cause.MINUTE:
            return f"The minute's {self.requests_per_minute:,} requests to {wait.endpoint} are used up"
        if wait.cause is Cause.HOUR:
            return f"The hour's {self.requests_per_hour:,} requests are used up"
        return f"The API takes no more requests {f'to {wait.endpoint} ' if wait.endpoint else ''}for now (429)"


def endpoint_of(path: str) -> str:
    """The endpoint that a path belongs to: without ids and scope, such as `/data/events` or `/deployments/sessions`.

    A list and one of its objects (`/experiments`, `/experiments/{id}`) are taken for one endpoint, since the API does
    not say whether it counts them apart.
    """
    parts = SCOPE.split(path, maxsplit=1)[0].strip("/").split("/")
    return "/" + "/".join(parts[:3] if parts[0] == "data" else parts[::2])


def _clock_time(at: float) -> str:
    """The minute by which a time has come: `14:05 UTC`."""
    return f"{datetime.fromtimestamp(math.ceil(at / 60) * 60, timezone.utc):%H:%M} UTC"
