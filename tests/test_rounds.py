"""Runs with few requests share a round: each does what the others have left, and the last one says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dlt
import pytest
from loaded import add, at, small_study
from recorded import add_video, recorded_study
from truth import FakeTime, marks, query, statuses, sync, true_marks

from hyperstudy_source.load import COMPLETE, INCOMPLETE, STOPPED, LoadReport
from hyperstudy_source.standin import Behaviour, Fault, StandIn, Study

Serve = Callable[..., StandIn]
DAY = 86400.0
MOST_RUNS = 12


def until_the_end(pipeline: dlt.Pipeline, api: StandIn, *names: str, **options: Any) -> list[LoadReport]:
    """Runs until one is not stopped; none but the last has got to the end."""
    reports: list[LoadReport] = []
    while not reports or (reports[-1].exit_status == STOPPED and len(reports) < MOST_RUNS):
        reports.append(sync(pipeline, api, *names, **options))
    return reports


def study_of(*experiments: str, rows: int = 1) -> Study:
    study = small_study(*experiments)
    for experiment in experiments:
        for number in range(rows):
            add(study, "events", {"id": f"{number}", "mark": f"{number}", "timestamp": at(number)}, experiment)
    return study


def test_files_that_one_run_has_left_are_fetched_by_the_next(
    serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    study = recorded_study("exp_1", "exp_2")
    for experiment in ("exp_1", "exp_2"):
        for number in range(4):
            add_video(study, f"{experiment} {number}", experiment_id=experiment)
    reports = until_the_end(pipeline, serve(study), "recordings", "recording_files", max_requests=6,
                            bucket_url="files", download_threads=1)
    assert [report.exit_status for report in reports[-2:]] == [STOPPED, COMPLETE]
    assert len(list((tmp_path / "files").rglob("*.mp4"))) == 8
    assert query(pipeline, "SELECT count(*) FROM recording_files WHERE file_url IS NOT NULL") == [(8,)]


def test_files_that_cannot_be_had_are_given_up_in_the_end_and_said(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study("exp_1", "exp_2")
    for experiment in ("exp_1", "exp_2"):
        for number in range(3):
            add_video(study, f"{experiment} {number}", experiment_id=experiment, link=None)
    reports = until_the_end(pipeline, serve(study), "recordings", "recording_files", "rooms", "participants",
                            "components", max_requests=4, bucket_url="files")
    assert reports[-1].exit_status == INCOMPLETE
    assert "3 of 3 files are missing" in str(reports[-1].notices)


def test_what_stays_incomplete_is_given_up_in_the_end_and_said(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := study_of("exp_1", "exp_2", rows=20),
                Behaviour(warnings={"events": ["no index"]}, rows_with_ids=True))
    reports = until_the_end(pipeline, api, "events", max_requests=6, page_size=5)
    assert [report.exit_status for report in reports[-2:]] == [STOPPED, INCOMPLETE]
    assert "events of experiment exp_1: the API warns" in str(reports[-1].notices)
    assert "events of experiment exp_2: the API warns" in str(reports[-1].notices)
    assert marks(pipeline, "events") == true_marks(study, "events")
    api.behaviour.warnings.clear()
    assert until_the_end(pipeline, api, "events", max_requests=6, page_size=5)[-1].exit_status == COMPLETE


def test_an_experiment_that_changed_meanwhile_is_read_once_more(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := study_of("exp_1", "exp_2", "exp_3"))
    assert sync(pipeline, api, "events", max_requests=2).exit_status == STOPPED
    add(study, "events", {"id": "new", "mark": "new", "timestamp": at(99)})
    study.experiments[0]["updatedAt"] = at(100)
    assert until_the_end(pipeline, api, "events", max_requests=2)[-1].exit_status == COMPLETE
    assert marks(pipeline, "events") == true_marks(study, "events")


@pytest.mark.parametrize("options", [{}, {"full": True}], ids=["open rooms", "full"])
def test_variables_of_more_rooms_than_a_run_has_requests_are_all_read(
    options: dict[str, Any], serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study, time = Study.empty("exp_1"), FakeTime(datetime(2024, 6, 10, 12, tzinfo=timezone.utc).timestamp())
    for number in range(9):
        study.add_room(f"room_{number}", experiment_id="exp_1", endTime=at(3600))
        study.variables[f"room_{number}"] = {"data": [{"variable": "v", "value": 1}], "metadata": {}}
    reports = until_the_end(pipeline, serve(study, clock=time.clock), "rooms", "variable_writes", max_requests=5,
                            time=time, **options)
    assert reports[-1].exit_status == COMPLETE
    assert query(pipeline, "SELECT count(DISTINCT room_id) FROM variable_writes") == [(9,)]


@pytest.mark.parametrize("names", [("experiments",), ("deployments", "sessions")], ids=["details", "sessions"])
def test_a_full_read_of_many_details_comes_to_its_end(
    names: tuple[str, ...], serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = small_study(*(f"exp_{number}" for number in range(1, 9)))
    study.deployments = [{"id": f"dep_{number}", "experimentId": f"exp_{number}", "status": "completed"}
                         for number in range(1, 9)]
    reports = until_the_end(pipeline, serve(study), *names, max_requests=4, full=True)
    assert [report.exit_status for report in reports[-2:]] == [STOPPED, COMPLETE]


def test_an_hour_that_is_used_up_when_a_run_begins_stops_it(serve: Serve, pipeline: dlt.Pipeline) -> None:
    time = FakeTime(1_800_000_000.0)
    api = serve(study_of("exp_1", "exp_2"), Behaviour(rows_with_ids=True), clock=time.clock)
    options: dict[str, Any] = {"requests_per_hour": 3, "requests_per_minute": 100, "time": time, "stop_on_quota": True}
    assert sync(pipeline, api, "events", **options).exit_status == COMPLETE
    stopped = sync(pipeline, api, "events", **options)
    assert (stopped.exit_status, stopped.requests) == (STOPPED, 0)
    time.now += DAY
    assert sync(pipeline, api, "events", **options).exit_status == COMPLETE


@pytest.mark.parametrize("full", [False, True], ids=["new rows", "full"])
def test_what_came_before_the_place_of_a_run_that_failed_is_found_by_the_next(
    full: bool, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    """It goes on from there, and then reads what has come since; a full read begins anew."""
    time = FakeTime(datetime(2024, 6, 10, 12, tzinfo=timezone.utc).timestamp())
    study = study_of("exp_1", rows=20)
    api = serve(study, Behaviour(faults=[Fault("/data/events", "server_error", times=5, after=3)]), clock=time.clock)
    names = ("events", "rooms")
    assert sync(pipeline, api, *names, page_size=4, time=time, full=full).exit_status == INCOMPLETE
    add(study, "events", {"id": "late", "mark": "late", "timestamp": at(1.5)})
    assert sync(pipeline, api, *names, page_size=4, time=time, full=full).exit_status == COMPLETE
    assert marks(pipeline, "events") == true_marks(study, "events")


def test_a_type_of_recordings_that_is_asked_for_later_is_fetched_though_all_is_quiet(
    serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = recorded_study()
    add_video(study, "video")
    add_video(study, "audio", metadata={"type": "audio"})
    api, names = serve(study), ("rooms", "recordings", "recording_files")
    assert sync(pipeline, api, *names, bucket_url="files", recording_type="audio").exit_status == COMPLETE
    sync(pipeline, api, *names, bucket_url="files", recording_type="audio")
    assert statuses(pipeline)["recordings", "exp_1"] == "quiet"
    sync(pipeline, api, *names, bucket_url="files")
    assert query(pipeline, "SELECT recording_id FROM recording_files ORDER BY 1") == [("audio",), ("video",)]
    sync(pipeline, api, *names, bucket_url="files")
    assert statuses(pipeline)["recordings", "exp_1"] == "quiet"


def test_an_experiment_without_recordings_is_quiet_too(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api, names = serve(recorded_study()), ("rooms", "recordings", "recording_files")
    sync(pipeline, api, *names, bucket_url="files")
    since = len(api.requests)
    assert sync(pipeline, api, *names, bucket_url="files").exit_status == COMPLETE
    assert [each.path for each in api.requests[since:]] == ["/experiments"]
