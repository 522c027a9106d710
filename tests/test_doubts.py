"""Answers that leave something in doubt: nothing is lost, nothing is doubled, or the run says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest
import responses

from hyperstudy_source import LoadReport, RateLimited, load
from hyperstudy_source.api.client import RATE_LIMIT_PATIENCE, Client
from hyperstudy_source.api.redaction import without_signed_links
from hyperstudy_source.standin import Behaviour, StandIn, Study
from hyperstudy_source.standin.behaviour import Bound

BASE = "http://127.0.0.1:9/api/v3"
Serve = Callable[..., StandIn]


def study_of_two_rooms() -> Study:
    study = Study.empty("exp_1")
    for room_id in ("room_1", "room_2"):
        study.add_room(room_id, experiment_id="exp_1", participants=["user_1"], status="completed")
    return study


def add(study: Study, name: str, room_id: str, **fields: Any) -> None:
    study.add(name, fields, experiment_id="exp_1", room_id=room_id, participant_id="user_1")


def run(pipeline: dlt.Pipeline, api: StandIn, *names: str, **options: Any) -> LoadReport:
    return load(pipeline, names, api_key=api.api_key, base_url=api.base_url, **options)


def values(pipeline: dlt.Pipeline, table: str, column: str) -> list[Any]:
    return sorted((value for value, in pipeline.dataset()[table].select(column).fetchall()), key=str)


@pytest.mark.parametrize("with_places", [True, False], ids=["rows say their room", "rows do not"])
@pytest.mark.parametrize("name", ["eyetracking", "sync", "videochat"])
def test_rows_without_a_key_are_the_same_in_every_scope(
        name: str, with_places: bool, serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = study_of_two_rooms()
    for number, room_id in enumerate(["room_1", "room_1", "room_2", "room_2", "room_2"]):
        add(study, name, room_id, participantId="user_1", gazeTime=number, x=0.5)
    api = serve(study, Behaviour(rows_with_ids=with_places))
    for scope in ({}, {"room_ids": ["room_2"]}, {"participants": ["user_1@room_1"]}, {}):
        run(pipeline, api, name, experiment_ids=["exp_1"], **scope)
        assert values(pipeline, name, "gaze_time") == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("name", ["participants", "agent_decisions"])
def test_rows_of_one_id_that_do_not_say_their_room_all_stay(
        name: str, serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = Study.empty("exp_1")
    for role in ("talker", "listener"):
        study.add(name, {"id": "p_1", "role": role}, experiment_id="exp_1")
    for _ in range(2):
        run(pipeline, serve(study), name)
        assert values(pipeline, name, "role") == ["listener", "talker"]


def test_rows_that_a_wider_endpoint_does_not_place_are_left_out_and_named(
        serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = study_of_two_rooms()
    study.add("agent_runs", {"id": "run_1", "participantId": "agent"}, experiment_id="exp_1")
    report = run(pipeline, serve(study), "agent_runs", experiment_ids=["exp_1"], room_ids=["room_1"])
    assert report.exit_status == 3
    assert "does not say in which room" in report.notices[0]


def test_what_the_api_warned_of_is_asked_for_again(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = study_of_two_rooms()
    study.variables["room_1"] = {
        "data": [{"variable": "mood", "value": 1}], "metadata": {"_warnings": ["index is missing"]}}
    api = serve(study)
    assert run(pipeline, api, "variable_writes").exit_status == 3
    study.variables["room_1"] = {"data": [{"variable": "mood", "value": n} for n in (1, 2)], "metadata": {}}
    assert run(pipeline, api, "variable_writes").exit_status == 0
    assert values(pipeline, "variable_writes", "value_number") == [1.0, 2.0]


def test_as_many_rooms_as_the_api_gives_at_most_may_not_be_all(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = Study.empty("exp_1")
    for number in range(5001):
        study.add("rooms", {"id": f"room_{number}"}, experiment_id="exp_1", room_id=f"room_{number}")
    report = run(pipeline, serve(study), "rooms")
    assert report.exit_status == 3
    assert report.notices == (
        "rooms of experiment exp_1: the API gives at most 5,000 rows, there may be more that belong to no deployment.",)


@pytest.mark.parametrize(("rooms", "exit_status"), [(5000, 0), (5001, 3)], ids=["all", "one is cut off"])
def test_the_detail_of_an_experiment_says_whether_the_most_rooms_are_all(
        rooms: int, exit_status: int, serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = Study.empty("exp_1")
    for number in range(rooms):
        study.add("rooms", {"id": f"room_{number}"}, experiment_id="exp_1", room_id=f"room_{number}")
    study.recount("exp_1")
    report = run(pipeline, serve(study), "rooms")
    assert report.exit_status == exit_status
    assert ["5,000 of 5,001 came by deployment" in notice for notice in report.notices] == [True] * (rooms - 5000)


def test_derived_tables_keep_their_types_when_loaded_alone(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = study_of_two_rooms()
    api = serve(study)
    for number, grown in enumerate([5, "five", True]):
        add(study, "events", "room_1", id=f"e{number}", category="questionnaire", grown=grown,
            timestamp=f"2024-06-15T10:00:0{number}.000Z")
        run(pipeline, api, "questionnaire")
    columns = pipeline.default_schema.get_table_columns("questionnaire")
    assert {name for name in columns if name.startswith("grown")} == {"grown", "grown_text", "grown_bool"}


@pytest.mark.parametrize("seed", [2**64, float("nan"), float("inf"), -(10**30)], ids=str)
def test_configuration_that_json_writers_differ_on_is_kept_as_text(
        seed: float, serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = study_of_two_rooms()
    add(study, "components", "room_1", componentId="c", config={"seed": seed})
    run(pipeline, serve(study), "components")
    assert str(values(pipeline, "components", "config_text")[0]).startswith('{"seed": ')


@responses.activate
def test_a_full_page_without_pagination_may_not_be_the_last() -> None:
    for offset, rows in (("0", [1, 2]), ("2", [3])):
        responses.get(f"{BASE}/x", json={"status": "success", "data": [{"id": number} for number in rows]},
                      match=[responses.matchers.query_param_matcher({"limit": "2", "offset": offset})])
    pages = Client("hst_test_a", BASE).pages("/x", limit=2)
    assert [row["id"] for page in pages for row in page.rows] == [1, 2, 3]


@responses.activate
def test_a_whole_answer_as_long_as_a_page_is_taken_once() -> None:
    responses.get(f"{BASE}/x", json={"status": "success", "data": [{"id": 1}, {"id": 2}]})
    pages = Client("hst_test_a", BASE).pages("/x", limit=2)
    assert [row["id"] for page in pages for row in page.rows] == [1, 2]


@responses.activate
def test_a_page_starts_after_the_rows_received_even_where_the_api_says_before() -> None:
    page = {"status": "success", "data": [{"id": n} for n in range(5)],
            "metadata": {"pagination": {"hasMore": True, "nextOffset": 2}}}
    responses.get(f"{BASE}/x", json=page)
    responses.get(f"{BASE}/x", json={"status": "success", "data": []},
                  match=[responses.matchers.query_param_matcher({"limit": "2", "offset": "5"})])
    assert [len(page.rows) for page in Client("hst_test_a", BASE).pages("/x", limit=2)] == [5, 0]


@responses.activate
def test_more_that_never_comes_makes_the_run_incomplete(pipeline: dlt.Pipeline) -> None:
    responses.get(f"{BASE}/data/sync/experiment/exp_1",
                  json={"status": "success", "data": [{"timestamp": "2024-06-15T10:00:00Z"}],
                        "metadata": {"pagination": {"hasMore": True}}})
    responses.get(f"{BASE}/data/sync/experiment/exp_1",
                  json={"status": "success", "data": None, "metadata": {"pagination": {"hasMore": True}}})
    responses.get(f"{BASE}/data/rooms/experiment/exp_1", json={"status": "success", "data": []})
    responses.get(f"{BASE}/experiments", json={"status": "success", "data": [{"id": "exp_1"}]})
    report = load(pipeline, ["sync"], api_key="hst_test_a", base_url=BASE, experiment_ids=["exp_1"])
    assert report.exit_status == 3
    assert report.notices == ("sync of experiment exp_1: the API says that there is more, and gives none.",)
    assert values(pipeline, "sync", "timestamp") != []
    assert pipeline.state["sources"]["hyperstudy"]["resources"]["sync"]["cursors"] == {}


def timed(study: Study, *seconds: int | None) -> None:
    """Events that are stored in this order; None: without a time."""
    for number, each in enumerate(seconds):
        when = {} if each is None else {"timestamp": f"2024-06-15T10:00:{each:02}.000Z"}
        add(study, "events", "room_1", id=f"e{number}", **when)


ODD: dict[str, tuple[tuple[int | None, ...], Behaviour]] = {
    "rows without a time behind others": ((0, 1, 2, 3, 4, None, None), Behaviour()),
    "in no order, but the first page is by chance": ((1, 2, 3, 0, 4, 5, 6), Behaviour(sort="ignored")),
    "as they were stored, a late one at the end": ((1, 2, 3, 4, 5, 6, 0), Behaviour(sort="ignored")),
}


@pytest.mark.parametrize(("seconds", "behaviour"), ODD.values(), ids=ODD)
def test_rows_that_times_pass_over_are_found_by_their_offset(
        seconds: tuple[int | None, ...], behaviour: Behaviour, serve: Serve, pipeline: dlt.Pipeline) -> None:
    timed(study := study_of_two_rooms(), *seconds)
    report = run(pipeline, serve(study, behaviour), "events", page_size=3)
    assert (report.exit_status, report.notices) == (0, ())
    assert values(pipeline, "events", "id") == [f"e{number}" for number in range(7)]


def test_rows_in_no_order_are_all_found_in_a_later_window_too(serve: Serve, pipeline: dlt.Pipeline) -> None:
    timed(study := study_of_two_rooms(), 0)
    api = serve(study, Behaviour(sort="ignored"))
    run(pipeline, api, "events", page_size=3)
    study.rows["events"]["exp_1"].clear()
    timed(study, 1, 12, 13, 2, 14, 15, 16)
    report = run(pipeline, api, "events", page_size=3)
    assert (report.exit_status, report.notices) == (0, ())
    assert values(pipeline, "events", "id") == [f"e{number}" for number in range(7)]


@pytest.mark.parametrize("bound", ["ignored", "rejected"])
def test_a_start_time_that_is_not_heeded_is_found_out_once(
        bound: Bound, serve: Serve, pipeline: dlt.Pipeline) -> None:
    timed(study := study_of_two_rooms(), *range(9))
    api = serve(study, Behaviour(start_time=bound))
    report = run(pipeline, api, "events", page_size=4)
    asked = [(request.params["offset"], "startTime" in request.params) for request in api.seen("/data/events")]
    wanted = [("0", False), ("0", True), *([("0", False)] if bound == "rejected" else []), ("3", False), ("6", False)]
    assert (report.exit_status, asked) == (0, wanted)
    report = run(pipeline, api, "events", page_size=4)
    offsets = [request.params["offset"] for request in api.seen("/data/events")][len(wanted):]
    assert (report.exit_status, offsets) == (0, [*(["0"] if bound == "rejected" else []), "0", "3", "6"])
    before = len(wanted) + len(offsets)
    run(pipeline, api, "events", page_size=4, full=True)
    asked = [(request.params["offset"], "startTime" in request.params) for request in api.seen("/data/events")]
    assert asked[before:] == wanted


@pytest.mark.parametrize("bound", ["inclusive", "exclusive", "ignored", "rejected"])
def test_a_backfill_is_complete_without_the_rows_that_are_not_in_it(
        bound: Bound, serve: Serve, pipeline: dlt.Pipeline) -> None:
    timed(study := study_of_two_rooms(), *range(9))
    report = run(pipeline, serve(study, Behaviour(start_time=bound, end_time=bound)), "events", page_size=2,
                 start_time="2024-06-15T10:00:01Z", end_time="2024-06-15T10:00:05Z")
    assert (report.exit_status, report.notices) == (0, ())
    assert values(pipeline, "events", "id") == [f"e{number}" for number in range(1, 6)]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_first_and_the_last_moment_of_all_are_times_as_others(
        moment: str, serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = study_of_two_rooms()
    study.add_room("room_3", experiment_id="exp_1", startTime=moment, endTime=moment, createdAt=moment)
    add(study, "events", "room_3", id="e0", timestamp=moment)
    api = serve(study, Behaviour(list_tells=False))
    for _ in range(2):
        assert run(pipeline, api, "events", "rooms").exit_status == 0
    assert values(pipeline, "events", "id") == ["e0"]


@responses.activate
def test_a_wait_longer_than_the_patience_ends_the_run_at_once() -> None:
    responses.get(f"{BASE}/x", status=429, headers={"Retry-After": "1795341883"})
    slept: list[float] = []
    with pytest.raises(RateLimited):
        Client("hst_test_a", BASE, clock=lambda: 0.0, sleep=slept.append).get("/x")
    assert (slept, len(responses.calls)) == ([], 1)
    assert RATE_LIMIT_PATIENCE < 1795341883


@pytest.mark.parametrize("link", [
    "https://firebasestorage.example/v0/b/a%2Fb.webm?alt=media&token=f00d", "https://h.example/a?token=f00d",
    "gs://bucket/a.webm?X-Goog-Signature=f00d", "wss://h.example/room?access_token=f00d",
    "https://b.example/a?x=1&X-Amz-Security-Token=f00d",
])
def test_a_link_with_a_token_keeps_its_address_only(link: str) -> None:
    assert without_signed_links(f"see {link} there") == f"see {link.split('?')[0]} there"


@pytest.mark.parametrize("link", ["https://h.example/a?design=1", "https://h.example/?tokens=3&page=2"])
def test_a_link_without_a_token_stays_whole(link: str) -> None:
    assert without_signed_links(link) == link
