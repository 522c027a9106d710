"""The envelope of every answer, `{"status", "metadata", "data"}`: a page of rows, or a typed error.

What surprises: an error may come with status 200, a page may be shorter than asked for, `nextOffset` may be missing
although there is more, a single object may stand in place of a list, and one name may stand twice in an object.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import requests

from hyperstudy_source.api.interception import base_of, intercepted, is_foreign, kind_of
from hyperstudy_source.api.json_objects import JsonObject, Repeat, Repeats
from hyperstudy_source.api.redaction import without_secrets, without_signed_links
from hyperstudy_source.errors import (
    ApiError,
    Forbidden,
    Intercepted,
    KeyRejected,
    NotFound,
    RateLimited,
    RequestRejected,
    ServerFailed,
)

DEFAULT_PAGE = 1000
"""Rows of a page where no `limit` is given (documented); where a larger one is, as many may be all that come."""
LONGEST_CODE = 60
LONGEST_MESSAGE = 300
"""Characters of the API's own text that an error repeats."""

_STATUS_OF_CODE = {
    "INVALID_PARAMETER": 400, "VALIDATION_ERROR": 400, "UNAUTHORIZED": 401, "AUTHENTICATION_ERROR": 401,
    "FORBIDDEN": 403, "NOT_FOUND": 404, "RATE_LIMIT_EXCEEDED": 429,
}
"""What an error envelope means where the HTTP status does not say it."""


@dataclass(frozen=True)
class Page:
    """One answer: its rows as the API sent them, and the envelope's metadata."""

    rows: list[JsonObject]
    metadata: Mapping[str, Any]
    params: Mapping[str, Any]
    """The parameters that the API accepted: a time filter that it refused is not among them."""
    repeats: Sequence[tuple[JsonObject, Repeat]] = ()
    """Rows in which an object has a name twice with different values."""
    torn: bool = False
    """Whether the answer has `data` twice, of which only the last is read."""
    size: int = 0
    """Bytes of the answer."""

    @property
    def warnings(self) -> list[str]:
        """`_warnings`, or `data` that came twice: with one, rows may be missing from the answer."""
        twice = ["the answer has data twice, and the last one was read"] if self.torn else []
        return [*(str(text) for text in _list(self.metadata.get("_warnings"))), *twice]

    @property
    def offset(self) -> int | None:
        """Where the page starts, if the API says so."""
        return _count(_object(self.metadata.get("pagination")).get("offset"))

    @property
    def total(self) -> int | None:
        """How many rows the API counts: of what was asked for, or of all, which is not known."""
        return _count(_object(self.metadata.get("pagination")).get("total"))

    @property
    def last(self) -> bool:
        """Whether the API says, or leaves no doubt, that nothing follows."""
        pagination = _object(self.metadata.get("pagination"))
        if not self.rows:
            return True
        asked = _count(pagination.get("limit")) or _count(self.params.get("limit"))
        given = min(asked, DEFAULT_PAGE) if asked else None
        if not pagination:
            return len(self.rows) not in (asked, given)
        if pagination.get("hasMore") is not None:
            return not pagination["hasMore"]
        received = (self.offset or 0) + len(self.rows)
        return not (_count(pagination.get("nextOffset")) or received < (_count(pagination.get("total")) or 0)
                    or (given and len(self.rows) >= given))

    @property
    def says_more(self) -> bool:
        """Whether the API says by itself that more follows."""
        pagination = _object(self.metadata.get("pagination"))
        return bool(self.rows and pagination.get("hasMore") is True)

    @property
    def is_paginated(self) -> bool:
        """Whether the API says where the page stands in the whole; without it an answer may be the whole."""
        return bool(_object(self.metadata.get("pagination")))

    @property
    def stops_short(self) -> bool:
        """Whether the API says that there is more, but has sent nothing to go on from."""
        return not self.rows and bool(_object(self.metadata.get("pagination")).get("hasMore"))

    @property
    def mark(self) -> str:
        """What tells this page from the one before it, whatever was signed anew; empty without rows."""
        return f"{len(self.rows)} {_digest(self.rows[0])} {_digest(self.rows[-1])}" if self.rows else ""

    def next_offset(self, offset: int) -> int:
        """Where the next page starts: at `nextOffset`, but not before the end of the rows received."""
        stated = _count(_object(self.metadata.get("pagination")).get("nextOffset"))
        return max(stated or 0, offset + len(self.rows))


def read_page(response: requests.Response, path: str, params: Mapping[str, Any]) -> Page:
    """The page that a response holds.

    Raises the `ApiError` that it stands for; an answer that is no whole envelope is a `ServerFailed`.
    """
    found = Repeats()
    try:
        body = found.read(response.content)
    except (ValueError, RecursionError):
        body = None
    if is_foreign(response, body):
        raise Intercepted(intercepted(response, path), path=path, status=response.status_code)
    if response.status_code >= 400:
        raise _error(response, response.status_code, _object(_object(body).get("error")), path)
    if not isinstance(body, dict) or not ({"data", "error"} & body.keys() or "status" in body):
        raise ServerFailed(
            f"{path} answered with something that is not a whole envelope ({len(response.content)} bytes of "
            f"{kind_of(response)}). Run again later; if it stays so, check base_url ({base_of(response, path)}), and "
            "whether your network wants you to log in.",
            path=path, status=response.status_code)
    if body.get("error") or body.get("status", "success") != "success":
        error = _object(body.get("error"))
        raise _error(response, _STATUS_OF_CODE.get(str(error.get("code")), 500), error, path)
    data = body.get("data")
    rows = [] if data == {} else _list(data)
    if not all(isinstance(row, dict) for row in rows):
        raise ServerFailed(f"{path} answered with rows that are not objects. Nothing of it was loaded.",
                           path=path, status=response.status_code)
    repeats = [(row, repeat) for row in rows for repeat in found.in_row(row)] if found else []
    torn = any(repeat.name == "data" for repeat in found.of(body))
    return Page(rows, _object(body.get("metadata")), params, repeats, torn, len(response.content))


def _error(response: requests.Response, status: int, error: Mapping[str, Any], path: str) -> ApiError:
    code = without_secrets(str(error.get("code") or ""))[:LONGEST_CODE] or None
    said = f"{path} answered {status}" + (f" {code}" if code else "")
    message = without_secrets(str(error.get("message") or ""))[:LONGEST_MESSAGE].rstrip(". ")
    said += f": {message}." if message else "."
    if status == 401:
        return KeyRejected(
            f"{said} The key is wrong, expired or revoked. Make a new one and set HYPERSTUDY_API_KEY.",
            path=path, status=status, code=code)
    if status == 403:
        details = _object(error.get("details"))
        required = [without_secrets(str(name))[:LONGEST_CODE] for name in _list(details.get("required"))]
        return Forbidden(said, path=path, status=status, code=code, required=required)
    if status == 404:
        return NotFound(said, path=path, status=status, code=code)
    if status == 429:
        return RateLimited(f"{said} Run again when the hour is over.", path=path, status=status, code=code,
                           retry_after=_retry_after(response.headers.get("Retry-After")))
    if status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT:
        return ServerFailed(f"{said} The API failed; run again later.", path=path, status=status, code=code)
    return RequestRejected(said, path=path, status=status, code=code)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a number of seconds or an HTTP date."""
    if value is None:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return int(str(value)) if str(value).isdecimal() else None


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _digest(row: JsonObject) -> str:
    text = without_signed_links(json.dumps(row, sort_keys=True))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
