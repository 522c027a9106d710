"""`check`, `verify` and `status`: what they find, what they print, what they cost, and how they end."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from loaded import new_pipeline
from test_cli import DLT, access

from hyperstudy_source import load
from hyperstudy_source.operations.check import Finding, check
from hyperstudy_source.operations.status import sync_status
from hyperstudy_source.operations.verify import repair, verify
from hyperstudy_source.standin import Behaviour, Fault, StandIn, Study
from hyperstudy_source.sync.run import Run, current_run

Serve = Callable[..., StandIn]


def findings(pipeline: dlt.Pipeline, api: StandIn, **options: str) -> list[Finding]:
    """What a check finds; no test waits for a backoff."""
    with current_run(Run(sleep=no_wait)):
        return list(check(pipeline, api_key=api.api_key, base_url=api.base_url, **options))


def no_wait(seconds: float) -> None:
    """Takes the place of sleeping."""


def told(found: list[Finding]) -> str:
    return "\n".join(map(str, found))


def command(name: str, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "DLT_DATA_DIR": str(folder / "dlt"),
                   "RUNTIME__DLTHUB_TELEMETRY": "false", **variables}
    return subprocess.run([DLT, "pipeline", "hyperstudy", name, *arguments], cwd=folder, env=environment,
                          capture_output=True, text=True, check=False)


def test_a_check_finds_that_all_is_well(api: StandIn, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    found = findings(pipeline, api, bucket_url=str(tmp_path / "files"))
    assert [each for each in found if not each.holds] == []
    assert "2 experiments can be seen, 2 can be exported" in told(found)
    assert "variable_writes: allowed" in told(found)
    assert f"The recordings can be written to {tmp_path}/files" in told(found)
    assert "The destination duckdb can be written" in told(found)
    assert len(api.requests) <= 30
    assert api.api_key not in told(found)
    assert list((tmp_path / "files").iterdir()) == []
    assert all(int(each.params.get("limit", "0")) in (0, 1, 50) for each in api.requests)


def test_a_check_names_the_permission_that_a_key_lacks(study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    found = findings(pipeline, serve(study, scopes=("read:events", "read:experiments", "read:ratings")))
    lacking = [each for each in found if not each.holds]
    assert {each.text.split(":")[0] for each in lacking} == {
        "recordings", "chat", "videochat", "sync", "components", "personas"}
    assert "chat: the key lacks the permission read:chat" in told(lacking)
    assert not any(each.essential for each in lacking)


@pytest.mark.parametrize(("kind", "status", "said"), [
    ("wrong key", 401, "does not accept the key"), ("down", 500, "cannot be read"), ("no experiment", 200, "0 can be"),
])
def test_a_check_fails_where_nothing_can_be_read(
        kind: str, status: int, said: str, study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(Study.empty() if kind == "no experiment" else study)
    if kind == "wrong key":
        api.api_key = "hst_test_another"
    if kind == "down":
        api.behaviour.faults = [Fault("", "server_error", times=None)]
    with current_run(Run(sleep=no_wait)):
        found = list(check(pipeline, api_key="hst_test_StandIn" if kind == "wrong key" else api.api_key,
                           base_url=api.base_url))
    essential = [each for each in found if each.essential and not each.holds]
    assert said in told(essential)
    assert len(api.requests) <= 3
    assert status in {each.status for each in api.requests}


def test_a_check_finds_what_cannot_be_written(api: StandIn, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "✗ The recordings cannot be written" in told(findings(pipeline, api, bucket_url=str(tmp_path / "file")))
    (tmp_path / "hyperstudy.duckdb").write_text("no database")
    assert "✗ Loading into duckdb failed" in told(findings(pipeline, api))


def test_the_check_command_prints_a_line_each_and_its_status(api: StandIn, tmp_path: Path) -> None:
    good = command("check", tmp_path, **access(api))
    assert good.returncode == 0, good.stderr
    assert all(re.match(r"[✓✗] ", line) for line in good.stdout.splitlines())
    bad = command("check", tmp_path, HYPERSTUDY_API_KEY="hst_live_abc***", HYPERSTUDY_BASE_URL=api.base_url)
    assert bad.returncode == 1
    assert bad.stdout.startswith("✗ The API key is masked")


def test_verify_finds_what_is_missing_and_repair_brings_it(
        api: StandIn, pipeline: dlt.Pipeline) -> None:
    options: dict[str, Any] = {"api_key": api.api_key, "base_url": api.base_url}
    names = ("events", "rooms", "chat")
    load(pipeline, names, **options)
    assert [each for each in verify(pipeline, names, **options) if each.found != each.expected] == []
    with pipeline.sql_client() as client:
        client.execute_sql("DELETE FROM events WHERE participant_id = 'user_01'")
        client.execute_sql("DELETE FROM rooms WHERE id = 'room_a01'")
    since = len(api.requests)
    missing = [each for each in verify(pipeline, names, **options) if each.missing]
    assert {(each.data_type, each.experiment_id) for each in missing} == {
        ("events", "exp_video_pairs"), ("rooms", "exp_video_agents")}
    assert "60 missing" in str(missing[-1]) + str(missing[0])
    assert len(api.requests) - since <= 1 + 2 * len(names)
    for report in repair(pipeline, missing, **options):
        assert report.exit_status == 0
    assert [each for each in verify(pipeline, names, **options) if each.found != each.expected] == []


def test_verify_tells_rows_that_are_gone_from_counts_that_are_not_known(
        study: Study, serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study, Behaviour())
    options: dict[str, Any] = {"api_key": api.api_key, "base_url": api.base_url}
    load(pipeline, ["chat", "events"], **options)
    study.rows["chat"]["exp_video_pairs"].pop()
    api.behaviour.forbidden = {("events", "exp_video_pairs")}
    compared = {(each.data_type, each.experiment_id): str(each)
                for each in verify(pipeline, ["chat", "events"], **options)}
    assert compared["chat", "exp_video_pairs"].endswith("1 more than the API has by now")
    assert "gives no count" in compared["events", "exp_video_pairs"]
    assert compared["events", "exp_video_agents"].endswith("equal")


def test_the_verify_command_prints_what_differs_and_its_status(api: StandIn, tmp_path: Path) -> None:
    arguments = ("--data-type", "chat")
    assert command("run", tmp_path, *arguments, **access(api)).returncode == 0
    assert command("verify", tmp_path, *arguments, **access(api)).stdout == "2 of 2 counts are equal.\n"
    pipeline = dlt.pipeline("hyperstudy", destination=dlt.destinations.duckdb(str(tmp_path / "hyperstudy.duckdb")),
                            dataset_name="hyperstudy_data", pipelines_dir=str(tmp_path / "dlt" / "pipelines"))
    with pipeline.sql_client() as client:
        client.execute_sql("DELETE FROM chat WHERE timestamp = (SELECT min(timestamp) FROM chat)")
    found = command("verify", tmp_path, *arguments, **access(api))
    assert (found.returncode, found.stdout.splitlines()[-1]) == (3, "1 of 2 counts are equal.")
    mended = command("verify", tmp_path, *arguments, "--repair", **access(api))
    assert (mended.returncode, mended.stdout.splitlines()[-1]) == (0, "2 of 2 counts are equal.")


def test_the_status_tells_how_far_each_data_type_is(
        study: Study, serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    api = serve(study, Behaviour(forbidden={("chat", "exp_video_pairs")}))
    assert sync_status(new_pipeline(tmp_path / "never")) == []
    load(pipeline, ["chat", "rooms"], api_key=api.api_key, base_url=api.base_url)
    chat, rooms = sync_status(pipeline)
    assert (chat.data_type, chat.scopes, chat.unsettled) == ("chat", 2, 1)
    assert (rooms.data_type, rooms.scopes, rooms.unsettled, rooms.cursor) == ("rooms", 2, 0, None)
    newest = max(row["timestamp"] for row in study.rows["chat"]["exp_video_agents"])
    assert str(chat.cursor)[:19] == str(newest)[:19]


def test_the_status_command_asks_nothing(api: StandIn, tmp_path: Path) -> None:
    command("run", tmp_path, "--data-type", "rooms", **access(api))
    since = len(api.requests)
    done = command("status", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^rooms +2 +0 +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", done.stdout, re.MULTILINE)
    assert len(api.requests) == since


def test_every_command_shows_in_the_help(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DLT_DATA_DIR": str(tmp_path / "dlt")}
    done = subprocess.run([DLT, "pipeline", "--help"], env=environment, capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in ("run", "check", "verify", "status", "describe"))
