"""One request at a time over a real socket: who is told the key, what is tried again, and how long."""

from __future__ import annotations

import itertools
import math
import socket
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses
from truth import FakeTime

from hyperstudy_source.api.client import ATTEMPTS, LONGEST_BACKOFF, MAX_REDIRECTS, RATE_LIMIT_PATIENCE, Client
from hyperstudy_source.errors import (
    ApiError,
    Forbidden,
    KeyRejected,
    NotFound,
    RateLimited,
    RequestRejected,
    ServerFailed,
    SettingError,
    Unreachable,
)
from hyperstudy_source.standin import DEMO_KEY, Behaviour, Fault, StandIn, Study

EXPERIMENT = "exp_1"
EVENTS = f"/data/events/experiment/{EXPERIMENT}"
SPARSE, CONTINUOUS = (f"/data/ratings/{kind}/experiment/{EXPERIMENT}" for kind in ("sparse", "continuous"))
MOCKED = "https://api.hyperstudy.io/api/v3"
FAULTS: dict[str, tuple[dict[str, Any], type[ApiError]]] = {
    "500": ({"kind": "server_error", "status": 500}, ServerFailed),
    "503": ({"kind": "server_error", "status": 503}, ServerFailed),
    "html_502": ({"kind": "html"}, ServerFailed), "html_200": ({"kind": "html_200"}, ServerFailed),
    "bad_json": ({"kind": "bad_json"}, ServerFailed), "error_in_200": ({"kind": "error_in_200"}, ServerFailed),
    "cut_body": ({"kind": "cut"}, Unreachable), "reset": ({"kind": "reset"}, Unreachable),
}


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(1000.0)


@pytest.fixture
def study() -> Study:
    """Seven events of one experiment."""
    study = Study.empty(EXPERIMENT)
    for n in range(7):
        row = {"id": f"e{n}", "timestamp": f"2024-06-15T12:00:0{n}.000Z", "onset": n}
        study.add("events", row, experiment_id=EXPERIMENT, room_id="room_1")
    return study


@pytest.fixture
def ask(api: StandIn, time: FakeTime) -> Client:
    """A client of the stand-in that does not wait."""
    return Client(DEMO_KEY, api.base_url, clock=time.clock, sleep=time.sleep)


def mocked_client(time: FakeTime) -> Client:
    return Client(DEMO_KEY, MOCKED, clock=time.clock, sleep=time.sleep)


def ids(client: Client, path: str = EVENTS, limit: int | None = 2, **params: Any) -> list[str]:
    return [row["id"] for page in client.pages(path, params, limit=limit) for row in page.rows]


ALL = [f"e{n}" for n in range(7)]


@pytest.mark.parametrize("organization", [None, "org_1"])
def test_the_key_and_the_organisation_go_along_as_headers(api: StandIn, organization: str | None) -> None:
    Client(DEMO_KEY, api.base_url + "/", organization).get("/experiments")
    headers = api.requests[0].headers
    assert headers["x-api-key"] == DEMO_KEY
    assert headers.get("x-organization-id") == organization


@pytest.mark.parametrize("organization", ["org_\N{HORIZONTAL ELLIPSIS}", "org_1\r\nX-Other: 1"],
                         ids=["masked", "two_lines"])
def test_an_organisation_that_fits_in_no_header_is_a_wrong_setting(organization: str, api: StandIn) -> None:
    with pytest.raises(SettingError, match="organization_id"):
        Client(DEMO_KEY, api.base_url, organization, sleep=lambda _: None).get("/experiments")
    assert api.requests == []


