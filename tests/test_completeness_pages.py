"""Whatever comes and goes between two pages: what is said to be complete is all there, and once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from loaded import at, new_pipeline, quiet_place
from truth import Marks, marks, statuses, sync, true_marks

from hyperstudy_source.load import LoadReport
from hyperstudy_source.standin import Behaviour, Fault, StandIn, Study
from hyperstudy_source.standin.behaviour import Bound, Total

TYPES = {"events": "/data/events", "eyetracking": "/data/eyetracking", "sync": "/data/sync"}
"""One type with a key, and two without."""
PAGE, ROWS = 5, 12


def put(study: Study, table: str, experiment: str, number: float, mark: str | None = None) -> None:
    """A row at a time of that number; rows without a key of their own are told apart by `mark` alone."""
    mark = mark or f"{number:g}"
    row = {"timestamp": at(2 * number), "mark": mark}
    if table == "events":
        row["id"] = f"{mark} {sum(each.get('mark') == mark for each in study.of(table, experiment))}"
    study.add(table, row, experiment_id=experiment, room_id=f"room_{experiment}")


def drop(study: Study, table: str, experiment: str, number: int) -> None:
    rows = study.of(table, experiment)
    del rows[next(index for index, row in enumerate(rows) if row["mark"] == f"{number:g}")]


Change = Callable[[Study, str, str], object]
BEFORE, BOUNDARY, AFTER, END = 1, PAGE - 1, PAGE + 2, 50


def _late(number: float) -> Change:
    return lambda study, table, experiment: put(study, table, experiment, number)


def _gone(number: int) -> Change:
    return lambda study, table, experiment: drop(study, table, experiment, number)


def _both(*changes: Change) -> Change:
    return lambda *place: [change(*place) for change in changes]


CHANGES: dict[str, Change] = {
    "late before": _late(BEFORE + 0.5), "late at": _late(BOUNDARY), "late just after": _late(BOUNDARY + 0.25),
    "late at the end": _late(END),
    "gone before": _gone(BEFORE), "gone at": _gone(BOUNDARY), "gone after": _gone(AFTER),
    "gone before, late at the end": _both(_gone(BEFORE), _late(END)),
    "gone after, late before": _both(_gone(AFTER), _late(BEFORE + 0.5)),
    "gone before, late before": _both(_gone(BEFORE), _late(BEFORE + 0.5)),
    "two gone before, two late at the end": _both(_gone(0), _gone(1), _late(END), _late(END + 1)),
}
"""What happens after the first page; the names are the experiments' too."""


def _changed(change: Change, table: str, experiment: str, study: Study) -> None:
    change(study, table, experiment)


@dataclass
class TwoRuns:
    """A run in which rows come and go, and one after it in which all is calm."""

    study: Study
    first: Marks
    before: Marks
    """What the stand-in had at the beginning, and (`between`) after the first run."""
    between: Marks
    said: dict[tuple[str, str], str]
    exit_status: int
    second: Marks
    said_later: dict[tuple[str, str], str]


def two_runs(folder: Path, behaviour: Behaviour, twins: bool) -> dict[str, TwoRuns]:
    study = Study.empty(*CHANGES)
    for table in TYPES:
        for experiment in CHANGES:
            for number in range(ROWS):
                for _ in range(1 + (twins and number % 3 == 1)):
                    put(study, table, experiment, number)
    for experiment, change in CHANGES.items():
        for table, path in TYPES.items():
            hook = partial(_changed, change, table, experiment)
            path_of_one = f"{path}/experiment/{quote(experiment, safe='')}"
            behaviour.faults.append(Fault(path_of_one, "hook", after=1, hook=hook))
    before = {table: true_marks(study, table) for table in TYPES}
    with StandIn(study, behaviour) as api:
        pipeline = new_pipeline(folder)
        report = sync(pipeline, api, *TYPES, page_size=PAGE)
        between = {table: true_marks(study, table) for table in TYPES}
        first, said = {table: marks(pipeline, table) for table in TYPES}, statuses(pipeline)
        behaviour.total = "filtered"
        sync(pipeline, api, *TYPES, page_size=PAGE)
        return {table: TwoRuns(study, first[table], before[table], between[table], said, report.exit_status,
                               marks(pipeline, table), statuses(pipeline)) for table in TYPES}


WAYS: list[tuple[Bound, Total, bool]] = [
    ("inclusive", "filtered", True), ("exclusive", "filtered", False), ("ignored", "filtered", True),
    ("inclusive", "unfiltered", False), ("ignored", "moving", False), ("inclusive", "too_large", True),
    ("rejected", "too_small", False),
]


EACH = pytest.mark.parametrize("way", WAYS, ids=lambda way: f"startTime {way[0]}, total {way[1]}"
                               + (", twins" if way[2] else ""))
