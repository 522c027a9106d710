"""What the stand-in sends: the envelope, errors, and faults turned into bytes on the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from hyperstudy_source.standin.behaviour import Fault

HTML_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(frozen=True)
class Answer:
    """A response: status, headers and body, and how much of it is really sent.

    Attributes:
        sent: bytes of the body to send before the connection is closed; None for all of it.
        dropped: the connection is closed without any answer.
    """

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None
    dropped: bool = False


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
    half = len(answer.body) // 2
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    failure = ApiError(fault.status, "INTERNAL_SERVER_ERROR", "Something went wrong")
    match fault.kind:
        case "rate_limit":
            return rate_limited(fault.retry_after)
        case "server_error":
            return failure.answer(headers=headers)
        case "error_in_200":
            return failure.answer(status=200)
        case "html":
            return Answer(502, HTML_PAGE, {"Content-Type": "text/html"})
        case "html_200":
            return Answer(200, HTML_PAGE, {"Content-Type": "text/html"})
        case "cut":
            return replace(answer, sent=half)
        case "bad_json":
            return replace(answer, body=answer.body[:half])
        case "reset":
            return replace(answer, dropped=True)
        case "redirect":
            return Answer(302, b"", {"Location": fault.location})
        case _:
            return answer