def test_the_key_comes_from_the_environment(api: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERSTUDY_API_KEY", f" {DEMO_KEY}\n")
    monkeypatch.setenv("HYPERSTUDY_BASE_URL", api.base_url + "/")
    assert [row["id"] for row in Client(None).get("/experiments").rows] == [EXPERIMENT]


def test_no_text_of_a_client_holds_the_key(ask: Client) -> None:
    assert DEMO_KEY not in repr(ask) + str(ask)
    assert DEMO_KEY[9:] not in repr(ask)


@responses.activate
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_an_error_does_not_repeat_the_key_that_the_api_repeats(status: int, time: FakeTime) -> None:
    error = {"code": "SOME", "message": f"No access with {DEMO_KEY} (key={DEMO_KEY})"}
    responses.get(MOCKED + "/experiments", json={"status": "error", "error": error}, status=status)
    with pytest.raises(ApiError, match="No access") as raised:
        mocked_client(time).get("/experiments")
    assert DEMO_KEY[9:] not in repr(raised.value) + str(raised.value)


@responses.activate
@pytest.mark.parametrize("in_200", [False, True], ids=["by_status", "inside_a_200"])
@pytest.mark.parametrize(("status", "code", "kind"), [
    (400, "VALIDATION_ERROR", RequestRejected), (401, "UNAUTHORIZED", KeyRejected),
    (403, "FORBIDDEN", Forbidden), (404, "NOT_FOUND", NotFound),
], ids=["400", "401", "403", "404"])
def test_what_asking_again_does_not_mend_is_one_request(
    status: int, code: str, kind: type[ApiError], in_200: bool, time: FakeTime,
) -> None:
    body = {"status": "error", "error": {"code": code, "message": "No"}}
    responses.get(MOCKED + "/experiments", json=body, status=200 if in_200 else status)
    with pytest.raises(kind):
        mocked_client(time).get("/experiments")
    assert (len(responses.calls), time.slept) == (1, [])


@pytest.mark.parametrize(("fault", "kind"), FAULTS.values(), ids=FAULTS)
def test_a_failing_server_is_asked_again_with_growing_waits_and_then_given_up(
    fault: dict[str, Any], kind: type[ApiError], api: StandIn, ask: Client, time: FakeTime,
) -> None:
    api.behaviour.faults = [Fault(EVENTS, times=None, **fault)]
    with pytest.raises(kind, match=EVENTS):
        ask.get(EVENTS)
    assert ask.request_count == len(api.requests) == ATTEMPTS
    assert len(time.slept) == ATTEMPTS - 1
    assert all(0 < one < other <= LONGEST_BACKOFF for one, other in itertools.pairwise(time.slept))


@pytest.mark.parametrize(("fault", "kind"), FAULTS.values(), ids=FAULTS)
def test_two_failures_and_a_success_are_a_success(
    fault: dict[str, Any], kind: type[ApiError], api: StandIn, ask: Client,
) -> None:
    api.behaviour.faults = [Fault(EVENTS, times=2, **fault)]
    assert len(ask.get(EVENTS).rows) == 7, kind
    assert ask.request_count == 3


@pytest.mark.parametrize(("header", "seconds"), [("1", 1), ("30", 30), ("900", 900)])
def test_a_429_is_obeyed_to_the_second(header: str, seconds: float, api: StandIn, ask: Client, time: FakeTime) -> None:
    api.behaviour.faults = [Fault("/data", "rate_limit", times=2, retry_after=header)]
    assert len(ask.get(EVENTS).rows) == 7
    assert sum(time.slept) == 2 * seconds
    assert max(time.slept) <= 60


def test_a_429_may_name_a_date(api: StandIn, ask: Client, time: FakeTime) -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=600), usegmt=True)
    api.behaviour.faults = [Fault("/data", "rate_limit", retry_after=date)]
    ask.get(EVENTS)
    assert math.isclose(sum(time.slept), 600, abs_tol=30)


