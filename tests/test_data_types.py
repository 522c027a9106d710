"""The table of data types agrees with itself; a row that does not is refused when it is made."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from hyperstudy_source.data_types import DATA_TYPES, DEFAULT_DATA_TYPES, EVERY_SCOPE, DataType
from hyperstudy_source.standin import TABLES
from hyperstudy_source.tables.fields import NUMBER, TEXT, TIME, Field, columns

PERMISSIONS = {
    "read:events", "read:recordings", "read:chat", "read:videochat", "read:ratings", "read:sync", "read:participants",
    "read:components", "read:experiments", "read:personas",
}
TYPES = {"text", "double", "bigint", "bool", "timestamp", "json"}
FIELDS: dict[str, Field] = {"id": TEXT, "timestamp": TIME, "value": NUMBER}

every_data_type = pytest.mark.parametrize("data_type", DATA_TYPES.values(), ids=DATA_TYPES)


def made(**options: Any) -> DataType:
    return DataType("things", "Things", "/data/things", "read:events", FIELDS, **options)


@pytest.mark.parametrize(("options", "named"), [
    ({"cursor": "updatedAt"}, "updatedAt"),
    ({"key": (("thingId",),)}, "thingId"),
    ({"key": (("id", "thingId"),)}, "thingId"),
    ({"key": (("id",), ("roomId",))}, "roomId"),
    ({"identity": ("id", "stateId")}, "stateId"),
    ({"key_where_present": "thingId"}, "thingId"),
    ({"key": (("id",),), "identity": ("value",)}, "identity"),
    ({"key": (("id",),), "key_where_present": "id"}, "identity"),
], ids=["cursor", "key", "second_choice_of_key", "second_part_of_key", "identity", "key_where_present",
        "key_and_identity", "key_and_key_where_present"])
def test_a_row_that_contradicts_itself_is_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"things: .*{named}"):
        made(**options)


def test_a_row_cannot_be_changed_once_it_is_made() -> None:
    with pytest.raises(AttributeError):
        made().name = "other"  # type: ignore[misc]


def test_names_are_unique_and_snake_case() -> None:
    assert [name for name in DATA_TYPES if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []
    assert [name for name, data_type in DATA_TYPES.items() if data_type.name != name] == []


def test_what_is_loaded_by_default_is_all_but_personas() -> None:
    assert set(DATA_TYPES) - set(DEFAULT_DATA_TYPES) == {"personas"}


@every_data_type
def test_a_data_type_says_what_it_is_and_where_it_is_read(data_type: DataType) -> None:
    assert data_type.description
    assert re.fullmatch(r"(/[a-z-]+|/\{id\})+", data_type.path)
    assert data_type.path.startswith("/data/") is bool(data_type.scopes)
    assert data_type.permission in PERMISSIONS
    assert data_type.timeout is None or 0 < data_type.timeout <= 300


@every_data_type
def test_scopes_are_known_and_from_wide_to_narrow(data_type: DataType) -> None:
    assert list(data_type.scopes) == [scope for scope in EVERY_SCOPE if scope in data_type.scopes]


@every_data_type
def test_the_key_columns_are_declared_texts(data_type: DataType) -> None:
    declared = {**columns(data_type.fields)[()], **data_type.added_columns}
    assert [declared.get(name) for name in data_type.key_columns] == ["text"] * len(data_type.key_columns)
    assert len(set(data_type.key_columns)) == len(data_type.key_columns)
    assert (data_type.key_columns[0] == "experiment_id") is data_type.of_experiment


@every_data_type
def test_the_cursor_is_a_time_of_the_root_table(data_type: DataType) -> None:
    assert data_type.cursor is None or columns(data_type.fields)[()][data_type.cursor] == "timestamp"


@every_data_type
def test_an_added_column_does_not_change_a_declared_one(data_type: DataType) -> None:
    declared = columns(data_type.fields)[()]
    assert {n: t for n, t in data_type.added_columns.items() if declared.get(n, t) != t} == {}
    assert not {"row_key", "onset_sec"} & set(declared)


@every_data_type
def test_every_column_is_declared_once_with_a_type_of_dlt(data_type: DataType) -> None:
    for table, declared in columns(data_type.fields).items():
        assert set(declared.values()) <= TYPES, table
        folded = Counter(name.casefold() for name in declared)
        assert [name for name, times in folded.items() if times > 1] == []
        assert [name for name in declared if not re.fullmatch(r"_?[a-z][a-z0-9_]*", name)] == []


@every_data_type
def test_no_declared_column_lies_where_a_misfit_of_another_would_go(data_type: DataType) -> None:
    for declared in columns(data_type.fields).values():
        scalars = {name for name, kind in declared.items() if kind in ("double", "bigint", "bool", "timestamp")}
        assert not {f"{name}_text" for name in scalars} & set(declared)


@every_data_type
def test_what_is_derived_has_the_fields_key_and_cursor_of_its_origin(data_type: DataType) -> None:
    if data_type.derived_from:
        origin = DATA_TYPES[data_type.derived_from]
        assert origin.derived_from is None
        told = (data_type.fields, data_type.key, data_type.cursor, data_type.path, data_type.scopes)
        assert told == (origin.fields, origin.key, origin.cursor, origin.path, origin.scopes)


@pytest.mark.parametrize("name", TABLES)
def test_the_stand_in_serves_each_data_type_at_its_path_scopes_and_permission(name: str) -> None:
    data_type, served = DATA_TYPES[name], TABLES[name]
    assert (data_type.path, data_type.scopes, data_type.permission) == (
        f"/data/{served.path}", served.scopes, served.permission)
    assert data_type.cursor in (None, served.time_field)
