"""Rooms and participants that are asked for: one that is not there is one sentence, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest
from loaded import Loaded, add, at, small_study
from truth import query, sync

from hyperstudy_source import SettingError
from hyperstudy_source.standin import Behaviour, Fault, StandIn, Study

Serve = Callable[..., StandIn]
NAMES = ("events", "chat", "participants", "agent_runs")


@pytest.fixture
def study() -> Study:
    """Three experiments, with an event in the only room of each."""
    study = small_study("exp_1", "exp_2", "exp_3")
    for experiment in ("exp_1", "exp_2", "exp_3"):
        row = {"id": f"e_{experiment}", "timestamp": at(0), "experimentId": experiment}
        add(study, "events", row, experiment)
    return study


Options = dict[str, Any]
SLIPS: dict[str, tuple[Options, str, int]] = {
    "room": ({"room_ids": ["room_l"]}, "Room 'room_l' is in no experiment that the key can read", 2),
    "room of an experiment": (
        {"room_ids": ["room_l"], "experiment_ids": ["exp_1"]},
        "Room 'room_l' is not in experiment exp_1. .*room_1", 3),
    "a right room and a wrong one": (
        {"room_ids": ["room_1", "room_l"], "experiment_ids": ["exp_1"]}, "Room 'room_l' is not in experiment exp_1", 3),
    "room of another experiment": (
        {"room_ids": ["room_2"], "experiment_ids": ["exp_1"]}, "Room 'room_2' belongs to experiment exp_2", 3),
    "room of an unknown experiment": (
        {"room_ids": ["room_1"], "experiment_ids": ["exp_l"]}, "There is no experiment 'exp_l'", 1),
    "participant": ({"participants": ["pl@room_1"]}, "There is no participant 'pl' in room room_1", 3),
    "participant of an experiment": (
        {"participants": ["pl@room_1"], "experiment_ids": ["exp_1"]}, "There is no participant 'pl' in room room_1", 4),
    "participant of a wrong room": (
        {"participants": ["p1@room_l"], "experiment_ids": ["exp_1"]}, "Room 'room_l' is not in experiment exp_1", 3),
}


@pytest.mark.parametrize(("options", "said", "requests"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_one_sentence_for_few_requests_and_leaves_no_trace(
    options: Options, said: str, requests: int, study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study)
    with pytest.raises(SettingError, match=said):
        sync(pipeline, api, *NAMES, **options)
    assert len(api.requests) == requests, [request.path for request in api.requests]
    assert Loaded(pipeline).types == {}
    assert sync(pipeline, api, *NAMES).exit_status == 0
    assert query(pipeline, "SELECT count(*) FROM sync_ledger WHERE room_id IS NOT NULL") == [(0,)]


RIGHT: dict[str, tuple[Options, int]] = {
    "room": ({"room_ids": ["room_1"], "experiment_ids": ["exp_1"]}, 2),
    "participant": ({"participants": ["p1@room_1"], "experiment_ids": ["exp_1"]}, 3),
}


@pytest.mark.parametrize(("options", "requests"), RIGHT.values(), ids=RIGHT)
def test_what_was_read_before_is_looked_up_no_more_and_fails_where_it_is_gone(
    options: Options, requests: int, study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study)
    assert sync(pipeline, api, "events", **options).exit_status == 0
    assert len(api.requests) == requests + 1
    assert sync(pipeline, api, "events", **options).exit_status == 0
    assert len(api.requests) == requests + 1 + 2
    study.rows["rooms"].pop("exp_1")
    report = sync(pipeline, api, "events", **options)
    assert (report.exit_status, len(Loaded(pipeline)["events"])) == (3, 1)


REFUSED = {
    "the list is forbidden": Behaviour(forbidden={("rooms", "exp_1"), ("participants", "exp_1")}),
    "the lists break": Behaviour(faults=[
        Fault("/data/rooms", "server_error", times=None), Fault("/data/participants", "server_error", times=None)]),
    "the lists are short": Behaviour(left_out={"rooms": 1, "participants": 1}),
}


@pytest.mark.parametrize("behaviour", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize(("options", "_"), RIGHT.values(), ids=RIGHT)
def test_what_the_lists_do_not_show_is_read_if_it_is_there(
    options: Options, _: int, behaviour: Behaviour, study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    report = sync(pipeline, serve(study, behaviour), "events", **options)
    assert (report.exit_status, len(Loaded(pipeline)["events"])) == (0, 1)
