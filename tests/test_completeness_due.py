"""What is new is read, however long ago it was and whatever was read before it; what is counted and missing is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest
from test_completeness_quiet import DAY, HOUR, START, clock_time, over, put, room, touch
from truth import FakeTime, marks, query, statuses, sync, true_marks

from hyperstudy_source.operations.verify import verify
from hyperstudy_source.standin import Fault, StandIn, Study

Serve = Callable[..., StandIn]
COMPLETE, INCOMPLETE = 0, 3
BY_LIST = "2 of 3 rooms came, by the list of experiments"


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(START.timestamp())


def deployed(*experiments: str, status: str = "active") -> Study:
    """Experiments with a deployment each, to which their rooms belong."""
    study = over(*experiments)
    for experiment in experiments:
        study.deployments.append({"id": f"dep_{experiment}", "experimentId": experiment, "status": status})
        study.rows["rooms"][experiment][0]["deploymentId"] = f"dep_{experiment}"
    return study


def sessions(pipeline: dlt.Pipeline) -> list[tuple[Any, ...]]:
    return query(pipeline, "SELECT id, status FROM sessions ORDER BY id")


@pytest.mark.parametrize("limit", [{}, {"max_requests": 500}], ids=["one run", "runs of a round"])
def test_the_session_of_a_room_that_has_settled_when_it_is_first_seen_is_there(
    limit: dict[str, int], serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    api = serve(study := deployed("exp_1", "exp_2"), clock=time.clock)
    names = ("rooms", "deployments", "sessions")
    assert sync(pipeline, api, *names, time=time, **limit).exit_status == COMPLETE
    time.now += 3 * DAY
    room(study, "room_new", "exp_1", 20, 21, deploymentId="dep_exp_1")
    touch(study, "exp_1", time)
    assert sync(pipeline, api, *names, time=time, **limit).exit_status == COMPLETE
    assert ("room_new", "completed") in sessions(pipeline)
    time.now += HOUR
    sync(pipeline, api, *names, time=time, **limit)
    time.now += HOUR
    since = len(api.requests)
    assert sync(pipeline, api, *names, time=time, **limit).exit_status == COMPLETE
    assert not [each for each in api.requests[since:] if each.path.endswith("/sessions")]
    assert statuses(pipeline)["sessions", "exp_1"] == "quiet"


def test_a_session_of_a_closed_deployment_is_read_until_it_is_over(
    serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    study = deployed("exp_1", status="completed")
    room(study, "room_last", "exp_1", -1, None, deploymentId="dep_exp_1", status="active")
    api = serve(study, clock=time.clock)
    sync(pipeline, api, "rooms", "deployments", "sessions", time=time)
    time.now += 30 * HOUR
    study.rows["rooms"]["exp_1"][1].update(status="completed", endTime=clock_time(1))
    sync(pipeline, api, "rooms", "deployments", "sessions", time=time)
    assert ("room_last", "completed") in sessions(pipeline)


def hide_a_room(api: StandIn) -> None:
    """The API lists two rooms of three."""
    api.behaviour.room_cap = 2


def three_rooms(*, deployed: bool) -> Study:
    """An experiment of three rooms, of which each has a deployment of its own or none."""
    study = Study.empty("exp_1")
    for number in range(3):
        study.deployments.append({"id": f"dep_{number}", "experimentId": "exp_1", "status": "completed"})
        room(study, f"room_{number}", "exp_1", -170, -169, deploymentId=f"dep_{number}" if deployed else None)
    return study


def count(pipeline: dlt.Pipeline, table: str) -> int:
    return int(query(pipeline, f"SELECT count(*) FROM {table}")[0][0])


def test_rooms_that_the_list_counts_and_the_api_does_not_list_are_read_by_deployment(
    serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    hide_a_room(api := serve(three_rooms(deployed=True), clock=time.clock))
    assert sync(pipeline, api, "rooms", "events", time=time).exit_status == COMPLETE
    assert count(pipeline, "rooms") == 3
    assert sync(pipeline, api, "rooms", "events", time=time).requests <= 2


@pytest.mark.parametrize("named", [{}, {"experiment_ids": "exp_1"}], ids=["by the list", "by the detail"])
def test_rooms_that_the_list_counts_and_nothing_shows_are_said_to_be_missing(
    named: dict[str, Any], serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    hide_a_room(api := serve(three_rooms(deployed=False), clock=time.clock))
    for _ in range(2):
        report = sync(pipeline, api, "rooms", "events", time=time, **named)
        assert report.exit_status == INCOMPLETE
        assert query(pipeline, "SELECT DISTINCT reason FROM sync_ledger WHERE status = 'incomplete'") == [(BY_LIST,)]
        assert statuses(pipeline)["events", "exp_1"] == "complete", "nothing of it is quiet"
        time.now += HOUR
    options = {"api_key": api.api_key, "base_url": api.base_url, **named}
    compared, = verify(pipeline, ["rooms"], **options)
    assert (compared.expected, compared.found, compared.missing) == (3, 2, 1)


@pytest.mark.parametrize("counted", [1, None], ids=["fewer", "not at all"])
def test_a_list_that_counts_fewer_rooms_or_none_says_nothing_of_those_that_came(
    counted: int | None, serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    study = three_rooms(deployed=False)
    study.experiments[0]["roomCount"] = counted
    assert sync(pipeline, serve(study, clock=time.clock), "rooms", time=time).exit_status == COMPLETE
    assert count(pipeline, "rooms") == 3


def test_a_room_that_is_gone_since_the_list_came_is_not_missing(
    serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    study = three_rooms(deployed=False)
    api = serve(study, clock=time.clock)
    study.experiments[0]["roomCount"] = 4
    api.behaviour.faults.append(Fault("/deployments", "hook", hook=lambda study: study.recount("exp_1")))
    assert sync(pipeline, api, "rooms", time=time).exit_status == COMPLETE


def consent(study: Study, mark: str, room_id: str, hours: float) -> None:
    row = {"id": mark, "mark": mark, "timestamp": clock_time(hours), "category": "pre_experiment",
           "eventType": "consent.accepted"}
    study.add("events", row, experiment_id="exp_1", room_id=room_id, participant_id="p1")


@pytest.mark.parametrize("ended", [None, 29, 50], ids=["open", "ended", "settled"])
def test_what_happened_before_a_new_room_began_is_read_with_it(
    ended: float | None, serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    """Other rows have moved the cursor far on; consent was given hours before, and by one who waited for days."""
    api = serve(study := over("exp_1"), clock=time.clock)
    names = ("events", "consent", "rooms", "participants")
    put(study, "exp_1", "cursor", -0.1, "events")
    assert sync(pipeline, api, *names, time=time).exit_status == COMPLETE
    put(study, "exp_1", "later", 25, "events")
    time.now += 30 * HOUR
    touch(study, "exp_1", time)
    assert sync(pipeline, api, *names, time=time).exit_status == COMPLETE
    room(study, "room_new", "exp_1", 28, ended)
    study.rows["participants"]["exp_1"][-1]["joinedAt"] = clock_time(-40)
    for number, hours in enumerate((-40, 4.5, 27.9, 28)):
        consent(study, f"consent {number}", "room_new", hours)
    touch(study, "exp_1", time)
    time.now += 60 * HOUR if ended == 50 else HOUR
    assert sync(pipeline, api, *names, time=time).exit_status == COMPLETE
    for table, wanted in (("events", true_marks(study, "events")), ("consent", None)):
        found = marks(pipeline, table)
        assert found == (wanted or {("exp_1", f"consent {number}"): 1 for number in range(4)}), table


def test_a_room_that_was_found_behind_a_table_makes_it_be_read_once_more(
    serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    """Its rows were not served yet when the table was read, and it has settled when it is found."""
    api = serve(study := over("exp_1"), clock=time.clock)
    sync(pipeline, api, "events", "rooms", time=time)
    put(study, "exp_1", "cursor", 29, "events")
    time.now += 30 * HOUR
    touch(study, "exp_1", time)
    sync(pipeline, api, "events", time=time)
    room(study, "room_new", "exp_1", 1, 2)
    consent(study, "consent", "room_new", -19)
    time.now += HOUR
    sync(pipeline, api, "rooms", time=time)
    time.now += HOUR
    assert sync(pipeline, api, "events", "rooms", time=time).exit_status == COMPLETE
    assert marks(pipeline, "events") == true_marks(study, "events")
    time.now += HOUR
    assert sync(pipeline, api, "events", "rooms", time=time).requests <= 2


def test_a_room_that_is_asked_for_by_its_id_is_read_from_its_start_while_it_is_open(
    serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    study = over("exp_1")
    room(study, "room_new", "exp_1", -5, None, status="active")
    for number, hours in enumerate((-4, -0.1)):
        consent(study, f"{number}", "room_new", hours)
    api = serve(study, clock=time.clock)
    sync(pipeline, api, "events", "rooms", time=time, room_ids="room_new")
    time.now += HOUR
    consent(study, "late", "room_new", -4.9)
    sync(pipeline, api, "events", "rooms", time=time, room_ids="room_new")
    assert ("exp_1", "late") in marks(pipeline, "events")
