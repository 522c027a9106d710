"""Values that say nothing, say it in another way, or say that there is nothing: what becomes of them in a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
import pytest
from loaded import at, new_pipeline, quiet_place
from truth import query, sync

from hyperstudy_source import LoadReport
from hyperstudy_source.standin import StandIn, Study

NAMES = ("events", "questionnaire", "chat", "eyetracking")
GAZE = (float("nan"), float("inf"), "", None, 1.5, "NaN", -2)
ANSWERS: dict[str, Any] = {
    "none": [], "nothing": {}, "not_asked": None, "one": ["a"], "listed": [[], {}, "a"], "text": "[]"}
NOON = 1718452800
TIMES: dict[str, Any] = {
    "iso": "2024-06-15T12:00:00Z", "firestore": {"_seconds": NOON, "_nanoseconds": 0}, "s": NOON, "ms": NOON * 1000,
    "us": NOON * 10**6, "ns": str(NOON * 10**9), "words": "soon", "list": [1], "small": 12}
UNREADABLE = ("words", "list", "small")


class Odd:
    """A study of odd values, loaded in pages of two rows, and a second run of it."""

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        study = Study.empty("exp_1")
        study.add_room("room_1", experiment_id="exp_1", startTime=at(0))
        for number, gaze in enumerate(GAZE):
            study.add("eyetracking", {"timestamp": at(number), "gazeX": gaze, "eyes": {"left": gaze}, "only": "NaN"},
                      experiment_id="exp_1", room_id="room_1")
        for number, (name, answer) in enumerate(ANSWERS.items()):
            data = {"ticked": answer, "deep": {"ticked": answer}}
            study.add("events", {"id": name, "category": "questionnaire", "timestamp": at(number), "response": answer,
                                 "data": data, "metadata": answer}, experiment_id="exp_1", room_id="room_1")
        for name, time in TIMES.items():
            study.add("chat", {"messageId": name, "timestamp": time, "content": "hello", "recipientIds": []},
                      experiment_id="exp_1", room_id="room_1")
        with StandIn(study) as api:
            self.report: LoadReport = sync(pipeline, api, *NAMES, page_size=2)
            self.again = sync(pipeline, api, *NAMES, page_size=3, full=True)
        self.pipeline = pipeline

    def rows(self, sql: str) -> list[Any]:
        """What a query gives."""
        return query(self.pipeline, sql)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Odd]:
    with quiet_place(tmp_path_factory.mktemp("odd")) as folder:
        yield Odd(new_pipeline(folder))


def test_what_says_nothing_about_a_type_decides_none(odd: Odd) -> None:
    for column in ("gaze_x", "eyes__left"):
        assert odd.rows(f"SELECT {column}, {column}_text FROM eyetracking ORDER BY timestamp") == [
            (None, "NaN"), (None, "Infinity"), (None, ""), (None, None), (1.5, None), (None, "NaN"), (-2.0, None)]
    assert odd.rows("SELECT DISTINCT typeof(gaze_x), typeof(eyes__left) FROM eyetracking") == [("DOUBLE", "DOUBLE")]
    assert odd.rows("SELECT DISTINCT only_text FROM eyetracking") == [("NaN",)]


@pytest.mark.parametrize("table", ["events", "questionnaire"])
def test_who_ticked_nothing_differs_from_who_was_not_asked(odd: Odd, table: str) -> None:
    told = {name: (response, ticked, deep, metadata) for name, response, ticked, deep, metadata in odd.rows(
        f"SELECT id, response_text, data__ticked_text, data__deep__ticked_text, metadata_text FROM {table}")}
    assert told["none"] == ("[]",) * 4
    assert told["nothing"] == ("{}",) * 4
    assert told["not_asked"] == told["one"] == told["listed"] == (None,) * 4
    items = odd.rows(f"SELECT child.value, child.value_text FROM {table}__data__ticked AS child JOIN {table} AS parent "
                     f"ON child._dlt_parent_id = parent._dlt_id WHERE id = 'listed' ORDER BY child._dlt_list_idx")
    assert items == [(None, "[]"), (None, "{}"), ("a", None)]


def test_a_list_without_items_is_told_from_none_in_documented_fields_too(odd: Odd) -> None:
    assert odd.rows("SELECT DISTINCT recipient_ids_text FROM chat") == [("[]",)]


def test_times_are_read_in_every_spelling_that_cannot_be_mistaken(odd: Odd) -> None:
    found = dict(odd.rows("SELECT message_id, epoch(timestamp) FROM chat"))
    assert found == {name: None if name in UNREADABLE else NOON for name in TIMES}


def test_values_that_fit_no_column_are_counted_once_a_column(odd: Odd) -> None:
    for report in (odd.report, odd.again):
        assert [remark for remark in report.remarks if "chat." in remark] == [
            "3 values of chat.timestamp are no times; they are in timestamp_text."]
        assert not [remark for remark in report.remarks if "questionnaire" in remark]
    assert "1 value of eyetracking.gaze_x is no number; it is in gaze_x_text." in odd.report.remarks
    assert "4 values of eyetracking.gaze_x are no numbers; they are in gaze_x_text." in odd.again.remarks
    assert (odd.report.exit_status, odd.again.exit_status) == (0, 0)
