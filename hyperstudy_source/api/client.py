"""One HTTP client for the HyperStudy V3 API: key and organisation, retries, pages.

The endpoints are documented at https://docs.hyperstudy.io. The key goes to the API's own host and to no other, on a
redirect neither; a parameter that an endpoint does not take is left out instead of ending the run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import tenacity

from hyperstudy_source.api.access import found_key, found_organization, found_url, origin
from hyperstudy_source.api.budget import SCOPE, Budget
from hyperstudy_source.api.envelope import Page, read_page
from hyperstudy_source.api.page_sizes import PageSizes
from hyperstudy_source.api.transport import connected, obstacle, unanswered
from hyperstudy_source.errors import Intercepted, RateLimited, RequestRejected, ServerFailed, Unreachable

_LOG = logging.getLogger("dlt")
CONNECT_TIMEOUT = 10.0
"""s; a host that does not accept a connection by then is down."""
ANSWER_TIMEOUT = 60.0
"""s between two bytes of an answer; twice what the platform's own SDK allows."""
ATTEMPTS = 5
"""How often a request that fails on the server's side is sent before the run gives up."""
ATTEMPTS_AT_LARGE = 2
"""How often a page larger than the default is asked for before it must be too large."""
RATE_LIMIT_PATIENCE = 2 * 3600.0
"""s that one request may spend on 429: twice the hour over which the API counts."""
SHORTEST_BACKOFF = 0.1
"""s, for each attempt, where the API asks for no wait at all."""
LONGEST_BACKOFF = 60.0
"""s between two attempts where the API does not say how long."""
BEYOND_ALL = 10**9
"""An offset at which no scope has rows."""
MAX_REDIRECTS = 5
REPEATED_PAGES = 20
"""Pages in a row that may be equal, as identical rows without a key can make them, before the API must be stuck."""

OPTIONAL_PARAMETERS: tuple[tuple[str, ...], ...] = (
    ("limit",), ("detail",), ("sort", "order"), ("startTime", "endTime"),
)
"""What a request can do without, in the order in which it is left out after a 400 that names nothing."""

Params = dict[str, Any]


