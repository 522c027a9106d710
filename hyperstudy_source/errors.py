"""Every error this package raises on purpose; the class says what the caller does next.

    HyperStudyError
    ├── SettingError            fix: an option, the key or the address is wrong
    ├── DestinationError        fix: the destination cannot be opened, written, or replace rows
    ├── PipelineBusy            wait: another run of the pipeline is under way
    ├── QuotaReached            stop: the hour's requests are used up; run again later
    └── ApiError                the API answered, or did not
        ├── RequestRejected     fix: 400, a parameter is wrong; or an answer that is never acceptable
        ├── KeyRejected         fix: 401, the key is missing, wrong, expired or revoked
        ├── Forbidden           fix or skip: 403, the key or its user may not read this
        ├── NotFound            fix or skip: 404, no such experiment, room or participant
        ├── RateLimited         wait: 429
        ├── ServerFailed        wait: 5xx, a page in place of an answer, an answer that was cut
        ├── Unreachable         wait or fix: no answer at all
        └── Intercepted         fix: not the API but a proxy, a firewall or another host speaks; network or base_url

No message holds a key, a signed link or a query string.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ApiError",
    "DestinationError",
    "Forbidden",
    "HyperStudyError",
    "Intercepted",
    "KeyRejected",
    "NotFound",
    "PipelineBusy",
    "QuotaReached",
    "RateLimited",
    "RequestRejected",
    "ServerFailed",
    "SettingError",
    "Unreachable",
]


class HyperStudyError(Exception):
    """Base of all errors of this package."""


class SettingError(HyperStudyError):
    """An option has a value that cannot work: says which, its value, and what to set."""


class DestinationError(HyperStudyError):
    """The destination cannot be opened or written: says which one and what to do."""


class PipelineBusy(HyperStudyError):
    """Another run of the same pipeline is under way: says since when, and in which process."""


class QuotaReached(HyperStudyError):
    """The run may send no more requests. `until`: epoch seconds from which on it may again; None: with the next run."""

    def __init__(self, message: str, *, until: float | None = None) -> None:
        super().__init__(message)
        self.until = until


class ApiError(HyperStudyError):
    """A request failed. `path` is relative to the base URL and `status` is the HTTP status, if any."""

    def __init__(self, message: str, *, path: str, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.status = status
        self.code = code


class RequestRejected(ApiError):
    """The API refuses the request as it is (400, or a redirect to another host). Never retried."""


class KeyRejected(ApiError):
    """The API does not accept the key (401). Never retried."""


class Forbidden(ApiError):
    """The key lacks a permission, or its user may not view the experiment (403). Never retried."""

    def __init__(
        self, message: str, *, path: str, status: int | None = None, code: str | None = None,
        required: Sequence[str] = (),
    ) -> None:
        super().__init__(message, path=path, status=status, code=code)
        self.required = tuple(required)


class NotFound(ApiError):
    """There is no such experiment, room or participant (404). Never retried."""


class RateLimited(ApiError):
    """Too many requests (429). `retry_after` is what the API asks to wait, in s, if it says so."""

    def __init__(
        self, message: str, *, path: str, status: int | None = None, code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, path=path, status=status, code=code)
        self.retry_after = retry_after


class ServerFailed(ApiError):
    """The API or a proxy before it failed (5xx), or its answer cannot be read. Retried, then raised."""


class Unreachable(ApiError):
    """No answer came: the host is down, its name does not resolve, or the connection broke. Retried."""


class Intercepted(ApiError):
    """Not the API speaks but what stands before it, or another host at a wrong address. Never retried.

    A proxy or firewall that refuses, a network's login page, a certificate that is not the API's. It says nothing of
    the key, nor of what it may read.
    """
