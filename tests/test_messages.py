"""What stands on the screen: who holds the database, what failed without a word of a row, and how far a run is."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import dlt
import duckdb
import pytest
from dlt.destinations.exceptions import DatabaseTerminalException, DatabaseTransientException
from dlt.load.exceptions import LoadClientJobFailed, LoadClientJobRetry
from dlt.normalize.exceptions import NormalizeJobFailed
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.typing import TPipelineStep
from test_cli import DLT, Dlt, access, dlt_command, rows, small_study

from hyperstudy_source.destination.failures import explained_failure
from hyperstudy_source.standin import Behaviour, Fault, StandIn

__all__ = ["dlt_command"]
COMMANDS = ("run", "status", "verify", "check", "describe")


def test_who_holds_the_database_is_named(dlt_command: Dlt, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(small_study())
    dlt_command("pipeline", "hyperstudy", "run", "--data-type", "rooms", **access(api))
    with duckdb.connect(str(tmp_path / "hyperstudy.duckdb"), read_only=True):
        for name in COMMANDS:
            done = dlt_command("pipeline", "hyperstudy", name, **access(api))
            said = (done.stdout + done.stderr).splitlines()[-1]
            assert (done.returncode, f"(process {os.getpid()}) has its file open" in said) == (1, True), said
            assert Path(sys.executable).resolve().name in said


@pytest.mark.parametrize(("arguments", "variables", "said"), [
    (["--destination", "filesystem"], {}, "in the environment as DESTINATION__FILESYSTEM__BUCKET_URL"),
    (["--destination", "postgres"], {}, 'Run: pip install "dlt[postgres]"'),
    ([], {"DESTINATION__DUCKDB__CREDENTIALS": "/dev"}, '"/dev"'),
], ids=["not configured", "not installed", "not to be opened"])
def test_a_destination_that_cannot_be_reached_is_one_sentence(
        arguments: list[str], variables: dict[str, str], said: str, dlt_command: Dlt,
        serve: Callable[..., StandIn]) -> None:
    with pytest.raises(ImportError):
        __import__("psycopg2")
    api = serve(small_study())
    for name in ("status", "check", "run"):
        done = dlt_command("pipeline", "hyperstudy", name, *arguments, **access(api), **variables)
        last = (done.stdout + done.stderr).strip().splitlines()[-1]
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), name
        assert said in last, f"{name}: {last}"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_of_few_letters_shows_all_that_it_can(
        encoding: str, dlt_command: Dlt, serve: Callable[..., StandIn]) -> None:
    api = serve(small_study(), Behaviour(warnings={"events": ["缺少索引 missing index"]}))
    console = access(api) | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = dlt_command("pipeline", "hyperstudy", "run", "--data-type", "events", **console)
    assert done.returncode == 3, done.stderr
    assert "rows may be missing: ???? missing index" in done.stdout
    assert "Next: python -c" in done.stdout
    checked = dlt_command("pipeline", "hyperstudy", "check", **console, HYPERSTUDY_ORGANIZATION_ID="组织")
    assert checked.stdout.splitlines()[0][:3] in ("ok ", "NO ")
    for name in ("status", "verify"):
        assert dlt_command("pipeline", "hyperstudy", name, "--data-type", "events"[: 6 * (name == "verify")],
                           **console).returncode in (0, 2)


def test_only_what_comes_after_a_tables_first_rows_is_a_new_field(
        dlt_command: Dlt, serve: Callable[..., StandIn]) -> None:
    study = small_study()
    api = serve(study)
    event = {"id": "e9", "participantId": "user_1", "timestamp": "2024-06-15T10:00:09.000Z", "weather": "rain"}
    study.add("events", event, experiment_id="exp_1", room_id="room_exp_1", participant_id="user_1")
    first = dlt_command("pipeline", "hyperstudy", "run", "--data-type", "events", **access(api))
    assert (first.returncode, "Fields that are new" in first.stdout) == (0, False)
    study.add("events", event | {"id": "e10", "wind": "none"}, experiment_id="exp_1", room_id="room_exp_1",
              participant_id="user_1")
    second = dlt_command("pipeline", "hyperstudy", "run", "--full", "--data-type", "events", **access(api))
    assert "Fields that are new: events.wind.\n" in second.stdout


def test_a_demo_without_a_terminal_is_under_forty_lines(dlt_command: Dlt) -> None:
    done = dlt_command("pipeline", "demo", "run", "--demo")
    assert len((done.stdout + done.stderr).splitlines()) < 40
    assert "Fields that are new" not in done.stdout


def test_on_a_terminal_waiting_is_said_above_the_bars(serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(small_study(), Behaviour(faults=[Fault("/data/events", "rate_limit", retry_after="0.1")]))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DLT_DATA_DIR": str(tmp_path / "dlt"),
                   "RUNTIME__DLTHUB_TELEMETRY": "false", "TERM": "xterm", **access(api)}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    with subprocess.Popen([DLT, "pipeline", "hyperstudy", "run", "--data-type", "events"], cwd=tmp_path,
                          env=environment, stdout=subprocess.DEVNULL, stderr=theirs):
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:
            os.close(ours)
    said = b"The API takes no more requests to /data/events for now (429); going on at "
    assert (said in shown, b"Extract hyperstudy: Resources: " in shown) == (True, True), shown
    assert b"WARNING" not in shown


def test_a_row_that_is_refused_is_not_shown(dlt_command: Dlt, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    study = small_study()
    api = serve(study)
    dlt_command("pipeline", "hyperstudy", "run", "--data-type", "events", **access(api))
    with duckdb.connect(str(tmp_path / "hyperstudy.duckdb")) as connection:
        connection.execute("delete from hyperstudy_data.events where id <> 'e1'")
        connection.execute("create unique index once on hyperstudy_data.events (experiment_id, category)")
    done = dlt_command("pipeline", "hyperstudy", "run", "--full", "--data-type", "events", **access(api),
                       LOAD__RAISE_ON_MAX_RETRIES="1")
    assert done.returncode == 1
    assert "Error: Loading into duckdb failed: the table events was not written (ConstraintException): " in done.stderr
    assert all(word not in done.stdout + done.stderr for word in ("exp_1", "Duplicate key", "category"))
    assert rows(tmp_path / "hyperstudy.duckdb", "select id from hyperstudy_data.events") == [("e1",), ("e1",)]


def failures() -> list[tuple[TPipelineStep, Exception]]:
    """Failures of dlt's steps that name a person, by drivers that nobody foresaw."""
    told = "value 'Jane Doe' is too long"

    class DataError(Exception):
        pass

    job = "chat.1234.parquet"
    return [
        ("load", LoadClientJobFailed("1", job, told, DatabaseTerminalException(DataError(told)))),
        ("load", LoadClientJobRetry("1", job, 5, 5, told, DatabaseTransientException(DataError(told)))),
        ("load", DatabaseTerminalException(DataError(told))),
        ("normalize", NormalizeJobFailed("1", job, told, [])),
        ("extract", DataError(told)),
    ]


@pytest.mark.parametrize(("step", "failure"), failures(), ids=lambda value: str(value)[:9])
def test_no_drivers_words_reach_a_message(step: TPipelineStep, failure: Exception, pipeline: dlt.Pipeline) -> None:
    failed = PipelineStepFailed(pipeline, step, "1", failure)
    failed.__cause__ = failure
    said = str(explained_failure(failed, pipeline))
    assert "Jane" not in said
    assert ("the table chat was" in said) == hasattr(failure, "job_id")
