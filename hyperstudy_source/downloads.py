"""One file from a signed link into a draft: whole and checked, or not at all.

The storage host gets a plain `GET` without key and organisation. After a cut the rest comes by `Range` where the host
allows it. What was received is checked against the length, the MD5 and the CRC32C that the host announces, and against
looking like an error page.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import google_crc32c
import requests
import urllib3
from requests.adapters import HTTPAdapter

from hyperstudy_source.access import is_this_machine
from hyperstudy_source.errors import HyperStudyError
from hyperstudy_source.targets import Draft

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
EXPIRED = frozenset({401, 403, 410})
"""What storage hosts answer to a link whose time is over."""
_PASSING = frozenset({408, 409, 423, 425, 429})
_ERROR_TYPES = (
    "text/html", "application/xhtml", "text/xml", "application/xml", "application/json", "application/problem")
_ERROR_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<!doctype|<html|<head|<body|<\?xml|<!--|<error|\{\s*\"|\[\s*\{\s*\")", re.IGNORECASE)
"""How pages begin that stand in place of a file; no audio or video does."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_GOOGLE_HASH = re.compile(r"(md5|crc32c)=([A-Za-z0-9+/]+=*)")
_HASH_BYTES = {"md5": 16, "crc32c": 4}
_HEX_MD5 = re.compile(r'"([0-9a-f]{32})"')
_NO_MD5_IN_ETAG = ("x-amz-server-side-encryption-aws-kms-key-id", "x-amz-server-side-encryption-customer-algorithm")


class NotDelivered(HyperStudyError):
    """A file did not come; the text is the reason, without a link and a name in it."""


class _Passing(NotDelivered):
    """Another attempt may bring it."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _Expired(NotDelivered):
    """The link has expired; a new one may bring it."""


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
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.auth = lambda request: request  # else requests would send what a .netrc has for any host
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=threads))

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
            except (_Passing, _Expired) as failure:
                if body.furthest - reached >= PROGRESS:
                    failures, renewals, reached = 0, 0, body.furthest
                if isinstance(failure, _Expired):
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
            raise _Passing(f"{host} sent nothing for {self._stall_timeout:.0f} s, {body.progress}.") from None
        except requests.TooManyRedirects:
            raise NotDelivered(f"{host} redirects in a circle.") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as failure:
            raise _Passing(f"The connection to {host} broke ({type(failure).__name__}), {body.progress}.") from None
        body.check()

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The bytes as they come, also the last ones before a cut, which `iter_content` would keep back."""
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            if self.stopped.is_set():
                raise NotDelivered("The run was stopped.")
            yield chunk