@pytest.mark.parametrize("header", [None, "soon", "0", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"],
                         ids=["missing", "words", "zero", "negative", "past_date"])
def test_a_429_that_asks_for_no_wait_is_not_hammered(
    header: str | None, api: StandIn, ask: Client, time: FakeTime
) -> None:
    api.behaviour.faults = [Fault("/data", "rate_limit", times=4, retry_after=header)]
    ask.get(EVENTS)
    assert [seconds for seconds in time.slept if not 0 < seconds <= LONGEST_BACKOFF] == []


@pytest.mark.parametrize("header", [None, "60", "3600"])
def test_a_429_without_end_is_given_up_when_the_patience_is_over(
    header: str | None, api: StandIn, ask: Client, time: FakeTime,
) -> None:
    api.behaviour.faults = [Fault("/data", "rate_limit", times=None, retry_after=header)]
    with pytest.raises(RateLimited):
        ask.get(EVENTS)
    assert RATE_LIMIT_PATIENCE <= sum(time.slept) <= RATE_LIMIT_PATIENCE + 3600


def test_waiting_for_the_rate_limit_uses_up_no_attempt(api: StandIn, ask: Client) -> None:
    api.behaviour.faults = [Fault("/data", "rate_limit", times=100, retry_after="1"), Fault("/data", "html", times=2)]
    assert len(ask.get(EVENTS).rows) == 7
    assert ask.request_count == 103


def test_a_port_where_nobody_listens_is_unreachable_with_advice(time: FakeTime) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    nobody = Client(DEMO_KEY, f"http://127.0.0.1:{port}", clock=time.clock, sleep=time.sleep)
    with pytest.raises(Unreachable, match="base_url") as raised:
        nobody.get(EVENTS, {"roomId": "SeCrEt"})
    assert nobody.request_count == ATTEMPTS
    assert f"http://127.0.0.1:{port}" in str(raised.value)
    assert "SeCrEt" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_redirect_to_the_same_host_keeps_the_query(api: StandIn, ask: Client) -> None:
    moved = api.base_url + EVENTS
    api.behaviour.faults = [Fault("/data/old", "redirect", times=None, location=moved)]
    assert ids(ask, "/data/old", limit=3) == ALL
    assert [r.params for r in api.seen(EVENTS)] == [{"limit": "3", "offset": o} for o in ("0", "3", "6")]
    assert ask.request_count == len(api.requests) == 6


@pytest.mark.parametrize("location", [
    "{other}", "{other_as_localhost}", "//elsewhere.invalid/x", "http://127.0.0.1:port/x",
], ids=["other_port", "other_name", "other_host", "broken"])
def test_a_redirect_to_another_host_is_refused_and_tells_it_nothing(
    location: str, api: StandIn, serve: Callable[..., StandIn], ask: Client, study: Study,
) -> None:
    other = serve(study)
    target = location.format(other=other.base_url, other_as_localhost=api.base_url.replace("127.0.0.1", "localhost"))
    api.behaviour.faults = [Fault("/data", "redirect", times=None, location=target)]
    with pytest.raises(RequestRejected, match="redirects"):
        ask.get(EVENTS)
    assert other.requests == []
    assert ask.request_count == len(api.requests) == 1


def test_a_redirect_in_a_circle_ends(api: StandIn, ask: Client) -> None:
    api.behaviour.faults = [Fault("/data", "redirect", times=None, location=api.base_url + EVENTS)]
    with pytest.raises(RequestRejected, match="circle"):
        ask.get(EVENTS)
    assert ask.request_count == MAX_REDIRECTS


PAGING: dict[str, tuple[dict[str, Any], int]] = {
    "documented": ({}, 4), "clamped": ({"max_limit": 1}, 7), "no_next_offset": ({"next_offset": False}, 4),
    "clamped_without_next_offset": ({"max_limit": 1, "next_offset": False}, 7),
    "unfiltered_total": ({"total": "unfiltered"}, 4),
    "moving_total": ({"total": "moving"}, 4), "no_pagination_whole": ({"whole_answers": True, "pagination": False}, 1),
    "whole_answer": ({"whole_answers": True}, 1), "limit_too_large": ({"reject_limit_above": 1}, 8),
    "no_limit_taken": ({"reject_limit": {"/data/events"}}, 2), "single_as_object": ({"single_as_object": True}, 4),
    "sort_ignored": ({"sort": "ignored"}, 4),
}


@pytest.mark.parametrize(("behaviour", "requests"), PAGING.values(), ids=PAGING)
def test_all_rows_are_read_once_however_the_api_pages(
    behaviour: dict[str, Any], requests: int, study: Study, serve: Callable[..., StandIn], time: FakeTime,
) -> None:
    api = serve(study, Behaviour(**behaviour))
    client = Client(DEMO_KEY, api.base_url, sleep=time.sleep)
    assert ids(client) == ALL
    assert (client.request_count, time.slept) == (requests, [])


def queries() -> list[dict[str, str]]:
    """The parameters of every request that `responses` has answered."""
    return [dict(parse_qsl(urlsplit(str(call.request.url)).query)) for call in responses.calls]


def served(*pages: tuple[int, dict[str, Any]]) -> None:
    for count, pagination in pages:
        body = {"status": "success", "data": [{"id": n} for n in range(count)], "metadata": {"pagination": pagination}}
        responses.get(MOCKED + EVENTS, json=body)


@responses.activate
@pytest.mark.parametrize(("pages", "offsets"), [
    ([(2, {"limit": 2}), (1, {"limit": 2})], ["0", "2"]),
    ([(2, {}), (1, {"nextOffset": None})], ["0", "2"]),
    ([(2, {"hasMore": True, "nextOffset": 5}), (0, {"hasMore": True})], ["0", "5"]),
    ([(0, {"hasMore": True, "total": 9})], ["0"]),
], ids=["no_has_more", "empty_pagination", "next_offset_leads", "empty_page"])
def test_pages_end_where_nothing_follows(pages: Any, offsets: list[str], time: FakeTime) -> None:
    served(*pages)
    list(mocked_client(time).pages(EVENTS, limit=2))
    assert [query["offset"] for query in queries()] == offsets


@responses.activate
@pytest.mark.parametrize("signed_anew", [False, True], ids=["same_rows", "links_signed_anew"])
def test_a_server_that_ignores_offset_is_told_apart(signed_anew: bool, time: FakeTime) -> None:
    for n in range(30):
        row = {"recordingId": "r", **({"downloadUrl": f"https://h.org/v?X-Goog-Signature={n}"} if signed_anew else {})}
        responses.get(MOCKED + EVENTS, json={"data": [row], "metadata": {"pagination": {"hasMore": True, "offset": 0}}})
    with pytest.raises(RequestRejected, match="same rows"):
        list(itertools.islice(mocked_client(time).pages(EVENTS, limit=1), 29))


@responses.activate
def test_identical_rows_without_a_key_may_fill_two_pages(time: FakeTime) -> None:
    for offset in range(3):
        pagination = {"hasMore": offset < 2, "offset": offset}
        responses.get(MOCKED + EVENTS, json={"data": [{"pupil": 3.5}], "metadata": {"pagination": pagination}})
    assert len(list(mocked_client(time).pages(EVENTS, limit=1))) == 3


REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "limit": ({"reject_limit": {"/data/events", "/data/ratings/continuous"}}, {"limit": 2}),
    "time_filter": ({"start_time": {"events": "rejected", "ratings_continuous": "rejected"}},
                    {"startTime": "2020-01-01T00:00:00Z"}),
}


