"""An experiment whose own answer leaves a doubt is read room by room, and the doubt is gone if that brings all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest
from loaded import at, run
from truth import marks, query, statuses, sync, true_marks

from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.load import COMPLETE, INCOMPLETE
from hyperstudy_source.standin import Behaviour, Fault, StandIn, Study
from hyperstudy_source.sync.narrowing import MOST_ROOMS, can_be_narrowed
from hyperstudy_source.sync.scopes import Scope

Serve = Callable[..., StandIn]
ROOMS = ("room_1", "room_2", "room_3")
KEYED, KEYLESS = "events", "sync"
WARNING = "MISSING_INDEX: the answer may be incomplete"


def study_of(*rooms: str, rows: int = 5) -> Study:
    """Every room has the same rows, which only their room tells apart."""
    study = Study.empty("exp_1")
    for room in rooms:
        study.add_room(room, experiment_id="exp_1", participants=[])
        for number in range(rows):
            put(study, room, number)
    return study


def put(study: Study, room: str | None, number: int) -> None:
    place: dict[str, Any] = {"experiment_id": "exp_1", "room_id": room}
    stated = {"roomId": room} if room else {}
    study.add(KEYED, {"id": f"{room} {number}", "mark": f"{room} {number}", "timestamp": at(number), **stated}, **place)
    study.add(KEYLESS, {"mark": f"{number}", "timestamp": at(number), **stated}, **place)


def in_doubt(**more: Any) -> Behaviour:
    return Behaviour(warnings={KEYED: [WARNING], KEYLESS: [WARNING]}, left_out={KEYED: 7, KEYLESS: 7},
                     rooms_are_whole=True, **more)


@pytest.mark.parametrize("behaviour", [
    {}, {"start_time": "ignored"}, {"pagination": False}, {"sort": "ignored"}, {"max_limit": 2},
], ids=["documented", "startTime ignored", "no pagination", "sort ignored", "clamped"])
def test_rooms_bring_what_the_experiment_leaves_out(
    behaviour: dict[str, Any], serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study := study_of(*ROOMS), in_doubt(**behaviour))
    report = sync(pipeline, api, KEYED, KEYLESS, page_size=3)
    assert report.exit_status == COMPLETE
    for table in (KEYED, KEYLESS):
        assert marks(pipeline, table) == true_marks(study, table)
        assert statuses(pipeline)[table, "exp_1"] == "complete"
        assert any(f"{table} of experiment exp_1 was read room by room" in remark for remark in report.remarks)
    assert WARNING in str(report.remarks)


def test_the_next_run_goes_on_from_there(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := study_of(*ROOMS), in_doubt())
    sync(pipeline, api, KEYED, KEYLESS)
    for room in ROOMS:
        put(study, room, 9000)
    since = len(api.requests)
    assert sync(pipeline, api, KEYED, KEYLESS).exit_status == COMPLETE
    assert all("startTime" in each.params for each in api.requests[since:] if each.path.startswith("/data/events"))
    for table in (KEYED, KEYLESS):
        assert marks(pipeline, table) == true_marks(study, table)


def test_rows_of_no_room_leave_the_doubt(serve: Serve, pipeline: dlt.Pipeline) -> None:
    """The experiment shows one, so it may have left out others."""
    study = study_of()
    put(study, None, 0)
    for room in ROOMS:
        study.add_room(room, experiment_id="exp_1", participants=[])
        for number in range(1, 5):
            put(study, room, number)
    report = sync(pipeline, serve(study, in_doubt()), KEYED, KEYLESS)
    assert report.exit_status == INCOMPLETE
    assert WARNING in str(report.notices)
    for table in (KEYED, KEYLESS):
        assert marks(pipeline, table) == true_marks(study, table)


@pytest.mark.parametrize("rows_with_ids", [True, False])
def test_rows_that_do_not_name_their_room_are_loaded_but_prove_nothing(
    rows_with_ids: bool, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study := study_of(*ROOMS), in_doubt(rows_with_ids=rows_with_ids))
    report = sync(pipeline, api, KEYED, KEYLESS)
    assert report.exit_status == (COMPLETE if rows_with_ids else INCOMPLETE)
    for table in (KEYED, KEYLESS):
        assert marks(pipeline, table) == true_marks(study, table)


def test_an_empty_answer_with_a_warning_proves_nothing_either(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := study_of(*ROOMS, rows=2), in_doubt())
    report = sync(pipeline, api, KEYED, KEYLESS)
    assert report.exit_status == INCOMPLETE
    for table in (KEYED, KEYLESS):
        assert marks(pipeline, table) == true_marks(study, table)


@pytest.mark.parametrize("doubt", ["warned", "counted"])
def test_rooms_that_may_not_be_all_settle_nothing(doubt: str, serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := study_of(*ROOMS), in_doubt())
    api.behaviour.left_out["rooms"] = 1
    study.experiments[0]["roomCount"] = 3
    if doubt == "warned":
        api.behaviour.warnings["rooms"] = [WARNING]
    report = sync(pipeline, api, KEYED, KEYLESS)
    assert report.exit_status == INCOMPLETE
    assert "the API may not list all rooms" in str(report.notices)
    api.behaviour.warnings, api.behaviour.left_out = {}, {}
    assert sync(pipeline, api, KEYED, KEYLESS).exit_status == COMPLETE
    for table in (KEYED, KEYLESS):
        assert marks(pipeline, table) == true_marks(study, table)


def test_rooms_that_have_a_doubt_of_their_own_settle_nothing(serve: Serve, pipeline: dlt.Pipeline) -> None:
    behaviour = in_doubt()
    behaviour.rooms_are_whole = False
    api = serve(study := study_of(*ROOMS), behaviour)
    assert sync(pipeline, api, KEYED, KEYLESS).exit_status == INCOMPLETE
    behaviour.rooms_are_whole = True
    assert sync(pipeline, api, KEYED, KEYLESS).exit_status == COMPLETE
    assert marks(pipeline, KEYLESS) == true_marks(study, KEYLESS)


def test_a_room_that_fails_leaves_the_experiment_as_it_was(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := study_of(*ROOMS), in_doubt())
    api.behaviour.faults = [Fault("/data/events/room/room_2", "server_error", times=None)]
    report = sync(pipeline, api, KEYED, KEYLESS)
    assert (report.exit_status, statuses(pipeline)[KEYED, "exp_1"]) == (INCOMPLETE, "incomplete")
    assert WARNING in str(report.notices)
    assert "room_2 answered 500" in str(report.notices)
    assert statuses(pipeline)[KEYLESS, "exp_1"] == "complete"
    api.behaviour.faults.clear()
    assert sync(pipeline, api, KEYED, KEYLESS).exit_status == COMPLETE
    assert marks(pipeline, KEYED) == true_marks(study, KEYED)


@pytest.mark.parametrize("count", [MOST_ROOMS, MOST_ROOMS + 1], ids=["at the limit", "one more"])
def test_many_rooms_are_not_asked_one_by_one(count: int, serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study_of(*(f"room_{number:03d}" for number in range(count)), rows=1), in_doubt())
    report = sync(pipeline, api, KEYED)
    asked = len(api.seen("/data/events/room/"))
    assert (report.exit_status, asked) == ((COMPLETE, count) if count <= MOST_ROOMS else (INCOMPLETE, 0))


def test_a_read_that_stays_short_is_narrowed_after_it_was_repeated(serve: Serve, pipeline: dlt.Pipeline) -> None:
    """Without a warning: the API counts more rows than it gives for the experiment."""
    api = serve(study := study_of(*ROOMS), in_doubt(total="too_large"))
    api.behaviour.warnings.clear()
    report = sync(pipeline, api, KEYED)
    assert report.exit_status == INCOMPLETE
    assert len(api.seen("/data/events/experiment/exp_1")) >= 3
    assert marks(pipeline, KEYED) == true_marks(study, KEYED)


def test_the_ledger_has_one_row_for_all_that_it_took(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study_of(*ROOMS), in_doubt())
    sync(pipeline, api, KEYED, page_size=3)
    found = query(pipeline, "SELECT status, rows_distinct, pages, requests FROM sync_ledger WHERE data_type = 'events'")
    asked = len(api.seen("/data/events"))
    assert found == [("complete", 15, asked, asked)]


def test_a_run_with_few_requests_has_none_for_rooms(serve: Serve, pipeline: dlt.Pipeline) -> None:
    """It would spend them on the same rooms every time, and never get to its end."""
    api = serve(study_of(*ROOMS), in_doubt())
    assert sync(pipeline, api, KEYED, max_requests=20).exit_status == INCOMPLETE
    assert not api.seen("/data/events/room/")


def test_a_bare_pipeline_says_what_is_in_doubt(serve: Serve, pipeline: dlt.Pipeline) -> None:
    """It has one load package, and rows that come twice in one may be taken in either version."""
    api = serve(study_of(*ROOMS), in_doubt())
    run(pipeline, api, KEYED, "sync_ledger")
    assert not api.seen("/data/events/room/")
    assert query(pipeline, "SELECT status FROM sync_ledger WHERE data_type = 'events'") == [("incomplete",)]


def test_only_types_whose_keys_do_not_depend_on_what_was_asked_for_are_narrowed() -> None:
    experiment, room = Scope("exp_1"), Scope("exp_1", "room_1")
    narrowed = {each.name for each in DATA_TYPES.values() if can_be_narrowed(each, experiment)}
    assert {"events", "chat", "sync", "ratings_continuous", "eyetracking"} <= narrowed
    assert not {"components", "participants", "rooms", "agent_decisions", "agent_runs"} & narrowed
    assert not [each for each in DATA_TYPES.values() if can_be_narrowed(each, room)]
