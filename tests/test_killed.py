"""A run that is killed at any moment costs what it had not committed, and leaves nothing lost, doubled or half."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from loaded import new_pipeline, quiet_place
from truth import contents, query, sync

from hyperstudy_source import hyperstudy_source
from hyperstudy_source.standin import Behaviour, StandIn, Study, demo_study

NAMES = ("rooms", "events", "questionnaire", "chat", "sync", "ratings_sparse", "variable_writes", "variable_timeline",
         "agent_decisions", "experiments")
SCRIPT = f"""
import sys, dlt
from hyperstudy_source import load
from hyperstudy_source.sync.run import Run, current_run
folder, url, key = sys.argv[1:]
pipeline = dlt.pipeline("hyperstudy", destination=dlt.destinations.duckdb(folder + "/hyperstudy.duckdb"),
                        dataset_name="hyperstudy_data", pipelines_dir=folder + "/pipelines")
with current_run(Run(slice_requests=16)):
    report = load(pipeline, {NAMES!r}, api_key=key, base_url=url, page_size=60, requests_per_minute=None,
                  requests_per_hour=None)
sys.exit(report.exit_status)
"""
KILLS = 7
"""For each database."""
Contents = dict[str, list[str]]


def studied() -> Study:
    """The demo study, a thousand samples with twins among them, and a few more rooms."""
    study = demo_study()
    pairs = study.experiments[0]["id"]
    for number in range(1200):
        study.add("sync", {"timestamp": f"2024-06-10T14:{number // 40:02d}:{number // 4 % 10:02d}.000Z", "latency": 1},
                  experiment_id=pairs, room_id="room_v01")
    return study


def run_for(folder: Path, api: StandIn, seconds: float | None = None) -> int | None:
    """The exit status of a load in a process of its own; None where it was killed (SIGKILL) after so many seconds."""
    command = [sys.executable, "-c", SCRIPT, str(folder), api.base_url, api.api_key]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "DLT_DATA_DIR": str(folder / "dlt")}
    try:
        return subprocess.run(command, cwd=folder, env=environment, timeout=seconds, check=False,
                              capture_output=True).returncode
    except subprocess.TimeoutExpired:
        return None


def rows_asked_for(api: StandIn) -> int:
    """Rows that the pages of data asked for could hold at most: what reading again costs."""
    return sum(int(each.params.get("limit", 0)) for each in api.seen("/data"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Contents, float, float, int, int]]:
    """The tables of a run that nothing stops, s to its first request and to its end, requests, and rows asked for."""
    with quiet_place(tmp_path_factory.mktemp("unbroken")) as folder, \
            StandIn(studied(), Behaviour(latency=0.01)) as api:
        began = time.time()
        assert run_for(folder, api) == 0
        took = time.time() - began
        yield (contents(new_pipeline(folder)), api.requests[0].at - began, took, len(api.requests),
               rows_asked_for(api))


@pytest.mark.parametrize("seed", [1])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_tables(
    seed: int, unbroken: tuple[Contents, float, float, int, int], tmp_path: Path, capsys: pytest.CaptureFixture[Any]
) -> None:
    wanted, startup, took, requests, rows = unbroken
    chance, killed = random.Random(seed), 0
    with StandIn(studied(), Behaviour(latency=0.01)) as api:
        for _ in range(KILLS):
            killed += run_for(tmp_path, api, startup + chance.uniform(0, 0.4) * (took - startup)) is None
        assert run_for(tmp_path, api) == 0
        again, rows_again = len(api.requests) - requests, rows_asked_for(api) - rows
    pipeline = new_pipeline(tmp_path)
    assert contents(pipeline) == wanted
    assert query(pipeline, "SELECT count(*) FROM sync_ledger") == query(
        pipeline, "SELECT count(DISTINCT row_key) FROM sync_ledger")
    with capsys.disabled():
        sys.stdout.write(f"\n{killed} of {KILLS} runs killed: {again} requests on top of {requests}, "
                         f"up to {rows_again} rows again on top of {rows}\n")


def test_a_kill_while_the_rest_of_a_killed_run_is_discarded_loses_nothing(
    study: Study, serve: Callable[..., StandIn], pipeline: dlt.Pipeline
) -> None:
    """Dlt has taken the package away then, and not yet set the state back."""
    api = serve(study)
    assert sync(pipeline, api, "sync", "questionnaire", "events").exit_status == 0
    for number in range(9):
        study.add("sync", {"mark": f"{number}", "timestamp": f"2024-06-2{number}T10:00:00.000Z"},
                  experiment_id=study.experiments[0]["id"], room_id="room_v01")
    before = {table: len(study.of(table, study.experiments[0]["id"])) for table in ("sync", "events")}
    source = hyperstudy_source(api.api_key, api.base_url).with_resources("sync", "questionnaire", "events")
    pipeline.extract(source)
    pipeline.normalize()
    pipeline._get_load_storage().normalized_packages.set_abort_flag(pipeline.list_normalized_load_packages()[0])
    with pytest.raises(PipelineStepFailed):
        pipeline._load()
    assert not pipeline.has_pending_data
    assert sync(pipeline, api, "sync", "questionnaire", "events").exit_status == 0
    for table, rows in before.items():
        assert query(pipeline, f"SELECT count(*) FROM {table} WHERE experiment_id = '{study.experiments[0]['id']}'"
                     ) == [(rows,)]