@pytest.mark.parametrize(("behaviour", "params"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize(("path", "other"), [(EVENTS, "/data/chat/experiment/exp_1"), (CONTINUOUS, SPARSE)],
                         ids=["events_not_chat", "continuous_not_sparse"])
def test_a_parameter_that_an_endpoint_refuses_is_left_out_there_and_nowhere_else(
    behaviour: dict[str, Any], params: dict[str, Any], path: str, other: str,
    study: Study, serve: Callable[..., StandIn],
) -> None:
    client = Client(DEMO_KEY, serve(study, Behaviour(**behaviour)).base_url)
    for _ in range(3):
        assert not set(params) & set(client.get(path, {**params, "deploymentId": None}).params)
    assert client.request_count == 4
    assert client.get(other, params).params == params


def test_an_order_that_is_refused_is_left_out_whole(api: StandIn, ask: Client) -> None:
    api.behaviour.sort = "rejected"
    assert ids(ask, sort="timestamp", order="asc") == ALL
    sent = [set(request.params) for request in api.requests[:2]]
    assert sent == [{"limit", "offset", "order", "sort"}, {"limit", "offset"}]
    assert ask.request_count == 5


@responses.activate
def test_a_400_that_persists_is_raised_and_nothing_is_remembered(time: FakeTime) -> None:
    body = {"status": "error", "error": {"code": "VALIDATION_ERROR", "message": "roomId is required"}}
    responses.get(MOCKED + EVENTS, json=body, status=400)
    client = mocked_client(time)
    for _ in range(2):
        with pytest.raises(RequestRejected, match="roomId is required"):
            client.get(EVENTS, {"limit": 2, "sort": "timestamp", "order": "asc", "startTime": "2020-01-01T00:00:00Z"})
    sent = [set(query) for query in queries()]
    assert sent[:4] == sent[4:] == [
        {"limit", "order", "sort", "startTime"}, {"order", "sort", "startTime"}, {"startTime"}, set()]
    assert time.slept == []
