"""A clean environment for every test, and a server on 127.0.0.1 to talk to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dlt
import pytest

from hyperstudy_source.standin import Behaviour, StandIn, Study, demo_study

OURS = ("HYPERSTUDY_", "DLT_", "SOURCES__", "DESTINATION__", "CREDENTIALS", "PIPELINES__", "RUNTIME__", "EXTRACT__",
        "NORMALIZE__", "LOAD__", "SCHEMA__", "DATA_WRITER__", "AWS_", "GOOGLE_", "STORAGE_EMULATOR_HOST")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell has it so for what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the longest test, for which the other processes would have to wait at the end."""
    items.sort(key=lambda item: item.path.name != "test_worlds.py")


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
    with ExitStack() as running:

        def start(study: Study, behaviour: Behaviour | None = None, **options: Any) -> StandIn:
            return running.enter_context(StandIn(study, behaviour, **options))

        yield start


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
