"""The command as a user runs it: the installed `dlt`, a real server, and what stands on the screen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from hyperstudy_source.cli.plugin import RunCommand, command_parser, plug_cli_run
from hyperstudy_source.standin import Behaviour, StandIn, Study

DLT = str(Path(sys.executable).parent / "dlt")
Dlt = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def dlt_command(tmp_path: Path) -> Dlt:
    """Runs `dlt ARGUMENTS` in a folder of its own, with nothing of the machine's in its environment."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DLT_DATA_DIR": str(tmp_path / "dlt"),
                       "RUNTIME__DLTHUB_TELEMETRY": "false", "COLUMNS": "200", **variables}
        return subprocess.run([DLT, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True,
                              check=False)

    return run


def access(api: StandIn) -> dict[str, str]:
    return {"HYPERSTUDY_API_KEY": api.api_key, "HYPERSTUDY_BASE_URL": api.base_url}


def rows(file: Path, query: str) -> list[Any]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.sql(query).fetchall()


def small_study() -> Study:
    study = Study.empty("exp_1", "exp_2")
    for experiment_id in ("exp_1", "exp_2"):
        room_id = f"room_{experiment_id}"
        study.add_room(room_id, experiment_id=experiment_id, participants=["user_1", "user_2"])
        for number, person in enumerate(("user_1", "user_2", "user_1")):
            study.add(
                "events", {"id": f"e{number}", "roomId": room_id, "participantId": person, "onset": 1000 * number,
                           "category": "state", "timestamp": f"2024-06-15T10:00:0{number}.000Z"},
                experiment_id=experiment_id, room_id=room_id, participant_id=person)
    return study


def test_the_command_shows_in_the_help_of_dlt_pipeline(dlt_command: Dlt) -> None:
    assert RunCommand.help_string in dlt_command("pipeline", "--help").stdout


def test_importing_dlt_with_the_plugin_installed_warns_of_nothing() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", "import dlt; dlt.current.run_context()"],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_plugin_adds_nothing_to_other_programs() -> None:
    assert str(plug_cli_run("dlt")) == str(RunCommand)
    assert plug_cli_run("dlthub") is None


def test_a_run_loads_and_a_second_one_finds_nothing_new(dlt_command: Dlt, serve: Callable[..., StandIn],
                                                        tmp_path: Path) -> None:
    api = serve(small_study())
    first = dlt_command("pipeline", "hyperstudy", "run", "--data-type", "events", **access(api))
    assert (first.returncode, first.stdout.splitlines()[1].split()) == (0, ["events", "6", "6"]), first.stderr
    second = dlt_command("pipeline", "hyperstudy", "run", "--data-type", "events", **access(api))
    assert second.stdout.splitlines()[1].split() == ["events", "0", "6"]
    assert rows(tmp_path / "hyperstudy.duckdb", "select count(*) from hyperstudy_data.events") == [(6,)]


def test_the_summary_says_requests_seconds_place_and_what_to_type_next(
        dlt_command: Dlt, serve: Callable[..., StandIn]) -> None:
    api = serve(small_study())
    done = dlt_command("pipeline", "lab", "run", "--dataset-name", "raw", "--data-type", "rooms", **access(api))
    *_, cost, following = done.stdout.strip().splitlines()
    assert cost.startswith("3 requests, ")
    assert cost.endswith("lab.duckdb, dataset raw.")
    assert following.startswith("Next: python -c")
    assert "raw.rooms" in following


@pytest.mark.parametrize(("options", "asked"), [
    (["--experiment", "exp_2"], ["/data/events/experiment/exp_2"]),
    (["--experiment", "exp_1", "--room", "room_exp_1"],
     ["/data/rooms/experiment/exp_1", "/data/events/room/room_exp_1"]),
    (["--experiment", "exp_1", "--participant", "user_2@room_exp_1"],
     ["/data/rooms/experiment/exp_1", "/data/participants/room/room_exp_1", "/data/events/participant/user_2"]),
], ids=["experiment", "room", "participant"])
def test_a_scope_option_narrows_what_is_asked_for(
        dlt_command: Dlt, serve: Callable[..., StandIn], options: list[str], asked: list[str]) -> None:
    api = serve(small_study())
    done = dlt_command("pipeline", "hyperstudy", "run", "--data-type", "events", *options, **access(api))
    assert done.returncode == 0, done.stderr
    assert [request.path for request in api.requests] == ["/experiments", *asked]


def test_a_backfill_asks_for_its_window(dlt_command: Dlt, serve: Callable[..., StandIn]) -> None:
    api = serve(small_study())
    dlt_command("pipeline", "hyperstudy", "run", "--data-type", "events", "--experiment", "exp_1", "--start-time",
                "2024-06-15T10:00:01Z", "--end-time", "2024-06-15T10:00:02Z", **access(api))
    params = api.requests[-1].params
    assert (params["startTime"], params["endTime"]) == ("2024-06-15T10:00:00.999Z", "2024-06-15T10:00:02.001Z")


@pytest.mark.parametrize(("arguments", "said"), [
    (["--data-type", "event"], "'event' is no data type. Did you mean events?"),
    (["--start-time", "yesterday"], "start_time is 'yesterday', which is no time."),
    (["--start-time", "2024-02-01", "--end-time", "2024-01-01"], "is after end_time"),
    (["--participant", "user_1"], "Give it as participant_id@room_id."),
    (["--room", "room_9", "--data-type", "chat"], "Room 'room_9' is in no experiment that the key can read."),
    (["--destination", "bigquery"], 'pip install "dlt[bigquery]"'),
    (["--destination", "nowhere"], "'nowhere'"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_input_gives_one_sentence_and_loads_nothing(
        dlt_command: Dlt, serve: Callable[..., StandIn], tmp_path: Path, arguments: list[str], said: str) -> None:
    done = dlt_command("pipeline", "hyperstudy", "run", *arguments, **access(serve(small_study())))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    file = tmp_path / "hyperstudy.duckdb"
    assert not file.exists() or rows(file, "select table_name from information_schema.tables") == []


@pytest.mark.parametrize(("variable", "value", "said"), [
    ("SOURCES__HYPERSTUDY__PAGE_SIZE", "many", "The configuration cannot work: "),
    ("SOURCES__HYPERSTUDY__PAGE_SIZE", "0", "page_size is 0"),
    ("SOURCES__HYPERSTUDY__LOOKBACK", "-1", "lookback is -1"),
    ("SOURCES__HYPERSTUDY__BASE_URL", "http://example.org", "over plain http the key could be read"),
], ids=["no number", "no page", "ahead", "unprotected"])
def test_bad_configuration_gives_one_sentence(
        dlt_command: Dlt, serve: Callable[..., StandIn], variable: str, value: str, said: str) -> None:
    api = serve(small_study())
    done = dlt_command("pipeline", "hyperstudy", "run", **access(api) | {variable: value})
    assert (done.returncode, api.requests) == (1, [])
    assert said in done.stderr


def test_a_destination_that_would_double_rows_is_refused_before_any_request(
        dlt_command: Dlt, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(small_study())
    bucket = {"DESTINATION__FILESYSTEM__BUCKET_URL": str(tmp_path / "bucket")}
    done = dlt_command("pipeline", "hyperstudy", "run", "--destination", "filesystem", **access(api) | bucket)
    assert (done.returncode, api.requests) == (1, [])
    assert "Error: The destination cannot replace rows, so a second run would double them." in done.stderr


def test_without_a_key_the_command_says_where_to_set_one(dlt_command: Dlt) -> None:
    done = dlt_command("pipeline", "hyperstudy", "run")
    assert done.returncode == 1
    assert "Error: No API key is set. Set it as the environment variable HYPERSTUDY_API_KEY" in done.stderr


def test_a_file_that_cannot_be_written_is_named_before_any_request(
        dlt_command: Dlt, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(small_study())
    (tmp_path / "hyperstudy.duckdb").write_text("this is no database")
    done = dlt_command("pipeline", "hyperstudy", "run", **access(api))
    assert done.returncode == 1
    assert "Error: Loading into duckdb failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert api.requests == []


def test_one_forbidden_experiment_is_exit_status_3_and_is_named(
        dlt_command: Dlt, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(small_study(), Behaviour(forbidden={("events", "exp_2")}))
    done = dlt_command("pipeline", "hyperstudy", "run", **access(api))
    assert done.returncode == 3
    assert "Incomplete: events of experiment exp_2 and 3 more: No access to events of experiment exp_2" in done.stdout
    file = tmp_path / "hyperstudy.duckdb"
    assert rows(file, "select experiment_id, count(*) from hyperstudy_data.events group by all") == [("exp_1", 3)]
    refused = rows(file, "select distinct experiment_id, data_type from hyperstudy_data.sync_ledger "
                         "where status = 'forbidden' order by all")
    assert refused == [("exp_2", name) for name in ("consent", "events", "instructions", "questionnaire")]


def test_an_experiment_that_does_not_exist_is_exit_status_3_and_is_named(
        dlt_command: Dlt, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(small_study())
    done = dlt_command("pipeline", "hyperstudy", "run", "--experiment", "exp_9", "--experiment", "exp_2", **access(api))
    assert done.returncode == 3
    assert "There is no experiment 'exp_9' that the key can see" in done.stdout
    assert "Traceback" not in done.stderr
    file = tmp_path / "hyperstudy.duckdb"
    assert rows(file, "select experiment_id, count(*) from hyperstudy_data.events group by all") == [("exp_2", 3)]


def test_a_warning_of_the_api_is_exit_status_3(dlt_command: Dlt, serve: Callable[..., StandIn]) -> None:
    api = serve(small_study(), Behaviour(warnings={"events": ["missing index"]}))
    done = dlt_command("pipeline", "hyperstudy", "run", "--data-type", "events", **access(api))
    assert done.returncode == 3
    assert ("Incomplete: events of experiment exp_1 and 1 more: the API warns, rows may be missing: missing index."
            in done.stdout)


def test_the_demo_does_not_mix_with_real_data(dlt_command: Dlt, serve: Callable[..., StandIn]) -> None:
    demo = dlt_command("pipeline", "hyperstudy", "run", "--demo", "--data-type", "rooms")
    assert demo.returncode == 0, demo.stderr
    real = dlt_command("pipeline", "hyperstudy", "run", **access(serve(small_study())))
    assert real.returncode == 1
    assert "holds the demo study" in real.stderr


def test_no_key_stands_in_what_a_run_leaves_behind(
        dlt_command: Dlt, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(small_study(), Behaviour(forbidden={("*", "exp_2")}))
    done = dlt_command("pipeline", "hyperstudy", "run", **access(api))
    assert api.api_key not in done.stdout + done.stderr
    left = [path for path in tmp_path.rglob("*") if path.is_file() and api.api_key.encode() in path.read_bytes()]
    assert left == []


def test_the_options_that_scripts_rely_on_are_there() -> None:
    options = {flag for action in command_parser(RunCommand)._actions for flag in action.option_strings}
    assert options >= {"--destination", "--dataset-name", "--experiment", "--room", "--participant", "--data-type",
                       "--start-time", "--end-time", "--demo"}


@pytest.mark.parametrize("script", ["quickstart", "daily_load"])
def test_a_pipeline_script_loads_the_study(script: str, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    done = run_script(script, serve(small_study()), tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "hyperstudy.duckdb", "select count(*) from hyperstudy_data.events") == [(6,)]


def test_the_daily_load_tells_a_scheduler_that_nothing_was_loaded(tmp_path: Path) -> None:
    done = run_script("daily_load", SimpleNamespace(api_key="hst_test_***", base_url="http://127.0.0.1:9"), tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The API key is masked")


def test_the_backfill_script_reads_month_by_month(serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(small_study())
    done = run_script("backfill", api, tmp_path, "2024-05", "2024-06")
    assert done.returncode == 0, done.stderr
    assert all("endTime" in request.params for request in api.seen("/data/events/experiment/exp_1"))
    starts = [request.params["startTime"] for request in api.seen("/data/events/experiment/exp_1")]
    assert starts == ["2024-04-30T23:59:59.999Z", "2024-05-31T23:59:59.999Z"]
    state = json.loads((tmp_path / "dlt" / "pipelines" / "hyperstudy" / "state.json").read_text())
    assert state["sources"]["hyperstudy"]["resources"]["events"]["cursors"] == {}


def run_script(name: str, api: Any, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).parent.parent / "pipelines" / f"{name}.py"
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DLT_DATA_DIR": str(folder / "dlt"),
                   "RUNTIME__DLTHUB_TELEMETRY": "false", **access(api)}
    return subprocess.run([sys.executable, str(script), *arguments], cwd=folder, env=environment, capture_output=True,
                          text=True, check=False)


def test_ctrl_c_ends_a_run_with_one_sentence(serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(small_study(), Behaviour(latency=30))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DLT_DATA_DIR": str(tmp_path / "dlt"),
                   "RUNTIME__DLTHUB_TELEMETRY": "false", **access(api)}
    with subprocess.Popen([DLT, "pipeline", "hyperstudy", "run"], cwd=tmp_path, env=environment, text=True,
                          stderr=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        while running.poll() is None and "Resources" not in str(running.stderr and running.stderr.readline()):
            pass
        running.send_signal(signal.SIGINT)
        _, said = running.communicate()
    assert running.returncode == 130
    assert said.strip().splitlines()[-1].startswith("Stopped. What was loaded before is unchanged")


@pytest.mark.parametrize("step", ["Extract", "Normalize", "Load"])
def test_a_run_that_was_killed_and_run_again_leaves_the_tables_of_an_unbroken_one(
        step: str, dlt_command: Dlt, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(small_study())
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DLT_DATA_DIR": str(tmp_path / "dlt"),
                   "RUNTIME__DLTHUB_TELEMETRY": "false", **access(api)}
    with subprocess.Popen([DLT, "pipeline", "hyperstudy", "run"], cwd=tmp_path, env=environment, text=True,
                          stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        assert running.stderr is not None
        assert any(f" {step} hyperstudy" in line for line in running.stderr)
        running.kill()
    again = dlt_command("pipeline", "hyperstudy", "run", **access(api))
    assert again.returncode == 0, again.stderr
    file = tmp_path / "hyperstudy.duckdb"
    for table, count in (("events", 6), ("rooms", 2), ("participants", 4), ("experiments", 2)):
        assert rows(file, f"select count(*) from hyperstudy_data.{table}") == [(count,)]
