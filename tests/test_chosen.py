"""Experiments that are asked for by id or by name: what was never real is one sentence, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from loaded import Loaded, add, at, small_study
from truth import query, statuses, sync

from hyperstudy_source import SettingError, hyperstudy_source
from hyperstudy_source.checks import check
from hyperstudy_source.standin import Behaviour, StandIn, Study

Serve = Callable[..., StandIn]
NAMES = ("events", "rooms", "chat", "experiments")


@pytest.fixture
def study() -> Study:
    """Four experiments with an event each; two have one name."""
    study = small_study("exp_film", "exp_talk", "exp_twin", "exp_twin_2")
    for experiment, name in zip(study.experiments, ["Films in pairs", "Talking", "Twins", "Twins"], strict=True):
        experiment["name"] = name
        add(study, "events", {"id": f"e_{experiment['id']}", "timestamp": at(0)}, experiment["id"])
    return study


def bare(pipeline: dlt.Pipeline, api: StandIn, *names: str, **options: Any) -> None:
    try:
        pipeline.run(hyperstudy_source(api.api_key, api.base_url, **options).with_resources(*names))
    except PipelineStepFailed as failure:
        cause: BaseException | None = failure
        while cause and not isinstance(cause, SettingError):
            cause = cause.__cause__ or cause.__context__
        raise cause or failure from None


@pytest.mark.parametrize("run", [sync, bare])
def test_a_slip_costs_one_request_and_one_sentence_with_what_is_like_it(
    run: Callable[..., object], study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study)
    with pytest.raises(SettingError, match=r"There is no experiment exp_flim that .*exp_film \(Films in pairs\)"):
        run(pipeline, api, *NAMES, experiment_ids=["exp_flim"])
    assert len(api.requests) == 1
    assert sync(pipeline, api, *NAMES).exit_status == 0
    assert {experiment for (_, experiment) in statuses(pipeline)} == {each["id"] for each in study.experiments}
    assert query(pipeline, "SELECT count(*) FROM sync_ledger WHERE experiment_id = 'exp_flim'") == [(0,)]


def test_what_is_like_nothing_is_asked_for_by_itself(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study)
    with pytest.raises(SettingError, match=r"There is no experiment 7 that the key can see\. .*NAME check"):
        sync(pipeline, api, *NAMES, experiment_ids=["7"])
    assert [request.path for request in api.requests] == ["/experiments", "/experiments/7"]


def test_the_others_are_read_and_the_slip_is_said(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    report = sync(pipeline, serve(study), *NAMES, experiment_ids=["exp_flim", "exp_talk"])
    assert report.exit_status == 3
    assert [notice for notice in report.notices if "There is no experiment exp_flim" in notice] == list(report.notices)
    assert {experiment for (_, experiment) in statuses(pipeline)} == {"exp_talk"}


@pytest.mark.parametrize("given", ["Films in pairs", "FILMS in pairs", "exp_film"])
def test_an_experiment_can_be_given_by_its_name(
    given: str, study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    assert sync(pipeline, serve(study), *NAMES, experiment_ids=[given]).exit_status == 0
    assert {row["experiment_id"] for row in Loaded(pipeline)["events"]} == {"exp_film"}


def test_a_name_of_several_is_told_with_their_ids(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    with pytest.raises(SettingError, match="2 experiments are called 'Twins': exp_twin, exp_twin_2"):
        sync(pipeline, serve(study), *NAMES, experiment_ids=["Twins"])


@pytest.mark.parametrize(("given", "behaviour"), [
    ("pilot", Behaviour()), ("exp_tall", Behaviour(pagination=False)), ("exp_tall", Behaviour(total="too_large")),
], ids=["like no other", "a list without a total", "a list that is short"])
def test_what_the_list_does_not_show_is_read_if_it_is_there(
    given: str, behaviour: Behaviour, study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study.add_experiment(given)
    study.add_room("room_7", experiment_id=given)
    behaviour.unlisted = {given}
    sync(pipeline, serve(study, behaviour), *NAMES, experiment_ids=[given])
    assert [row["experiment_id"] for row in Loaded(pipeline)["rooms"]] == [given]


def test_an_experiment_that_was_read_and_is_gone_is_said_to_fail(
    study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study)
    assert sync(pipeline, api, *NAMES, experiment_ids=["exp_film"]).exit_status == 0
    del study.experiments[0]
    report = sync(pipeline, api, *NAMES, experiment_ids=["exp_film"])
    assert report.exit_status == 3
    assert len(Loaded(pipeline)["events"]) == 1


def test_a_named_experiment_is_quiet_too(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study)
    assert sync(pipeline, api, *NAMES, experiment_ids=["exp_film"]).exit_status == 0
    before = len(api.requests)
    assert sync(pipeline, api, *NAMES, experiment_ids=["exp_film"]).exit_status == 0
    assert len(api.requests) - before == 1


def test_a_check_lists_the_experiments(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study)
    for number in range(30):
        study.add_experiment(f"exp_{number}")
    said = [str(finding) for finding in check(pipeline, api_key=api.api_key, base_url=api.base_url)]
    assert "✓ experiment exp_film: Films in pairs" in said
    assert "✓ and 14 more experiments" in said