@dataclass
class Client:
    """Reads the API. Safe to share between threads.

    `clock` gives epoch seconds and `sleep` counts in s; a `budget` of one's own brings its own. Without one, the
    documented limits are kept.
    Raises `SettingError` where the key or the address cannot work, before any request.
    """

    api_key: str | None = field(repr=False)
    base_url: str | None = None
    organization_id: str | None = None
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    budget: Budget | None = field(default=None, repr=False)
    attempts: int = ATTEMPTS
    """How often a request that fails on the server's side is sent."""
    page_size: int | None = None
    """Rows to ask for with one request; None: the documented default, and more of an endpoint that has more."""
    request_count: int = field(default=0, init=False)
    """How many requests were sent, every attempt counted."""

    def __post_init__(self) -> None:
        self._key = found_key(self.api_key)
        self._organization = found_organization(self.organization_id)
        self._url = found_url(self.base_url)
        self._budget = self.budget or Budget(clock=self.clock, sleep=self.sleep)
        self._budget.share(self._url, self._key)
        self._threads = threading.local()
        self._lock = threading.Lock()
        self._refused: dict[str, set[str]] = {}
        self._sizes = PageSizes(self.page_size)

    @property
    def sent_here(self) -> int:
        """How many requests the current thread has sent."""
        return int(getattr(self._threads, "sent", 0))

    def rows_to_ask(self, path: str) -> int:
        """The size of the next page of an endpoint."""
        return self._sizes.of(SCOPE.split(path)[0])

    @property
    def address(self) -> str:
        """The base URL that is asked."""
        return self._url

    def get(self, path: str, params: Params | None = None, *, timeout: float = ANSWER_TIMEOUT) -> Page:
        """`GET {base_url}{path}`: the whole answer of an endpoint without pages, or one page.

        Waits as long as a 429 asks for, and tries again after 5xx, connection errors, HTML and cut answers. An
        optional parameter that the endpoint refuses (400) is left out from then on.
        Raises an `ApiError` whose class says what to do, or `QuotaReached` where the budget is spent.
        """
        endpoint = SCOPE.split(path)[0]
        known = self._refused.get(endpoint, set())
        accepted = {k: v for k, v in (params or {}).items() if v is not None and k not in known}
        refused: set[str] = set()
        while True:
            try:
                page = self._fitting(endpoint, path, accepted, timeout)
            except RequestRejected as rejected:
                left_out = _refused_parameters(rejected, accepted)
                if not left_out:
                    raise
                refused.update(left_out)
                accepted = {k: v for k, v in accepted.items() if k not in left_out}
                continue
            if refused:
                _LOG.warning(f"{endpoint} does not take {', '.join(sorted(refused))}; it is read without.")
                with self._lock:
                    self._refused[endpoint] = self._refused.get(endpoint, set()) | refused
            self._sizes.grow(endpoint, page)
            return page

    def pages(
        self, path: str, params: Params | None = None, *, timeout: float = ANSWER_TIMEOUT, limit: int | None = None,
        offset: int = 0, previous: str = "",
    ) -> Iterator[Page]:
        """Every page of an endpoint, in the order of the API; at least one. `limit` is the page size to ask for.

        Without it nothing is asked for, as fits endpoints whose answer is whole. Follows `nextOffset`, else goes on
        after the rows received, until `hasMore` is false or a page is empty. A full page that says nothing of what
        follows is followed, and may turn out to have been the whole. `offset` and `previous` go on behind a page that
        was read before: where it ended, and its mark.
        Raises `RequestRejected` where the API serves the same page again.
        """
        paging: Params = {"limit": limit, "offset": offset} if limit else {}
        repeats = 0
        while True:
            page = self.get(path, {**(params or {}), **paging}, timeout=timeout)
            mark, heeded = page.mark, page.offset == offset
            if mark and mark == previous and not page.is_paginated:
                heeded = self._heeds_offset(path, {**(params or {}), **paging}, timeout)
                if not heeded:
                    return
            repeats = repeats + 1 if mark and mark == previous else 0
            if repeats > (REPEATED_PAGES if heeded else 0):
                raise RequestRejected(
                    f"{path} gives the same rows at offset {offset} as before it, so it cannot be read to its end. "
                    "Set page_size to another value; if that does not help, tell the platform.",
                    path=path)
            yield page
            if page.last:
                return
            offset, previous = page.next_offset(offset), mark
            paging["offset"] = offset

    def _heeds_offset(self, path: str, params: Params, timeout: float) -> bool:
        """Whether an endpoint that says nothing of its pages has any: else it gives all rows at every offset."""
        return not self.get(path, {**params, "offset": BEYOND_ALL}, timeout=timeout).rows

    def _fitting(self, endpoint: str, path: str, params: Params, timeout: float) -> Page:
        """An answer; where a large page does not come, one of the default size."""
        if not self._sizes.is_large(endpoint, params.get("limit")):
            return self._retrying(path, params, timeout, self.attempts)
        try:
            return self._retrying(path, params, timeout, min(self.attempts, ATTEMPTS_AT_LARGE))
        except (RequestRejected, ServerFailed, Unreachable):
            return self._retrying(path, {**params, "limit": self._sizes.lower(endpoint)}, timeout, self.attempts)

    def _retrying(self, path: str, params: Params, timeout: float, attempts: int) -> Page:
        patience = _Patience(path, self._budget, self.sleep, attempts)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((RateLimited, ServerFailed, Unreachable)), after=patience.after,
            stop=patience.is_over, wait=patience.seconds, sleep=patience.wait, reraise=True)
        return retrying(self._once, path, params, timeout)

    def _once(self, path: str, params: Params, timeout: float) -> Page:
        url = f"{self._url}/{path.lstrip('/')}"
        try:
            for _ in range(MAX_REDIRECTS):
                response = self._send(url, params, timeout)
                if not response.is_redirect:
                    return read_page(response, path, params)
                url = self._followed(url, response, path)
        except requests.RequestException as failure:
            if between := obstacle(failure, url):
                raise Intercepted(between, path=path) from None
            raise Unreachable(
                f"No whole answer from {urlsplit(self._url).hostname} for {path} ({unanswered(failure, url)}). Check "
                f"the network and base_url ({self._url}), then run again.", path=path) from None
        raise RequestRejected(f"{path} redirects in a circle. Check base_url ({self._url}).", path=path)

    def _send(self, url: str, params: Params, timeout: float) -> requests.Response:
        asked = urlsplit(url)
        wanted = {} if asked.query else params
        with self._budget.request(asked.path.removeprefix(urlsplit(self._url).path)):
            with self._lock:
                self.request_count += 1
            self._threads.sent = self.sent_here + 1
            return self._session().get(url, params=wanted, timeout=(CONNECT_TIMEOUT, timeout), allow_redirects=False)

    def _followed(self, url: str, response: requests.Response, path: str) -> str:
        try:
            target = urljoin(url, response.headers["Location"])
            elsewhere = origin(target) != origin(self._url)
        except ValueError:
            target, elsewhere = "", True
        if elsewhere:
            raise RequestRejected(
                f"{path} redirects to {_host(target) or 'no valid address'}, but the key is sent to {_host(self._url)} "
                "only. If that is the login page of your network, log in; if the API has moved, set base_url.",
                path=path, status=response.status_code)
        return target

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = connected(requests.Session())
            session.headers.update({"X-API-Key": self._key, "Accept": "application/json"})
            if self._organization:
                session.headers["X-Organization-Id"] = self._organization
        return session


