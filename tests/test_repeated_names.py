"""An object of the API that has one name twice: every value is in the tables, and the run says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest
import requests
import responses
from loaded import Loaded, add, at, small_study

from hyperstudy_source import load
from hyperstudy_source.api.envelope import Page, read_page
from hyperstudy_source.api.json_objects import Repeats
from hyperstudy_source.load import LoadReport
from hyperstudy_source.standin import Behaviour, Fault, StandIn

URL = "https://api.hyperstudy.io/api/v3/data/events/experiment/exp_1"
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "two": ('{"value": 1, "value": 2}', {"value": 2, "value#2": 1}),
    "three": ('{"value": 1, "value": 2, "value": 3}', {"value": 3, "value#2": 1, "value#3": 2}),
    "equal": ('{"value": [1, {"a": 2}], "value": [1, {"a": 2}]}', {"value": [1, {"a": 2}]}),
    "earlier_ones_equal": ('{"value": 1, "value": 1, "value": 2}', {"value": 2, "value#2": 1}),
    "other_type": ('{"value": 1, "value": "1"}', {"value": "1", "value#2": 1}),
    "truth": ('{"value": true, "value": 1}', {"value": 1, "value#2": True}),
    "null": ('{"value": "said", "value": null}', {"value": None, "value#2": "said"}),
    "taken": ('{"value#2": 0, "value": 1, "value": 2}', {"value#2": 0, "value": 2, "value#3": 1}),
    "taken_later": ('{"value": 1, "value": 2, "value#2": 0}', {"value": 2, "value#3": 1, "value#2": 0}),
    "inside": ('{"data": {"a": 1, "a": 2}}', {"data": {"a": 2, "a#2": 1}}),
    "signed_links": ('{"downloadUrl": "https://h/1?sig=x", "downloadUrl": "https://h/2?sig=y"}',
                     {"downloadUrl": "https://h/2?sig=y"}),
    "none": ('{"value": 1, "Value": 2}', {"value": 1, "Value": 2}),
}


@pytest.mark.parametrize(("text", "kept"), TEXTS.values(), ids=TEXTS)
def test_the_last_value_keeps_the_name_and_every_other_one_stays(text: str, kept: dict[str, Any]) -> None:
    read = Repeats().read(text.encode())
    assert {name: (type(value), value) for name, value in read.items()} == {
        name: (type(value), value) for name, value in kept.items()}


def page_of(body: str) -> Page:
    with responses.RequestsMock() as mocked:
        mocked.get(URL, body=body, content_type="application/json")
        return read_page(requests.get(URL, timeout=1), "/data/events/experiment/exp_1", {})


def test_an_envelope_with_names_twice_is_read_and_two_lists_of_rows_are_a_doubt() -> None:
    twice = '"metadata": {"a": 1}, "metadata": {"pagination": {"total": 1, "total": 2, "hasMore": true}}'
    page = page_of(f'{{"status": "x", "status": "success", {twice}, "data": [{{"id": "e1"}}]}}')
    assert (page.rows, page.total, page.last, page.warnings, list(page.repeats)) == ([{"id": "e1"}], 2, False, [], [])
    page = page_of('{"data": [{"id": "e1"}], "data": [{"id": "e2"}]}')
    assert (page.rows, len(page.warnings)) == ([{"id": "e2"}], 1)
    assert page_of('{"data": [], "data": []}').warnings == []


@pytest.fixture
def loaded(serve: Callable[..., StandIn], pipeline: dlt.Pipeline) -> tuple[LoadReport, Loaded]:
    """Rows with a name twice, loaded once; `value#2` stands before `value` and is sent under the same name."""
    study = small_study("exp_1")
    for number in (1, 2, 3):
        add(study, "events", {"id": f"e{number}", "timestamp": at(number), "value#2": number, "value": "last"})
    add(study, "events", {"id": "e4", "timestamp": at(4), "value": "only"})
    add(study, "ratings_sparse", {
        "ratingId": "r1", "timestamp": at(1), "sparseRatingData": {"previousRatings": {"Joy#2": 1, "Joy": 2}}})
    add(study, "sync", {"timestamp": at(1), "participantId": "p1", "latency#2": 5, "latency": 6})
    add(study, "participants", {"id": "Jane_Doe", "roomId": "room_1", "status#2": "left", "status": "done"})
    study.experiments[0].update({"title#2": "first", "title": "second"})
    add(study, "chat", {"messageId": "Jane_Doe_1", "senderId": "Jane_Doe", "timestamp": at(1), "content#2": "Hi",
                        "content": "Ho"})
    api = serve(study, Behaviour(faults=[Fault("", "same_names", None)]))
    names = ["experiments", "participants", "events", "ratings_sparse", "sync", "chat"]
    return load(pipeline, names, api_key=api.api_key, base_url=api.base_url), Loaded(pipeline)


def test_every_value_is_in_the_tables_and_a_remark_says_where(loaded: tuple[LoadReport, Loaded]) -> None:
    report, tables = loaded
    assert report.exit_status == 0, str(report)
    events = sorted((row["id"], row["value_text"], row.get("value_2")) for row in tables["events"])
    assert events == [("e1", "last", 1), ("e2", "last", 2), ("e3", "last", 3), ("e4", "only", None)]
    joy = tables["ratings_sparse__sparse_rating_data__previous_ratings"]
    assert sorted((row["key"], row["value"]) for row in joy) == [("Joy", 2), ("Joy#2", 1)]
    assert [(row["latency"], row["latency_2"]) for row in tables["sync"]] == [(6, 5)]
    assert [(row["title"], row["title_2"]) for row in tables["experiments"]] == [("second", "first")]
    assert [(row["content"], row["content_2"]) for row in tables["chat"]] == [("Ho", "Hi")]
    remarks = sorted(each for each in report.remarks if "twice" in each)
    assert remarks == [
        "chat: a row has the field content twice; the earlier value is in content_2.",
        "events: row e1 has the field value twice; the earlier value is in value_2. So it is in 2 other rows.",
        "experiments: row exp_1 has the field title twice; the earlier value is in title_2.",
        "participants: a row has the field status twice; the earlier value is in status_2.",
        "ratings_sparse: row r1 has a name twice within the field sparseRatingData; the name of the earlier value has "
        "a number behind it.",
        "sync: a row has the field latency twice; the earlier value is in latency_2.",
    ]
