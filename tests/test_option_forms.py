"""Options mean the same in every form: ids as a list or as text, times as text or as a day, wherever they are set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from hyperstudy_source import SettingError, hyperstudy_source
from hyperstudy_source.source import backfill_bounds
from hyperstudy_source.standin import DEMO_KEY
from hyperstudy_source.sync.run import Run, current_run

TWO: dict[str, Any] = {
    "text": "exp_1,exp_2", "text_with_space": " exp_1 , exp_2 ", "json": '["exp_1", "exp_2"]',
    "list": ["exp_1", "exp_2"], "tuple": ("exp_1", "exp_2"), "list_of_text": ["exp_1,exp_2"],
    "twice": "exp_1,exp_2,exp_1", "brackets": "[exp_1, exp_2]",
}
DAY = datetime(2024, 6, 15, tzinfo=timezone.utc)


def scopes(**options: Any) -> tuple[Any, ...]:
    """What the source was told to read."""
    run = Run()
    with current_run(run):
        hyperstudy_source(api_key=DEMO_KEY, **options)
    assert run.scopes
    return run.scopes.experiment_ids, run.scopes.room_ids, run.scopes.participants


@pytest.mark.parametrize("given", TWO.values(), ids=TWO)
def test_two_ids_are_two_ids_in_every_form(given: Any) -> None:
    assert scopes(experiment_ids=given) == (("exp_1", "exp_2"), (), ())
    assert scopes(room_ids=given) == ((), ("exp_1", "exp_2"), ())


@pytest.mark.parametrize("given", ["ann@r1,bob@r2", ["ann@r1", "bob@r2"], '["ann@r1", "bob@r2"]'])
def test_participants_come_in_every_form_too(given: Any) -> None:
    assert scopes(participants=given) == ((), (), (("ann", "r1"), ("bob", "r2")))


@pytest.mark.parametrize("given", [value for value in TWO.values() if isinstance(value, str)])
def test_the_environment_takes_ids_as_text_and_as_json(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__HYPERSTUDY__EXPERIMENT_IDS", given)
    assert scopes()[0] == ("exp_1", "exp_2")


TOLD = """
from hyperstudy_source import hyperstudy_source
from hyperstudy_source.sync.run import Run, current_run
with current_run(Run()) as run:
    hyperstudy_source(api_key="hst_test_a")
print(",".join(run.scopes.experiment_ids))
"""


@pytest.mark.parametrize(("given", "day"), [
    ("exp_1,exp_2", "2024-06-15"), (["exp_1", "exp_2"], '"2024-06-15"'), (["exp_1,exp_2"], "2024-06-15T00:00:00Z"),
], ids=repr)
def test_config_toml_takes_ids_as_text_and_as_a_list(given: Any, day: str, tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text(
        f"[sources.hyperstudy]\nexperiment_ids = {json.dumps(given)}\nstart_time = {day}\n")
    told = subprocess.run([sys.executable, "-c", TOLD], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert told.stdout == "exp_1,exp_2\n", told.stderr


@pytest.mark.parametrize("given", ["", "exp_1,", ",", "[]", '["exp_1", ""]', "exp_1,..", ["exp_1,"]], ids=repr)
def test_text_with_an_empty_id_does_not_read_everything(given: Any) -> None:
    with pytest.raises(SettingError, match=r"experiment_ids is .* holds no id"):
        scopes(experiment_ids=given)


@pytest.mark.parametrize("given", [date(2024, 6, 15), "2024-06-15", DAY, datetime(2024, 6, 15)], ids=repr)
def test_a_day_is_its_start_in_every_form(given: Any) -> None:
    start, end = backfill_bounds(given, given)
    assert start == DAY
    assert end is not None
    assert end - DAY < timedelta(seconds=1)
    assert backfill_bounds(None, given)[1] == DAY
    scopes(start_time=given, end_time=given)
