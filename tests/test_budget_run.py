"""Runs that may send only so many requests: whatever stops them, running again reaches the whole, every row once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import dlt
import pytest
from loaded import add, at, new_pipeline, quiet_place, small_study
from recorded import add_video, recorded_study
from truth import FakeTime, contents, marks, query, statuses, sync, true_marks

from hyperstudy_source.load import COMPLETE, STOPPED
from hyperstudy_source.standin import Behaviour, Fault, Link, StandIn, Study, demo_study
from hyperstudy_source.standin.requests_seen import Request
from hyperstudy_source.sync.window_reads import MOST_TWINS

Serve = Callable[..., StandIn]
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc).timestamp()
MINUTE, HOUR = 60.0, 3600.0
MOST_RUNS = 60
DEEP = ("events", "sync", "eyetracking")
Contents = dict[str, list[str]]


def deep_study(rows: int = 60, *experiments: str) -> Study:
    experiments = experiments or ("exp_1", "exp_2")
    study = small_study(*experiments)
    for experiment in experiments:
        for number in range(rows):
            for table in DEEP:
                mark = f"{number // 2 if table == 'sync' else number}"
                row = {"id": str(number), "mark": mark, "timestamp": at((number // 2) * 60), "list": [number // 2, 1]}
                add(study, table, row, experiment)
    return study


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contents]:
    """The demo study as an unbroken run loads it."""
    with quiet_place(tmp_path_factory.mktemp("whole")) as folder, StandIn(demo_study()) as api:
        pipeline = new_pipeline(folder)
        assert sync(pipeline, api).exit_status == COMPLETE
        yield contents(pipeline)


def test_running_again_with_few_requests_reaches_the_whole(
    whole: Contents, study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api, reports, most = serve(study), [], 17
    for _ in range(MOST_RUNS):
        before = len(api.requests)
        reports.append(sync(pipeline, api, max_requests=most))
        assert len(api.requests) - before == reports[-1].requests <= most
        if reports[-1].exit_status != STOPPED:
            break
        assert "max_requests" in str(reports[-1].stopped)
    assert [report.exit_status for report in reports] == [STOPPED] * (len(reports) - 1) + [COMPLETE]
    assert len(reports) > 1
    assert contents(pipeline) == whole


@pytest.mark.parametrize("behaviour", [
    Behaviour(), Behaviour(start_time="rejected", sort="ignored"),
], ids=["documented", "startTime rejected, sort ignored"])
def test_as_few_as_five_requests_reach_the_whole(
    behaviour: Behaviour, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    """Though the rooms are open, so that what was read would be due again with every run."""
    study = deep_study(16, "exp_1")
    time = FakeTime(datetime(2024, 6, 10, 12, tzinfo=timezone.utc).timestamp())
    api = serve(study, behaviour, clock=time.clock)
    names = (*DEEP, "rooms", "participants", "components")
    for _ in range(20):
        report = sync(pipeline, api, *names, max_requests=5, page_size=5, time=time)
        if report.exit_status != STOPPED:
            break
    assert report.exit_status == COMPLETE
    for table in DEEP:
        assert marks(pipeline, table) == true_marks(study, table)
    assert query(pipeline, "SELECT count(*) FROM participants") == [(1,)]


@pytest.mark.parametrize("shuffled", [False, True], ids=["ordered", "shuffled"])
def test_rows_that_are_alike_stay_apart_wherever_a_read_by_offset_is_interrupted(
    shuffled: bool, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    """Twins that lie in different runs, and pages that come in no order of time."""
    study = deep_study(40, "exp_1")
    if shuffled:
        random.Random(1).shuffle(study.of("sync", "exp_1"))
    api = serve(study, Behaviour(start_time="ignored", sort="ignored"))
    for _ in range(9):
        report = sync(pipeline, api, "sync", max_requests=6, page_size=6)
        if report.exit_status != STOPPED:
            break
    assert report.exit_status == COMPLETE
    assert marks(pipeline, "sync") == true_marks(study, "sync")


def test_types_that_are_read_whole_go_on_where_they_were_interrupted(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = small_study("exp_1")
    for number in range(30):
        add(study, "components", {"componentId": f"c{number // 2}", "mark": f"{number // 2}", "completed": True})
        study.add("participants", {"id": f"p{number}", "roomId": "room_1", "mark": f"{number}"},
                  experiment_id="exp_1", room_id="room_1", participant_id=f"p{number}")
    study.rows["participants"]["exp_1"] = [row for row in study.of("participants", "exp_1") if "mark" in row]
    api = serve(study)
    for _ in range(9):
        report = sync(pipeline, api, "components", "participants", max_requests=5, page_size=5)
        if report.exit_status != STOPPED:
            break
    assert report.exit_status == COMPLETE
    for table in ("components", "participants"):
        assert marks(pipeline, table) == true_marks(study, table)
        assert len(api.seen(f"/data/{table}")) <= 30 / 2 + 3


def test_more_rows_in_no_order_than_the_state_may_hold_are_read_in_slices_of_one_run(
    serve: Serve, pipeline: dlt.Pipeline
) -> None:
    """What tells them apart is kept in memory; a run that is stopped there begins that scope anew."""
    study, rows = small_study("exp_1"), MOST_TWINS + 3000
    for number in range(rows):
        told = number // 2 if number < 1000 else number
        add(study, "sync", {"mark": f"{told}", "timestamp": at(told)})
    random.Random(1).shuffle(study.of("sync", "exp_1"))
    study.frozen = True
    api = serve(study, Behaviour(start_time="ignored", sort="ignored"))
    assert sync(pipeline, api, "sync", max_requests=13, page_size=1000).exit_status == STOPPED
    report = sync(pipeline, api, "sync", page_size=1000, slice_requests=5)
    assert report.exit_status == COMPLETE
    assert query(pipeline, "SELECT count(*) FROM _dlt_loads")[0][0] >= 4
    assert marks(pipeline, "sync") == true_marks(study, "sync")


def test_a_scope_that_fails_does_not_use_up_the_few_requests_of_every_run(
    serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = small_study("exp_1", "exp_2", "exp_3")
    for experiment in ("exp_1", "exp_2", "exp_3"):
        add(study, "events", {"id": "0", "mark": "0", "timestamp": at(0)}, experiment)
    broken = Fault("/data/events/experiment/exp_1", "server_error", times=None)
    api = serve(study, Behaviour(faults=[broken]))
    found = [sync(pipeline, api, "events", max_requests=5).exit_status for _ in range(3)]
    assert found[0] == STOPPED
    assert {experiment for experiment, _ in marks(pipeline, "events")} == {"exp_2", "exp_3"}
    assert COMPLETE not in found
    broken.times = 0
    for _ in range(2):
        found.append(sync(pipeline, api, "events", max_requests=5).exit_status)
    assert COMPLETE in found
    assert marks(pipeline, "events") == true_marks(study, "events")


def test_a_backfill_with_few_requests_reaches_its_end(serve: Serve, pipeline: dlt.Pipeline) -> None:
    """A backfill moves no cursor, so nothing but the round knows what was read."""
    api = serve(study := deep_study(24))
    found = [sync(pipeline, api, *DEEP, max_requests=9, page_size=8, start_time=at(0), end_time=at(9999)).exit_status
             for _ in range(5)]
    assert found[0] == STOPPED
    assert COMPLETE in found
    for table in DEEP:
        assert marks(pipeline, table) == true_marks(study, table)


def test_variables_that_the_requests_did_not_reach_come_with_the_next_run(
    serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = Study.empty("exp_1")
    for number in range(9):
        study.add_room(f"room_{number}", experiment_id="exp_1")
        study.variables[f"room_{number}"] = {"data": [{"variable": "v", "value": 1}], "metadata": {}}
    api, names = serve(study), ("rooms", "variable_writes", "variable_timeline")
    found = [sync(pipeline, api, *names, max_requests=6).exit_status for _ in range(4)]
    assert found[0] == STOPPED
    assert found[-1] == COMPLETE
    assert query(pipeline, "SELECT count(DISTINCT room_id) FROM variable_writes") == [(9,)]


def test_a_run_that_is_to_stop_at_the_quota_stops_and_goes_on_later(serve: Serve, pipeline: dlt.Pipeline) -> None:
    time = FakeTime(NOON)
    api = serve(study := deep_study(), clock=time.clock)
    options: dict[str, Any] = {"requests_per_hour": 20, "requests_per_minute": 100, "page_size": 8, "time": time}
    stopped = sync(pipeline, api, *DEEP, stop_on_quota=True, **options)
    assert stopped.exit_status == STOPPED
    assert "hour" in str(stopped.stopped)
    assert sum(marks(pipeline, "events").values()) > 0
    assert "stopped" in set(statuses(pipeline).values())
    for _ in range(9):
        time.now += HOUR
        if sync(pipeline, api, *DEEP, stop_on_quota=True, **options).exit_status == COMPLETE:
            break
    for table in DEEP:
        assert marks(pipeline, table) == true_marks(study, table)
    assert most_in_a_window([each.at for each in api.requests], HOUR) <= 20


def most_in_a_window(times: Sequence[float], period: float) -> int:
    """How many of the times, which are sorted, lie within the fullest window of that length."""
    most = start = 0
    for end, at_end in enumerate(times):
        while times[start] <= at_end - period:
            start += 1
        most = max(most, end - start + 1)
    return most


def storm(time: FakeTime) -> list[Fault]:
    """Forty times 429, asking for a wait in three ways."""
    asked = ("7", format_datetime(datetime.fromtimestamp(time.now + 60, timezone.utc), usegmt=True), None)
    return [Fault("", "rate_limit", after=5 * number, retry_after=asked[number % 3]) for number in range(1, 40)]


def test_no_window_has_more_requests_than_the_api_allows(serve: Serve, pipeline: dlt.Pipeline) -> None:
    """1,300 pages, with a storm of 429 on top."""
    time = FakeTime(NOON)
    study = small_study("exp_1", "exp_2", "exp_3")
    for experiment, number in itertools.product(("exp_1", "exp_2", "exp_3"), range(880)):
        add(study, "events", {"id": str(number), "mark": str(number), "timestamp": at(number)}, experiment)
        add(study, "sync", {"mark": str(number), "timestamp": at(number)}, experiment)
    study.frozen = True
    api = serve(study, Behaviour(faults=storm(time)), clock=time.clock)
    report = sync(pipeline, api, "events", "sync", time=time, page_size=5, requests_per_minute=100,
                  requests_per_hour=1000, slice_requests=900)
    assert report.exit_status == COMPLETE
    for table in ("events", "sync"):
        assert marks(pipeline, table) == true_marks(study, table)
    assert len(api.requests) > 1000
    assert most_in_a_window([each.at for each in api.requests], HOUR) <= 1000
    by_endpoint: dict[str, list[Request]] = {}
    for each in api.requests:
        by_endpoint.setdefault(each.endpoint, []).append(each)
    assert max(most_in_a_window([each.at for each in seen], MINUTE) for seen in by_endpoint.values()) <= 100


def test_an_hour_that_the_api_asks_for_is_waited_for(serve: Serve, pipeline: dlt.Pipeline) -> None:
    time = FakeTime(NOON)
    api = serve(study := deep_study(10), Behaviour(faults=[Fault("/data", "rate_limit", after=3, retry_after="3600")]),
                clock=time.clock)
    assert sync(pipeline, api, *DEEP, time=time).exit_status == COMPLETE
    assert time.now >= NOON + HOUR
    assert marks(pipeline, "sync") == true_marks(study, "sync")


def test_small_slices_end_with_the_tables_of_an_unbroken_run(
    whole: Contents, study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study)
    assert sync(pipeline, api, slice_requests=15).exit_status == COMPLETE
    assert contents(pipeline) == whole
    packages = query(pipeline, "SELECT load_id, count(l.row_key) FROM _dlt_loads "
                               "LEFT JOIN sync_ledger l ON load_id = l._dlt_load_id GROUP BY load_id")
    assert len(packages) >= 3
    assert all(rows for _, rows in packages)
    assert query(pipeline, "SELECT count(DISTINCT run_id), count(*) - count(DISTINCT row_key) FROM sync_ledger") == [
        (1, 0)]


def test_no_slice_leaves_its_files_on_the_disk(serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    sync(pipeline, serve(deep_study(48)), *DEEP, page_size=8, slice_requests=15)
    assert len(query(pipeline, "SELECT * FROM _dlt_loads")) >= 3
    held = [path for path in (tmp_path / "pipelines").rglob("*") if path.suffix in (".parquet", ".gz", ".jsonl")]
    assert held == []


@pytest.mark.parametrize("window", [{}, {"start_time": at(0), "end_time": at(99999)}], ids=["all", "backfill"])
def test_a_deep_read_that_is_sliced_goes_on_at_its_place(
    window: dict[str, Any], serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study := deep_study(96))
    report = sync(pipeline, api, *DEEP, page_size=8, slice_requests=30, **window)
    assert report.exit_status == COMPLETE
    for table in DEEP:
        assert marks(pipeline, table) == true_marks(study, table)
    assert len(query(pipeline, "SELECT * FROM _dlt_loads")) >= 3
    pages = {table: len(api.seen(f"/data/{table}/")) for table in DEEP}
    assert max(pages.values()) <= 2 * 96 / (8 - 2) + 12
    doubled = query(pipeline, "SELECT count(*) FROM events__list") + query(pipeline, "SELECT count(*) FROM events")
    assert doubled[0][0] == 2 * doubled[1][0]


def test_a_read_that_is_interrupted_in_the_middle_reads_little_again(
    serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    api = serve(study := deep_study(120))
    for _ in range(9):
        report = sync(pipeline, api, "events", page_size=10, max_requests=10)
        if report.exit_status == COMPLETE:
            break
    assert marks(pipeline, "events") == true_marks(study, "events")
    interrupted = len(api.seen("/data/events"))
    since = len(api.requests)
    sync(new_pipeline(tmp_path / "other"), api, "events", page_size=10)
    unbroken = len(api.requests) - since - 1
    assert interrupted <= unbroken + 6, (interrupted, unbroken)


def recordings_of(number: int, link: Link) -> Study:
    study = recorded_study("exp_1", "exp_2")
    for experiment, each in itertools.product(("exp_1", "exp_2"), range(number)):
        add_video(study, f"{experiment} {each}", experiment_id=experiment, link=link)
    return study


@pytest.mark.parametrize("link", ["path", "download_url", "url"])
def test_files_that_are_left_to_the_next_slice_keep_their_links(
    link: Link, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    """An older backend sends them with the recordings, and no table holds them."""
    api = serve(recordings_of(3, link))
    report = sync(pipeline, api, "recordings", "recording_files", slice_requests=1, bucket_url="files")
    assert report.exit_status == COMPLETE
    assert len(query(pipeline, "SELECT * FROM _dlt_loads")) >= 2
    assert query(pipeline, "SELECT status, count(*) FROM recording_files GROUP BY 1") == [("downloaded", 6)]


def test_files_of_recordings_that_are_read_twice_are_fetched_and_told_once(
    serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = recordings_of(5, "path")
    late = Fault("/data/recordings/experiment/exp_1", "hook", after=1, hook=lambda study: add_video(
        study, "late", experiment_id="exp_1"))
    api = serve(study, Behaviour(faults=[late]))
    report = sync(pipeline, api, "recordings", "recording_files", page_size=3, bucket_url="files")
    assert report.exit_status == COMPLETE
    assert set(report.remarks) == {"recording_files of experiment exp_1: 6 downloaded.",
                                   "recording_files of experiment exp_2: 5 downloaded."}
    assert query(pipeline, "SELECT count(*), sum(attempts) FROM recording_files") == [(11, 11)]
    assert len(api.seen("/storage")) == 11
