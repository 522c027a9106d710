"""The tables: their names, keys and types, whether or not a row ever comes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import dlt
import pytest
from loaded import Loaded, add, at, new_pipeline, quiet_place, run, small_study

from hyperstudy_source import hyperstudy_source
from hyperstudy_source.data_types import DATA_TYPES, DEFAULT_DATA_TYPES, TABLES
from hyperstudy_source.standin import Behaviour, StandIn, Study, demo_study
from hyperstudy_source.tables.fields import columns

DUCKDB = {"text": "VARCHAR", "double": "DOUBLE", "bigint": "BIGINT", "bool": "BOOLEAN", "json": "JSON",
          "timestamp": "TIMESTAMP WITH TIME ZONE"}
KEYS = {
    "experiments": ("experiment_id", "id"),
    "deployments": ("experiment_id", "id"),
    "sessions": ("experiment_id", "deployment_id", "id"),
    "rooms": ("experiment_id", "id"),
    "participants": ("experiment_id", "room_id", "id"),
    "events": ("experiment_id", "id"),
    "questionnaire": ("experiment_id", "id"),
    "instructions": ("experiment_id", "id"),
    "consent": ("experiment_id", "id"),
    "recordings": ("experiment_id", "recording_id"),
    "chat": ("experiment_id", "message_id"),
    "videochat": ("experiment_id", "row_key"),
    "sync": ("experiment_id", "row_key"),
    "ratings_continuous": ("experiment_id", "row_key"),
    "ratings_sparse": ("experiment_id", "rating_id"),
    "components": ("experiment_id", "row_key"),
    "eyetracking": ("experiment_id", "row_key"),
    "agent_decisions": ("experiment_id", "room_id", "id"),
    "agent_runs": ("experiment_id", "room_id", "id"),
    "variable_writes": ("experiment_id", "room_id", "row_key"),
    "variable_timeline": ("experiment_id", "room_id", "row_key"),
    "personas": ("id",),
    "recording_files": ("experiment_id", "recording_id"),
    "sync_ledger": ("row_key",),
}


def _documented() -> list[tuple[str, str, str]]:
    declared = {name: columns(data_type.fields) for name, data_type in TABLES.items()}
    return [("__".join((name, *path)), column, data_type) for name, tables in declared.items()
            for path, found in tables.items() for column, data_type in found.items()]


DOCUMENTED = _documented()
"""Table, column and type of every field at any depth."""


def _tables_of(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    with quiet_place(tmp_path_factory.mktemp("tables")) as folder, StandIn(study) as api:
        pipeline = new_pipeline(folder)
        run(pipeline, api, *TABLES)
        yield Loaded(pipeline)


@pytest.fixture(scope="module", params=["nothing", "no rows", "everything"])
def tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """What a run makes of studies that have nothing, next to nothing, and something of everything."""
    if request.param == "everything":
        yield request.getfixturevalue("everything")
    else:
        yield from _tables_of(Study.empty(*([] if request.param == "nothing" else ["exp_1"])), tmp_path_factory)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The tables of the demo study."""
    yield from _tables_of(demo_study(), tmp_path_factory)


@pytest.fixture
def source() -> Any:
    """The source, which asks for nothing until it is run."""
    return hyperstudy_source(api_key="hst_test_key", base_url="http://127.0.0.1:1/api/v3")


def test_every_data_type_is_a_resource_of_its_name(source: Any) -> None:
    assert set(TABLES) <= set(source.resources)
    assert set(source.resources.selected) == {*DEFAULT_DATA_TYPES, *(set(TABLES) - set(DATA_TYPES))}
    assert set(DATA_TYPES) - set(DEFAULT_DATA_TYPES) == {"personas"}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_merged_by_its_key(name: str, source: Any) -> None:
    schema = source.resources[name].compute_table_schema()
    keys = tuple(column for column, hints in schema["columns"].items() if hints.get("primary_key"))
    assert (schema["name"], set(keys)) == (name, set(KEYS[name]))
    assert (schema["write_disposition"], schema["x-merge-strategy"]) == ("merge", "delete-insert")
    assert schema.get("x-destination-scope") is None
    assert not any(hints.get("merge_key") for hints in schema["columns"].values())


@pytest.mark.parametrize("name", TABLES)
def test_every_documented_field_has_a_column_of_its_type(name: str, tables: Loaded) -> None:
    """A child table comes with its first row; until then its columns stand in the schema."""
    wanted = [place for place in DOCUMENTED if place[0].split("__")[0] == name]
    assert len(wanted) > 3
    assert [(table, column, tables.declared[table].get(column)) for table, column, _ in wanted] == wanted
    there = [(table, column, DUCKDB[kind]) for table, column, kind in wanted if table in tables.types or table == name]
    assert [(table, column, tables.types[table].get(column)) for table, column, _ in there] == there


def test_a_study_with_something_of_everything_makes_every_table(everything: Loaded) -> None:
    assert {table for table, _, _ in DOCUMENTED} <= set(everything.tables)


@pytest.mark.parametrize("name", TABLES)
def test_the_columns_that_the_source_adds_are_there(name: str, tables: Loaded) -> None:
    added = {column: DUCKDB[kind] for column, kind in TABLES[name].added_columns.items()}
    assert {column: tables.types[name].get(column) for column in added} == added
    assert ("onset_sec" in added) == ("onset" in TABLES[name].fields)
    assert set(KEYS[name]) <= set(tables.types[name])


