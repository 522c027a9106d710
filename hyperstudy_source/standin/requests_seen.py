"""The requests a stand-in has seen, and whether one more is within the rate limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hyperstudy_source.standin.behaviour import Behaviour


@dataclass(frozen=True)
class Request:
    """A request as it came in, and the status it got.

    Attributes:
        path: relative to `/api/v3`, such as `/data/events/experiment/exp_1`; files are `/storage/...`.
        params: the query.
        headers: by their names in lower case.
        status: of the answer; 0 when the connection was closed without one.
        at: when it came, in seconds of the stand-in's clock.
    """

    path: str
    params: dict[str, str]
    headers: dict[str, str]
    status: int
    at: float

    @property
    def endpoint(self) -> str:
        """The path without its ids: what a rate limit per endpoint counts."""
        return endpoint_of(self.path)


def endpoint_of(path: str) -> str:
    """Return a path without ids: `/data/events/experiment`, `/deployments/sessions` and the like."""
    parts = path.strip("/").split("/")
    if parts[0] != "data":
        return "/" + "/".join(parts[:1] + parts[2:])
    scope = next((n for n, part in enumerate(parts) if part in ("experiment", "room", "participant")), 1)
    return "/" + "/".join(parts[: scope + 1])


def seconds_to_wait(seen: Sequence[Request], path: str, now: float, behaviour: Behaviour) -> int:
    """Return the whole seconds until a request is within the limits, 0 if it is now."""
    if behaviour.per_hour is None and behaviour.per_minute is None:
        return 0
    counted = [each for each in seen if each.status != 429 and not each.path.startswith("/storage")]
    same = [each.at for each in counted if each.endpoint == endpoint_of(path)]
    return max(
        _wait([each.at for each in counted], behaviour.per_hour, 3600, now),
        _wait(same, behaviour.per_minute, 60, now),
    )


def _wait(times: list[float], limit: int | None, period: float, now: float) -> int:
    recent = [at for at in times if at > now - period]
    if limit is None or len(recent) < limit:
        return 0
    return max(1, math.ceil(recent[-limit] + period - now))
