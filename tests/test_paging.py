"""A window is read to its end, each row once, whatever happens to the rows between two requests."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import pytest

from hyperstudy_source.api.envelope import Page
from hyperstudy_source.sync.checkpoints import Place
from hyperstudy_source.sync.cursors import Window
from hyperstudy_source.sync.paging import Moved, Stretch, Unordered, Walk
from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.values import read_time

NOON = datetime(2024, 6, 15, 12, 0, tzinfo=timezone.utc)
EVERYTHING = Window(None, None, bound=False)
Bound = Literal["inclusive", "exclusive", "ignored", "rejected"]


def at(seconds: float) -> datetime:
    """So many s after noon."""
    return NOON + timedelta(seconds=seconds)


def row(name: str, seconds: float | None) -> Row:
    return {"id": name} if seconds is None else {"id": name, "timestamp": at(seconds).isoformat()}


def rows_at(*seconds: float | None) -> list[Row]:
    return [row(f"{number}", time) for number, time in enumerate(seconds)]


def moment(each: Row) -> datetime | None:
    return read_time(each.get("timestamp"))


@dataclass
class Api:
    """An endpoint of these rows; every switch may be turned between two requests, by their number."""

    rows: list[Row]
    limit: int = 3
    start_time: Bound = "inclusive"
    total: Literal["filtered", "unfiltered", "absent"] = "filtered"
    sort: Literal["honoured", "ignored", "descending"] = "honoured"
    reshuffles: bool = False
    """Rows of one time come in another order with every request."""
    before: dict[int, Callable[[Api], object]] = field(default_factory=dict)
    asked: list[tuple[datetime | None, int]] = field(default_factory=list)
    """`startTime` and offset of every request."""

    def ask(self, params: dict[str, Any], offset: int, _mark: str) -> Page:
        assert (params["sort"], params["order"]) == ("timestamp", "asc")
        return self._page(params, offset)

    def _page(self, params: dict[str, Any], offset: int) -> Page:
        start = read_time(params.get("startTime"))
        if change := self.before.get(len(self.asked)):
            change(self)
        self.asked.append((start, offset))
        heeded = self.start_time in ("inclusive", "exclusive")
        found = self._ordered([each for each in self.rows if not heeded or self._is_late(each, start)])
        page = found[offset:offset + self.limit]
        pagination: dict[str, Any] = {"offset": offset, "hasMore": offset + len(page) < len(found)}
        if self.total != "absent":
            pagination["total"] = len(found if self.total == "filtered" else self.rows)
        refused = {"startTime"} if self.start_time == "rejected" else set()
        return Page(page, {"pagination": pagination}, {name: params[name] for name in params.keys() - refused})

    def _is_late(self, each: Row, start: datetime | None) -> bool:
        if start is None:
            return True
        time = moment(each)
        return time is not None and (time > start or (time == start and self.start_time == "inclusive"))

    def _ordered(self, rows: list[Row]) -> list[Row]:
        """Rows without a time come last."""
        if self.sort == "ignored":
            return rows
        if self.reshuffles:
            random.Random(len(self.asked)).shuffle(rows)
        rows.sort(key=lambda each: moment(each) or at(1e6), reverse=self.sort == "descending")
        return rows


def walk(api: Api, window: Window = EVERYTHING, place: Place | None = None, **options: Any) -> Walk:
    return Walk(api.ask, "timestamp", window, place or beginning(window), **options)


def beginning(window: Window) -> Place:
    return Place("run", NOON, None, window.start, window.start)


def names(stretches: Sequence[Stretch]) -> list[str]:
    return [each["id"] for stretch in stretches for each in stretch.rows]


def read(api: Api, window: Window = EVERYTHING, place: Place | None = None, **options: Any) -> list[str]:
    """The names of all rows in the order in which they come."""
    stretches = list(walk(api, window, place, **options))
    assert [stretch.is_last for stretch in stretches] == [False] * (len(stretches) - 1) + [True]
    assert all([moment(each) for each in stretch.rows] == list(stretch.moments) for stretch in stretches)
    return names(stretches)


EACH_ONCE: dict[str, Api] = {
    "one_page": Api(rows_at(0, 1, 2)), "no_rows": Api([]), "one_row": Api(rows_at(0)),
    "several_pages": Api(rows_at(*range(10))), "pages_of_two": Api(rows_at(*range(7)), limit=2),
    "pages_of_one": Api(rows_at(*range(4)), limit=1),
    "ties": Api(rows_at(0, 1, 1, 2, 2, 2, 3, 4, 4, 5), limit=4),
    "ties_in_no_order": Api(rows_at(0, 1, 1, 2, 2, 2, 3, 4, 4, 5), limit=4, reshuffles=True),
    "one_time": Api(rows_at(*[1] * 8)), "one_time_at_the_start": Api(rows_at(0, 0, 0, 0, 1, 2, 3)),
    "one_time_in_the_middle": Api(rows_at(0, 1, *[2] * 6, 3, 4, 5)),
    "one_time_at_the_end": Api(rows_at(0, 1, *[2] * 6)),
    "times_closer_than_ms": Api([row(str(number), number / 1e5) for number in range(9)]),
    "exclusive": Api(rows_at(0, 1, 1, 2, 3, 3, 4), start_time="exclusive"),
    "ignored": Api(rows_at(*range(8)), start_time="ignored"),
    "ignored_with_ties": Api(rows_at(0, 1, 1, 1, 2, 2, 3), start_time="ignored"),
    "ignored_within_a_ms": Api([row(str(number), number / 1e4) for number in range(9)], start_time="ignored"),
    "rejected": Api(rows_at(*range(8)), start_time="rejected"),
    "unfiltered": Api(rows_at(*range(8)), total="unfiltered"), "no_total": Api(rows_at(*range(8)), total="absent"),
    "no_times": Api(rows_at(*[None] * 7)), "most_without_a_time": Api(rows_at(0, *[None] * 6)),
    "descending": Api(rows_at(*range(8)), sort="descending"),
    "in_no_order": Api(rows_at(3, 0, 4, 1, 2), sort="ignored"),
}


@pytest.mark.parametrize("window", [EVERYTHING, Window(at(-9), at(99), bound=True)], ids=["everything", "window"])
@pytest.mark.parametrize("api", EACH_ONCE.values(), ids=EACH_ONCE)
def test_every_row_comes_once(api: Api, window: Window) -> None:
    if window.bound:
        api = replace(api, rows=[each for each in api.rows if moment(each)], asked=[])
    walked = walk(replace(api, asked=[]), window)
    assert sorted(names(list(walked))) == sorted(each["id"] for each in api.rows)
    place = walked.place
    assert place.delivered == len(api.rows)
    assert place.expected == (None if api.total == "absent" else len(api.rows))
    if place.counted is not None:
        assert place.received == place.counted or (api.total == "unfiltered" and place.jumped)


def test_the_next_page_is_asked_for_from_the_time_of_the_last_row() -> None:
    api = Api(rows_at(*range(6)))
    assert read(api) == ["0", "1", "2", "3", "4", "5"]
    assert api.asked == [(None, 0), (at(2 - 0.001), 0), (at(4 - 0.001), 0)]


def test_without_a_total_to_compare_with_pages_are_read_by_offset() -> None:
    api = Api(rows_at(*range(6)), total="absent")
    read(api)
    assert api.asked == [(None, 0), (None, 2), (None, 4)]


def test_a_limit_that_the_api_lowers_between_two_requests_loses_nothing() -> None:
    api = Api(rows_at(*range(9)), limit=4, before={1: lambda api: setattr(api, "limit", 2)})
    assert sorted(read(api)) == [str(number) for number in range(9)]


def remove(*gone: str) -> Callable[[Api], object]:
    return lambda api: setattr(api, "rows", [each for each in api.rows if each["id"] not in gone])


def insert(name: str, seconds: float) -> Callable[[Api], object]:
    return lambda api: api.rows.append(row(name, seconds))


CHANGES: dict[str, tuple[Callable[[Api], object], list[str]]] = {
    "a_row_that_came_is_removed": (remove("0"), ["0", "1", "2", "3", "4", "5", "6"]),
    "all_that_came_are_removed": (remove("0", "1"), ["0", "1", "2", "3", "4", "5", "6"]),
    "the_row_that_leads_on_is_removed": (remove("2"), ["0", "1", "3", "4", "5", "6"]),
    "a_row_to_come_is_removed": (remove("4"), ["0", "1", "2", "3", "5", "6"]),
    "a_row_comes_before": (insert("new", 0.5), ["0", "1", "2", "3", "4", "5", "6"]),
    "a_row_comes_at_the_turn": (insert("new", 2), ["0", "1", "2", "3", "4", "5", "6", "new"]),
    "a_row_comes_after": (insert("new", 2.5), ["0", "1", "2", "3", "4", "5", "6", "new"]),
    "a_row_comes_at_the_end": (insert("new", 9), ["0", "1", "2", "3", "4", "5", "6", "new"]),
}


@pytest.mark.parametrize("when", [1, 2])
@pytest.mark.parametrize(("change", "wanted"), CHANGES.values(), ids=CHANGES)
def test_rows_that_come_and_go_between_pages_make_no_others_missing_or_double(
    change: Callable[[Api], object], wanted: list[str], when: int,
) -> None:
    api = Api(rows_at(*range(7)), before={when: change})
    steady = {each["id"] for each in api.rows}
    came = read(api)
    steady &= {each["id"] for each in api.rows}
    assert len(came) == len(set(came))
    assert steady <= set(came)
    if when == 1:
        assert sorted(came) == wanted


@pytest.mark.parametrize("seed", range(40))
def test_rows_that_stay_come_once_however_many_others_come_and_go(seed: int) -> None:
    chance = random.Random(seed)
    steady = [row(f"steady {number}", chance.randrange(12)) for number in range(30)]
    passing = [row(f"passing {number}", chance.randrange(12)) for number in range(30)]

    def change(api: Api) -> None:
        api.rows = steady + chance.sample(passing, chance.randrange(30))

    api = Api([], limit=15, reshuffles=True, before=dict.fromkeys(range(99), change))
    try:
        came = read(api)
    except Moved:
        assert any(offset for _, offset in api.asked)
    else:
        assert len(came) == len(set(came))
        if not any(offset for _, offset in api.asked):
            assert {each["id"] for each in steady} <= set(came)


@pytest.mark.parametrize("has_key", [True, False], ids=["keyed", "without_key"])
@pytest.mark.parametrize("gone", ["0", "6"], ids=["before", "after"])
def test_offsets_mean_nothing_any_more_once_a_row_is_gone(gone: str, has_key: bool) -> None:
    with pytest.raises(Moved):
        read(Api(rows_at(*range(7)), before={1: remove(gone)}), by_offset=True, has_key=has_key)


def test_offsets_mean_nothing_any_more_once_a_row_has_come_before_them() -> None:
    with pytest.raises(Moved):
        read(Api(rows_at(*range(7)), before={1: insert("new", -1)}), by_offset=True)


def test_a_row_that_comes_behind_the_offsets_is_read_too() -> None:
    api = Api(rows_at(*range(7)), before={1: insert("new", 9)})
    assert read(api, by_offset=True) == ["0", "1", "2", "3", "4", "5", "6", "new"]


@pytest.mark.parametrize("seconds", [-1, 9], ids=["before", "after"])
def test_rows_without_a_key_are_not_to_be_repeated(seconds: float) -> None:
    with pytest.raises(Moved):
        read(Api(rows_at(*range(7)), before={1: insert("new", seconds)}), by_offset=True, has_key=False)


@pytest.mark.parametrize("bound", ["ignored", "rejected"])
def test_a_start_that_is_not_heeded_costs_one_request_and_the_rest_is_read_by_offset(bound: Bound) -> None:
    api = Api(rows_at(*range(8)), start_time=bound)
    walked = walk(api)
    assert names(list(walked)) == [str(number) for number in range(8)]
    assert [offset for _, offset in api.asked] == [0, 0, 2, 4, 6]
    assert walked.heeded is False
    assert (walked.place.jumped, walked.place.received, walked.place.counted) == (False, 8, 8)


@pytest.mark.parametrize(("api", "heeded"), [
    (Api(rows_at(*range(8))), True), (Api(rows_at(0, 1)), None), (Api(rows_at(*[0] * 8)), None),
    (Api(rows_at(*range(8)), sort="descending"), None),
], ids=["several_pages", "one_page", "one_time", "descending"])
def test_whether_a_start_is_heeded_is_known_once_it_was_put_to_the_test(api: Api, heeded: bool | None) -> None:
    walked = walk(api)
    list(walked)
    assert walked.heeded is heeded


@pytest.mark.parametrize("bound", ["ignored", "rejected"])
@pytest.mark.parametrize("when", [2, 3])
def test_a_start_that_is_not_heeded_any_more_makes_the_window_be_read_anew(bound: Bound, when: int) -> None:
    """What has come by then is not lost: it is before the place that the last stretch names."""
    api = Api(rows_at(*range(9)), before={when: lambda api: setattr(api, "start_time", bound)})
    stretches: list[Stretch] = []
    walked = walk(api)
    with pytest.raises(Moved):
        stretches.extend(walked)
    after = walked.place.after
    assert after is not None
    assert names(stretches) == [str(number) for number in range(9) if at(number) < after]


def test_a_walk_by_offset_asks_for_no_later_times() -> None:
    api = Api(rows_at(*range(8)))
    walked = walk(api, by_offset=True)
    assert names(list(walked)) == [str(number) for number in range(8)]
    assert api.asked == [(None, 0), (None, 2), (None, 4), (None, 6)]
    assert (walked.heeded, walked.place.jumped) == (None, False)
    assert (walked.place.received, walked.place.counted) == (8, 8)


def test_a_window_keeps_its_end_while_its_start_moves_on() -> None:
    ends = []
    api = Api(rows_at(*range(5)))

    def ask(params: dict[str, Any], offset: int, mark: str) -> Page:
        ends.append(read_time(params["endTime"]))
        return api.ask(params, offset, mark)

    window = Window(at(0), at(9), bound=True)
    list(Walk(ask, "timestamp", window, beginning(window)))
    assert ends == [at(9.001)] * 2
    assert [start for start, _ in api.asked] == [at(-0.001), at(2 - 0.001)]


RESUMED: dict[str, Api] = {
    **{name: each for name, each in EACH_ONCE.items() if name not in ("one_page", "no_rows", "one_row")},
    "long": Api(rows_at(0, 1, 1, 2, 3, 3, 3, 4, 5, 6, 6, 7), limit=5),
    "long_in_no_order_of_ties": Api(rows_at(0, 1, 1, 2, 3, 3, 3, 4, 5, 6, 6, 7), limit=5, reshuffles=True),
    "long_rejected": Api(rows_at(0, 1, 1, 2, 3, 3, 3, 4, 5, 6, 6, 7), limit=5, start_time="rejected"),
}


@pytest.mark.parametrize("by_offset", [False, True], ids=["by_time", "by_offset"])
@pytest.mark.parametrize("api", RESUMED.values(), ids=RESUMED)
def test_a_read_that_was_interrupted_goes_on_at_any_of_its_places(api: Api, by_offset: bool) -> None:
    """Where a time is tried first and not heeded, the window is to be read by offset, but nothing is lost."""
    api = replace(api, reshuffles=api.reshuffles and not by_offset)
    whole = walk(replace(api, asked=[]), by_offset=by_offset)
    before: list[str] = []
    stands = []
    for stretch in whole:
        before += names([stretch])
        stands += [(whole.place, list(before))] if not stretch.is_last else []
    assert stands
    for place, came in stands:
        assert place.delivered == len(came)
        resumed = walk(replace(api, asked=[]), place=place, by_offset=by_offset and bool(place.offset))
        try:
            rest = names(list(resumed))
        except Moved:
            assert resumed.heeded is False
            continue
        assert sorted([*came, *rest]) == sorted(each["id"] for each in api.rows)
        assert resumed.place == whole.place


@pytest.mark.parametrize("has_key", [True, False], ids=["keyed", "without_key"])
@pytest.mark.parametrize("change", [remove("0"), insert("new", -1), remove("3"), insert("new", 2.5)],
                         ids=["gone_before", "come_before", "gone_at", "come_just_before"])
def test_a_read_by_offset_does_not_go_on_where_rows_came_or_went_meanwhile(
    change: Callable[[Api], object], has_key: bool
) -> None:
    api = Api(rows_at(*range(9)), limit=4)
    walked = walk(api, by_offset=True)
    next(iter(walked))
    change(api)
    with pytest.raises(Moved):
        list(walk(api, place=walked.place, by_offset=True, has_key=has_key))


def test_rows_that_come_at_the_end_meanwhile_are_read_too_where_they_have_a_key() -> None:
    api = Api(rows_at(*range(9)), limit=4)
    walked = walk(api, by_offset=True)
    came = names([next(iter(walked))])
    insert("new", 99)(api)
    assert [*came, *names(list(walk(api, place=walked.place, by_offset=True)))] == [*map(str, range(9)), "new"]
    with pytest.raises(Moved):
        list(walk(api, place=walked.place, by_offset=True, has_key=False))


def test_a_place_has_all_rows_before_it_and_none_after() -> None:
    api = Api(rows_at(0, 1, 1, 2, 2, 2, 3, 4, 4, 5), limit=4, reshuffles=True)
    came: list[str] = []
    places = []
    walked = walk(api)
    for stretch in walked:
        came += [each["id"] for each in stretch.rows]
        if not stretch.is_last:
            after = walked.place.after
            assert after is not None
            places.append(after)
            assert sorted(came) == sorted(each["id"] for each in api.rows if (moment(each) or after) < after)
    assert places == sorted(set(places))


@pytest.mark.parametrize("by_offset", [False, True], ids=["by_time", "by_offset"])
@pytest.mark.parametrize("api", [*EACH_ONCE.values(), *RESUMED.values()])
def test_no_row_behind_a_turn_is_like_one_before_it(api: Api, by_offset: bool) -> None:
    """Rows that are alike have one time."""
    api = replace(api, reshuffles=api.reshuffles and not by_offset)
    before: set[datetime | None] = set()
    for stretch in walk(replace(api, asked=[]), by_offset=by_offset):
        turn = len(stretch.rows) if stretch.turn is None else stretch.turn
        before |= set(stretch.moments[:turn])
        if stretch.turn is not None:
            assert not before & set(stretch.moments[turn:])
            before = set()
        assert not before & set(stretch.moments[turn:])
        before |= set(stretch.moments[turn:])


ORDERS: dict[str, list[float | None]] = {
    "of_participants": [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5], "once_more": [0, 1, 2, 0, 1, 2], "late": [0, 1, 2, 3, 2],
    "without_a_time": [0, 1, 2, 3, None, None],
}


@pytest.mark.parametrize("times", ORDERS.values(), ids=ORDERS)
def test_rows_without_a_key_in_no_order_are_read_with_all_of_them_in_mind(times: list[float | None]) -> None:
    """Among those that are forgotten there may be one that a later one is like."""
    api = Api(rows_at(*times), sort="ignored", limit=3)
    with pytest.raises(Unordered):
        read(api, by_offset=True, has_key=False)
    place = replace(beginning(EVERYTHING), ordered=False)
    stretches = list(walk(api, place=place, by_offset=True, has_key=False))
    assert names(stretches) == [each["id"] for each in api.rows]
    assert {stretch.turn for stretch in stretches} == {None}
    assert read(api, by_offset=True, has_key=True) == [each["id"] for each in api.rows]


def test_rows_without_a_time_of_their_own_are_read_by_offset() -> None:
    api = Api(rows_at(*range(5)))
    asked: list[dict[str, Any]] = []

    def ask(params: dict[str, Any], offset: int, _mark: str) -> Page:
        asked.append(params)
        return api._page(params, offset)

    walked = Walk(ask, None, EVERYTHING, replace(beginning(EVERYTHING), ordered=False))
    assert names(list(walked)) == ["0", "1", "2", "3", "4"]
    assert asked == [{}] * 2
    assert walked.place.newest is None


@pytest.mark.parametrize("order", [[0, 1, 2, 0.5, 3, 4], [0, 1, 2, 3, 4, 5, 0.5]], ids=["soon", "late"])
def test_rows_in_no_order_that_are_passed_over_are_missing_from_the_count(order: list[float]) -> None:
    """The first page is in order by chance; only offsets find the row that lies behind it."""
    walked = walk(Api(rows_at(*order), sort="ignored"))
    assert len(names(list(walked))) == walked.place.delivered < (walked.place.expected or 0)
    assert walked.place.jumped
    assert sorted(read(Api(rows_at(*order), sort="ignored"), by_offset=True)) == sorted(map(str, range(len(order))))


def test_rows_without_a_time_behind_others_are_missing_from_the_count() -> None:
    """The API has none of them for any `startTime`."""
    times = (0, 1, 2, 3, 4, None, None)
    walked = walk(Api(rows_at(*times)))
    assert names(list(walked)) == ["0", "1", "2", "3", "4"]
    assert (walked.place.expected, walked.place.delivered, walked.place.jumped) == (7, 5, True)
    assert read(Api(rows_at(*times)), by_offset=True) == ["0", "1", "2", "3", "4", "5", "6"]


def alike(*marks: str) -> list[Row]:
    """Rows without a key: those of one mark are the same."""
    return [{"id": mark, "timestamp": NOON.isoformat()} for mark in marks]


GROUPS: dict[str, list[Row]] = {
    "fewer_than_a_page": alike("a", "b", "b", "c", "c", "d"), "a_page": alike("a", "b", "b", "b", "c", "d", "e"),
    "more_than_a_page": alike("a", "b", "b", "b", "b", "b", "c", "d"), "all": alike(*"aaaaaaa"),
    "at_the_start": alike(*"aaaabcd"), "at_the_end": alike(*"abcdddd"), "two": alike(*"aabbccdd"),
}


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
@pytest.mark.parametrize("total", ["filtered", "absent"])
@pytest.mark.parametrize("rows", GROUPS.values(), ids=GROUPS)
def test_rows_that_are_alike_come_as_often_as_there_are(
    rows: list[Row], total: Literal["filtered", "absent"], limit: int
) -> None:
    api = Api(list(rows), limit=limit, total=total, sort="ignored")
    assert names(list(walk(api, by_offset=True, has_key=False))) == [each["id"] for each in rows]


@pytest.mark.parametrize("when", [1, 2, 3])
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
@pytest.mark.parametrize("change", [
    lambda api: api.rows.insert(0, *alike("new")), lambda api: api.rows.pop(0),
    lambda api: (api.rows.pop(0), api.rows.append(*alike("new"))),
], ids=["come", "gone", "gone_and_come"])
@pytest.mark.parametrize("rows", [each for name, each in GROUPS.items() if name not in ("all", "at_the_start", "two")])
def test_a_row_that_comes_or_goes_before_rows_that_are_alike_is_noticed(
    rows: list[Row], change: Callable[[Api], object], limit: int, when: int
) -> None:
    """Either the pages do not fit together, or what came is all that was there."""
    api = Api(list(rows), limit=limit, total="absent", sort="ignored", before={when: change})
    try:
        came = names(list(walk(api, by_offset=True, has_key=False)))
    except Moved:
        return
    assert came in ([each["id"] for each in rows], [each["id"] for each in api.rows])
