"""What the API refuses, breaks, cuts off or warns of is named in the ledger; all else is loaded, and later the rest."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import dlt
import pytest
from loaded import Loaded, add, at, small_study
from truth import FakeTime, marks, query, statuses, sync, true_marks

from hyperstudy_source.errors import KeyRejected
from hyperstudy_source.standin import Behaviour, Fault, StandIn, Study
from hyperstudy_source.standin.behaviour import FaultKind

Serve = Callable[..., StandIn]
FOUR = ("exp_1", "exp_2", "exp_3", "exp_4")
SETS = ("events", "chat", "sync")
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc).timestamp()


def study_of(*experiments: str, rows: int = 7) -> Study:
    study = small_study(*experiments)
    for experiment in experiments:
        more(study, experiment, range(rows))
    return study


def more(study: Study, experiment: str, numbers: Any) -> None:
    for number in numbers:
        for table in SETS:
            mark = str(number)
            add(study, table, {"id": mark, "messageId": mark, "mark": mark, "timestamp": at(number * 60)}, experiment)


def missing(study: Study, pipeline: dlt.Pipeline) -> dict[str, set[str]]:
    """Tables and the experiments of which they are not as the stand-in has them."""
    found = {}
    for table in SETS:
        wanted, there = true_marks(study, table), marks(pipeline, table)
        if wrong := {place[0] for place in {*wanted, *there} if wanted[place] != there[place]}:
            found[table] = wrong
    return found


def cursors(pipeline: dlt.Pipeline, table: str) -> dict[str, str]:
    return dict(pipeline.state["sources"]["hyperstudy"]["resources"][table].get("cursors", {}))


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "forbidden": ({"forbidden": {("events", "exp_2")}}, "forbidden"),
    "not found": ({"faults": ["server_error", 404]}, "failed"), "broken": ({"faults": ["server_error", 500]}, "failed"),
}


@pytest.mark.parametrize(("switches", "status"), REFUSALS.values(), ids=REFUSALS)
def test_one_experiment_that_fails_leaves_the_others_running_and_its_own_rows_and_cursor_alone(
    switches: dict[str, Any], status: str, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study := study_of(*FOUR))
    assert sync(pipeline, api, *SETS).exit_status == 0
    before = cursors(pipeline, "events")
    for experiment in FOUR:
        more(study, experiment, range(7, 9))
    for name, value in switches.items():
        broken = [Fault("/data/events/experiment/exp_2", value[0], times=None, status=value[1])] \
            if name == "faults" else value
        setattr(api.behaviour, name, broken)
    report = sync(pipeline, api, *SETS)
    assert report.exit_status == 3
    assert missing(study, pipeline) == {"events": {"exp_2"}}
    assert marks(pipeline, "events")["exp_2", "6"] == 1
    assert {place: said for place, said in statuses(pipeline).items() if said not in ("complete", "quiet")} == {
        ("events", "exp_2"): status}
    assert cursors(pipeline, "events")["exp_2"] == before["exp_2"]
    assert "exp_2" in "".join(report.notices)
    api.behaviour.faults, api.behaviour.forbidden = [], set()
    assert sync(pipeline, api, *SETS).exit_status == 0
    assert missing(study, pipeline) == {}


@pytest.mark.parametrize("mode", ["fifo", "round_robin"])
def test_a_data_type_that_always_breaks_is_given_up_and_the_others_load(
    mode: str, serve: Serve, pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTRACT__NEXT_ITEM_MODE", mode)
    study = study_of(*FOUR, "exp_5")
    api = serve(study, Behaviour(faults=[Fault("/data/chat", "server_error", times=None)]))
    assert sync(pipeline, api, *SETS).exit_status == 3
    assert missing(study, pipeline) == {"chat": {*FOUR, "exp_5"}}
    assert len(api.seen("/data/chat")) == 3 * 5
    api.behaviour.faults.clear()
    assert sync(pipeline, api, *SETS).exit_status == 0
    assert missing(study, pipeline) == {}


def test_a_permission_that_the_key_lacks_is_asked_for_once(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := study_of(*FOUR), scopes=("read:experiments", "read:events", "read:sync"))
    report = sync(pipeline, api, *SETS)
    assert report.exit_status == 3
    assert missing(study, pipeline) == {"chat": set(FOUR)}
    assert len(api.seen("/data/chat")) == 1
    assert {said for place, said in statuses(pipeline).items() if place[0] == "chat"} == {"forbidden"}


def test_a_key_that_is_revoked_in_the_middle_ends_the_run_with_nothing_half_done(
    serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study := study_of(*FOUR, rows=3))
    sync(pipeline, api, *SETS)
    before = Loaded(pipeline).contents(*SETS)
    for experiment in FOUR:
        more(study, experiment, range(3, 9))
    api.behaviour.faults = [Fault("/data/sync/experiment/exp_3", "server_error", status=401)]
    with pytest.raises(KeyRejected):
        sync(pipeline, api, *SETS, page_size=3)
    assert Loaded(pipeline).contents(*SETS) == before
    assert sync(pipeline, api, *SETS, page_size=3).exit_status == 0
    assert missing(study, pipeline) == {}


def test_a_warning_is_kept_in_doubt_over_slices_until_it_is_gone(serve: Serve, pipeline: dlt.Pipeline) -> None:
    """The warning comes with a page that an earlier slice has read; the rows behind it come without."""
    api = serve(study := study_of("exp_1", rows=20))
    late = study.rows["events"]["exp_1"].pop(1)
    api.behaviour.warnings = {"events": ["no index"]}
    api.behaviour.faults = [Fault("/data/events", "hook", after=2, hook=lambda _: api.behaviour.warnings.clear())]
    report = sync(pipeline, api, "events", page_size=4, slice_requests=4)
    assert (report.exit_status, statuses(pipeline)["events", "exp_1"]) == (3, "incomplete")
    assert len(query(pipeline, "SELECT * FROM _dlt_loads")) > 1
    assert cursors(pipeline, "events") == {}
    study.rows["events"]["exp_1"].insert(1, late)
    assert sync(pipeline, api, "events", page_size=4).exit_status == 0
    assert true_marks(study, "events") == marks(pipeline, "events")


def test_rows_that_a_warning_covers_come_once_it_is_gone(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := study_of("exp_1", "exp_2"),
                Behaviour(warnings={"events": ["no index"]}, left_out={"events": 2}))
    report = sync(pipeline, api, *SETS, page_size=3)
    assert report.exit_status == 3
    assert {place for place, said in statuses(pipeline).items() if said != "complete"} == {
        ("events", "exp_1"), ("events", "exp_2")}
    api.behaviour.warnings, api.behaviour.left_out = {}, {}
    assert sync(pipeline, api, *SETS, page_size=3).exit_status == 0
    assert missing(study, pipeline) == {}


PAGES: dict[str, Behaviour] = {
    "clamped to two": Behaviour(max_limit=2), "clamped to one": Behaviour(max_limit=1, next_offset=False),
    "no next offset": Behaviour(next_offset=False), "no pagination": Behaviour(pagination=False),
    "whole answers": Behaviour(pagination=False, whole_answers=True),
    "clamped, startTime ignored": Behaviour(max_limit=2, start_time="ignored"),
}


@pytest.mark.parametrize("behaviour", PAGES.values(), ids=PAGES)
def test_every_row_comes_whatever_the_pages_look_like(
    behaviour: Behaviour, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = study_of("exp_1", "exp_2", rows=6)
    for _ in range(2):
        add(study, "sync", {"mark": "twin", "timestamp": at(0)})
    assert sync(pipeline, serve(study, behaviour), *SETS, page_size=3).exit_status == 0
    assert missing(study, pipeline) == {}


@pytest.mark.parametrize("decisions", [9, 10, 11], ids=["below the cap", "at the cap", "above the cap"])
def test_decisions_that_the_api_cuts_off_are_asked_for_again(
    decisions: int, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = small_study("exp_1")
    for number in range(decisions * 500):
        study.add("agent_decisions", {"id": f"a_{number}", "roomId": "room_1", "seq": number},
                  experiment_id="exp_1", room_id="room_1")
    api = serve(study)
    assert sync(pipeline, api, "agent_decisions").exit_status == 0
    assert query(pipeline, "SELECT count(*) FROM agent_decisions") == [(decisions * 500,)]


@pytest.mark.parametrize(("rooms", "without", "wanted"), [(5000, 0, 0), (5003, 0, 0), (5003, 2, 3)],
                         ids=["at the cap", "above the cap", "some without a deployment"])
def test_rooms_above_the_cap_are_read_by_deployment(
    rooms: int, without: int, wanted: int, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = Study.empty("exp_1")
    study.deployments = [{"id": f"dep_{number}", "experimentId": "exp_1", "status": "completed"} for number in range(2)]
    for number in range(rooms + without):
        study.add("rooms", {"id": f"room_{number}", "experimentId": "exp_1", "endTime": at(0), "startTime": at(0),
                            "deploymentId": f"dep_{number % 2}" if number < rooms else None},
                  experiment_id="exp_1", room_id=f"room_{number}")
    study.recount("exp_1")
    api = serve(study)
    assert sync(pipeline, api, "rooms").exit_status == wanted
    assert query(pipeline, "SELECT count(*) FROM rooms") == [(rooms,)]
    api.behaviour.room_cap = 9999
    assert sync(pipeline, api, "rooms", full=True).exit_status in (0, wanted)


FAULTS: tuple[tuple[FaultKind, dict[str, Any]], ...] = (
    ("server_error", {"status": 503}), ("cut", {}), ("reset", {}), ("html", {}), ("rate_limit", {"retry_after": "0"}),
)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_tenth_of_all_requests_failing_in_five_ways_changes_nothing(
    seed: int, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    chance = random.Random(seed)
    faults, after = [], 0
    for number in range(12):
        kind, options = FAULTS[number % len(FAULTS)]
        after += 1 + chance.randrange(19)
        faults.append(Fault("", kind, after=after, **options))
    time = FakeTime(NOON)
    api = serve(study := study_of(*FOUR, rows=30), Behaviour(faults=faults), clock=time.clock)
    assert sync(pipeline, api, *SETS, page_size=4, time=time).exit_status == 0
    assert missing(study, pipeline) == {}
    assert sum(each.status in (0, 429, 502, 503) for each in api.requests) >= 8


def test_the_ledger_has_one_row_for_each_run_scope_and_data_type(serve: Serve, pipeline: dlt.Pipeline) -> None:
    """In the load package of the rows that it speaks of, and with what the read cost and moved."""
    api = serve(study := study_of("exp_1", "exp_2"), Behaviour(rows_with_ids=True))
    sync(pipeline, api, "events", "questionnaire", page_size=3)
    more(study, "exp_1", range(200, 203))
    sync(pipeline, api, "events", "questionnaire", page_size=3)
    columns = ("run_id, data_type, experiment_id, status, rows_expected, rows_received, rows_distinct, pages, requests,"
               " window_start, window_end, cursor_before, cursor_after, reason, started_at, finished_at, _dlt_load_id")
    rows = query(pipeline, f"SELECT {columns} FROM sync_ledger ORDER BY started_at, data_type, experiment_id")
    assert len(rows) == len({row[:3] for row in rows}) == 2 * 2 * 2
    assert len({row[0] for row in rows}) == 2
    status, expected, received, distinct, pages, requests, start, end, before, after, reason = rows[0][3:14]
    assert (status, expected, distinct, before, start, end, reason) == ("complete", 7, 7, None, None, None, None)
    assert received >= 7
    assert pages == requests >= 3
    assert after is not None
    assert all(row[14] <= row[15] for row in rows)
    later = next(row for row in rows[4:] if row[1:3] == ("events", "exp_1"))
    assert later[9] is not None
    assert later[11] is not None
    assert later[12] > later[11]
    loads = query(pipeline, "SELECT DISTINCT _dlt_load_id FROM events WHERE experiment_id = 'exp_1'")
    assert {load for load, in loads} <= {row[16] for row in rows if row[1:3] == ("events", "exp_1")}