def test_no_column_is_a_variant_of_another(tables: Loaded) -> None:
    assert [column for types in tables.types.values() for column in types if "__v_" in column] == []


@pytest.mark.parametrize("name", [name for name, kind in TABLES.items() if "onset" in kind.fields])
def test_onset_sec_is_the_onset_in_seconds(name: str, keyed: Loaded) -> None:
    rows = keyed[name]
    assert rows
    assert [row["onset_sec"] for row in rows] == [row["onset"] / 1000 for row in rows]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """A small study whose rows are hard to tell apart, loaded twice."""
    study = small_study("exp_1", "exp_2")
    study.add_room("room_9", experiment_id="exp_1", participants=["p1"])
    for name in ("events", "questionnaire", "instructions", "consent"):
        for number, onset in enumerate((-1500.5, -1, 0, 2500, 45.0)):
            event_type = {"instructions": "instructions.page_view", "consent": "consent.accepted"}.get(name)
            category = {"events": "media", "questionnaire": "questionnaire"}.get(name, "pre_experiment")
            add(study, "events", {"id": f"{name}_{number}", "timestamp": at(number), "onset": onset,
                                  "category": category, "eventType": event_type})
    for name in ("chat", "ratings_sparse"):
        add(study, name, {"messageId": "one", "ratingId": "one", "timestamp": at(0), "onset": -0.5})
    for name in ("sync", "eyetracking", "videochat", "ratings_continuous"):
        for _ in range(3):
            add(study, name, {"timestamp": at(0), "onset": -250, "participantId": "p1", "roomId": "room_1"})
        add(study, name, {"timestamp": at(0), "onset": 250, "participantId": "p1", "roomId": "room_1"})
    for name in ("videochat", "ratings_continuous"):
        add(study, name, {"id": "given", "ratingId": "given", "timestamp": at(1), "onset": 1})
    for experiment_id, room in (("exp_1", "room_1"), ("exp_1", "room_9"), ("exp_2", "room_2")):
        decision = {"id": "agent_1", "participantId": "agent", "roomId": room, "seq": 1, "timestamp": at(0)}
        study.add("agent_decisions", decision, experiment_id=experiment_id, room_id=room)
        study.add("agent_runs", {"id": "run", "roomId": room}, experiment_id=experiment_id, room_id=room)
    for stage in ("shown", "answered"):
        row = {"roomId": "room_1", "participantId": "p1", "stateId": "s1", "componentId": "c1", "response": stage}
        add(study, "components", row)
    same = {"variable": "score", "value": 1, "timestamp": at(0)}
    study.variables["room_1"] = {"data": [same, dict(same)], "metadata": {"timeline": [{"stateId": "s1", "score": 1}]}}
    with quiet_place(tmp_path_factory.mktemp("keys")) as folder, StandIn(study, Behaviour(list_tells=False)) as api:
        pipeline = new_pipeline(folder)
        run(pipeline, api)
        run(pipeline, api)
        yield Loaded(pipeline)


@pytest.mark.parametrize(("name", "wanted"), [
    ("sync", 4), ("eyetracking", 4), ("videochat", 5), ("ratings_continuous", 5), ("components", 2),
    ("variable_writes", 2),
])
def test_rows_that_nothing_tells_apart_stay_as_many_as_they_are(name: str, wanted: int, keyed: Loaded) -> None:
    keys = keyed.column(name, "row_key")
    assert len(keys) == len(set(keys)) == wanted
    assert all(keys)


@pytest.mark.parametrize("name", ["videochat", "ratings_continuous"])
def test_a_key_that_is_given_at_times_is_the_row_key(name: str, keyed: Loaded) -> None:
    assert "given" in keyed.column(name, "row_key")


def test_decisions_of_the_same_id_in_two_rooms_are_two(keyed: Loaded) -> None:
    found = {(row["experiment_id"], row["room_id"], row["id"]) for row in keyed["agent_decisions"]}
    places = (("exp_1", "room_1"), ("exp_1", "room_9"), ("exp_2", "room_2"))
    assert found == {(*place, "agent_1") for place in places}
    assert len(keyed["agent_decisions"]) == len(keyed["agent_runs"]) == 3


def test_one_person_in_two_rooms_is_two_participants(keyed: Loaded) -> None:
    found = sorted((row["room_id"], row["id"]) for row in keyed["participants"] if row["experiment_id"] == "exp_1")
    assert found == [("room_1", "p1"), ("room_9", "p1")]


def test_times_are_moments_in_utc(keyed: Loaded) -> None:
    times = {row["timestamp"] for row in keyed["chat"]}
    assert times == {datetime(2024, 6, 10, 10, tzinfo=timezone.utc)}


def test_personas_are_not_loaded_unasked(keyed: Loaded) -> None:
    assert "personas" not in keyed.tables
    assert set(DEFAULT_DATA_TYPES) <= set(keyed.tables)


def test_a_source_that_is_made_asks_nothing(pipeline: dlt.Pipeline) -> None:
    with StandIn(Study()) as api:
        source = hyperstudy_source(api_key=api.api_key, base_url=api.base_url)
        assert source.resources["events"].compute_table_schema()["name"] == "events"
        assert api.requests == []
    assert pipeline.first_run
