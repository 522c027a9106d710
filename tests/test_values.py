"""One JSON value in a column of one type: read if it can be, and never lost."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from hyperstudy_source.api.redaction import is_dropped
from hyperstudy_source.tables.values import as_text, clean_text, digest, free_scalar, read_scalar, read_time

NOON = datetime(2024, 6, 15, 12, 0, tzinfo=timezone.utc)
NOON_MS = 1718452800000
NAN, INFINITY = float("nan"), float("inf")
EXACT, BESIDE = True, False
"""Whether the column alone says what was sent."""

NUMBERS: dict[str, tuple[Any, Any, bool]] = {
    "whole": (45, 45.0, EXACT), "point_zero": (45.0, 45.0, EXACT), "fraction": (-0.5, -0.5, EXACT),
    "text": ("45", 45.0, BESIDE), "text_fraction": (" 4.5e1 ", 45.0, BESIDE), "word": ("Agree", None, BESIDE),
    "german": ("4,5", None, BESIDE), "empty": ("", None, BESIDE), "text_infinity": ("1e999", None, BESIDE),
    "text_nan": ("NaN", None, BESIDE), "true": (True, None, BESIDE), "list": ([45], None, BESIDE),
    "object": ({"a": 1}, None, BESIDE), "nan": (NAN, None, BESIDE), "infinity": (INFINITY, None, BESIDE),
    "ten_to_30": (10**30, 1e30, BESIDE), "ten_to_400": (10**400, None, BESIDE),
    "odd_2_to_53": (2**53 + 1, 2.0**53, BESIDE),
}
COUNTS: dict[str, tuple[Any, Any, bool]] = {
    "whole": (45, 45, EXACT), "point_zero": (45.0, 45, EXACT), "largest": (2**63 - 1, 2**63 - 1, EXACT),
    "text": ("45", 45, BESIDE), "text_fraction": ("4.5", None, BESIDE), "fraction": (4.5, None, BESIDE),
    "true": (True, None, BESIDE), "list": ([45], None, BESIDE), "object": ({}, None, BESIDE),
    "nan": (NAN, None, BESIDE),
    "infinity": (INFINITY, None, BESIDE), "too_large": (2**63, None, BESIDE), "ten_to_30": (10**30, None, BESIDE),
    "float_ten_to_30": (1e30, None, BESIDE), "text_ten_to_30": (str(10**30), None, BESIDE),
}
FLAGS: dict[str, tuple[Any, Any, bool]] = {
    "true": (True, True, EXACT), "false": (False, False, EXACT), "text": ("true", True, BESIDE),
    "upper_case": ("FALSE", False, BESIDE), "one": (1, None, BESIDE), "zero": (0, None, BESIDE),
    "yes": ("yes", None, BESIDE), "list": ([True], None, BESIDE), "object": ({"a": True}, None, BESIDE),
}
TIMES: dict[str, tuple[Any, Any, bool]] = {
    "ms_and_z": ("2024-06-15T12:00:00.000Z", NOON, EXACT), "z": ("2024-06-15T12:00:00Z", NOON, EXACT),
    "offset": ("2024-06-15T14:30:00+02:30", NOON, EXACT),
    "offset_without_colon": ("2024-06-15T10:00:00-0200", NOON, EXACT),
    "no_zone_is_utc": ("2024-06-15T12:00:00", NOON, EXACT), "space": ("2024-06-15 12:00:00", NOON, EXACT),
    "minutes": ("2024-06-15T12:00Z", NOON, EXACT),
    "us": ("2024-06-15T12:00:00.123456Z", NOON.replace(microsecond=123456), EXACT),
    "one_digit": ("2024-06-15T12:00:00.5Z", NOON.replace(microsecond=500000), EXACT),
    "ns_of_zeros": ("2024-06-15T12:00:00.123456000Z", NOON.replace(microsecond=123456), EXACT),
    "ns": ("2024-06-15T12:00:00.123456789Z", NOON.replace(microsecond=123456), BESIDE),
    "date": ("2024-06-15", NOON.replace(hour=0), BESIDE), "epoch_ms": (NOON_MS, NOON, BESIDE),
    "epoch_ms_float": (NOON_MS + 0.5, NOON.replace(microsecond=500), BESIDE),
    "epoch_s": (NOON_MS // 1000, NOON, BESIDE), "epoch_us": (NOON_MS * 1000, NOON, BESIDE),
    "epoch_ns": (NOON_MS * 10**6, NOON, BESIDE), "epoch_ms_text": (str(NOON_MS), NOON, BESIDE),
    "epoch_s_text": (f" {NOON_MS // 1000}.5", NOON.replace(microsecond=500_000), BESIDE),
    "firestore": (
        {"_seconds": NOON_MS // 1000, "_nanoseconds": 250_000_000}, NOON.replace(microsecond=250_000), BESIDE),
    "firestore_s": ({"seconds": str(NOON_MS // 1000), "nanos": 0}, NOON, BESIDE),
    "firestore_more": ({"_seconds": NOON_MS // 1000, "_nanoseconds": 0, "zone": "x"}, None, BESIDE),
    "small_number": (1718, None, BESIDE), "number_between": (5 * 10**10, None, BESIDE),
    "words": ("yesterday", None, BESIDE), "empty": ("", None, BESIDE),
    "in_a_sentence": ("at 2024-06-15T12:00:00Z", None, BESIDE), "true": (True, None, BESIDE),
    "nan": (NAN, None, BESIDE),
    "ten_to_30": (10**30, None, BESIDE), "list": (["2024-06-15"], None, BESIDE),
    "object": ({"_seconds": 1}, None, BESIDE),
    "no_such_day": ("2024-02-30T12:00:00Z", None, BESIDE), "no_such_month": ("2024-13-01T12:00:00Z", None, BESIDE),
    "no_such_hour": ("2024-06-15T25:00:00Z", None, BESIDE), "leap_second": ("2016-12-31T23:59:60Z", None, BESIDE),
    "no_such_offset": ("2024-06-15T12:00:00+25:00", None, BESIDE), "year_0": ("0000-01-01T00:00:00Z", None, BESIDE),
    "before_year_1": ("0001-01-01T00:00:00+02:00", None, BESIDE),
    "after_year_9999": ("9999-12-31T23:59:59-02:00", None, BESIDE),
}
TEXTS: dict[str, tuple[Any, str]] = {
    "text": ("Agree", "Agree"), "empty": ("", ""), "time_stays_text": ("2024-06-15T12:00:00Z",) * 2,
    "number_in_text": ("045.0",) * 2, "whole": (45, "45"), "point_zero": (45.0, "45"), "fraction": (4.5, "4.5"),
    "true": (True, "true"), "list": ([1, "ä"], '[1, "ä"]'), "object": ({"a": None}, '{"a": null}'), "nan": (NAN, "NaN"),
    "ten_to_30": (10**30, "1" + "0" * 30), "download_url": ({"downloadUrl": "x", "a": 1}, '{"a": 1}'),
}
CASES = [
    pytest.param(data_type, *case, id=f"{data_type}-{name}")
    for data_type, cases in {"double": NUMBERS, "bigint": COUNTS, "bool": FLAGS, "timestamp": TIMES}.items()
    for name, case in cases.items()
]


@pytest.mark.parametrize(("data_type", "sent", "read", "exact"), CASES)
def test_a_value_is_read_as_its_column_holds_it(data_type: Any, sent: Any, read: Any, exact: bool) -> None:
    assert read_scalar(data_type, sent) == (read, exact)
    assert type(read_scalar(data_type, sent)[0]) is type(read)


@pytest.mark.parametrize(("sent", "text"), TEXTS.values(), ids=TEXTS)
def test_a_text_column_holds_any_value(sent: Any, text: str) -> None:
    assert read_scalar("text", sent) == (text, True)


@pytest.mark.parametrize(("sent", "placed"), [
    (45, ("double", 45.0)), (45.0, ("double", 45.0)), ("45", ("text", "45")), (True, ("bool", True)),
    ("2024-06-15T12:00:00Z", ("text", "2024-06-15T12:00:00Z")), (10**30, ("text", "1" + "0" * 30)),
    (NAN, ("text", "NaN")),
    ({"a": [1]}, ("text", '{"a": [1]}')),
], ids=["whole", "point_zero", "number_in_text", "true", "time", "ten_to_30", "nan", "object"])
def test_a_scalar_that_no_documentation_describes_is_never_guessed_at(sent: Any, placed: tuple[str, Any]) -> None:
    assert free_scalar(sent) == placed


@pytest.mark.parametrize(("sent", "kept"), [
    ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
    ("\udfff", "\N{REPLACEMENT CHARACTER}"),
    ("\ud83d\ude00", "\N{GRINNING FACE}"),
    ("\ufeffa", "\ufeffa"),
    ("größe 数 \N{GRINNING FACE}", "größe 数 \N{GRINNING FACE}"),
    ("a\uf026b", "a\uf026b"),
], ids=["half", "other_half", "two_halves", "byte_order_mark", "beyond_ascii", "mark_inside"])
def test_half_characters_are_replaced_and_nothing_else(sent: str, kept: str) -> None:
    assert clean_text(sent) == kept


@pytest.mark.parametrize("mark", [chr(number) for number in range(0xF026, 0xF030)], ids=ascii)
def test_a_text_does_not_start_with_a_mark_that_dlt_reads_as_a_type(mark: str) -> None:
    assert clean_text(mark + "45") == "\N{ZERO WIDTH SPACE}" + mark + "45"


@pytest.mark.parametrize("levels", [1, 200])
def test_a_deep_value_becomes_json_text(levels: int) -> None:
    value: Any = 45
    for _ in range(levels):
        value = [{"a": value}]
    assert json.loads(as_text(value)) == value


@pytest.mark.parametrize(("name", "dropped"), [
    ("downloadUrl", True), ("downloadURL", True), ("download_url", True), ("DownloadUrl", True),
    ("downloadPath", False), ("url", False), ("downloadUrls", False), ("", False),
])
def test_only_fields_that_hold_a_signed_link_are_dropped(name: str, dropped: bool) -> None:
    assert is_dropped(name) is dropped


def test_a_time_is_read_as_the_columns_of_times_read_it() -> None:
    values = ("2024-06-15T14:00:00+02:00", NOON_MS, "soon", None)
    assert [read_time(value) for value in values] == [NOON, NOON, None, None]


SAME: dict[str, tuple[Any, Any]] = {
    "number": ({"a": 45}, {"a": 45.0}), "nested_number": ({"a": [{"b": 45}]}, {"a": [{"b": 45.0}]}),
    "null": ({"a": 1, "b": None}, {"a": 1}), "nested_null": ({"a": {"b": None}}, {"a": {}}),
    "order": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "download_url": ({"a": {"downloadUrl": "x"}}, {"a": {"downloadUrl": "y"}}),
    "signature": ({"a": "https://h/v?sig=1"}, {"a": "https://h/v?sig=2"}), "zero": ({"a": 0}, {"a": -0.0}),
}
DIFFERENT: dict[str, tuple[Any, Any]] = {
    "value": ({"a": 45}, {"a": 46}), "number_and_text": ({"a": 45}, {"a": "45"}),
    "true_and_one": ({"a": True}, {"a": 1}),
    "false_and_null": ({"a": False}, {"a": None}), "name": ({"a": 1}, {"b": 1}),
    "room": ({"roomId": "r"}, {"roomId": "s"}),
    "list_order": ({"a": [1, 2]}, {"a": [2, 1]}), "null_in_list": ({"a": [None, 1]}, {"a": [1]}),
    "nesting": ({"a": {"b": 1}}, {"a.b": 1}), "large": ({"a": 2**53}, {"a": 2**53 + 1}), "empty": ({"a": ""}, {}),
    "unsigned_query": ({"a": "https://h/v?t=1"}, {"a": "https://h/v?t=2"}), "half": ({"a": "\ud800"}, {"a": "\udfff"}),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_the_digest_is_the_same_for_the_same_row(one: Any, other: Any) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_the_digest_tells_different_rows_apart(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


def test_a_digest_of_some_fields_does_not_see_the_others() -> None:
    row = {"stateId": "s", "completed": False, "participantId": 45}
    same = {"participantId": 45.0, "stateId": "s"}
    assert digest(row, ("stateId", "participantId")) == digest(same, ("participantId", "stateId"))
    assert digest(row, ("stateId",)) != digest(row, ("participantId",))
    assert len(digest(row)) == 32
