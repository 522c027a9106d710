"""Every value of a row finds a place, and a place holds one type, whatever comes and in whichever order."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from itertools import product
from typing import Any

import pytest

from hyperstudy_source.data_types import DATA_TYPES, DataType
from hyperstudy_source.tables.fields import (
    ANY,
    CONFIGURATION,
    COUNT,
    FLAG,
    MOSTLY_TEXT,
    NUMBER,
    TEXT,
    TIME,
    Field,
    ListOf,
    MapOf,
    Object,
    column_name,
    columns,
)
from hyperstudy_source.tables.names import DLT_COLUMNS
from hyperstudy_source.tables.shaping import DEEPEST, Shaper
from hyperstudy_source.tables.types import ColumnTypes

NOON = "2024-06-15T12:00:00.000Z"
WHEN = datetime(2024, 6, 15, 12, tzinfo=timezone.utc)
LINK = "https://storage.example.org/v.mp4"
ONE_OF_EACH: dict[str, Field] = {
    "id": TEXT, "n": NUMBER, "c": COUNT, "f": FLAG, "t": TIME, "any": ANY, "content": MOSTLY_TEXT,
    "conf": CONFIGURATION,
    "obj": Object({"min": NUMBER}), "items": ListOf(TEXT), "things": ListOf(Object({"order": COUNT})),
    "map": MapOf(NUMBER), "roles": MapOf(Object({"name": TEXT})),
}
HOSTILE: dict[str, Any] = {
    "number": 45, "fraction": 0.5, "text": "Agree", "number_in_text": "45", "true": True,
    "time": NOON, "bad_time": "2024-02-30T10:00:00Z",
    "list": [1, "a", None, [2]], "object": {"a": 1, "key": 2, "value": "b"},
    "list_of_objects": [{"key": 5, "value": {"a": True}}, 7],
    "huge": 10**30, "nan": float("nan"), "map_of_the_researcher": {"ratings": {"Valence": 7}, "variables": {"x": "a"}},
    "not_quite_a_map": {"ratings": ["good", {"key": 1, "value_text": 2}], "variables": [True, {"value_text": 3}]},
    "odd_names": {"": 1, "a": "x", "A": 2, "value_text": True, "größe": "y", "_dlt_id": 3},
}


def known(name: str, fields: Mapping[str, Field]) -> dict[tuple[str, str], str]:
    """What is known when a run starts: the declared columns."""
    return {("__".join((name, *table)), column): kind
            for table, declared in columns(fields).items() for column, kind in declared.items()}


Shape = Callable[[dict[str, Any]], dict[str, Any]]


def shaping(
    fields: Mapping[str, Field] = ONE_OF_EACH, reserved: tuple[str, ...] = (), types: ColumnTypes | None = None,
    table: str = "t",
) -> Shape:
    """Shapes one row after the other."""
    shaper = Shaper(table, fields, reserved, types or ColumnTypes(known(table, fields)))
    return lambda row: shaper.page([row]).rows()[0]


def cells(
    row: Mapping[str, Any], table: str, json_columns: set[tuple[str, str]], prefix: str = "",
) -> Iterator[tuple[str, str, type]]:
    """Table, column and Python type of every value that dlt would store."""
    for name, value in row.items():
        column = prefix + name
        if (table, column) in json_columns:
            yield table, column, dict
        elif isinstance(value, dict):
            yield from cells(value, table, json_columns, column + "__")
        elif isinstance(value, list):
            for item in value:
                yield from cells(item, f"{table}__{column}", json_columns)
        elif value is not None:
            yield table, column, type(value)


def nested(levels: int, value: Any) -> Any:
    for _ in range(levels):
        value = {"a": value}
    return value


PLACES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "number": ("n", 45, {"n": 45.0}), "number_as_text": ("n", "45", {"n": 45.0, "n_text": "45"}),
    "number_word": ("n", "Agree", {"n_text": "Agree"}),
    "number_list": ("n", [1], {"n_text": "[1]"}),
    "number_huge": ("n", 10**30, {"n": 1e30, "n_text": str(10**30)}), "null": ("n", None, {}),
    "count": ("c", 45.0, {"c": 45}), "count_fraction": ("c", 4.5, {"c_text": "4.5"}),
    "flag": ("f", True, {"f": True}), "flag_number": ("f", 1, {"f_text": "1"}),
    "time": ("t", NOON, {"t": WHEN}), "time_epoch": ("t", 1718452800000, {"t": WHEN, "t_text": "1718452800000"}),
    "time_word": ("t", "soon", {"t_text": "soon"}),
    "time_of_no_day": ("t", "2024-02-30T10:00:00Z", {"t_text": "2024-02-30T10:00:00Z"}),
    "text": ("id", 45.0, {"id": "45"}), "text_object": ("id", {"a": 1}, {"id": '{"a": 1}'}),
    "any_number": ("any", 7, {"any_number": 7.0}), "any_text": ("any", "7", {"any_text": "7"}),
    "any_flag": ("any", True, {"any_bool": True}), "any_object": ("any", {"a": 1}, {"any": {"a": 1.0}}),
    "any_list": ("any", [1, None], {"any": [{"value": 1.0}, {}]}),
    "mostly_text": ("content", NOON, {"content": NOON}), "mostly_text_number": ("content", 7, {"content_number": 7.0}),
    "configuration": ("conf", {"a": [1, None]}, {"conf": {"a": [1, None]}}),
    "configuration_list": ("conf", [1], {"conf": [1]}),
    "configuration_text": ("conf", "off", {"conf_text": "off"}),
    "configuration_number": ("conf", 45.0, {"conf_text": "45"}),
    "object": ("obj", {"min": 1, "new": "x"}, {"obj": {"min": 1.0, "new": "x"}}),
    "object_number": ("obj", 5, {"obj": 5.0}),
    "object_list": ("obj", ["x"], {"obj": [{"value": "x"}]}),
    "list": ("items", ["a", 45], {"items": [{"value": "a"}, {"value": "45"}]}),
    "list_single": ("items", "a", {"items": [{"value": "a"}]}),
    "list_empty": ("items", [], {"items_text": "[]"}),
    "list_of_lists": ("items", [[1, [2]]], {"items": [{"list": [{"value": 1.0}, {"list": [{"value": 2.0}]}]}]}),
    "things": ("things", [{"order": "x"}, 7], {"things": [{"order_text": "x"}, {"value": 7.0}]}),
    "map": ("map", {"Valence": 72, "": "x", "a.b\n": None}, {"map": [
        {"key": "Valence", "value": 72.0}, {"key": "", "value_text": "x"}, {"key": "a.b\n"}]}),
    "map_number": ("map", 45, {"map": 45.0}),
    "map_key_of_half_a_character": ("map", {"\ud800": 1}, {
        "map": [{"key": "\N{REPLACEMENT CHARACTER}", "value": 1.0}]}),
    "map_key_with_a_signed_link": ("map", {LINK + "?sig=x": 1}, {"map": [{"key": LINK, "value": 1.0}]}),
    "map_of_objects": ("roles", {"host": {"name": "Host", "key": "k"}}, {
        "roles": [{"key": "host", "name": "Host", "key_2": "k"}]}),
    "map_of_objects_scalar": ("roles", {"host": 3}, {"roles": [{"key": "host", "value": 3.0}]}),
    "new": ("newField", 45, {"new_field": 45.0}), "new_time": ("newField", NOON, {"new_field": NOON}),
    "signed_link": ("newField", LINK + "?X-Goog-Signature=x", {"new_field": LINK}),
    "download_url": ("downloadUrl", LINK, {}),
    "download_url_inside": ("any", {"downloadUrl": LINK, "a": 1}, {"any": {"a": 1.0}}),
}


@pytest.mark.parametrize(("field", "sent", "shaped"), PLACES.values(), ids=PLACES)
def test_a_value_has_its_place(field: str, sent: Any, shaped: dict[str, Any]) -> None:
    assert shaping()({field: sent}) == shaped


@pytest.mark.parametrize("data_type", DATA_TYPES.values(), ids=DATA_TYPES)
def test_a_column_never_holds_two_types(data_type: DataType) -> None:
    declared = known(data_type.name, data_type.fields)
    json_columns = {place for place, kind in declared.items() if kind == "json"}
    broken: dict[str, set[str]] = defaultdict(set)
    for field, one, other in product([*data_type.fields, "grownLater"], HOSTILE, HOSTILE):
        shape = shaping(data_type.fields, tuple(data_type.added_columns), table=data_type.name)
        held: dict[tuple[str, str], set[type]] = defaultdict(set)
        for value in (HOSTILE[one], HOSTILE[other]):
            for table, column, kind in cells(shape({field: value}), data_type.name, json_columns):
                held[table, column].add(kind)
        for place in (place for place, kinds in held.items() if len(kinds) > 1):
            broken[".".join(place)].add(f"{field}: {one}, then {other}")
    assert broken == {}


@pytest.mark.parametrize("data_type", DATA_TYPES.values(), ids=DATA_TYPES)
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_what_is_sent_is_in_the_row(data_type: DataType, value: Any) -> None:
    for field in [*data_type.fields, "grownLater"]:
        shaped = shaping(data_type.fields)({field: value})
        assert list(cells(shaped, "t", {("t", column_name(field))})), field


@pytest.mark.parametrize(("values", "shaped"), [
    ([45, "x", True, 46], [{"f": 45.0}, {"f_text": "x"}, {"f_bool": True}, {"f": 46.0}]),
    (["x", 45, [1], {"a": 2}], [{"f": "x"}, {"f_number": 45.0}, {"f": [{"value": 1.0}]}, {"f": {"a": 2.0}}]),
    ([NOON, 1718452800000], [{"f": NOON}, {"f_number": 1718452800000.0}]),
], ids=["number_first", "text_first", "time_first"])
def test_a_new_field_keeps_the_type_in_which_it_was_first_seen(values: list[Any], shaped: list[Any]) -> None:
    shape = shaping({})
    assert [shape({"f": value}) for value in values] == shaped


def test_a_new_field_keeps_the_type_of_earlier_runs() -> None:
    types = ColumnTypes({("t", "f"): "text", ("t__list", "value"): "bool", ("t", "o__a"): "bigint"})
    shape = shaping({"id": TEXT}, types=types)
    assert shape({"f": 45, "list": [1], "o": {"a": 2}}) == {
        "f_number": 45.0, "list": [{"value_number": 1.0}], "o": {"a_number": 2.0}}
    assert types.grown == set()


def test_a_field_that_no_documentation_knows_is_noted_under_its_column() -> None:
    types = ColumnTypes(known("t", ONE_OF_EACH))
    shape = shaping(types=types)
    for value in (1, "x", None, {"inside": 1}):
        shape({"n": value, "grownLater": value, "obj": {"grownLater": value}, "any": {"inside": value}, "absent": None})
    assert types.grown == {"t.grown_later", "t.obj__grown_later"}


COLLISIONS: dict[str, dict[str, Any]] = {
    "spelling": {"participantId": 1, "participantID": 2, "participant_id": 3},
    "of_new_fields": {"videoURL": 1, "videoUrl": 2, "video_url": 3},
    "added_columns": {"row_key": 1, "rowKey": 2, "onset_sec": 3, "onsetSec": 4, "experiment_id": 5},
    "columns_of_dlt": {"_dlt_id": 1, "_dltId": 2, "_dlt_load_id": 3, "_dlt_parent_id": 4,
                       "_dlt_root_id": 5, "_dlt_list_idx": 6},
    "no_letters": {"": 1, " ": 2, "!!!": 3, "_": 4, "__": 5, "+": 6, "-": 7},
    "not_ascii": {"größe": 1, "gruße": 2, "数": 3, "名": 4, "é": 5, "e\u0301": 6},
    "sidecars": {"onset": "x", "onset_text": 1, "onsetText": 2, "value": 3, "value_number": 4, "value_text": 5},
    "numbered": {"a": 1, "A": 2, "a_2": 3, "A_2": 4}, "half_characters": {"a\ud800": 1, "a": 2},
    "digits": {"1": 1, "_1": 2, "0x": 3},
    "long": {"x" * 300: 1, "x" * 301: 2},
}


@pytest.mark.parametrize("row", COLLISIONS.values(), ids=COLLISIONS)
def test_names_that_collide_do_not_overwrite_each_other(row: dict[str, Any]) -> None:
    fields: dict[str, Field] = {"participantId": TEXT, "onset": NUMBER, "value": ANY}
    reserved = ("row_key", "onset_sec", "experiment_id")
    shaped = shaping(fields, reserved)(row)
    kept = sorted(str(value).removesuffix(".0") for value in shaped.values() if value is not None)
    assert kept == sorted(map(str, row.values()))
    assert not (DLT_COLUMNS | set(reserved)) & set(shaped)
    assert [name for name in shaped if column_name(name) != name] == []


def test_of_two_spellings_the_documented_and_then_the_usual_one_has_the_plain_name() -> None:
    row = {"participantID": "b", "videoURL": "d", "videoUrl": "c", "participantId": "a"}
    assert shaping({"participantId": TEXT})(row) == {
        "participant_id": "a", "participant_id_2": "b", "video_url": "c", "video_url_2": "d"}


def test_a_misfit_does_not_overwrite_the_field_whose_column_it_needs() -> None:
    shape = shaping({})
    assert shape({"f": 1, "f_text": "a"}) == {"f": 1.0, "f_text": "a"}
    assert sorted(shape({"f": "x", "f_text": "b"}).values()) == ["b", "x"]


def test_a_misfit_that_gives_way_to_another_field_keeps_to_columns_of_its_type() -> None:
    shape = shaping({})
    rows = [shape(row) for row in ({"f": 1, "f_text": "a"}, {"f": "x", "f_text": "b"}, {"f_text_2": 3})]
    held = defaultdict(set)
    for _, column, kind in (cell for row in rows for cell in cells(row, "t", set())):
        held[column].add(kind)
    assert {column: kinds for column, kinds in held.items() if len(kinds) > 1} == {}


def test_an_entry_of_a_map_keeps_its_key_after_the_same_field_came_as_a_list() -> None:
    shape = shaping()
    shape({"roles": [{"name": "Host", "key": "k"}]})
    assert shape({"roles": {"host": {"name": "Host", "key": "k"}}})["roles"][0]["key"] == "host"


@pytest.mark.parametrize("field", ["any", "obj", "conf", "map", "items", "grown"])
def test_a_deep_value_ends_as_json_text(field: str) -> None:
    shaped = shaping()({field: nested(200, {"downloadUrl": LINK, "link": LINK + "?sig=x", "n": 45})})
    text = json.dumps(shaped)
    assert "sig=" not in text
    assert "downloadUrl" not in text
    assert text.count("45") == 1


def test_a_value_that_is_deeper_than_python_recurses_ends_no_run() -> None:
    assert "45" in json.dumps(shaping()({"any": nested(700, 45)}))


def test_levels_that_become_columns_end_at_the_deepest() -> None:
    shaped = shaping({})({"f": nested(DEEPEST + 1, "x")})
    for name in ["f", *["a"] * (DEEPEST - 1)]:
        shaped = shaped[name]
    assert shaped == {"a": '{"a": "x"}'}
