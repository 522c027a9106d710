"""What the API gives twice is neither lost nor missing: the report says what came twice, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest
from loaded import at, small_study
from truth import contents, query, sync

from hyperstudy_source.standin import Behaviour, StandIn, Study

Serve = Callable[..., StandIn]
COMPLETE, INCOMPLETE, LATER = 0, 3, 75
TWICE = "participants: 1 person is twice in room room_1"


def join(study: Study, person: str, seconds: float | None, **fields: Any) -> None:
    joined = None if seconds is None else at(seconds)
    study.add_participant(person, experiment_id="exp_1", room_id="room_1", joinedAt=joined, **fields)


def crowd(*others: str) -> Study:
    """A room of five, of whom `p1` joined twice: the second time comes first."""
    study = Study.empty("exp_1")
    study.add_room("room_1", experiment_id="exp_1")
    join(study, "p1", 60, role="again")
    for person in ("p2", "p3", "p4", "p5", *others):
        join(study, person, 10)
    join(study, "p1", 0, role="first")
    study.recount("exp_1")
    return study


def people(pipeline: dlt.Pipeline) -> list[tuple[Any, ...]]:
    return query(pipeline, "SELECT id, participant_id, role FROM participants WHERE participant_id = 'p1' ORDER BY id")


BOTH = [("p1", "p1", "first"), ("p1 (2)", "p1", "again")]


@pytest.mark.parametrize("page_size", [1000, 4, 2, 1])
def test_a_person_who_is_twice_in_a_room_is_there_twice_and_in_the_same_order_in_every_run(
    page_size: int, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study := crowd())
    for _ in range(2):
        report = sync(pipeline, api, "participants", page_size=page_size, full=True)
        assert (report.exit_status, report.remarks) == (COMPLETE, (TWICE,))
        assert people(pipeline) == BOTH
        assert query(pipeline, "SELECT count(*) FROM participants") == [(6,)]
        study.rows["participants"]["exp_1"].reverse()
        study.rows["participants"]["exp_1"][0]["completionCode"] = "TIMEOUT"


@pytest.mark.parametrize("joined", [None, 5])
def test_of_two_who_joined_at_one_time_the_rest_of_their_rows_tells_the_order(
    joined: float | None, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = small_study("exp_1")
    for role in ("a", "b", "b"):
        join(study, "ann", joined, role=role)
    api = serve(study)
    report = sync(pipeline, api, "participants")
    assert report.exit_status == COMPLETE
    before = contents(pipeline)["participants"]
    assert query(pipeline, "SELECT id FROM participants ORDER BY id") == [("ann",), ("ann (2)",), ("p1",)]
    study.rows["participants"]["exp_1"].reverse()
    sync(pipeline, api, "participants", full=True)
    assert contents(pipeline)["participants"] == before
    assert not [each for each in report.remarks if "ann" in each]


def test_a_person_who_is_twice_in_a_room_is_missing_from_runs_that_cannot_see_both_and_they_say_so(
    serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(crowd())
    for _ in range(12):
        report = sync(pipeline, api, "participants", page_size=2, max_requests=3)
        if report.exit_status != LATER:
            break
    assert report.exit_status == INCOMPLETE
    assert "one person is twice in a room" in str(report.notices)
    assert sync(pipeline, api, "participants", page_size=2).exit_status == COMPLETE
    assert people(pipeline) == BOTH


def test_a_row_that_changed_and_took_another_place_meanwhile_is_no_second_person(
    serve: Serve, pipeline: dlt.Pipeline
) -> None:
    """Rows of one time of joining in two answers: one of them may be what the other was."""
    study = Study.empty("exp_1")
    study.add_room("room_1", experiment_id="exp_1")
    for person in ("p1", "p2", "p3", "p1"):
        join(study, person, 0, role=None if person == "p1" and study.of("participants", "exp_1") else "first")
    api = serve(study)
    assert sync(pipeline, api, "participants", page_size=2).exit_status in (COMPLETE, INCOMPLETE)
    study.rows["participants"]["exp_1"].pop()
    assert sync(pipeline, api, "participants", page_size=2, full=True).exit_status == COMPLETE
    assert query(pipeline, "SELECT role FROM participants WHERE id = 'p1'") == [("first",)]


REPEATED: dict[str, tuple[dict[str, Any], str]] = {
    "chat": ({"messageId": "m1", "timestamp": at(1)}, ", such as m1"),
    "recordings": ({"recordingId": "EG_1"}, ", such as EG_1"),
    "events": ({"id": "e1", "timestamp": at(1)}, ", such as e1"),
    "ratings_sparse": ({"ratingId": "r1", "timestamp": at(1)}, ", such as r1"),
    "participants": ({"id": "p1", "participantId": "p1", "roomId": "room_1"}, ""),
    "agent_decisions": ({"id": "p1_1", "roomId": "room_1"}, ""),
    "rooms": ({"id": "room_9", "startTime": at(0), "endTime": at(1)}, ", such as room_9"),
}


@pytest.mark.parametrize(("table", "differ"), [
    *((table, False) for table in REPEATED), *((table, True) for table in REPEATED if table != "participants")])
def test_an_id_that_comes_twice_is_no_row_that_is_missing(
    table: str, differ: bool, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    row, such = REPEATED[table]
    study = Study.empty("exp_1")
    for name in (None, "differs" if differ else None):
        study.add(table, {**row, "name": name}, experiment_id="exp_1", room_id="room_1")
    study.add(table, {**row, next(iter(row)): "another", "name": "x"}, experiment_id="exp_1", room_id="room_1")
    report = sync(pipeline, serve(study), table)
    said = f"{table} of experiment exp_1: 1 row came with the id of another{such}; the table has one of each."
    assert (report.exit_status, report.notices) == (COMPLETE, ())
    assert said in report.remarks
    assert query(pipeline, f"SELECT count(*) FROM {table}") == [(2,)]


def test_an_id_that_comes_in_two_pages_is_told_from_pages_that_shift_by_pages_of_another_size(
    serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = small_study("exp_1")
    for name in ("a", "b", "c", "twice", "twice", "d", "e", "f", "g"):
        study.add("chat", {"messageId": name, "timestamp": at(1)}, experiment_id="exp_1", room_id="room_1")
    report = sync(pipeline, serve(study, Behaviour(start_time="ignored")), "chat", page_size=4)
    assert report.exit_status == COMPLETE
    assert any("such as twice" in each for each in report.remarks)
    assert query(pipeline, "SELECT count(*) FROM chat") == [(8,)]
