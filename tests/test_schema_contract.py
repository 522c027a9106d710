"""A schema contract that refuses: what is new is named, and nothing of a row is."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from loaded import DATASET, at, small_study

from hyperstudy_source import SettingError, hyperstudy_source, load
from hyperstudy_source.standin import StandIn

PERSON = "Jane_Doe"
NEW: dict[str, tuple[Any, str]] = {
    "columns": ("size 7",
                "the column participants.shoe is new, and the schema contract (columns: freeze) refuses that"),
    "tables": ([{"size": "size 7"}],
               "the table participants__shoe is new, and the schema contract (tables: freeze) refuses that"),
}


@pytest.fixture
def pipeline() -> dlt.Pipeline:
    """The pipeline that the command finds in the folder of the test."""
    return dlt.pipeline("hyperstudy", destination="duckdb", dataset_name=DATASET)


@pytest.fixture
def frozen(serve: Callable[..., StandIn], pipeline: dlt.Pipeline, request: pytest.FixtureRequest) -> StandIn:
    """A study that was loaded under a contract, and has a person since whose row breaks it."""
    study = small_study("exp_1")
    api = serve(study)
    run(pipeline, api)
    run(pipeline, api, schema_contract={request.param: "freeze"})
    row = {"id": PERSON, "joinedAt": at(2), "shoe": NEW[request.param][0]}
    study.add("participants", row, experiment_id="exp_1", room_id="room_1", participant_id=PERSON)
    return api


def run(pipeline: dlt.Pipeline, api: StandIn, **options: Any) -> None:
    source = hyperstudy_source(api_key=api.api_key, base_url=api.base_url)
    pipeline.run(source.with_resources("participants", "sync_ledger"), **options)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("frozen", "entity"), [(name, name) for name in NEW], indirect=["frozen"], ids=NEW)
def test_load_names_what_is_new_and_nothing_of_the_row(
    frozen: StandIn, entity: str, workers: str, pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "INFO")
    monkeypatch.setenv("NORMALIZE__WORKERS", workers)
    monkeypatch.setenv("NORMALIZE__START_METHOD", "fork")
    with pytest.raises(SettingError) as raised:
        load(pipeline, ["participants"], full=True, api_key=frozen.api_key, base_url=frozen.base_url)
    assert NEW[entity][1] in str(raised.value)
    shown = "".join(traceback.format_exception(raised.value)) + "".join(capfd.readouterr())
    assert not any(told in shown for told in (PERSON, "size 7"))
    pipeline.abort_packages()
    run(pipeline, frozen, schema_contract={entity: "evolve"})
    with pipeline.sql_client() as sql:
        assert list(sql.execute_sql("select count(*) from participants") or ()) == [(2,)]


@pytest.mark.parametrize("frozen", ["columns"], indirect=True)
def test_the_command_names_what_is_new_and_nothing_of_the_row(frozen: StandIn) -> None:
    access = {"HYPERSTUDY_API_KEY": frozen.api_key, "HYPERSTUDY_BASE_URL": frozen.base_url}
    command = [str(Path(sys.executable).parent / "dlt"), "pipeline", "hyperstudy", "run", "--data-type", "participants"]
    done = subprocess.run([*command, "--full"], env={**os.environ, **access, "RUNTIME__LOG_LEVEL": "INFO"},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"Error: Loading into duckdb failed: {NEW['columns'][1]}" in done.stderr
    assert not any(told in done.stdout + done.stderr for told in (PERSON, "size 7"))