class _Patience:
    """How long to wait between the attempts of one request, and when to give up.

    A 429 is waited for in the budget, since it holds for every request to the endpoint.
    """

    def __init__(self, path: str, budget: Budget, sleep: Callable[[float], None], attempts: int) -> None:
        self._path, self._budget, self._sleep, self._attempts = path, budget, sleep, attempts
        self._failures, self._waited, self._asked = 0, 0.0, 0.0

    def after(self, state: tenacity.RetryCallState) -> None:
        failure = _failure(state)
        if not isinstance(failure, RateLimited):
            self._failures += 1
            return
        self._waited += self._asked
        self._asked = (_backoff(state) if failure.retry_after is None
                       else max(failure.retry_after, SHORTEST_BACKOFF * state.attempt_number))
        self._budget.hold(self._path, self._asked)

    def is_over(self, state: tenacity.RetryCallState) -> bool:
        failure = _failure(state)
        if isinstance(failure, RateLimited):
            return self._waited + (failure.retry_after or 0) > RATE_LIMIT_PATIENCE
        return self._failures >= self._attempts

    def seconds(self, state: tenacity.RetryCallState) -> float:
        return 0.0 if isinstance(_failure(state), RateLimited) else _backoff(state)

    def wait(self, seconds: float) -> None:
        if seconds:
            self._budget.announce(f"{self._path} is to be asked again in {seconds:.0f} s.")
            self._sleep(seconds)


def _host(url: str) -> str:
    """Scheme, host and port of an address as they stand in it, for people."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rsplit('@')[-1]}" if parts.hostname else ""


def _backoff(state: tenacity.RetryCallState) -> float:
    return min(LONGEST_BACKOFF, 2.0 ** (state.attempt_number - 1))


def _failure(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _refused_parameters(rejected: RequestRejected, sent: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of the optional parameters sent a 400 is about: those that it names, else the next that can go."""
    if rejected.status != 400:
        return ()
    text = str(rejected).removeprefix(rejected.path).lower()
    candidates = [group for group in OPTIONAL_PARAMETERS if any(name in sent for name in group)]
    named = [group for group in candidates if any(name.lower() in text for name in group)]
    return next(iter(named or candidates), ())
