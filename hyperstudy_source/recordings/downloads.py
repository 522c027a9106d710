"""One file from a signed link into a draft: whole and checked, or not at all.

The storage host gets a plain `GET` without key and organisation. After a cut the rest comes by `Range` where the host
allows it. What was received is checked against the length, the MD5 and the CRC32C that the host announces, and against
looking like an error page.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
import urllib3

from hyperstudy_source.api.access import is_this_machine
from hyperstudy_source.api.transport import connected, obstacle, unanswered
from hyperstudy_source.recordings.bodies import Body, Expired, NotDelivered, Passing

CHUNK = 256 * 1024
"""Most bytes that are taken from the socket at once."""
CONNECT_TIMEOUT = 10.0
"""s."""
STALL_TIMEOUT = 60.0
"""s without a byte after which a connection counts as cut."""
ATTEMPTS = 5
"""How often a download is tried before it has failed; progress starts the count anew."""
PROGRESS = 1024 * 1024
"""Bytes further than ever before that count as progress."""
LONGEST_BACKOFF = 60.0
"""s between two attempts."""
@dataclass(frozen=True)
class Link:
    """How to get the address of a file. `mint` makes it, anew with each call where `renewable`."""

    mint: Callable[[], str]
    renewable: bool


class Downloader:
    """Fetches files, several at once if its methods are called in several threads.

    `sleep` and `stall_timeout` count in s. `stopped` ends all downloads at their next byte.
    """

    def __init__(
        self, threads: int, sleep: Callable[[float], None], stall_timeout: float = STALL_TIMEOUT
    ) -> None:
        self._sleep, self._stall_timeout = sleep, stall_timeout
        self.stopped = threading.Event()
        self._session = connected(requests.Session(), threads)
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.auth = lambda request: request  # else requests would send what a .netrc has for any host

    def fetch(self, link: Link, body: Body) -> None:
        """Brings all of a file into `body`. Raises `NotDelivered`, or `NotWritten` where the draft refuses."""
        failures = renewals = reached = 0
        address = checked_address(link.mint())
        while True:
            if self.stopped.is_set():
                raise NotDelivered("The run was stopped.")
            body.attempts += 1
            try:
                self._attempt(address, body)
                return
            except (Passing, Expired) as failure:
                if body.furthest - reached >= PROGRESS:
                    failures, renewals, reached = 0, 0, body.furthest
                if isinstance(failure, Expired):
                    renewals += 1
                    if not link.renewable or renewals >= ATTEMPTS:
                        raise NotDelivered(str(failure)) from None
                    address = checked_address(link.mint())
                    continue
                failures += 1
                if failures >= ATTEMPTS:
                    raise NotDelivered(f"{failure} It was tried {body.attempts} times.") from None
                self._sleep(min(LONGEST_BACKOFF, failure.wait or 2.0 ** (failures - 1)))

    def _attempt(self, address: str, body: Body) -> None:
        host = urlsplit(address).hostname
        headers = body.wanted()
        try:
            with self._session.get(
                address, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, self._stall_timeout)
            ) as response:
                for each in (*response.history, response):
                    checked_address(each.url)
                if body.accept(response, resumed=bool(headers)):
                    for chunk in self._chunks(response):
                        body.add(chunk)
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            raise Passing(f"{host} sent nothing for {self._stall_timeout:.0f} s, {body.progress}.") from None
        except requests.TooManyRedirects:
            raise NotDelivered(f"{host} redirects in a circle.") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as failure:
            if between := obstacle(failure, address):
                raise NotDelivered(between) from None
            raise Passing(f"The connection to {host} broke ({unanswered(failure, address).rstrip('.')}), "
                          f"{body.progress}.") from None
        body.check()

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The bytes as they come, also the last ones before a cut, which `iter_content` would keep back."""
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            if self.stopped.is_set():
                raise NotDelivered("The run was stopped.")
            yield chunk


def checked_address(address: str) -> str:
    """The address if a file may be fetched from it. Raises `NotDelivered` for another scheme than https."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        host = ""
    if not host:
        raise NotDelivered("The link to the file is no web address.")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_this_machine(host)):
        raise NotDelivered(f"The link to the file leads to {host} without encryption ({parts.scheme}).")
    return address
