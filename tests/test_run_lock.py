"""One run of a pipeline at a time: a second one says that it is busy and touches nothing; a dead one is in no way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from loaded import new_pipeline
from truth import query, sync

from hyperstudy_source import PipelineBusy, hyperstudy_source
from hyperstudy_source.standin import Behaviour, Fault, StandIn, Study

NAMES = ("rooms", "events", "chat")
SCRIPT = f"""
import sys, dlt
from hyperstudy_source import hyperstudy_source, load
way, folder, url, key = sys.argv[1:]
pipeline = dlt.pipeline("hyperstudy", destination=dlt.destinations.duckdb(folder + "/hyperstudy.duckdb"),
                        dataset_name="hyperstudy_data", pipelines_dir=folder + "/pipelines")
if way == "load":
    sys.exit(load(pipeline, {NAMES!r}, api_key=key, base_url=url).exit_status)
pipeline.run(hyperstudy_source(key, url).with_resources(*{NAMES!r}))
"""
BUSY = r"Another run of this pipeline is under way \(since 20\d\d-\d\d-\d\d \d\d:\d\d UTC, process \d+ on .+\)\."


class Held:
    """A run in another process that waits for its first chat messages."""

    def __init__(self, way: str, folder: Path, study: Study) -> None:
        self.reached, self.goes_on = threading.Event(), threading.Event()
        fault = Fault("/data/chat", "hook", hook=self._hold)
        self.api = StandIn(study, Behaviour(faults=[fault]))
        self._command = [sys.executable, "-c", SCRIPT, way, str(folder)]
        self._folder = folder

    def _hold(self, _: object) -> None:
        self.reached.set()
        self.goes_on.wait(60)

    @contextmanager
    def under_way(self) -> Iterator[subprocess.Popen[bytes]]:
        """The process, once it waits."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with self.api, subprocess.Popen([*self._command, self.api.base_url, self.api.api_key], cwd=self._folder,
                                        env=environment) as process:
            try:
                assert self.reached.wait(60)
                yield process
            finally:
                self.goes_on.set()


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """When each file was written, and its bytes."""
    found = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (stat.st_mtime_ns, stat.st_size) for path, stat in found}


def by_load(pipeline: dlt.Pipeline, api: StandIn) -> None:
    sync(pipeline, api, *NAMES)


def bare(pipeline: dlt.Pipeline, api: StandIn) -> None:
    try:
        pipeline.run(hyperstudy_source(api.api_key, api.base_url).with_resources(*NAMES))
    except PipelineStepFailed as failure:
        busy: BaseException | None = failure
        while busy and not isinstance(busy, PipelineBusy):
            busy = busy.__cause__ or busy.__context__
        raise busy or failure from None


@pytest.mark.parametrize("first", ["load", "bare"])
@pytest.mark.parametrize("second", [by_load, bare])
def test_a_second_run_says_that_the_pipeline_is_busy_and_the_first_one_loads_all(
    first: str, second: Callable[[dlt.Pipeline, StandIn], None], study: Study, tmp_path: Path
) -> None:
    held = Held(first, tmp_path, study)
    with held.under_way() as process:
        pipeline = new_pipeline(tmp_path)
        package = files(tmp_path / "pipelines" / "hyperstudy" / "normalize")
        requests = len(held.api.requests)
        assert package
        with pytest.raises(PipelineBusy, match=BUSY):
            second(pipeline, held.api)
        assert package.items() <= files(tmp_path / "pipelines" / "hyperstudy" / "normalize").items()
        assert len(held.api.requests) == requests
        held.goes_on.set()
        assert process.wait(60) == 0
    wanted = sum(len(study.of("chat", experiment["id"])) for experiment in study.experiments)
    assert query(new_pipeline(tmp_path), "SELECT count(*) FROM chat") == [(wanted,)]


@pytest.mark.parametrize("second", [by_load, bare])
def test_the_lock_of_a_run_that_was_killed_is_no_obstacle(
    second: Callable[[dlt.Pipeline, StandIn], None], study: Study, tmp_path: Path
) -> None:
    held = Held("load", tmp_path, study)
    with held.under_way() as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        held.goes_on.set()
        second(new_pipeline(tmp_path), held.api)
    wanted = sum(len(study.of("chat", experiment["id"])) for experiment in study.experiments)
    assert query(new_pipeline(tmp_path), "SELECT count(*) FROM chat") == [(wanted,)]


def test_the_command_says_in_one_sentence_that_the_pipeline_is_busy(study: Study, tmp_path: Path) -> None:
    held = Held("load", tmp_path, study)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HYPERSTUDY_API_KEY": held.api.api_key,
                   "DLT_DATA_DIR": str(tmp_path)}
    with held.under_way():
        said = subprocess.run(
            [Path(sys.executable).with_name("dlt"), "pipeline", "hyperstudy", "run"], cwd=tmp_path, check=False,
            capture_output=True, text=True, env={**environment, "HYPERSTUDY_BASE_URL": held.api.base_url})
    assert said.returncode == 1
    assert "Another run of this pipeline is under way (since" in said.stdout + said.stderr
    assert "Traceback" not in said.stderr
