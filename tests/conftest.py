"""A clean environment for every test, and a server on 127.0.0.1 to talk to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest

from hyperstudy_source.standin import Behaviour, StandIn, Study, demo_study

OURS = ("HYPERSTUDY_", "SOURCES__", "DESTINATION__", "PIPELINES__", "RUNTIME__", "LOAD__", "NORMALIZE__")


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own dlt reaches a test, and nothing of a test stays."""
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def study() -> Study:
    """A demo study that a test may change."""
    return demo_study()


@pytest.fixture
def serve() -> Iterator[Callable[..., StandIn]]:
    """Starts stand-ins: `serve(study, behaviour, ...)`."""
    running: list[StandIn] = []

    def start(study: Study, behaviour: Behaviour | None = None, **options: Any) -> StandIn:
        server = StandIn(study, behaviour or Behaviour(), **options).__enter__()
        running.append(server)
        return server

    yield start
    for server in running:
        server.__exit__(None, None, None)


@pytest.fixture
def api(study: Study, serve: Callable[..., StandIn]) -> StandIn:
    """The stand-in with the demo study."""
    return serve(study)


@pytest.fixture
def pipeline(tmp_path: Path) -> dlt.Pipeline:
    """A pipeline into a DuckDB file of its own."""
    return dlt.pipeline(
        "hyperstudy", destination=dlt.destinations.duckdb(str(tmp_path / "hyperstudy.duckdb")),
        dataset_name="hyperstudy_data", pipelines_dir=str(tmp_path / "pipelines"))