class Body:
    """The bytes of one file as they come in, what the host says of them, and whether that agrees.

    `on_bytes` is called with the number of new bytes, which is negative when a download starts over.
    """

    def __init__(self, draft: Draft, on_bytes: Callable[[int], None]) -> None:
        self._draft, self._on_bytes = draft, on_bytes
        self.attempts = 0
        """Requests sent to the storage host."""
        self.furthest = 0
        """Most bytes that any attempt has reached."""
        self._start()

    def _start(self) -> None:
        self.length: int | None = None
        """Bytes that the host announces."""
        self.content_type: str | None = None
        self._etag: str | None = None
        self._ends_itself = False
        self._expected: dict[str, str] = {}
        self._head = b""
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256, self._crc32c = hashlib.sha256(), 0

    @property
    def size(self) -> int:
        """Bytes received."""
        return self._draft.size

    @property
    def md5(self) -> str:
        """Of the bytes received, in hexadecimal."""
        return self._md5.hexdigest()

    @property
    def sha256(self) -> str:
        """Of the bytes received, in hexadecimal."""
        return self._sha256.hexdigest()

    @property
    def progress(self) -> str:
        """How far it came, for people."""
        return f"after {self.size:,} of {'unknown' if self.length is None else format(self.length, ',')} bytes"

    def wanted(self) -> dict[str, str]:
        """The headers that ask for what is missing; none where all is."""
        if not self.size:
            return {}
        strong = self._etag and not self._etag.startswith("W/")
        return {"Range": f"bytes={self.size}-", **({"If-Range": str(self._etag)} if strong else {})}

    def accept(self, response: requests.Response, resumed: bool) -> bool:
        """Takes an answer's status and headers; whether bytes follow."""
        host, status = urlsplit(response.url).hostname, response.status_code
        if resumed and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range") == f"bytes */{self.size}":
                self.length = self.size
                return False
            self._restart()
            raise _Passing(f"{host} has fewer bytes than it sent before.")
        if resumed and status == HTTPStatus.PARTIAL_CONTENT:
            self._go_on(response)
        elif status == HTTPStatus.OK:
            self._restart()
            self._begin(response)
        else:
            raise _refusal(response)
        return True

    def add(self, chunk: bytes) -> None:
        """Takes the next bytes."""
        if len(self._head) < 512:
            self._head += chunk[:512]
        self._draft.write(chunk)
        self._md5.update(chunk)
        self._sha256.update(chunk)
        self._crc32c = google_crc32c.extend(self._crc32c, chunk)
        self.furthest = max(self.furthest, self.size)
        self._on_bytes(len(chunk))

    def check(self) -> None:
        """Raises `NotDelivered` unless this is the whole file, as far as the host lets it be told."""
        if self.length is not None and self.size < self.length:
            raise _Passing(f"The file broke off {self.progress}.")
        fault = self._fault()
        if fault:
            self._restart()
            raise _Passing(fault)
        if self.length is None and not self._ends_itself and not self._expected:
            raise NotDelivered("The storage host says neither how long the file is nor what its hash is, so that "
                               "nothing tells whether it is whole.")

    def _fault(self) -> str | None:
        if not self.size:
            return "The file is empty."
        kind = (self.content_type or "").lower()
        if kind.startswith(_ERROR_TYPES) or _ERROR_PAGE.match(self._head):
            return (f"The storage host sent an error page in place of the file ({kind or 'of no type'}, "
                    f"{self.size:,} bytes).")
        if self.length is not None and self.size > self.length:
            return f"The storage host sent {self.size:,} bytes, but announced {self.length:,}."
        found = {"md5": self.md5, "crc32c": f"{self._crc32c:08x}"}
        for name, announced in self._expected.items():
            if found[name] != announced:
                return f"The file is damaged: its {name} is {found[name]}, the storage host announced {announced}."
        return None

    def _begin(self, response: requests.Response) -> None:
        headers = response.headers
        encoding = headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise NotDelivered(f"The storage host sends the file packed ({encoding}), though it was asked not to.")
        length = headers.get("Content-Length", "")
        self.length = int(length) if length.isdecimal() else None
        self.content_type = headers.get("Content-Type")
        self._etag = headers.get("ETag")
        self._ends_itself = bool(response.raw.chunked)
        self._expected = _announced_hashes(headers)

    def _go_on(self, response: requests.Response) -> None:
        part = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        start, total = (int(part[1]), part[3]) if part else (None, "*")
        etag = response.headers.get("ETag", self._etag)
        changed = self.length is not None and total not in ("*", str(self.length))
        if start != self.size or changed or etag != self._etag:
            self._restart()
            raise _Passing("The storage host sent another part of the file than was asked for.")
        if total != "*":
            self.length = int(total)
        self._ends_itself = bool(response.raw.chunked)

    def _restart(self) -> None:
        if self.size:
            self._on_bytes(-self.size)
        self._draft.restart()
        self._start()


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


def _refusal(response: requests.Response) -> NotDelivered:
    host, status = urlsplit(response.url).hostname, response.status_code
    if status in EXPIRED:
        return _Expired(f"{host} answered {status}: the link has expired or does not allow it.")
    if status in _PASSING or status >= 500 or status == HTTPStatus.PARTIAL_CONTENT:
        wait = response.headers.get("Retry-After", "")
        return _Passing(f"{host} answered {status}.", float(wait) if wait.isdecimal() else None)
    missing = " It has no such file." if status == HTTPStatus.NOT_FOUND else ""
    return NotDelivered(f"{host} answered {status}.{missing}")


def _announced_hashes(headers: requests.structures.CaseInsensitiveDict[str]) -> dict[str, str]:
    """MD5 and CRC32C of the whole file in hexadecimal, as far as Google, Amazon or Azure announce them."""
    found = dict(_GOOGLE_HASH.findall(headers.get("x-goog-hash", "")))
    if "Content-MD5" in headers:
        found.setdefault("md5", headers["Content-MD5"])
    hashes = {name: digest for name, value in found.items() if (digest := _hex(value, _HASH_BYTES[name]))}
    etag = _HEX_MD5.fullmatch(headers.get("ETag", ""))
    if not hashes and etag and not any(name in headers for name in _NO_MD5_IN_ETAG):
        hashes["md5"] = etag[1]
    return hashes


def _hex(value: str, size: int) -> str | None:
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:
        return None
    return digest.hex() if len(digest) == size else None
