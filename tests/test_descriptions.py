"""Every table and column is documented where data types are, and says whether it tells who somebody is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from hyperstudy_source.data_types import DATA_TYPES, TABLES, DataType
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
