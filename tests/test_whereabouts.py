"""Where a pipeline's database lies: bound to a folder, moved, deleted, named by the user, or not there at all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from test_cli import DLT, access, rows, small_study

from hyperstudy_source.standin import StandIn

BIN = str(Path(sys.executable).parent)
Typed = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def api(serve: Callable[..., StandIn]) -> StandIn:
    return serve(small_study())


@pytest.fixture
def typed(api: StandIn, tmp_path: Path) -> Typed:
    """Runs `dlt pipeline ARGUMENTS` in a folder, or a whole line in a shell there, all on one machine."""

    def run(folder: str, *arguments: str, line: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        place = tmp_path / folder
        place.mkdir(exist_ok=True, parents=True)
        environment = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(tmp_path), "DLT_DATA_DIR": str(tmp_path / "dlt"),
                       "RUNTIME__DLTHUB_TELEMETRY": "false", **access(api), **variables}
        return subprocess.run(["sh", "-c", line] if line else [DLT, "pipeline", *arguments], cwd=place,
                              env=environment, capture_output=True, text=True, check=False)

    return run


def command_in(text: str) -> str:
    """The command that a message ends with."""
    return str(re.findall(r".*(dlt pipeline .*)$", text.splitlines()[0])[0])


def events(file: Path) -> int:
    return int(rows(file, "select count(*) from hyperstudy_data.events")[0][0])


def test_in_another_folder_the_first_line_says_where_the_file_lies_and_what_loads_here(
        typed: Typed, tmp_path: Path) -> None:
    first = typed("a", "lab", "run", "--data-type", "events")
    assert "lab" not in first.stderr.splitlines()[0]
    elsewhere = typed("b", "lab", "run", "--data-type", "events")
    said = elsewhere.stderr.splitlines()[0]
    assert f"first ran in {tmp_path}/a, and goes on in its file {tmp_path}/a/lab.duckdb" in said
    assert elsewhere.stdout.splitlines()[1].split() == ["events", "0", "6"]
    here = typed("b", line=command_in(said))
    assert (here.returncode, here.stdout.splitlines()[1].split()) == (0, ["events", "6", "6"])
    assert [file.name for file in (tmp_path / "b").iterdir()] == ["lab_2.duckdb"]


@pytest.mark.parametrize("gone", ["folder", "file"])
def test_what_is_gone_is_one_sentence_with_the_command_that_begins_anew(
        gone: str, typed: Typed, tmp_path: Path) -> None:
    pipelines = ("--pipelines-dir", str(tmp_path / "my pipelines"))
    typed("a", *pipelines, "lab", "run", "--data-type", "events")
    shutil.rmtree(tmp_path / "a") if gone == "folder" else (tmp_path / "a" / "lab.duckdb").unlink()
    for name in ("status", "verify", "check"):
        done = typed("b", *pipelines, "lab", name)
        said = (done.stdout if name == "check" else done.stderr).splitlines()[-1]
        assert done.returncode == 1
        assert f"The pipeline lab has loaded into {tmp_path}/a/lab.duckdb, but " in said
        assert "Traceback" not in done.stderr
    assert list((tmp_path / "b").iterdir()) == []
    again = typed("b", line=command_in(said) + " --data-type events")
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[0].endswith(f"Everything is loaded anew, into {tmp_path}/b/lab.duckdb.")
    assert events(tmp_path / "b" / "lab.duckdb") == 6
    assert "first ran" not in typed("b", *pipelines, "lab", "run", "--data-type", "events").stderr
    assert typed("b", *pipelines, "lab", "drop", "--drop-all").returncode == 0


def test_a_folder_that_was_moved_goes_on(typed: Typed, tmp_path: Path) -> None:
    typed("a", "lab", "run", "--data-type", "events")
    shutil.move(tmp_path / "a", tmp_path / "b")
    moved = typed("b", "lab", "run", "--data-type", "events")
    assert moved.stderr.splitlines()[0].endswith(f"It goes on in the file {tmp_path}/b/lab.duckdb.")
    assert moved.stdout.splitlines()[1].split() == ["events", "0", "6"]


def test_a_file_that_the_user_names_is_where_it_is_named(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "data" / "all.duckdb"
    named = {"DESTINATION__DUCKDB__CREDENTIALS": str(file)}
    missing = typed("a", "lab", "run", **named)
    assert missing.returncode == 1
    assert f"`mkdir -p {tmp_path}/data`, then run again." in missing.stderr
    file.parent.mkdir()
    for folder in ("a", "b"):
        done = typed(folder, "lab", "run", "--data-type", "events", **named)
        assert (done.returncode, "first ran" in done.stderr) == (0, False), done.stderr
    assert events(file) == 6
    assert [*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()] == []


@pytest.mark.parametrize("name", ["status", "verify"])
def test_a_pipeline_that_is_not_there_is_said_and_not_made(
        name: str, typed: Typed, api: StandIn, tmp_path: Path) -> None:
    done = typed("a", "nosuch", name)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no pipeline nosuch in ")
    assert command_in(done.stderr) == "dlt pipeline nosuch run"
    assert (list((tmp_path / "a").iterdir()), api.requests) == ([], [])
    assert not (tmp_path / "dlt" / "pipelines" / "nosuch").exists()


def test_a_check_leaves_nothing_behind_and_binds_to_no_folder(typed: Typed, tmp_path: Path) -> None:
    assert typed("a", "lab", "check").returncode == 0
    assert list((tmp_path / "a").iterdir()) == []
    assert not (tmp_path / "dlt" / "pipelines" / "lab").exists()


def test_the_commands_go_on_with_the_destination_and_dataset_that_a_pipeline_ran_with(
        typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "named.duckdb"
    named = {"DESTINATION__MINE__DESTINATION_TYPE": "duckdb", "DESTINATION__MINE__CREDENTIALS": str(file)}
    typed("a", "lab", "run", "--destination", "mine", "--dataset-name", "raw", "--data-type", "events", **named)
    assert re.search("^events +2 +0", typed("a", "lab", "status", **named).stdout, re.MULTILINE)
    assert typed("a", "lab", "verify", "--data-type", "events", **named).returncode == 0
    again = typed("a", "lab", "run", "--data-type", "events", **named)
    assert again.stdout.splitlines()[1].split() == ["events", "0", "6"]
    assert list((tmp_path / "a").iterdir()) == []
    shutil.rmtree(tmp_path / "dlt")
    elsewhere = ("--destination", "mine", "--dataset-name", "raw")
    assert re.search("^events +2 +0", typed("a", "lab", "status", *elsewhere, **named).stdout, re.MULTILINE)
    assert typed("a", "lab", "status", **named).returncode == 1
    assert not (tmp_path / "dlt" / "pipelines" / "lab").exists()


@pytest.mark.parametrize("name", ["lab", "Lab"])
def test_a_dataset_that_is_called_as_the_file_is_refused_before_any_request(
        name: str, typed: Typed, api: StandIn, tmp_path: Path) -> None:
    done = typed("a", "lab", "run", "--dataset-name", name)
    assert (done.returncode, api.requests) == (1, [])
    assert f"Error: DuckDB cannot tell the dataset {name} from its file lab.duckdb" in done.stderr
    assert list((tmp_path / "a").iterdir()) == []


@pytest.mark.parametrize(("folder", "name", "dataset"), [
    ("a folder", "lab", "order"), ("it's $HOME", "a b", 'my "data"'), ("a", "lab", "hyperstudy_data"),
])
def test_what_is_to_be_typed_next_runs_as_it_is_printed_and_locks_nothing(
        folder: str, name: str, dataset: str, typed: Typed, tmp_path: Path) -> None:
    for place in (folder, "elsewhere"):
        done = typed(place, name, "run", "--data-type", "rooms", "--dataset-name", dataset)
        line = done.stdout.splitlines()[-1].removeprefix("Next: ")
        with duckdb.connect(str(tmp_path / folder / f"{name}.duckdb"), read_only=True):
            shown = typed(place, line=line)
        assert "room_exp_1" in shown.stdout, shown.stderr


def test_a_database_that_may_not_be_looked_at_is_not_taken_for_gone(typed: Typed, tmp_path: Path) -> None:
    typed("a", "lab", "run", "--data-type", "events")
    (tmp_path / "a").chmod(0)
    if os.access(tmp_path / "a", os.X_OK):
        pytest.skip("the superuser may look at everything")
    refused = {name: typed("b", "lab", name) for name in ("run", "status", "verify", "check")}
    (tmp_path / "a").chmod(0o700)
    for done in refused.values():
        assert (done.returncode, "Permission denied" in done.stdout + done.stderr) == (1, True)
    assert events(tmp_path / "a" / "lab.duckdb") == 6
