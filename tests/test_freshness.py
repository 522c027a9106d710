"""When a scope counts as quiet, and from when on it is read again: never too late for a row that may still arrive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import dlt
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.pipeline import StateInjectableContext

from hyperstudy_source.api.client import Client
from hyperstudy_source.standin import StandIn, Study
from hyperstudy_source.sync.freshness import Freshness
from hyperstudy_source.sync.run import Run
from hyperstudy_source.sync.scopes import Scope, Scopes
from hyperstudy_source.tables.fields import Row

NOON = datetime(2024, 6, 15, 12, 0, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MS = timedelta(milliseconds=1)
SCOPE = Scope("exp_1")
LONG_AGO = {"start_time": NOON - 300 * DAY, "end_time": NOON - 300 * DAY + HOUR}


@pytest.fixture(autouse=True)
def state() -> Iterator[dict[str, Any]]:
    """What dlt keeps for the resources; within a pipeline it is there, so here it is put there."""
    kept: Any = {}
    section = ConfigSectionContext(source_state_key="hyperstudy")
    with Container().injectable_context(StateInjectableContext(state=kept)), Container().injectable_context(section):
        yield kept


@pytest.fixture
def study() -> Study:
    """Two experiments, of which only the list matters here."""
    return Study.empty("exp_1", "exp_2")


class Clock:
    """A clock that a test sets: `now` in days after noon."""

    def __init__(self) -> None:
        self.moment = NOON

    def __call__(self) -> float:
        return self.moment.timestamp()


@pytest.fixture
def clock() -> Clock:
    """It stands at noon."""
    return Clock()


def freshness(api: StandIn, clock: Clock, *, full: bool = False, **options: Any) -> Freshness:
    """As a new run has it: the list of experiments is read anew."""
    named = {"experiment_ids": options.pop("experiment_ids", ())}
    return Freshness(Run(clock=clock, full=full), Scopes(Client(api.api_key, api.base_url), **named), **options)


def note_read(known: Freshness, name: str, scope: Scope, started: datetime) -> None:
    known.note_read(name, scope, started, known.mark(scope))


def read_all(known: Freshness, *rooms: Row, names: tuple[str, ...] = ("events", "chat", "rooms")) -> None:
    """A complete read of everything, with these rooms in the experiment."""
    known.note_rooms("exp_1", rooms)
    for name in names:
        note_read(known, name, SCOPE, known.run.now())


@pytest.fixture
def known(api: StandIn, clock: Clock) -> Freshness:
    """What is known once everything was read, and one room had ended long before."""
    fresh = freshness(api, clock)
    read_all(fresh, LONG_AGO)
    return fresh


def test_what_was_never_read_is_not_quiet(api: StandIn, clock: Clock) -> None:
    fresh = freshness(api, clock)
    assert not fresh.is_quiet(["events"], SCOPE)
    assert (fresh.read_at("events", SCOPE), fresh.open_since(["events"], SCOPE)) == ("", None)


@pytest.mark.parametrize(("counted", "quiet"), [(3, False), (0, True)], ids=["rooms by the list", "no rooms"])
def test_an_experiment_whose_rooms_are_not_shown_is_not_quiet(
        counted: int, quiet: bool, api: StandIn, clock: Clock) -> None:
    api.study.experiments[0].update(roomCount=counted)
    fresh = freshness(api, clock)
    read_all(fresh)
    assert fresh.is_quiet(["events"], SCOPE) is quiet


def test_what_was_read_completely_is_quiet(known: Freshness, api: StandIn, clock: Clock) -> None:
    assert known.is_quiet(["events", "chat"], SCOPE)
    clock.moment += 6.9 * DAY
    later = freshness(api, clock)
    assert later.is_quiet(["events", "chat"], SCOPE)
    assert later.is_quiet(["rooms"], SCOPE)
    assert later.open_since(["events"], SCOPE) is None


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(("name", "value"), [
    ("updatedAt", "2024-06-16T00:00:00.000Z"), ("roomCount", 1), ("participantCount", 5),
])
def test_an_experiment_of_which_the_list_tells_something_new_is_not_quiet(
    name: str, value: Any, api: StandIn, clock: Clock,
) -> None:
    api.study.experiments[0][name] = value
    assert not freshness(api, clock).is_quiet(["events"], SCOPE)


@pytest.mark.usefixtures("known")
def test_what_else_the_list_tells_leaves_an_experiment_quiet(api: StandIn, clock: Clock) -> None:
    api.study.experiments[0].update(name="Renamed", description="and described")
    api.study.experiments[1].update(updatedAt="2024-06-16T00:00:00.000Z", roomCount=9)
    assert freshness(api, clock).is_quiet(["events"], SCOPE)


@pytest.mark.parametrize("missing", ["updatedAt", "roomCount", "participantCount"])
@pytest.mark.parametrize("by", ["null", "absence"])
def test_a_list_that_does_not_tell_enough_calls_nothing_quiet(
    missing: str, by: str, api: StandIn, clock: Clock,
) -> None:
    if by == "null":
        api.study.experiments[0][missing] = None
    else:
        del api.study.experiments[0][missing]
    read_all(freshness(api, clock), LONG_AGO)
    assert not freshness(api, clock).is_quiet(["events"], SCOPE)


@pytest.mark.usefixtures("known")
def test_what_is_asked_for_by_its_id_is_not_quiet(api: StandIn, clock: Clock) -> None:
    assert not freshness(api, clock, experiment_ids=["exp_1"]).is_quiet(["events"], SCOPE)
    assert not freshness(api, clock).is_quiet(["events"], Scope("exp_1", "room_1"))
    assert not freshness(api, clock).is_quiet(["events"], Scope("exp_1", "room_1", "ann"))


@pytest.mark.usefixtures("known")
def test_nothing_is_quiet_in_full(api: StandIn, clock: Clock) -> None:
    assert not freshness(api, clock, full=True).is_quiet(["events"], SCOPE)


@pytest.mark.usefixtures("known")
def test_another_experiment_is_not_quiet(api: StandIn, clock: Clock) -> None:
    assert not freshness(api, clock).is_quiet(["events"], Scope("exp_2"))


@pytest.mark.parametrize("names", [("events", "chat"), ("rooms", "chat"), ("rooms",)], ids=" ".join)
def test_a_scope_is_quiet_once_its_rooms_and_every_table_of_it_were_read(
    names: tuple[str, ...], api: StandIn, clock: Clock,
) -> None:
    read_all(freshness(api, clock), LONG_AGO, names=names)
    assert not freshness(api, clock).is_quiet(["events", "chat"], SCOPE)


def test_a_scope_that_may_have_changed_is_not_quiet(known: Freshness) -> None:
    known.forget("events", SCOPE)
    known.forget("events", SCOPE)
    assert not known.is_quiet(["events"], SCOPE)
    assert known.is_quiet(["chat"], SCOPE)


@pytest.mark.parametrize(("later", "quiet"), [(7 * DAY - MS, True), (7 * DAY, False), (300 * DAY, False)], ids=str)
def test_a_quiet_scope_is_asked_for_again_after_seven_days(
    later: timedelta, quiet: bool, known: Freshness, api: StandIn, clock: Clock,
) -> None:
    clock.moment += later
    assert freshness(api, clock).is_quiet(["events"], SCOPE) is quiet
    assert known.is_quiet(["events"], SCOPE) is quiet


ROOMS: dict[str, tuple[Row, timedelta]] = {
    "just_ended": ({"start_time": NOON - HOUR, "end_time": NOON}, 24 * HOUR),
    "ended_a_day_ago": ({"start_time": NOON - 25 * HOUR, "end_time": NOON - 23 * HOUR}, HOUR),
    "does_not_end": ({"start_time": NOON - DAY, "end_time": None}, 6 * DAY),
    "does_not_say_when_it_ends": ({"start_time": NOON - DAY}, 6 * DAY),
    "not_started": ({"created_at": NOON - 2 * DAY}, 5 * DAY),
    "created_before_it_starts": ({"created_at": NOON - 2 * DAY, "start_time": NOON - DAY}, 5 * DAY),
    "no_times": ({}, 7 * DAY),
    "end_that_is_to_come": ({"start_time": NOON - DAY, "end_time": NOON + 90 * DAY}, 6 * DAY),
    "start_that_is_to_come": ({"start_time": NOON + 90 * DAY}, 7 * DAY),
    "last_moment_of_all": ({"start_time": NOON - DAY, "end_time": datetime.max.replace(tzinfo=timezone.utc)}, 6 * DAY),
    "last_moments_of_all": ({name: datetime.max.replace(tzinfo=timezone.utc)
                             for name in ("start_time", "created_at", "end_time")}, 7 * DAY),
    "times_as_text": ({"start_time": "2024-06-15", "end_time": "soon"}, 7 * DAY),
}


@pytest.mark.parametrize(("room", "open_for"), ROOMS.values(), ids=ROOMS)
def test_a_room_is_open_for_a_day_after_its_end_or_seven_after_its_start(
    room: Row, open_for: timedelta, api: StandIn, clock: Clock,
) -> None:
    fresh = freshness(api, clock)
    assert fresh.open_until(room) == NOON + open_for
    read_all(fresh, LONG_AGO, room)
    assert not freshness(api, clock).is_quiet(["events"], SCOPE)
    clock.moment += open_for
    assert not freshness(api, clock).is_quiet(["events"], SCOPE), "it was read while the room was open"


@pytest.mark.parametrize(("room", "open_for"), [ROOMS["just_ended"], ROOMS["does_not_end"]], ids=["ended", "endless"])
def test_an_experiment_is_quiet_once_it_was_read_after_its_last_room_had_settled(
    room: Row, open_for: timedelta, api: StandIn, clock: Clock,
) -> None:
    clock.moment += open_for - MS
    read_all(freshness(api, clock), room)
    assert not freshness(api, clock).is_quiet(["events"], SCOPE)
    clock.moment += MS
    read_all(freshness(api, clock), room)
    assert freshness(api, clock).is_quiet(["events"], SCOPE)


def test_a_read_that_was_begun_while_a_room_was_open_did_not_see_its_last_rows(api: StandIn, clock: Clock) -> None:
    fresh, room = freshness(api, clock), {"start_time": NOON - 3 * HOUR, "end_time": NOON - 24 * HOUR + MS}
    fresh.note_rooms("exp_1", [room])
    note_read(fresh, "rooms", SCOPE, NOON + HOUR)
    note_read(fresh, "events", SCOPE, NOON)
    note_read(fresh, "chat", SCOPE, NOON + HOUR)
    assert not fresh.is_quiet(["events"], SCOPE)
    assert fresh.is_quiet(["chat"], SCOPE)
    assert fresh.open_since(["events"], SCOPE) == NOON - 3 * HOUR
    assert fresh.open_since(["chat"], SCOPE) is None


def test_how_long_a_room_is_open_can_be_set(api: StandIn, clock: Clock) -> None:
    fresh = freshness(api, clock, settle_hours=0.5, max_open_days=2)
    assert fresh.open_until({"start_time": NOON - DAY, "end_time": NOON}) == NOON + HOUR / 2
    assert fresh.open_until({"start_time": NOON}) == NOON + 2 * DAY


def test_a_scope_is_read_again_from_the_start_of_the_oldest_room_that_was_open(api: StandIn, clock: Clock) -> None:
    read_all(freshness(api, clock), LONG_AGO, *(
        {"start_time": NOON - hours * HOUR, "end_time": NOON - hours * HOUR + HOUR} for hours in (4, 20, 12)),
        {"start_time": NOON - 5 * DAY, "end_time": NOON - 3 * DAY})
    assert freshness(api, clock).open_since(["events"], SCOPE) == NOON - 20 * HOUR
    assert freshness(api, clock).open_since(["events"], Scope("exp_2")) is None


def test_rooms_that_settle_on_one_day_are_open_from_the_start_of_the_first(
    state: dict[str, Any], api: StandIn, clock: Clock,
) -> None:
    """The state keeps a line for each day, however many rooms there are."""
    minutes = [timedelta(minutes=number) for number in range(99)]
    read_all(freshness(api, clock), *({"start_time": NOON - ago, "end_time": NOON - ago / 2} for ago in minutes))
    assert freshness(api, clock).open_since(["events"], SCOPE) == NOON - timedelta(minutes=98)
    assert len(state["sources"]["hyperstudy"]["resources"]["rooms"]["open"]["exp_1"]) == 1


def test_what_was_read_before_a_room_settled_is_read_again_long_after(api: StandIn, clock: Clock) -> None:
    """Nothing was read for a year; the rooms are read first, and know again what was open."""
    room = {"start_time": NOON - 2 * HOUR, "end_time": NOON - HOUR}
    read_all(freshness(api, clock), room)
    clock.moment += 365 * DAY
    again = freshness(api, clock)
    assert again.open_since(["events"], SCOPE) == NOON - 2 * HOUR
    again.note_rooms("exp_1", [room])
    note_read(again, "rooms", SCOPE, again.run.now())
    assert again.open_since(["events"], SCOPE) == NOON - 2 * HOUR
    assert not again.is_quiet(["events"], SCOPE)


def test_one_table_that_was_read_earlier_than_others_decides_from_when_on_to_read(
    api: StandIn, clock: Clock,
) -> None:
    fresh = freshness(api, clock)
    fresh.note_rooms("exp_1", [{"start_time": NOON - 9 * HOUR, "end_time": NOON - 8 * HOUR}])
    note_read(fresh, "events", SCOPE, NOON)
    note_read(fresh, "consent", SCOPE, NOON + DAY)
    assert fresh.open_since(["consent", "events"], SCOPE) == NOON - 9 * HOUR
    assert fresh.open_since(["consent"], SCOPE) is None


def test_what_changed_while_a_read_was_interrupted_is_not_quiet(study: Study, api: StandIn, clock: Clock) -> None:
    """It began when the list still said something else."""
    fresh = freshness(api, clock)
    read_all(fresh, LONG_AGO)
    began, listed = fresh.run.now(), fresh.mark(SCOPE)
    study.experiments[0]["updatedAt"] = NOON.isoformat()
    changed = freshness(api, clock)
    for name in ("events", "chat", "rooms"):
        changed.note_read(name, SCOPE, began, listed if name == "events" else changed.mark(SCOPE))
    assert not freshness(api, clock).is_quiet(["events"], SCOPE)
    assert freshness(api, clock).is_quiet(["chat"], SCOPE)


def test_the_scope_of_the_oldest_read_is_the_first(api: StandIn, clock: Clock) -> None:
    fresh = freshness(api, clock)
    never, first, second, third = Scope("exp_3"), Scope("exp_1"), Scope("exp_1", "room_1"), Scope("exp_2")
    for number, scope in enumerate((first, second, third)):
        note_read(fresh, "events", scope, NOON + number * timedelta(microseconds=500000))
    found = sorted([third, first, never, second], key=lambda scope: fresh.read_at("events", scope))
    assert found == [never, first, second, third]


@pytest.mark.usefixtures("known")
def test_what_is_known_comes_back_from_the_destination(state: dict[str, Any], api: StandIn, clock: Clock) -> None:
    kept = json.loads(json.dumps(state))
    state.clear()
    assert not freshness(api, clock).is_quiet(["events"], SCOPE)
    state.update(kept)
    assert freshness(api, clock).is_quiet(["events"], SCOPE)
    assert dlt.current.resource_state("events")["read"].keys() == {"exp_1"}
