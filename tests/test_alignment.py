"""What the destination does not hold is read again, whatever the working folder remembers; and nothing else is."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.helpers import pipeline_drop
from loaded import DATASET, new_pipeline, quiet_place, run
from truth import NO_LIMITS, contents, query, sync

from hyperstudy_source import DestinationError
from hyperstudy_source.load import COMPLETE, STOPPED
from hyperstudy_source.standin import StandIn, Study, demo_study

Contents = dict[str, list[str]]
Way = Callable[..., object]


def by_load(pipeline: dlt.Pipeline, api: StandIn, *names: str) -> None:
    report = sync(pipeline, api, *names, bucket_url="files")
    assert report.exit_status == COMPLETE, report


def by_bare_run(pipeline: dlt.Pipeline, api: StandIn, *names: str) -> None:
    run(pipeline, api, *names, bucket_url="files", **NO_LIMITS)


both_ways = pytest.mark.parametrize("read", [by_load, by_bare_run], ids=["load", "bare run"])


def told(pipeline: dlt.Pipeline) -> Contents:
    """All tables; of the manifest only what does not change when a file is found where it was."""
    manifest = query(pipeline, "SELECT recording_id, md5, file_name, size_bytes FROM recording_files ORDER BY ALL")
    return {**contents(pipeline), "recording_files": [str(row) for row in manifest]}


@dataclass
class Loaded:
    """A folder with everything loaded, to be copied; how the tables should be, and the database of an earlier time."""

    folder: Path
    api: StandIn
    wanted: Contents
    quiet: int
    """Requests of a run in which nothing has changed."""

    def copy(self, to: Path) -> dlt.Pipeline:
        shutil.copytree(self.folder, to, dirs_exist_ok=True)
        return new_pipeline(to)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    with quiet_place(tmp_path_factory.mktemp("loaded")) as folder, StandIn(study := demo_study()) as api:
        pipeline = new_pipeline(folder)
        by_load(pipeline, api)
        shutil.copy(folder / "hyperstudy.duckdb", folder / "older.duckdb")
        grow(study)
        by_load(pipeline, api)
        before = len(api.requests)
        by_load(pipeline, api)
        yield Loaded(folder, api, told(pipeline), len(api.requests) - before)


def grow(study: Study) -> None:
    """New rows of some data types, of which the list of experiments tells, a room among them."""
    experiment = study.experiments[0]
    place = {"experiment_id": experiment["id"], "room_id": "room_v01"}
    for number in range(6):
        time, room = f"2024-07-01T10:00:0{number}.000Z", {"roomId": "room_v01"}
        study.add("events", {"id": f"new_{number}", "category": ["questionnaire", "state"][number % 2],
                             "timestamp": time, "response": [{"text": "a"}], **room}, **place)
        study.add("sync", {"timestamp": time, "latency": number, **room}, **place)
        study.add("components", {"componentId": f"new_{number}", "completed": True, **room}, **place)
    study.add_room("room_new", experiment_id=experiment["id"], participants=["late"],
                   createdAt="2024-07-01T10:00:00.000Z", endTime="2024-07-01T11:00:00.000Z")
    study.variables["room_new"] = {"data": [{"variable": "v", "value": 1}], "metadata": {}}
    experiment["updatedAt"] = "2024-07-01T12:00:00.000Z"


def damaged(pipeline: dlt.Pipeline, *statements: str) -> None:
    with pipeline.sql_client() as client:
        for statement in statements:
            client.execute_sql(statement)


@both_ways
def test_an_older_copy_of_the_database_is_brought_up_to_date(read: Way, loaded: Loaded, tmp_path: Path) -> None:
    pipeline = loaded.copy(tmp_path)
    shutil.move(tmp_path / "older.duckdb", tmp_path / "hyperstudy.duckdb")
    assert told(pipeline) != loaded.wanted
    read(pipeline, loaded.api)
    assert told(pipeline) == loaded.wanted


@both_ways
def test_a_database_that_was_deleted_is_filled_again(read: Way, loaded: Loaded, tmp_path: Path) -> None:
    pipeline = loaded.copy(tmp_path)
    (tmp_path / "hyperstudy.duckdb").unlink()
    read(pipeline, loaded.api)
    assert told(pipeline) == loaded.wanted


@pytest.mark.parametrize(("dropped", "read"), [
    (f"DROP SCHEMA {DATASET} CASCADE", by_load), (f"DROP SCHEMA {DATASET} CASCADE", by_bare_run),
    (f"DROP TABLE {DATASET}._dlt_pipeline_state", by_load), ("DELETE FROM _dlt_pipeline_state", by_bare_run),
    (f"DROP TABLE {DATASET}._dlt_loads", by_bare_run), (f"DROP TABLE {DATASET}._dlt_version", by_load),
], ids=["dataset, load", "dataset, bare run", "state", "rows of state", "loads", "versions"])
def test_what_dlt_itself_needs_may_be_dropped(dropped: str, read: Way, loaded: Loaded, tmp_path: Path) -> None:
    pipeline = loaded.copy(tmp_path)
    damaged(pipeline, dropped)
    read(pipeline, loaded.api)
    assert told(pipeline) == loaded.wanted
    before = len(loaded.api.requests)
    read(new_pipeline(tmp_path), loaded.api)
    assert len(loaded.api.requests) - before == loaded.quiet


def test_a_dataset_that_is_dropped_between_the_runs_of_one_process_is_filled_again(
    loaded: Loaded, tmp_path: Path
) -> None:
    """Dlt asks the destination before the first run only."""
    pipeline = loaded.copy(tmp_path)
    by_bare_run(pipeline, loaded.api)
    damaged(pipeline, f"DROP SCHEMA {DATASET} CASCADE")
    by_bare_run(pipeline, loaded.api)
    assert told(pipeline) == loaded.wanted


FAMILIES: dict[str, tuple[str, ...]] = {
    "events": ("events", "questionnaire", "consent", "instructions"),
    "questionnaire": ("events", "questionnaire", "consent"),
    "experiments": ("experiments",),
    "sessions": ("deployments", "sessions"),
    "rooms": ("rooms", "variable_writes", "variable_timeline"),
    "variable_writes": ("rooms", "variable_writes", "variable_timeline"),
    "variable_timeline__variables": ("rooms", "variable_timeline"),
    "recordings": ("recordings", "recording_files"),
    "recording_files": ("recordings", "recording_files"),
    "sync": ("sync", "rooms"),
    "ratings_sparse__labels": ("ratings_sparse",),
    "agent_decisions__chain": ("agent_decisions",),
}
"""A table, and what is loaded to have it back."""


@pytest.mark.parametrize(("table", "statement", "read"), [
    (table, *[("DROP TABLE {}", by_load), ("DELETE FROM {}", by_bare_run)][number % 2])
    for number, table in enumerate(FAMILIES)
], ids=FAMILIES)
def test_a_table_that_is_gone_comes_back(
    table: str, statement: str, read: Way, loaded: Loaded, tmp_path: Path
) -> None:
    pipeline = loaded.copy(tmp_path)
    damaged(pipeline, statement.format(table))
    read(pipeline, loaded.api, *FAMILIES[table])
    assert told(pipeline) == loaded.wanted


@pytest.mark.parametrize(("statement", "read"), [("DROP TABLE {}", by_load), ("DELETE FROM {}", by_bare_run)], ids=[
    "dropped", "emptied"])
def test_tables_that_are_gone_come_back_together_and_then_all_is_quiet(
    statement: str, read: Way, loaded: Loaded, tmp_path: Path
) -> None:
    pipeline = loaded.copy(tmp_path)
    damaged(pipeline, *(statement.format(table) for table in (
        "events__data__buffered", "sessions", "variable_writes", "agent_decisions", "recording_files", "sync_ledger")))
    read(pipeline, loaded.api)
    assert told(pipeline) == loaded.wanted
    before = len(loaded.api.requests)
    read(new_pipeline(tmp_path), loaded.api)
    assert len(loaded.api.requests) - before == loaded.quiet
    assert query(pipeline, "SELECT count(*) > 0 FROM sync_ledger") == [(True,)]


@both_ways
def test_a_column_that_was_dropped_is_filled_again(read: Way, loaded: Loaded, tmp_path: Path) -> None:
    pipeline = loaded.copy(tmp_path)
    damaged(pipeline, "ALTER TABLE participants DROP COLUMN completion_code")
    read(pipeline, loaded.api, "participants", "rooms")
    assert told(pipeline) == loaded.wanted


@both_ways
def test_a_child_table_that_is_rightly_empty_is_asked_for_once(read: Way, tmp_path: Path) -> None:
    """Lists shrink; whether the rows were taken away shows one read of everything."""
    study = Study.empty("exp_1")
    study.add_room("room_1", experiment_id="exp_1", endTime="2024-06-10T10:00:00.000Z")
    row = study.add("events", {"id": "1", "timestamp": "2024-06-10T10:00:00.000Z", "response": [{"text": "a"}]},
                    experiment_id="exp_1", room_id="room_1")
    with StandIn(study) as api:
        pipeline = new_pipeline(tmp_path)
        read(pipeline, api, "events", "rooms")
        row["response"] = []
        study.experiments[0]["updatedAt"] = "2024-06-11T10:00:00.000Z"
        asked = []
        for _ in range(4):
            read(new_pipeline(tmp_path), api, "events", "rooms")
            asked.append(len([each for each in api.requests if each.path.startswith("/data/events")]))
        assert query(pipeline, "SELECT count(*) FROM events__response") == [(0,)]
        assert [later - earlier for earlier, later in itertools.pairwise(asked)] == [1, 0, 0]


@pytest.mark.parametrize("dropped", ["questionnaire", "rooms", "sessions"])
def test_a_resource_that_is_dropped_between_the_runs_of_a_round_is_whole_in_the_end(
    dropped: str, loaded: Loaded, tmp_path: Path
) -> None:
    pipeline, names, dropped_one = new_pipeline(tmp_path), sorted({
        "events", "questionnaire", "rooms", "variable_writes", "variable_timeline", "deployments", "sessions",
        "experiments"}), False
    for _ in range(30):
        report = sync(pipeline, loaded.api, *names, max_requests=14, page_size=150)
        if report.exit_status != STOPPED:
            break
        if not dropped_one and query(pipeline, f"SELECT count(*) FROM {dropped}") != [(0,)]:
            pipeline_drop(pipeline, dropped)()
            dropped_one = True
    assert (report.exit_status, dropped_one) == (COMPLETE, True)
    held = told_of(pipeline, names)
    assert held == {table: rows for table, rows in loaded.wanted.items() if table in held}
    assert set(held) == set(names)


def told_of(pipeline: dlt.Pipeline, names: list[str]) -> Contents:
    return {table: rows for table, rows in contents(pipeline).items() if table in names}


def test_a_state_that_is_not_to_be_restored_is_left_alone(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dlt then keeps none in the destination."""
    monkeypatch.setenv("RESTORE_FROM_DESTINATION", "false")
    pipeline = new_pipeline(tmp_path)
    by_bare_run(pipeline, loaded.api, "events", "rooms")
    before = len(loaded.api.requests)
    by_bare_run(new_pipeline(tmp_path), loaded.api, "events", "rooms")
    assert len(loaded.api.requests) - before == 1


@both_ways
def test_a_destination_out_of_reach_is_an_error(read: Way, loaded: Loaded, tmp_path: Path) -> None:
    pipeline = loaded.copy(tmp_path)
    (tmp_path / "hyperstudy.duckdb").write_bytes(b"this is no database" * 1000)
    with pytest.raises((DestinationError, PipelineStepFailed)):
        read(pipeline, loaded.api)
