"""Which window is read, and how far a cursor may move: never past a row that was perhaps not read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import dlt
import pytest

from hyperstudy_source.cursors import FAR_FUTURE, FAR_PAST, Positions, Progress, Window, window
from hyperstudy_source.envelope import Page
from hyperstudy_source.values import read_time

NOON = datetime(2024, 6, 15, 12, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
KEY = "exp_1"


def at(hours: float) -> datetime:
    """So many hours after noon."""
    return NOON + hours * HOUR


def cursor(start: datetime | None = None, end: datetime | None = None, lag: float = 3600) -> Any:
    return cast(Any, dlt.sources.incremental)("timestamp", initial_value=start, end_value=end, lag=lag)


def position(hours: float | None) -> Positions:
    return {} if hours is None else {KEY: at(hours).isoformat()}


def page(*, more: bool = False, warning: str | None = None) -> Page:
    metadata = {"pagination": {"hasMore": more}, **({"_warnings": [warning]} if warning else {})}
    return Page([{"id": "a row"}], metadata, {})


def moved(
    *pages: tuple[list[float | None], Page], start: Positions | None = None, bound: bool = False, now: float = 1000,
) -> list[float | None]:
    """Where the cursor stands after each page of rows at these hours."""
    positions: Positions = {} if start is None else start
    progress = Progress(Window(None, None, bound), [positions], KEY, lambda: at(now))
    stands: list[float | None] = []
    for hours, answer in pages:
        progress.see(answer, [None if hour is None else at(hour) for hour in hours])
        last = read_time(positions.get(KEY))
        stands.append(None if last is None else (last - NOON) / HOUR)
    return stands


@pytest.mark.parametrize(("start", "end", "params"), [
    (None, None, {}),
    (NOON, None, {"startTime": "2024-06-15T11:59:59.999Z"}),
    (None, NOON, {"endTime": "2024-06-15T12:00:00.001Z"}),
    (FAR_PAST, FAR_FUTURE, {}),
    (FAR_PAST, NOON, {"endTime": "2024-06-15T12:00:00.001Z"}),
    (NOON.astimezone(timezone(2 * HOUR)), None, {"startTime": "2024-06-15T11:59:59.999Z"}),
    (NOON.replace(microsecond=999), NOON.replace(microsecond=999), {
        "startTime": "2024-06-15T11:59:59.999Z", "endTime": "2024-06-15T12:00:00.001Z"}),
], ids=["open", "start", "end", "ends_of_time", "until", "other_zone", "us"])
def test_a_window_asks_for_a_little_more_than_it_holds(
    start: datetime | None, end: datetime | None, params: dict[str, str],
) -> None:
    assert Window(start, end, bound=True).params == params


@pytest.mark.parametrize(("moment", "held"), [
    (at(0), True), (at(1), True), (at(2), True), (at(-0.001), False), (at(2.001), False), (None, True),
], ids=["start", "inside", "end", "before", "after", "no_time"])
def test_a_bound_window_holds_what_lies_between_its_ends(moment: datetime | None, held: bool) -> None:
    assert Window(at(0), at(2), bound=True).holds(moment) is held
    assert Window(at(0), at(2), bound=False).holds(moment)


@pytest.mark.parametrize("moment", [FAR_PAST, NOON, FAR_FUTURE], ids=["past", "noon", "future"])
def test_a_bound_window_without_ends_holds_everything(moment: datetime) -> None:
    assert Window(None, None, bound=True).holds(moment)


@pytest.mark.parametrize(("positions", "start"), [
    ([None], None), ([0], at(-1)), ([5, 0, 3], at(-1)), ([0, None], None), ([None, 0], None), ([], None),
], ids=["new", "known", "oldest_wins", "one_is_missing", "first_is_missing", "nothing_loaded"])
def test_a_scope_is_read_from_its_oldest_cursor_less_the_lookback(
    positions: list[float | None], start: datetime | None,
) -> None:
    assert window(cursor(), [position(hours) for hours in positions], KEY) == Window(start, None, bound=False)


def test_a_new_scope_gets_its_whole_history_whatever_others_have() -> None:
    assert window(cursor(), [position(0)], "exp_2").start is None


@pytest.mark.parametrize(("lag", "start"), [(0, at(0)), (60, at(-1 / 60)), (86400.5, at(-24) - HOUR / 7200)])
def test_the_lookback_is_in_seconds(lag: float, start: datetime) -> None:
    assert window(cursor(lag=lag), [position(0)], KEY).start == start


@pytest.mark.parametrize("kept", ["", "soon", "2024-02-30T00:00:00+00:00"], ids=["empty", "words", "no_such_day"])
def test_a_cursor_that_cannot_be_read_costs_the_whole_history_and_no_error(kept: str) -> None:
    assert window(cursor(), [{KEY: kept}], KEY).start is None


@pytest.mark.parametrize("known", [None, 5], ids=["new", "known"])
def test_an_interval_binds_the_window_whatever_the_cursor_says(known: float | None) -> None:
    assert window(cursor(at(0), at(1)), [position(known)], KEY) == Window(at(0), at(1), bound=True)


@pytest.mark.parametrize(("known", "start"), [(None, None), (5, at(4))], ids=["new", "known"])
def test_an_interval_of_no_length_binds_nothing(known: float | None, start: datetime | None) -> None:
    assert window(cursor(at(10), at(10)), [position(known)], KEY) == Window(start, None, bound=False)


ROWS: dict[str, tuple[list[tuple[list[float | None], Page]], list[float | None]]] = {
    "one_page": ([([0, 1, 2], page())], [2]),
    "ascending_moves_page_by_page": ([([0, 1], page(more=True)), ([1, 2], page(more=True)), ([3], page())], [1, 2, 3]),
    "descending_moves_at_the_end": (
        [([5, 4], page(more=True)), ([3, 2], page(more=True)), ([1], page())], [None, None, 5]),
    "unordered_moves_at_the_end": (
        [([0, 2, 1], page(more=True)), ([3, 4], page(more=True)), ([2], page())], [None, None, 4]),
    "disorder_between_pages": ([([0, 2], page(more=True)), ([1, 3], page(more=True)), ([4], page())], [2, 2, 4]),
    "equal_times_are_ascending": ([([0, 0], page(more=True)), ([0, 0], page())], [0, 0]),
    "rows_without_time_are_passed_over": ([([None, 0, None, 1], page(more=True)), ([None], page())], [1, 1]),
    "no_times_at_all": ([([None], page())], [None]),
    "no_rows": ([([], page())], [None]),
    "a_warning_holds": ([([0, 1], page(warning="index"))], [None]),
    "a_warning_holds_what_follows": ([([0], page(more=True, warning="index")), ([1], page())], [None, None]),
    "a_late_warning_keeps_what_was_reached": ([([0], page(more=True)), ([1], page(warning="index"))], [0, 0]),
}


@pytest.mark.parametrize(("pages", "stands"), ROWS.values(), ids=ROWS)
def test_a_cursor_moves_as_far_as_is_safe(
    pages: list[tuple[list[float | None], Page]], stands: list[float | None],
) -> None:
    assert moved(*pages) == stands


@pytest.mark.parametrize(("rows", "reached"), [([0, 10], 2), ([10], 2), ([0, 1], 1)], ids=["last", "only", "none"])
def test_a_row_from_the_future_moves_the_cursor_to_now(rows: list[float | None], reached: float) -> None:
    assert moved((rows, page()), now=2) == [reached]


def test_a_cursor_never_moves_backwards() -> None:
    assert moved(([0, 1], page(more=True)), ([2], page()), start=position(9)) == [9, 9]
    assert moved(([0], page()), start=position(9), now=5) == [9]


def test_a_cursor_that_cannot_be_read_is_replaced() -> None:
    assert moved(([0], page()), start={KEY: "soon"}) == [0]


def test_a_bound_window_moves_no_cursor() -> None:
    assert moved(([0, 1], page()), start=position(-9), bound=True) == [-9]


def test_all_cursors_of_a_read_move_and_those_of_other_scopes_stay() -> None:
    several: list[Positions] = [position(0), {}, {"exp_2": "2020-01-01T00:00:00+00:00"}]
    Progress(Window(None, None, False), several, KEY, lambda: at(9)).see(page(), [at(3)])
    assert several == [position(3), position(3), {"exp_2": "2020-01-01T00:00:00+00:00", **position(3)}]


@pytest.mark.parametrize("zone", [timezone.utc, timezone(5 * HOUR), timezone(-5 * HOUR)], ids=["utc", "east", "west"])
def test_the_clock_may_be_of_any_zone(zone: timezone) -> None:
    now: Callable[[], datetime] = lambda: at(2).astimezone(zone)  # noqa: E731 - a clock is passed in
    positions: Positions = {}
    Progress(Window(None, None, False), [positions], KEY, now).see(page(), [at(5)])
    assert read_time(positions[KEY]) == at(2)
