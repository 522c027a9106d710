"""The query parameters of a data endpoint: checked, then applied to rows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from hyperstudy_source.standin.answers import invalid
from hyperstudy_source.standin.behaviour import Behaviour, Bound, bound_for
from hyperstudy_source.standin.study import Row, Table

DEFAULT_LIMIT = 1000
EXPERIMENTS_LIMIT = 50
PARTICIPANT_SORTS = ("joinedAt", "completedAt", "id", "email", "role", "status", "completionCode")
FIELD_FILTERS: dict[str, tuple[str, ...]] = {
    "events": ("category",),
    "components": ("componentType", "completed", "stateId"),
    "participants": ("completionCode",),
}
"""Parameters that keep the rows whose field of the same name has that value."""


def parse_time(text: object) -> datetime | None:
    """Return an ISO 8601 time in UTC, or None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def whole_number(params: Mapping[str, str], name: str, default: int, least: int) -> int:
    """Return an integer parameter of at least `least`."""
    text = params.get(name, str(default))
    if not text.lstrip("-").isdigit() or int(text) < least:
        raise invalid(name, f"expected an integer of at least {least}, got {text!r}")
    return int(text)


def page_of(path: str, params: Mapping[str, str], behaviour: Behaviour, default: int) -> tuple[int, int]:
    """Return the limit and offset that hold for this request."""
    if "limit" in params and any(path.startswith(prefix) for prefix in behaviour.reject_limit):
        raise invalid("limit", "this endpoint takes no limit")
    limit = whole_number(params, "limit", default, 1)
    largest = behaviour.reject_limit_above
    if "limit" in params and largest is not None and limit > largest:
        raise invalid("limit", f"must be at most {largest}, got {limit}")
    limit = min(limit, largest or limit, behaviour.max_limit or limit)
    return limit, whole_number(params, "offset", 0, 0)


@dataclass(frozen=True)
class Filter:
    """Which rows of a scope are asked for, and in which order. Hashable: it names a selection."""

    time_field: str | None
    start: datetime | None
    end: datetime | None
    start_bound: Bound
    end_bound: Bound
    fields: tuple[tuple[str, str], ...]
    rooms: frozenset[str] | None
    window: int | None
    sort: str | None
    descending: bool

    def apply(self, rows: list[Row]) -> list[Row]:
        """Return the rows that pass, in order."""
        kept = [row for row in rows if self._passes(row)]
        if self.sort is not None:
            kept.sort(key=lambda row: _sort_key(row.get(self.sort or "")), reverse=self.descending)
        return kept if self.window is None else _first_per_window(kept, self.window)

    def _passes(self, row: Row) -> bool:
        if self.rooms is not None and row.room_id not in self.rooms:
            return False
        if any(_as_text(row.get(name)) != value for name, value in self.fields):
            return False
        if self.start is None and self.end is None:
            return True
        moment = parse_time(row.get(self.time_field or ""))
        return moment is not None and self._in_time(moment)

    def _in_time(self, moment: datetime) -> bool:
        early = self.start is not None and (
            moment < self.start or (self.start_bound == "exclusive" and moment == self.start)
        )
        late = self.end is not None and (
            moment > self.end or (self.end_bound == "exclusive" and moment == self.end)
        )
        return not early and not late


def filter_of(
    table: Table, params: Mapping[str, str], behaviour: Behaviour, rooms: frozenset[str] | None
) -> Filter:
    """Check the parameters of a request for a table and return its filter."""
    start_bound = bound_for(behaviour.start_time, table.name)
    end_bound = bound_for(behaviour.end_time, table.name)
    sort, descending = _order_of(table, params, behaviour)
    names = FIELD_FILTERS.get(table.name, ())
    has_window = table.name == "sync" and "aggregationWindow" in params
    return Filter(
        time_field=table.time_field,
        start=_bound_of("startTime", table, params, start_bound),
        end=_bound_of("endTime", table, params, end_bound),
        start_bound=start_bound,
        end_bound=end_bound,
        fields=tuple((name, params[name]) for name in names if name in params),
        rooms=rooms,
        window=whole_number(params, "aggregationWindow", 1, 1) if has_window else None,
        sort=sort,
        descending=descending,
    )


def with_shuffled_ties(rows: list[Row], table: Table, seed: int) -> list[Row]:
    """Return the rows with those of one time next to each other in another order for each seed."""
    dice = random.Random(seed)
    shuffled: list[Row] = []
    for _, tied in itertools.groupby(rows, key=lambda row: row.get(table.time_field or "")):
        shuffled += dice.sample(each := list(tied), len(each))
    return shuffled


def _bound_of(name: str, table: Table, params: Mapping[str, str], bound: Bound) -> datetime | None:
    if name not in params:
        return None
    if bound == "rejected":
        raise invalid(name, "this endpoint takes no time filter")
    moment = parse_time(params[name])
    if moment is None:
        raise invalid(name, f"expected an ISO 8601 time, got {params[name]!r}")
    return None if bound == "ignored" or table.time_field is None else moment


def _order_of(table: Table, params: Mapping[str, str], behaviour: Behaviour) -> tuple[str | None, bool]:
    if behaviour.sort == "rejected" and ("sort" in params or "order" in params):
        raise invalid("sort" if "sort" in params else "order", "this endpoint takes no order")
    order = params.get("order", "asc")
    if order not in ("asc", "desc"):
        raise invalid("order", f"expected asc or desc, got {order!r}")
    sort = params.get("sort", table.time_field)
    if table.name == "participants" and sort is not None and sort not in PARTICIPANT_SORTS:
        raise invalid("sort", f"expected one of {', '.join(PARTICIPANT_SORTS)}, got {sort!r}")
    return (None, False) if behaviour.sort == "ignored" else (sort, order == "desc")


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sort_key(value: Any) -> tuple[int, Any]:
    if value is None:
        return 3, ""
    if isinstance(value, (int, float)):
        return 0, value
    moment = parse_time(value)
    return (1, moment) if moment is not None else (2, str(value))


def _first_per_window(rows: list[Row], window: int) -> list[Row]:
    first: dict[tuple[str | None, str | None, int], Row] = {}
    for row in rows:
        first.setdefault((row.room_id, row.participant_id, int((row.get("onset") or 0) // window)), row)
    return list(first.values())
