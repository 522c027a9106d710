"""What the stand-in sends: the envelope, errors, and faults turned into bytes on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hyperstudy_source.standin.behaviour import Fault, Length
from hyperstudy_source.standin.files import Content, blocks

HTML_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
BLOCK_PAGE = b"<html><head><title>Access denied</title></head><body>Blocked by the firewall</body></html>"
JSON_PAGE = b'{"error": {"code": 503, "message": "We encountered an internal error. Please try again."}}'
XML_PAGE = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>InternalError</Code></Error>"
PAGES = {
    "html": (502, HTML_PAGE, "text/html"),
    "html_200": (200, HTML_PAGE, "text/html"),
    "json_200": (200, JSON_PAGE, "application/json; charset=UTF-8"),
    "xml_200": (200, XML_PAGE, "application/xml; charset=UTF-8"),
}
"""Faults that put a page in place of the answer: its status, body and content type."""


@dataclass(frozen=True)
class Answer:
    """A response: status, headers and body, and how much of it is really sent.

    Attributes:
        headers: names to a value, or to the values of several lines.
        length: how the client learns where the body ends.
        announced: the `Content-Length` where it is not that of the body.
        sent: bytes of the body to send before the connection is closed; None for all of it.
        changed: place in the body of a byte that is sent changed.
        stalled: the connection is not closed after what is sent, and nothing more comes.
        dropped: the connection is closed without any answer.
    """

    status: int
    body: Content
    headers: Mapping[str, str | list[str]] = field(default_factory=dict)
    length: Length = "announced"
    announced: int | None = None
    sent: int | None = None
    changed: int | None = None
    stalled: bool = False
    dropped: bool = False

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes of the body that are sent, a block at a time."""
        place = 0
        for block in blocks(self.body[: self.sent]):
            yield block if self.changed is None else _changed(block, self.changed - place)
            place += len(block)


class ApiError(Exception):
    """An error answer of the API: HTTP status, code, message and details."""

    def __init__(self, status: int, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        """Keep what the envelope shows."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    def answer(self, status: int | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Return the error envelope, with another HTTP status if one is given."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details is not None:
            error["details"] = self.details
        return json_answer({"status": "error", "error": error}, status or self.status, headers)


def invalid(parameter: str, why: str) -> ApiError:
    """Return the 400 for a wrong parameter."""
    return ApiError(400, "INVALID_PARAMETER", f"Invalid {parameter}: {why}", {"parameter": parameter})


def not_found(what: str, which: str) -> ApiError:
    """Return the 404 for an id that does not exist."""
    return ApiError(404, "NOT_FOUND", f"{what} not found: {which}")


def json_answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Return a JSON response."""
    content = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return Answer(status, json.dumps(body).encode(), content)


def success(data: object, metadata: dict[str, Any]) -> Answer:
    """Return the success envelope."""
    return json_answer({"status": "success", "metadata": metadata, "data": data})


def rate_limited(retry_after: str | None) -> Answer:
    """Return a 429, with `Retry-After` if a value is given."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return ApiError(429, "RATE_LIMIT_EXCEEDED", "Too many requests").answer(headers=headers)


def spoiled(answer: Answer, fault: Fault) -> Answer:
    """Return what a fault makes of the answer that would have been sent."""
    spoilt = _spoiled(answer, fault)
    if not fault.content_type:
        return spoilt
    return replace(spoilt, headers={**spoilt.headers, "Content-Type": fault.content_type})


def _spoiled(answer: Answer, fault: Fault) -> Answer:
    size = len(answer.body)
    half = size // 2
    at = half if fault.at is None else fault.at
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    failure = ApiError(fault.status, "INTERNAL_SERVER_ERROR", "Something went wrong")
    match fault.kind:
        case "rate_limit":
            return rate_limited(fault.retry_after)
        case "server_error":
            return failure.answer(headers=headers)
        case "error_in_200":
            return failure.answer(status=200)
        case "html" | "html_200" | "json_200" | "xml_200":
            status, page, content_type = PAGES[fault.kind]
            return Answer(status, page, {"Content-Type": content_type})
        case "blocked":
            return Answer(fault.status, BLOCK_PAGE, {"Content-Type": "text/html; charset=utf-8"})
        case "same_names":
            return replace(answer, body=b"".join(blocks(answer.body)).replace(b'#2":', b'":'))
        case "cut":
            return replace(answer, sent=at)
        case "stall":
            return replace(answer, sent=at, stalled=True)
        case "corrupt":
            return replace(answer, changed=at)
        case "empty":
            kept = {name: value for name, value in answer.headers.items() if name != "Content-Range"}
            return Answer(200, b"", kept)
        case "announced_longer":
            return replace(answer, length="announced", announced=size + fault.by, sent=size)
        case "announced_shorter":
            return replace(answer, length="announced", body=answer.body[: max(size - fault.by, 0)])
        case "bad_json":
            return replace(answer, body=answer.body[:half])
        case "reset":
            return replace(answer, dropped=True)
        case "redirect":
            return Answer(302, b"", {"Location": fault.location})
        case _:
            return answer


def _changed(block: bytes, place: int) -> bytes:
    if not 0 <= place < len(block):
        return block
    return block[:place] + bytes([block[place] ^ 0xFF]) + block[place + 1 :]
