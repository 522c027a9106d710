"""What was asked, and which function answers it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote

from hyperstudy_source.standin.answers import Answer, ApiError, not_found
from hyperstudy_source.standin.behaviour import WRONG_BY, Behaviour
from hyperstudy_source.standin.storage import Links
from hyperstudy_source.standin.study import Json, Study


@dataclass(frozen=True)
class Asked:
    """One authenticated request to the API, with what is needed to answer it.

    Attributes:
        earlier: requests for the same path seen before, pages of the same read among them.
    """

    path: str
    params: Mapping[str, str]
    study: Study
    behaviour: Behaviour
    links: Links
    scopes: tuple[str, ...]
    organization: str | None
    now: float
    earlier: int

    def require(self, permission: str) -> None:
        """Raise the 403 that names both sides if the key lacks a permission."""
        if not {permission, "*", "read:*"} & set(self.scopes):
            details = {"required": [permission], "provided": list(self.scopes)}
            raise ApiError(403, "FORBIDDEN", f"Insufficient scopes. Required: {permission}", details)

    def experiment(self, experiment_id: str, table: str = "experiments") -> Json:
        """Return an experiment that may be read, or raise the 404 or 403."""
        experiment = self.study.experiment(experiment_id, self.organization)
        elsewhere = any(
            each["id"] == experiment_id for shared in self.study.shared.values() for each in shared
        )
        if experiment is None and not elsewhere:
            raise not_found("Experiment", experiment_id)
        if experiment is None or self.behaviour.forbids(table, experiment_id):
            raise ApiError(403, "FORBIDDEN", f"No permission to view experiment {experiment_id}")
        return experiment

    def metadata(self, data_type: str, scope: str, scope_id: str) -> dict[str, Any]:
        """Return the part of the metadata that every answer has."""
        moment = datetime.fromtimestamp(self.now, timezone.utc)
        timestamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"dataType": data_type, "scope": scope, "scopeId": scope_id, "timestamp": timestamp}

    def pagination(
        self, total: int, returned: int, limit: int, offset: int, unfiltered: int
    ) -> dict[str, Any]:
        """Return `{"pagination": ...}` as the behaviour has it, or nothing."""
        if not self.behaviour.pagination:
            return {}
        more = offset + returned < total
        shown = {
            "filtered": total,
            "unfiltered": unfiltered,
            "moving": total + self.earlier,
            "too_large": total + WRONG_BY,
            "too_small": max(0, total - WRONG_BY),
        }
        page = {
            "total": shown[self.behaviour.total],
            "returned": returned,
            "hasMore": more,
            "limit": limit,
            "offset": offset,
        }
        if more and self.behaviour.next_offset:
            page["nextOffset"] = offset + returned
        return {"pagination": page}

    def one_or_list(self, rows: list[Any]) -> object:
        """Return a one-row answer as the object where the behaviour says so."""
        return rows[0] if self.behaviour.single_as_object and len(rows) == 1 else rows


Endpoint = Callable[..., Answer]
_ROUTES: list[tuple[re.Pattern[str], Endpoint]] = []


def get(pattern: str) -> Callable[[Endpoint], Endpoint]:
    """Let a function answer GET for a path such as `/experiments/{experiment_id}`."""

    def register(endpoint: Endpoint) -> Endpoint:
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
        _ROUTES.append((re.compile(expression), endpoint))
        return endpoint

    return register


def answer(asked: Asked) -> Answer:
    """Return the endpoint's answer, or the error envelope of what it raised."""
    try:
        for expression, endpoint in _ROUTES:
            match = expression.fullmatch(asked.path)
            if match is not None:
                with asked.study.lock:
                    return endpoint(asked, **{name: unquote(each) for name, each in match.groupdict().items()})
        raise not_found("Endpoint", asked.path)
    except ApiError as error:
        return error.answer()
