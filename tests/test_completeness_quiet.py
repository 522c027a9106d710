"""What nothing has happened to costs next to nothing, and whatever happens is noticed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import dlt
import pytest
from loaded import Loaded, new_pipeline
from truth import FakeTime, marks, query, statuses, sync, true_marks

from hyperstudy_source.data_types import DEFAULT_DATA_TYPES
from hyperstudy_source.standin import StandIn, Study

Serve = Callable[..., StandIn]
START = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
HOUR, DAY = 3600.0, 86400.0


def clock_time(hours: float) -> str:
    """So many hours after the start, as the API writes it."""
    return (START + timedelta(hours=hours)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def put(study: Study, experiment: str, mark: str, hours: float, *tables: str) -> None:
    for table in tables or ("events", "sync", "chat"):
        row = {"id": mark, "messageId": mark, "mark": mark, "timestamp": clock_time(hours), "deleted": False}
        study.add(table, row, experiment_id=experiment, room_id=f"room_{experiment}")


def room(study: Study, name: str, experiment: str, began: float, ended: float | None, **fields: Any) -> None:
    """A room with two variables written, that began and ended so many hours after the start."""
    study.add_room(name, experiment_id=experiment, participants=[f"p_{name}"], createdAt=clock_time(began),
                   startTime=clock_time(began), endTime=None if ended is None else clock_time(ended), **fields)
    study.variables[name] = {"data": [{"variable": "v", "value": 1}], "metadata": {"timeline": []}}


def over(*experiments: str) -> Study:
    """Experiments whose rooms ended a week before the start."""
    study = Study.empty(*experiments)
    for experiment in experiments:
        room(study, f"room_{experiment}", experiment, -170, -169)
        for number in range(3):
            put(study, experiment, f"{number}", -170 + number / 10)
    return study


def touch(study: Study, experiment: str, time: FakeTime) -> None:
    """Says in the list that something has happened."""
    found = study.experiment(experiment)
    assert found is not None
    found["updatedAt"] = datetime.fromtimestamp(time.now, timezone.utc).isoformat()


def assert_equal(study: Study, pipeline: dlt.Pipeline) -> None:
    for table in ("events", "sync", "chat"):
        assert marks(pipeline, table) == true_marks(study, table), table
    rooms = {each["id"] for rows in study.rows["rooms"].values() for each in rows}
    assert {name for name, in query(pipeline, "SELECT id FROM rooms")} == rooms
    assert {name for name, in query(pipeline, "SELECT DISTINCT room_id FROM variable_writes")} == rooms


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(START.timestamp())


def test_thirty_experiments_that_are_over_cost_next_to_nothing(
    serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    study = over(*(f"exp_{number}" for number in range(30)))
    api = serve(study, clock=time.clock)
    assert sync(pipeline, api, time=time).exit_status == 0
    assert_equal(study, pipeline)
    time.now += HOUR
    report = sync(pipeline, api, time=time)
    assert (report.exit_status, report.requests <= 5) == (0, True), report.requests
    room(study, "room_new", "exp_7", 0.5, 0.9)
    put(study, "exp_7", "new", 0.6)
    report = sync(pipeline, api, time=time)
    assert (report.exit_status, report.requests <= 60) == (0, True), report.requests
    assert_equal(study, pipeline)
    time.now += 9 * DAY
    every = sync(pipeline, api, time=time)
    assert len({each.path for each in api.requests[-every.requests:] if each.path.startswith("/data/events")}) == 30


def test_full_reads_everything_and_a_list_that_does_not_tell_is_never_quiet(
    serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    api = serve(study := over("exp_1", "exp_2"), clock=time.clock)
    sync(pipeline, api, time=time)
    put(study, "exp_1", "long ago", -169.5)
    time.now += HOUR
    assert sync(pipeline, api, time=time).requests <= 5
    sync(pipeline, api, time=time, full=True)
    assert_equal(study, pipeline)
    for experiment in study.experiments:
        del experiment["updatedAt"]
    for _ in range(2):
        sync(pipeline, api, time=time)
        assert "quiet" not in {said for place, said in statuses(pipeline).items() if place[0] == "events"}


def test_a_data_type_that_is_added_later_gets_its_history(
    serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    api = serve(study := over("exp_1", "exp_2"), clock=time.clock)
    for names in (("events",), ("events", "rooms"), DEFAULT_DATA_TYPES):
        assert sync(pipeline, api, *names, time=time).exit_status == 0
        time.now += 60
    assert_equal(study, pipeline)


def test_what_happens_late_in_an_open_room_is_in_the_tables_after_the_next_run(
    serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    """The list of experiments says nothing of it, and other rows have moved the cursor far on."""
    study = over("exp_1")
    room(study, "room_open", "exp_1", -5, -4, status="completed")
    put(study, "exp_1", "cursor", -0.1)
    study.add_recording({"recordingId": "rec", "status": "processing"}, None, experiment_id="exp_1",
                        room_id="room_open")
    api = serve(study, clock=time.clock)
    sync(pipeline, api, time=time)
    time.now += 19 * HOUR
    put(study, "exp_1", "late", -4.9)
    study.rows["recordings"]["exp_1"][0]["status"] = "complete"
    study.rows["participants"]["exp_1"][1]["completionCode"] = "TIMEOUT"
    next(row for row in study.rows["chat"]["exp_1"] if row["mark"] == "cursor")["deleted"] = True
    study.variables["room_open"]["data"].append({"variable": "v", "value": 2})
    assert sync(pipeline, api, time=time).exit_status == 0
    assert_equal(study, pipeline)
    loaded = Loaded(pipeline)
    assert loaded.column("recordings", "status") == ["complete"]
    assert "TIMEOUT" in loaded.column("participants", "completion_code")
    assert sum(row["deleted"] for row in loaded["chat"]) == 1
    assert len(loaded["variable_writes"]) == 3


@pytest.mark.parametrize("days", [2, 90])
def test_a_room_that_was_open_at_the_last_run_is_read_from_its_start_however_long_ago_that_was(
    days: int, serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    study = over("exp_1")
    room(study, "room_open", "exp_1", -5, None, status="active")
    put(study, "exp_1", "cursor", -0.1)
    api = serve(study, clock=time.clock)
    sync(pipeline, api, time=time)
    time.now += days * DAY
    put(study, "exp_1", "late", -4.9)
    study.rows["rooms"]["exp_1"][1].update(status="completed", endTime=clock_time(1))
    assert sync(pipeline, api, time=time).exit_status == 0
    assert_equal(study, pipeline)
    time.now += 2 * DAY
    sync(pipeline, api, time=time)
    time.now += HOUR
    assert sync(pipeline, api, time=time).requests <= 5


@pytest.mark.parametrize(("options", "ended", "quiet"), [
    ({"settle_hours": 48}, -30, False), ({"settle_hours": 1}, -2, True), ({}, -30, True),
    ({"max_open_days": 1}, None, True), ({"max_open_days": 3}, None, False),
], ids=["settle 48 h", "settle 1 h", "settle 24 h", "open 1 day", "open 3 days"])
def test_how_long_a_room_counts_as_open_can_be_set(
    options: dict[str, Any], ended: float | None, quiet: bool, serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    study = over("exp_1")
    room(study, "room_new", "exp_1", -40, ended)
    api = serve(study, clock=time.clock)
    for _ in range(2):
        sync(pipeline, api, "events", "rooms", time=time, **options)
        time.now += 60
    assert (statuses(pipeline)["events", "exp_1"] == "quiet") is quiet


def test_variables_that_could_not_be_read_are_read_with_the_next_run(
    serve: Serve, pipeline: dlt.Pipeline, time: FakeTime
) -> None:
    """Though their rooms were, and are quiet."""
    api = serve(study := over("exp_1", "exp_2", "exp_3"), clock=time.clock)
    names = ("rooms", "variable_writes")
    api.behaviour.forbidden = {("variables", "exp_2")}
    assert sync(pipeline, api, *names, time=time).exit_status == 3
    api.behaviour.forbidden = set()
    assert sync(pipeline, api, *names, time=time).exit_status == 0
    assert query(pipeline, "SELECT count(DISTINCT room_id) FROM variable_writes") == [(3,)]
    put(study, "exp_1", "x", 0)
    assert sync(pipeline, api, *names, time=time).requests <= 2


def test_a_fresh_machine_knows_what_is_quiet(serve: Serve, tmp_path: Any, time: FakeTime) -> None:
    api = serve(over("exp_1", "exp_2"), clock=time.clock)
    sync(new_pipeline(tmp_path), api, time=time)
    assert sync(new_pipeline(tmp_path, "another machine"), api, time=time).requests <= 5
