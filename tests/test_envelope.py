"""What one answer holds: rows, the way to the next page, or the error that it stands for."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import responses

from hyperstudy_source.api.envelope import LONGEST_MESSAGE, Page, read_page
from hyperstudy_source.errors import (
    ApiError,
    Forbidden,
    KeyRejected,
    NotFound,
    RateLimited,
    RequestRejected,
    ServerFailed,
)

PATH = "/data/events/experiment/exp_1"
URL = "https://api.hyperstudy.io/api/v3" + PATH
ERRORS: dict[str, tuple[int, str, type[ApiError]]] = {
    "invalid": (400, "INVALID_PARAMETER", RequestRejected), "validation": (400, "VALIDATION_ERROR", RequestRejected),
    "unauthorized": (401, "UNAUTHORIZED", KeyRejected), "authentication": (401, "AUTHENTICATION_ERROR", KeyRejected),
    "forbidden": (403, "FORBIDDEN", Forbidden), "not_found": (404, "NOT_FOUND", NotFound),
    "rate_limit": (429, "RATE_LIMIT_EXCEEDED", RateLimited), "internal": (500, "INTERNAL_SERVER_ERROR", ServerFailed),
}
PAGINATIONS: dict[str, tuple[Any, int, bool, int]] = {
    "more_and_next": ({"hasMore": True, "nextOffset": 12}, 2, False, 12),
    "more_without_next": ({"hasMore": True, "limit": 2}, 2, False, 12),
    "next_is_null": ({"hasMore": True, "nextOffset": None}, 2, False, 12),
    "next_as_text": ({"hasMore": True, "nextOffset": "12"}, 2, False, 12),
    "next_leads_back": ({"hasMore": True, "nextOffset": 5}, 2, False, 12),
    "next_stays": ({"hasMore": True, "nextOffset": 10}, 2, False, 12),
    "next_is_garbage": ({"hasMore": True, "nextOffset": "cursor_abc"}, 2, False, 12),
    "next_skips_what_was_filtered": ({"hasMore": True, "nextOffset": 20}, 2, False, 20),
    "no_more": ({"hasMore": False, "total": 2500}, 2, True, 12),
    "total_never_stops": ({"hasMore": True, "total": 2}, 2, False, 12),
    "empty_with_more": ({"hasMore": True, "nextOffset": 12}, 0, True, 12),
    "no_has_more_full_page": ({"limit": 2}, 2, False, 12), "no_has_more_short_page": ({"limit": 3}, 2, True, 12),
    "no_has_more_but_next": ({"limit": 3, "nextOffset": 12}, 2, False, 12),
    "has_more_null_and_next": ({"hasMore": None, "nextOffset": 12}, 2, False, 12),
    "no_limit_stated_full_page": ({"total": 9}, 4, False, 14),
    "no_limit_stated_short_page": ({"total": 2}, 2, True, 12),
    "limit_of_words": ({"limit": "all"}, 2, True, 12),
    "no_pagination": (None, 2, True, 12), "pagination_is_a_list": ([], 2, True, 12),
}
NOT_WHOLE: dict[str, bytes] = {
    "html": b"<html>502</html>", "empty": b"", "cut": b'{"status": "success", "data": [{"a"', "text": b'"maintenance"',
    "list": b"[]", "null": b"null", "deep": b"[" * 100_000, "not_utf8": b'{"data": ["\xff"]}',
    "rows_of_text": b'{"data": ["a"]}', "data_is_text": b'{"data": "a"}', "data_is_false": b'{"data": false}',
    "no_envelope": b'{"message": "The API is being maintained"}', "empty_object": b"{}",
}


def answer(body: bytes | dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Page:
    """What `read_page` makes of an answer that came over HTTP."""
    with responses.RequestsMock() as mocked:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        mocked.get(URL, body=sent, status=status, headers=headers)
        return read_page(requests.get(URL, timeout=1), PATH, {"limit": 4})


@pytest.mark.parametrize(("data", "rows"), [
    ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]), ({"a": 1}, [{"a": 1}]), ([], []), (None, []),
], ids=["list", "single_object", "empty", "null"])
def test_rows_are_a_list_whatever_the_api_sends(data: Any, rows: list[Any]) -> None:
    page = answer({"data": data, "metadata": {"dataType": "events"}})
    assert (page.rows, page.metadata) == (rows, {"dataType": "events"})


@pytest.mark.parametrize(("pagination", "count", "last", "following"), PAGINATIONS.values(), ids=PAGINATIONS)
def test_a_page_says_whether_and_where_it_goes_on(pagination: Any, count: int, last: bool, following: int) -> None:
    page = answer({"data": [{"n": n} for n in range(count)], "metadata": {"pagination": pagination}})
    assert page.last is last
    if count:
        assert page.next_offset(10) == following


@pytest.mark.parametrize("metadata", [None, [], "text", 45], ids=["null", "list", "text", "number"])
def test_metadata_of_another_shape_is_no_metadata(metadata: Any) -> None:
    page = answer({"data": [{"a": 1}], "metadata": metadata})
    assert (page.rows, page.metadata, page.last, page.warnings) == ([{"a": 1}], {}, True, [])


@pytest.mark.parametrize(("sent", "read"), [
    (["The query requires an index"], ["The query requires an index"]), ("one", ["one"]), ([], []), (None, []),
    ([{"code": 1}], ["{'code': 1}"]),
], ids=["list", "text", "empty", "null", "objects"])
def test_warnings_are_texts(sent: Any, read: list[str]) -> None:
    assert answer({"data": [], "metadata": {"_warnings": sent}}).warnings == read


@pytest.mark.parametrize("in_200", [False, True], ids=["by_status", "inside_a_200"])
@pytest.mark.parametrize(("status", "code", "kind"), ERRORS.values(), ids=ERRORS)
def test_an_error_has_the_class_status_and_code_of_its_kind(
    status: int, code: str, kind: type[ApiError], in_200: bool,
) -> None:
    with pytest.raises(ApiError, match="Nothing here") as raised:
        answer({"status": "error", "error": {"code": code, "message": "Nothing here"}}, 200 if in_200 else status)
    error = raised.value
    assert (type(error), error.path, error.status, error.code) == (kind, PATH, status, code)
    assert f"{PATH} answered {status} {code}" in str(error)


@pytest.mark.parametrize("content", NOT_WHOLE.values(), ids=NOT_WHOLE)
def test_an_answer_that_is_no_whole_envelope_is_the_servers_failure(content: bytes) -> None:
    with pytest.raises(ServerFailed, match=PATH):
        answer(content)


@pytest.mark.parametrize("content", [b"Unauthorized", b"", b"[]", b'{"error": "text"}', b'{"error": {"message": 45}}'],
                         ids=["words", "empty", "list", "text", "number"])
@pytest.mark.parametrize(("status", "kind"), [
    (400, RequestRejected), (401, KeyRejected), (403, Forbidden), (404, NotFound), (413, RequestRejected),
    (429, RateLimited), (500, ServerFailed), (502, ServerFailed), (504, ServerFailed),
])
def test_an_error_without_an_envelope_is_told_by_its_status(status: int, kind: type[ApiError], content: bytes) -> None:
    with pytest.raises(kind) as raised:
        answer(content, status)
    assert (raised.value.status, raised.value.code) == (status, None)


def test_a_403_says_which_permissions_are_needed() -> None:
    error = {"code": "FORBIDDEN", "message": "Insufficient scopes", "details": {"required": ["read:chat", "read:sync"]}}
    with pytest.raises(Forbidden) as raised:
        answer({"status": "error", "error": error}, 403)
    assert raised.value.required == ("read:chat", "read:sync")


@pytest.mark.parametrize("field", ["message", "code"])
def test_an_error_repeats_no_secret_of_the_apis_text(field: str) -> None:
    text = "The key hst_live_SeCrEtSeCrEt may not open https://h.org/v.mp4?X-Goog-Signature=SeCrEt here"
    with pytest.raises(Forbidden) as raised:
        answer({"error": {"code": "FORBIDDEN", field: text}}, 403)
    assert "SeCrEt" not in str(raised.value)


def test_an_error_repeats_only_the_beginning_of_a_long_text() -> None:
    with pytest.raises(ServerFailed) as raised:
        answer({"error": {"message": "x" * 100_000}}, 500)
    assert str(raised.value).count("x") <= LONGEST_MESSAGE + 5


@pytest.mark.parametrize(("header", "seconds"), [
    ("30", 30.0), ("0.5", 0.5), ("-5", 0.0), ("soon", None), ("", None), (None, None),
    ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
], ids=["seconds", "fraction", "negative", "words", "empty", "missing", "date_in_the_past"])
def test_retry_after_is_read_in_seconds(header: str | None, seconds: float | None) -> None:
    with pytest.raises(RateLimited) as raised:
        answer(b"", 429, {"Retry-After": header} if header is not None else None)
    assert raised.value.retry_after == seconds
