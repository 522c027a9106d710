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
from hyperstudy_source.operations.check import check
from hyperstudy_source.operations.verify import verify
from hyperstudy_source.standin import Behaviour, Fault, StandIn, Study

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


def paths(api: StandIn) -> list[str]:
    return [request.path for request in api.requests]


@pytest.mark.parametrize("run", [sync, bare])
def test_a_slip_costs_one_request_and_one_sentence_with_what_is_like_it(
    run: Callable[..., object], study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study)
    with pytest.raises(SettingError, match=r"^There is no experiment 'exp_flim' .*exp_film \(Films in pairs\)") as said:
        run(pipeline, api, *NAMES, "personas", experiment_ids=["exp_flim"])
    assert "`dlt pipeline hyperstudy check`" in str(said.value)
    assert str(said.value).count("exp_") <= 1 + 3
    assert paths(api) == ["/experiments"]
    assert Loaded(pipeline).types == {}
    assert sync(pipeline, api, *NAMES).exit_status == 0
    assert {experiment for (_, experiment) in statuses(pipeline)} == {each["id"] for each in study.experiments}
    assert query(pipeline, "SELECT count(*) FROM sync_ledger WHERE experiment_id = 'exp_flim'") == [(0,)]
    assert "exp_flim" not in str(pipeline.state)


def test_what_is_like_nothing_is_told_where_the_others_are_listed(
    study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study)
    with pytest.raises(SettingError, match=r"There is no experiment '7' that the key can see: .*hyperstudy check"):
        sync(pipeline, api, *NAMES, experiment_ids=["7"])
    assert paths(api) == ["/experiments", "/experiments/7"]


def test_the_others_are_read_and_the_slip_is_said(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    report = sync(pipeline, serve(study), *NAMES, experiment_ids=["exp_flim", "exp_talk"])
    assert report.exit_status == 3
    assert len(report.notices) == 1
    assert "There is no experiment 'exp_flim'" in report.notices[0]
    assert {experiment for (_, experiment) in statuses(pipeline)} == {"exp_talk"}


@pytest.mark.parametrize("status", [403, 500])
def test_without_the_list_the_detail_tells_what_is_real(
    status: int, study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    broken = [Fault("/experiments", "server_error", times=1 if status == 403 else 5, status=status) for _ in range(2)]
    api = serve(study, Behaviour(faults=broken[:1]))
    with pytest.raises(SettingError, match="There is no experiment 'exp_flim'"):
        sync(pipeline, api, *NAMES, experiment_ids=["exp_flim"])
    api.behaviour.faults = broken[1:]
    assert sync(pipeline, api, *NAMES, experiment_ids=["exp_film"]).exit_status == 0
    assert {row["experiment_id"] for row in Loaded(pipeline)["events"]} == {"exp_film"}


def test_without_list_and_detail_an_id_is_taken_as_it_is(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study, scopes=("read:events",))
    assert sync(pipeline, api, "events", "rooms", experiment_ids=["exp_film"]).exit_status == 0
    assert paths(api)[:2] == ["/experiments", "/experiments/exp_film"]
    assert {row["experiment_id"] for row in Loaded(pipeline)["events"]} == {"exp_film"}


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
    report = sync(pipeline, serve(study, behaviour), *NAMES, experiment_ids=[given])
    assert not [notice for notice in report.notices if notice.startswith("/experiments")]
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


def test_an_id_of_something_else_was_never_an_experiment(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    """Neither that of a deployment whose sessions were read, nor of a room whose variables were."""
    study.deployments = [{"id": "dep_1", "experimentId": "exp_film", "status": "completed"}]
    api = serve(study)
    assert sync(pipeline, api).exit_status == 0
    for given in ("dep_1", "room_film"):
        with pytest.raises(SettingError, match=f"There is no experiment '{given}'"):
            sync(pipeline, api, experiment_ids=[given])


def test_an_experiment_without_a_name_is_not_called_none(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    study.experiments[0]["name"] = None
    with pytest.raises(SettingError, match="There is no experiment 'none'"):
        sync(pipeline, serve(study), *NAMES, experiment_ids=["none"])


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


def test_a_check_of_a_slip_says_it_and_lists_what_there_is(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study)
    study.experiments[0]["name"] = "Films\n in " + "pairs " * 50
    found = list(check(pipeline, api_key=api.api_key, base_url=api.base_url, experiment_ids=["exp_flim"]))
    assert str(found[0]).startswith("✗ There is no experiment 'exp_flim'")
    assert "✓ experiment exp_talk: Talking" in [str(finding) for finding in found]
    assert all(len(finding.text) < 120 and "\n" not in finding.text for finding in found[1:])


def test_a_verification_counts_what_was_loaded_of_an_experiment_that_is_gone(
    study: Study, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study)
    sync(pipeline, api, *NAMES)
    del study.experiments[0]
    options: dict[str, Any] = {"api_key": api.api_key, "base_url": api.base_url}
    compared = list(verify(pipeline, ["events"], experiment_ids=["exp_film"], **options))
    assert [(each.experiment_id, each.expected, each.found) for each in compared] == [("exp_film", None, 1)]
    with pytest.raises(SettingError, match="There is no experiment 'exp_flim'"):
        list(verify(pipeline, ["events"], experiment_ids=["exp_flim"], **options))
