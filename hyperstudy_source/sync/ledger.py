"""Did a read get everything? The row of the ledger that says so.

A scope and data type is `complete` if the API named nothing more than what came; `incomplete` if something is missing
or in doubt, and then its cursor stays; `quiet` if nothing can have changed, and nothing was asked; `forbidden` or
`failed` if the API refused or broke, and then rows and cursor stay as they were; `stopped` if the read goes on later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from hyperstudy_source.errors import ApiError, Forbidden
from hyperstudy_source.sync.scopes import Scope
from hyperstudy_source.tables.values import digest

Status = Literal["complete", "incomplete", "quiet", "forbidden", "failed", "stopped"]
SETTLED: frozenset[Status] = frozenset({"complete", "quiet"})
"""Statuses that leave nothing to be done."""


@dataclass(frozen=True)
class LedgerRow:
    """How one read of one data type in one scope went: a row of `sync_ledger`."""

    data_type: str
    scope: Scope | None
    """None: the data type is read for all experiments at once."""
    status: Status
    started_at: datetime
    finished_at: datetime
    rows_expected: int | None = None
    """By the API's own count, where it gives one for what was asked."""
    rows_received: int = 0
    rows_distinct: int = 0
    pages: int = 0
    requests: int = 0
    window_start: datetime | None = None
    window_end: datetime | None = None
    cursor_before: datetime | None = None
    cursor_after: datetime | None = None
    reason: str | None = None
    """What is missing and why; none for what is complete or quiet."""

    @property
    def place(self) -> tuple[str, ...]:
        """What a run has one row for."""
        scope = self.scope or Scope("")
        return self.data_type, scope.experiment_id, scope.room_id or "", scope.participant_id or ""

    def after(self, earlier: LedgerRow | None) -> LedgerRow:
        """The row with what an earlier read of the same run cost, and what it brought if this one went on from it."""
        if earlier is None:
            return self
        went_on = earlier.status == "stopped"
        return replace(
            self, started_at=earlier.started_at, pages=self.pages + earlier.pages,
            requests=self.requests + earlier.requests,
            rows_received=self.rows_received + (earlier.rows_received if went_on else 0),
            rows_distinct=self.rows_distinct + (earlier.rows_distinct if went_on else 0))

    def as_row(self, run_id: str) -> dict[str, Any]:
        """The row of the table."""
        scope = self.scope
        place: Mapping[str, Any] = {
            "run_id": run_id, "experiment_id": scope.experiment_id if scope else None,
            "room_id": scope.room_id if scope else None, "participant_id": scope.participant_id if scope else None}
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "scope"}
        return {"row_key": digest({"run": run_id, "place": list(self.place)}), **place, **own}

    def __str__(self) -> str:
        return f"{self.data_type} of {self.scope}" if self.scope else self.data_type


def status_of(failure: ApiError) -> Status:
    """What an error of the API makes of the read that it ended."""
    return "forbidden" if isinstance(failure, Forbidden) else "failed"
