"""Which window is read, how far its cursors move, and where an interrupted read goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import dlt
import pytest

from hyperstudy_source.errors import SettingError
from hyperstudy_source.sync.checkpoints import Link, Place
from hyperstudy_source.sync.cursors import FAR_FUTURE, FAR_PAST, Cursors, Positions, Window, is_bound, window
from hyperstudy_source.tables.values import read_time

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


@pytest.mark.parametrize(("known", "lag"), [
    (FAR_PAST, 3600), (datetime(1, 1, 1, tzinfo=timezone.utc), 3600), (NOON, 1e12), (NOON, float("inf")),
], ids=["first_moment", "year_1", "long_lookback", "endless_lookback"])
def test_a_lookback_ends_with_the_first_time_that_is_asked_for(known: datetime, lag: float) -> None:
    found = window(cursor(lag=lag), [{KEY: known.isoformat()}], KEY)
    assert (found.start, found.params) == (FAR_PAST, {})


@pytest.mark.parametrize(("open_since", "start"), [(None, -1), (-5, -5), (-0.5, -1)], ids=["none", "before", "after"])
def test_a_window_begins_with_the_oldest_open_room_or_the_lookback(open_since: float | None, start: float) -> None:
    since = None if open_since is None else at(open_since)
    assert window(cursor(), [position(0)], KEY, since).start == at(start)
    assert window(cursor(), [position(None)], KEY, since).start is None
    assert window(cursor(at(1), at(2)), [position(0)], KEY, since) == Window(at(1), at(2), bound=True)


def test_in_full_everything_is_read_whatever_the_cursor_says() -> None:
    assert window(cursor(), [position(0)], KEY, full=True) == Window(None, None, bound=False)
    assert window(cursor(at(0)), [position(5)], KEY, full=True).start == at(0)
    assert window(cursor(at(0), at(1)), [position(5)], KEY, full=True) == Window(at(0), at(1), bound=True)


@pytest.mark.parametrize("kept", ["", "soon", "2024-02-30T00:00:00+00:00"], ids=["empty", "words", "no_such_day"])
def test_a_cursor_that_cannot_be_read_costs_the_whole_history_and_no_error(kept: str) -> None:
    assert window(cursor(), [{KEY: kept}], KEY).start is None


@pytest.mark.parametrize("known", [None, 5], ids=["new", "known"])
def test_an_interval_binds_the_window_whatever_the_cursor_says(known: float | None) -> None:
    assert window(cursor(at(0), at(1)), [position(known)], KEY) == Window(at(0), at(1), bound=True)


@pytest.mark.parametrize(("known", "start"), [(None, None), (5, at(4))], ids=["new", "known"])
def test_an_interval_of_no_length_binds_nothing(known: float | None, start: datetime | None) -> None:
    assert window(cursor(at(10), at(10)), [position(known)], KEY) == Window(start, None, bound=False)


@pytest.mark.parametrize(("start", "end", "binds"), [
    (None, None, False), (at(0), None, False), (None, at(1), True), (at(0), at(1), True), (at(1), at(1), False),
], ids=["nothing", "start_only", "end_only", "both", "no_length"])
def test_an_end_binds_a_window(start: datetime | None, end: datetime | None, binds: bool) -> None:
    assert is_bound(cursor(start, end)) is binds


@pytest.mark.parametrize("text", ["soon", "2024-02-30"])
def test_a_bound_that_is_no_time_is_a_wrong_setting(text: str) -> None:
    with pytest.raises(SettingError, match=text):
        window(cursor(cast(Any, text)), [position(0)], KEY)


def cursors(
    *positions: Positions, bound: bool = False, start: datetime | None = None, full: bool = False,
    places: dict[str, Any] | None = None, tables: tuple[str, ...] = ("events",), key: str = KEY,
) -> Cursors:
    places = {} if places is None else places
    return Cursors(Window(start, at(9) if bound else None, bound), positions, key, places, tables, full)


MOVES: dict[str, tuple[float | None, float | None, float, float | None]] = {
    "first": (None, 3, 9, 3), "forward": (1, 3, 9, 3), "never_back": (5, 3, 9, 5), "no_rows": (1, None, 9, 1),
    "no_rows_ever": (None, None, 9, None), "row_from_the_future": (1, 12, 9, 9), "first_from_the_future": (
        None, 12, 9, 9), "clock_that_was_set_back": (5, 12, 4, 5),
}


@pytest.mark.parametrize(("stands", "newest", "now", "moved"), MOVES.values(), ids=MOVES)
def test_a_cursor_moves_to_the_newest_row_never_back_and_not_past_the_clock(
    stands: float | None, newest: float | None, now: float, moved: float | None,
) -> None:
    kept = position(stands)
    reached = cursors(kept).move(None if newest is None else at(newest), at(now))
    assert (reached, kept) == (None if moved is None else at(moved), position(moved))


def test_a_cursor_that_cannot_be_read_is_replaced() -> None:
    kept: Positions = {KEY: "soon"}
    assert cursors(kept).newest is None
    assert cursors(kept).move(at(0), at(1)) == at(0)
    assert kept == position(0)


def test_a_backfill_moves_no_cursor() -> None:
    kept = position(-9)
    assert cursors(kept, bound=True).move(at(3), at(9)) == at(-9)
    assert kept == position(-9)


def test_all_cursors_of_a_read_move_and_those_of_other_scopes_stay() -> None:
    several: list[Positions] = [position(0), {}, {"exp_2": "2020-01-01T00:00:00+00:00"}]
    assert cursors(*several).move(at(3), at(9)) == at(3)
    assert several == [position(3), position(3), {"exp_2": "2020-01-01T00:00:00+00:00", **position(3)}]


@pytest.mark.parametrize(("known", "newest"), [
    ([0, 5], 0), ([5, None], None), ([None], None), ([3], 3),
], ids=["oldest", "one_is_missing", "none", "one"])
def test_several_cursors_stand_where_the_oldest_does(known: list[float | None], newest: float | None) -> None:
    stands = cursors(*(position(hours) for hours in known)).newest
    assert stands == (None if newest is None else at(newest))


@pytest.mark.parametrize("zone", [timezone.utc, timezone(5 * HOUR), timezone(-5 * HOUR)], ids=["utc", "east", "west"])
def test_the_clock_may_be_of_any_zone(zone: timezone) -> None:
    kept: Positions = {}
    cursors(kept).move(at(5), at(2).astimezone(zone))
    assert read_time(kept[KEY]) == at(2)


PLACE = Place("run", at(0), "listed", None, at(-3), jumped=True, expected=12, delivered=7, twins={})


def kept_place(place: Place = PLACE, **options: Any) -> dict[str, Any]:
    """What the state holds once a place is kept, as it comes back from the destination."""
    places: dict[str, Any] = {}
    cursors({}, places=places, **options).keep(place)
    restored: dict[str, Any] = json.loads(json.dumps(places))
    return restored


@pytest.mark.parametrize("place", [
    PLACE, Place("run", at(0), None, at(-8), at(-3).replace(microsecond=1)),
    Place("run", at(0), "listed", None, None, offset=9, link=Link(7, ("a", "b"), 2, "9 c d"), newest=at(1),
          ordered=False, counted=12, received=9, doubts=("rows may be missing",), twins={"a": 2}),
], ids=["of_everything", "of_a_window", "by_offset"])
def test_a_place_comes_back_as_it_was_kept(place: Place) -> None:
    assert cursors({}, start=place.start, places=kept_place(place)).place == place


def test_a_read_without_a_place_begins_at_the_start() -> None:
    assert cursors({}).place is None


def test_a_place_is_gone_once_it_is_dropped() -> None:
    places = kept_place()
    read = cursors({}, places=places)
    read.drop_place()
    read.drop_place()
    assert (read.place, places) == (None, {})


@pytest.mark.parametrize(("kept_from", "start", "goes_on"), [
    (None, None, True), (None, at(-5), True), (at(-8), at(-8), True), (at(-8), at(-7), True),
    (at(-8), at(-9), False), (at(-8), None, False),
], ids=["all", "all_was_more", "same", "later", "earlier", "all_is_more"])
def test_a_read_does_not_go_on_where_it_would_begin_earlier(
    kept_from: datetime | None, start: datetime | None, goes_on: bool,
) -> None:
    places = kept_place(replace(PLACE, start=kept_from))
    assert (cursors({}, start=start, places=places).place is not None) is goes_on


@pytest.mark.parametrize(("tables", "goes_on"), [
    (("events",), True), (("consent", "events"), True), (("events", "questionnaire"), False),
], ids=["fewer", "same", "others"])
def test_a_table_for_which_a_read_was_not_begun_gets_the_whole(tables: tuple[str, ...], goes_on: bool) -> None:
    places = kept_place(tables=("events", "consent"))
    assert (cursors({}, tables=tables, places=places).place is not None) is goes_on


OTHERS: dict[str, dict[str, Any]] = {
    "scope": {"key": "exp_2"}, "backfill": {"bound": True}, "window": {"bound": True, "start": at(1)},
    "in_full": {"full": True},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_reads_of_another_scope_or_kind_have_places_of_their_own(other: dict[str, Any]) -> None:
    places = kept_place()
    read = cursors({}, places=places, **other)
    assert read.place is None
    read.keep(replace(PLACE, after=at(2)))
    assert len(places) == 2
    read.drop_place()
    assert cursors({}, places=places).place == PLACE
