"""Every table and column is documented where data types are, and says whether it tells who somebody is."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import dlt
import duckdb
import pytest
from loaded import run

from hyperstudy_source import hyperstudy_source, load
from hyperstudy_source.data_types import DATA_TYPES, TABLES, DataType
from hyperstudy_source.destination.comments import write_comments
from hyperstudy_source.standin import StandIn
from hyperstudy_source.tables.fields import COUNT, NUMBER, TEXT, Column, Fields, ListOf, MapOf, Object, tables

every_table = pytest.mark.parametrize("data_type", TABLES.values(), ids=TABLES)
NAMED_LIKE_PEOPLE = re.compile(
    r"participant_id|participant_name|sender|recipient|owner|email|prolific|^name$|file_name")
NOBODY = {"experiments", "experiments__states", "experiments__roles", "deployments", "personas"}
"""Tables whose `name` is that of a thing."""


def described(data_type: DataType) -> Iterator[tuple[str, Column]]:
    for path, table in data_type.tables.items():
        for column in table.columns.values():
            yield "__".join((data_type.name, *path)), column


@every_table
def test_every_table_and_column_has_a_sentence(data_type: DataType) -> None:
    told = {"__".join((data_type.name, *path)): table.description for path, table in data_type.tables.items()}
    told |= {f"{table}.{column.name}": column.description for table, column in described(data_type)}
    assert [place for place, sentence in told.items() if not re.fullmatch(r"\S.*\.", sentence)] == []
    assert [place for place, sentence in told.items() if re.search(r"  |\.\.|;\.|, ?\.", sentence)] == []


@every_table
def test_durations_have_their_unit(data_type: DataType) -> None:
    timed = re.compile(r"onset|duration|_ms$|latency$|offset|time_drift|response_time|stimulus_time|session_time|delay")
    assert [column.name for _, column in described(data_type) if timed.search(column.name)
            and column.data_type in ("double", "bigint") and not column.of.unit] == []
    assert {column.of.unit for _, column in described(data_type)} <= {"", "ms", "s", "bytes", "tokens", "USD"}


@every_table
def test_what_is_named_like_a_person_is_marked(data_type: DataType) -> None:
    unmarked = {f"{table}.{column.name}" for table, column in described(data_type)
                if NAMED_LIKE_PEOPLE.search(column.name) and not column.of.names}
    assert unmarked <= {f"{table}.name" for table in NOBODY}


@every_table
def test_what_people_may_have_written_is_marked(data_type: DataType) -> None:
    free = re.compile(r"(content|response|value|component_data)(_text|_number|_bool)?|prompt|reasoning|output|reason")
    unmarked = {f"{table}.{column.name}" for table, column in described(data_type)
                if free.fullmatch(column.name) and not column.of.names and not table.startswith("experiments")}
    numbers = {f"{table}.{column.name}" for table, column in described(data_type) if column.data_type == "double"}
    assert unmarked <= numbers


def test_the_marks_are_these() -> None:
    marked = {(column.of.names, column.name) for data_type in DATA_TYPES.values() for _, column in described(data_type)}
    assert {name for mark, name in marked if mark == "contact"} == {
        "email", "name", "prolific_pid", "owner_email", "owner_name", "participant_name", "sender_name", "url",
        "file_name"}
    assert {name for mark, name in marked if mark == "participant"} == {
        "participant_id", "id", "sender_id", "value", "key"}
    assert {name for mark, name in marked if mark == "researcher"} == {"owner_id"}
    free = [column.of.names for column in DATA_TYPES["chat"].tables[()].columns.values()]
    assert free.count("free_text") == len(("content", "content_number", "content_bool"))


def test_what_is_known_of_a_field_reaches_all_of_its_columns() -> None:
    fields: Fields = {
        "number": NUMBER("How long it took.", unit="ms"),
        "ids": ListOf(TEXT("An id.", names="participant"), says="The ids."),
        "map": MapOf(Object({"order": COUNT("Its place.")}), key=TEXT("Its name."), says="The map."),
    }
    found = tables(fields)
    assert found[()].columns["number"].description == "How long it took. Unit: ms. API field: number."
    assert found["ids",].description == "The ids. API field: ids."
    assert found["ids",].columns["value"].of.names == "participant"
    assert {name: column.description for name, column in found["map",].columns.items()} == {
        "key": "Its name. API field: map.", "order": "Its place. API field: map[].order."}


COMMENTS = """
    SELECT table_name || coalesce('.' || column_name, ''), comment FROM (
        SELECT table_name, NULL AS column_name, comment FROM duckdb_tables() WHERE schema_name = 'hyperstudy_data'
        UNION ALL SELECT table_name, column_name, comment FROM duckdb_columns()
        WHERE schema_name = 'hyperstudy_data')"""


def comments(pipeline: dlt.Pipeline) -> dict[str, str]:
    with pipeline.sql_client() as client:
        return {place: comment for place, comment in client.execute_sql(COMMENTS) or () if comment}


def sentences(*names: str) -> dict[str, str]:
    """What the comments of some data types are to be."""
    told: dict[str, str] = {}
    for data_type in map(TABLES.__getitem__, names):
        told |= {"__".join((data_type.name, *path)): table.description for path, table in data_type.tables.items()}
        told |= {f"{table}.{column.name}": column.description for table, column in described(data_type)}
    return told


def test_the_schema_describes_tables_and_columns_for_dlt(api: StandIn) -> None:
    schema = hyperstudy_source(api_key=api.api_key, base_url=api.base_url).schema
    told = {name: table.get("description") for name, table in schema.tables.items() if not name.startswith("_dlt")}
    told |= {f"{name}.{column}": hints.get("description") for name, table in schema.tables.items()
             for column, hints in table["columns"].items() if not column.startswith("_dlt") and name in told}
    assert told == sentences(*TABLES)
    assert schema.tables["sync"]["x-bigquery-table-description"] == told["sync"]  # type: ignore[typeddict-item]
    assert "How far the participant's video is from the host's. Unit: ms." in schema.to_pretty_json()


def test_tables_have_comments_after_their_first_load(api: StandIn, pipeline: dlt.Pipeline) -> None:
    load(pipeline, ["chat", "agent_decisions"], api_key=api.api_key, base_url=api.base_url)
    wanted = sentences("chat", "agent_decisions", "sync_ledger")
    found = comments(pipeline)
    assert {place: found.get(place) for place in wanted} == wanted
    assert found["chat__recipient_ids._dlt_parent_id"].startswith("The `_dlt_id` of the row of the parent table")


def test_a_bare_run_looks_at_comments_where_tables_are_new_or_were_lost(api: StandIn, pipeline: dlt.Pipeline) -> None:
    wanted = sentences("rooms", "sync_ledger")
    run(pipeline, api, "rooms", "sync_ledger")
    assert {place: comments(pipeline).get(place) for place in wanted} == wanted
    with pipeline.sql_client() as client:
        client.execute_sql("COMMENT ON TABLE sync_ledger IS 'mine'")
    run(pipeline, api, "rooms", "sync_ledger")
    assert comments(pipeline)["sync_ledger"] == "mine", "a quiet run costs no look at them"
    with pipeline.sql_client() as client:
        client.execute_sql("DROP TABLE rooms")
    run(pipeline, api, "rooms", "sync_ledger")
    assert {place: comments(pipeline).get(place) for place in wanted} == wanted


def test_a_comment_that_cannot_be_written_fails_nothing(
        api: StandIn, pipeline: dlt.Pipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(pipeline, api, "rooms", "sync_ledger")
    with pipeline.sql_client() as client:
        client.execute_sql("COMMENT ON TABLE rooms IS 'mine'")
    logger = logging.getLogger("dlt")
    logger.addHandler(caplog.handler)
    with duckdb.connect(str(tmp_path / "hyperstudy.duckdb"), read_only=True) as connection:
        reader = dlt.pipeline("reader", destination=dlt.destinations.duckdb(connection), dataset_name="hyperstudy_data")
        with reader.destination_client() as client, caplog.at_level("WARNING", "dlt"):
            write_comments(client, pipeline.default_schema)
    logger.removeHandler(caplog.handler)
    assert "The tables were not described by comments" in caplog.text
