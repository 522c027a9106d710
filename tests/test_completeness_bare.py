"""The same promises where a pipeline runs the source without `load`."""

from __future__ import annotations

from collections.abc import Callable

import dlt
import pytest
from loaded import add, at, run, small_study
from truth import marks, query, true_marks

from hyperstudy_source import hyperstudy_source
from hyperstudy_source.standin import StandIn, Study

Serve = Callable[..., StandIn]
NAMES = ("events", "sync", "chat", "rooms", "participants", "sync_ledger")


def study_of(*experiments: str) -> Study:
    study = small_study(*experiments)
    for experiment in experiments:
        for number in range(9):
            more(study, experiment, number)
    return study


def more(study: Study, experiment: str, number: int) -> None:
    mark = str(number)
    for table in ("events", "sync", "chat"):
        add(study, table, {"id": mark, "messageId": mark, "mark": mark, "timestamp": at(number)}, experiment)


def assert_equal(study: Study, pipeline: dlt.Pipeline) -> None:
    for table in ("events", "sync", "chat"):
        assert marks(pipeline, table) == true_marks(study, table), table


WAYS: dict[str, tuple[dict[str, str], bool]] = {
    "plain": ({}, False), "fifo": ({"EXTRACT__NEXT_ITEM_MODE": "fifo"}, False),
    "round robin, parallelized": ({"EXTRACT__NEXT_ITEM_MODE": "round_robin"}, True),
    "fifo, parallelized": ({"EXTRACT__NEXT_ITEM_MODE": "fifo"}, True),
    "one worker, parallelized": ({"EXTRACT__WORKERS": "1"}, True),
}


@pytest.mark.parametrize(("settings", "parallelized"), WAYS.values(), ids=WAYS)
def test_a_bare_run_writes_a_whole_ledger(
    settings: dict[str, str], parallelized: bool, serve: Serve, pipeline: dlt.Pipeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    api = serve(study := study_of("exp_1", "exp_2"))
    source = hyperstudy_source(api_key=api.api_key, base_url=api.base_url, page_size=4).with_resources(*NAMES)
    pipeline.run(source.parallelize() if parallelized else source)
    assert_equal(study, pipeline)
    assert query(pipeline, "SELECT count(*), count(DISTINCT data_type || experiment_id) FROM sync_ledger "
                           "WHERE status = 'complete'") == [(10, 10)]


def test_the_same_source_runs_twice_and_begins_anew_each_time(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := study_of("exp_1"))
    source = hyperstudy_source(api_key=api.api_key, base_url=api.base_url, page_size=4).with_resources(*NAMES)
    pipeline.run(source)
    more(study, "exp_1", 99)
    study.add_experiment("exp_2")
    study.add_room("room_2", experiment_id="exp_2")
    more(study, "exp_2", 1)
    study.experiments[0]["updatedAt"] = "2025-01-01T00:00:00.000Z"
    pipeline.run(source)
    assert_equal(study, pipeline)
    assert query(pipeline, "SELECT count(*) FROM sync_ledger WHERE experiment_id = 'exp_2'") == [(5,)]


def test_all_resources_of_a_bare_run_say_how_they_went(
    study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    run(pipeline, serve(study))
    said = query(pipeline, "SELECT data_type, status FROM sync_ledger")
    assert {status for _, status in said} == {"complete"}
    assert {name for name, _ in said} >= {"experiments", "rooms", "events", "consent", "sync", "components",
                                          "agent_runs", "variable_writes", "variable_timeline", "deployments"}
