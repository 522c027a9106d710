"""What the README shows is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest

from hyperstudy_source.cli.reference import renewed
from hyperstudy_source.standin import StandIn, demo_study

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"<!-- query -->\n```sql\n(.*?)```\n\n<!-- result -->\n```text\n(.*?)```", README, re.DOTALL)
DESCRIBED = re.findall(r"<!-- describe -->\n```text\n(.*?)```", README, re.DOTALL)
PANDAS = re.findall(r"<!-- pandas -->\n```python\n(.*?)```\n\n<!-- result -->\n```text\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's first command has run; its output is in `out`."""
    folder = tmp_path_factory.mktemp("readme")
    command = re.findall(r"&& (dlt pipeline demo run --demo)\n", README)[0].split()
    done = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]], cwd=folder, env=environment(folder),
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "out").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's first command for recordings has run."""
    folder = tmp_path_factory.mktemp("recorded")
    command = re.findall(r"\n(dlt pipeline demo run --demo --recordings recordings)\n", README)[0].split()
    subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], cwd=folder, env=environment(folder),
                   capture_output=True, text=True, check=True)
    assert len(list((folder / "recordings").glob("*/*.wav"))) == 9
    return folder


def environment(folder: Path) -> Mapping[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "DLT_DATA_DIR": str(folder / "dlt"),
            "RUNTIME__DLTHUB_TELEMETRY": "false"}


def test_the_generated_tables_are_those_of_the_code() -> None:
    assert renewed(README) == README, "run: python -m hyperstudy_source.cli.reference README.md"


def test_the_first_command_prints_the_summary_that_is_shown(demo: Path) -> None:
    shown = re.findall(r"```text\n(table .*?)```", README, re.DOTALL)[0]
    assert (demo / "out").read_text().startswith(shown)


def test_a_second_run_costs_what_the_readme_says(demo: Path) -> None:
    first, second = re.findall(r"first run costs (\d+) requests, its second (\d+)", README)[0]
    assert f"\n{first} requests, " in (demo / "out").read_text()
    command = [str(Path(sys.executable).parent / "dlt"), "pipeline", "demo", "run", "--demo"]
    again = subprocess.run(command, cwd=demo, env=environment(demo), capture_output=True, text=True, check=True)
    assert f"\n{second} requests, " in again.stdout


def test_the_python_of_the_readme_loads_what_it_names(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(import dlt\nfrom hyperstudy_source import load.*?)```", README, re.DOTALL)[0]
    with StandIn(demo_study()) as api:
        access = {"HYPERSTUDY_API_KEY": api.api_key, "HYPERSTUDY_BASE_URL": api.base_url}
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**environment(tmp_path), **access},
                              capture_output=True, text=True, check=False)
    named = [line.split()[0] for line in done.stdout.splitlines()[1:3]]
    assert named == ["events", "ratings_sparse"], done.stderr


def test_every_message_of_the_troubleshooting_is_one_of_the_code() -> None:
    begins = re.findall(r"^\| `([A-Z/][^`]+)`[^|]* \|", README.split("## Troubleshooting")[1], re.MULTILINE)
    code = "".join(path.read_text() for path in (ROOT / "hyperstudy_source").rglob("*.py"))
    assert len(begins) == 16
    for message in begins:
        fixed = re.sub(r"^/experiments | duckdb.*| bigquery.*| demo.*| \d+$| 1,000 .*", "", message)
        assert fixed.split(" experiment")[0] in code, message


def test_the_command_that_a_run_suggests_next_shows_rows(demo: Path) -> None:
    suggested = re.findall(r"^Next: (python .*)$", (demo / "out").read_text(), re.MULTILINE)[0]
    assert suggested in README
    code = suggested.split('"', 1)[1].rsplit('"', 1)[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=demo, capture_output=True, text=True, check=True)
    assert "room_v01" in done.stdout


@pytest.mark.parametrize(("query", "result"), QUERIES, ids=[
    "state", "join", "partners", "child", "minutes", "missing", "ledger"])
def test_a_query_gives_the_result_that_is_shown(recorded: Path, query: str, result: str) -> None:
    with duckdb.connect(str(recorded / "demo.duckdb"), read_only=True) as connection:
        assert str(connection.sql(query)).strip() == result.strip()


def test_pandas_gives_the_result_that_is_shown(demo: Path) -> None:
    (code, result), = PANDAS
    done = subprocess.run([sys.executable, "-c", code], cwd=demo, env=environment(demo), capture_output=True, text=True,
                          check=False)
    assert done.stdout.strip() == result.strip(), done.stderr


def test_the_dictionary_says_what_is_shown(demo: Path) -> None:
    command = re.findall(r"\ndlt (pipeline demo describe) > dictionary.md\n", README)[0].split()
    done = subprocess.run([str(Path(sys.executable).parent / "dlt"), *command], cwd=demo, env=environment(demo),
                          capture_output=True, text=True, check=False)
    assert len(DESCRIBED) == 2
    shown = [line for part in DESCRIBED for line in part.splitlines()]
    assert [line for line in shown if line not in done.stdout.splitlines()] == [], done.stderr


def test_ci_runs_the_test_command_of_the_readme() -> None:
    shown = re.findall(r"python3 -m venv .venv && .* pip install --quiet (-e \S+) && (pytest)\n", README)[0]
    script = (ROOT / ".ci" / "run").read_text()
    assert all(part in script for part in shown)