RunsOf = Callable[[tuple[Bound, Total, bool]], dict[str, TwoRuns]]


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory: pytest.TempPathFactory) -> RunsOf:
    """The two runs with one way of the API to treat times and totals; each way runs once."""

    @cache
    def of(way: tuple[Bound, Total, bool]) -> dict[str, TwoRuns]:
        bound, total, twins = way
        with quiet_place(tmp_path_factory.mktemp("pages")) as folder:
            return two_runs(folder, Behaviour(start_time=bound, total=total), twins)

    return of


@EACH
@pytest.mark.parametrize("table", TYPES)
def test_what_is_complete_has_every_row_that_stayed(
    table: str, way: tuple[Bound, Total, bool], runs_of: RunsOf
) -> None:
    """A row that comes late to a part that was read already has come after the read, and is the next run's."""
    two = runs_of(way)[table]
    stayed = two.before & two.between
    lost = {place: stayed[place] - two.first[place] for place in stayed
            if two.said[table, place[0]] == "complete" and two.first[place] < stayed[place]}
    assert lost == {}
    assert set(two.said.values()) <= {"complete", "incomplete"}
    assert two.exit_status == (0 if set(two.said.values()) == {"complete"} else 3)


@EACH
@pytest.mark.parametrize("table", TYPES)
def test_no_row_is_there_twice(
    table: str, way: tuple[Bound, Total, bool], runs_of: RunsOf
) -> None:
    two = runs_of(way)[table]
    assert two.first - (two.before | two.between) == Marks()
    assert two.second - (two.before | two.between) == Marks()


@EACH
@pytest.mark.parametrize("table", TYPES)
def test_the_next_run_has_everything(
    table: str, way: tuple[Bound, Total, bool], runs_of: RunsOf
) -> None:
    two = runs_of(way)[table]
    assert true_marks(two.study, table) - two.second == Marks()
    assert set(two.said_later.values()) == {"complete"}


@pytest.fixture(scope="module")
def ties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Marks], dict[str, Marks], dict[
        tuple[str, str], str], LoadReport, dict[str, Marks]]]:
    """Rows of one time, fewer and more than a page holds, in another order with every request; then in one order."""
    study = Study.empty("few", "many", "many and more")
    for table in TYPES:
        for experiment, tied in (("few", (0, 1, 1, 1, 2, 2, 2, 3, 3)), ("many", (0, *[1] * 4 * PAGE)),
                                 ("many and more", (*[1] * 4 * PAGE, 2, 3, 3, 4, 5, 6, 7, 8, 8))):
            for place, number in enumerate(tied):
                put(study, table, experiment, number, f"{place}")
    wanted = {table: true_marks(study, table) for table in TYPES}
    with quiet_place(tmp_path_factory.mktemp("ties")) as folder, StandIn(study, Behaviour(ties="shuffled")) as api:
        pipeline = new_pipeline(folder)
        report = sync(pipeline, api, *TYPES, page_size=PAGE)
        first, said = {table: marks(pipeline, table) for table in TYPES}, statuses(pipeline)
        api.behaviour.ties = "stable"
        sync(pipeline, api, *TYPES, page_size=PAGE)
        yield wanted, first, said, report, {table: marks(pipeline, table) for table in TYPES}


@pytest.mark.parametrize("table", TYPES)
def test_ties_that_are_shuffled_with_every_request_are_whole_or_said_to_be_not(table: str, ties: Any) -> None:
    wanted, first, said, report, second = ties
    whole = {place for place in wanted[table] if said[table, place[0]] == "complete"}
    assert {place[0] for place in whole} >= {"few"}
    assert first[table] - wanted[table] == Marks()
    assert {place for place in wanted[table] - first[table] if place in whole} == set()
    assert report.exit_status == (0 if set(said.values()) == {"complete"} else 3)
    assert second[table] == wanted[table]


@pytest.mark.parametrize("table", ["events", "sync"])
def test_a_row_behind_a_page_that_only_seems_to_be_in_order_is_not_passed_over(table: str, tmp_path: Path) -> None:
    """The API does not sort, and its total is too small to tell."""
    study = Study.empty("exp_1")
    for number in (*range(1, PAGE + 1), 0.5, *range(PAGE + 1, ROWS)):
        put(study, table, "exp_1", number)
    wanted = true_marks(study, table)
    with quiet_place(tmp_path) as folder, StandIn(study, Behaviour(sort="ignored", total="too_small")) as api:
        pipeline = new_pipeline(folder)
        sync(pipeline, api, table, page_size=PAGE)
        assert marks(pipeline, table) == wanted or statuses(pipeline)[table, "exp_1"] == "incomplete"
        api.behaviour = Behaviour()
        sync(pipeline, api, table, page_size=PAGE)
        assert marks(pipeline, table) == wanted
