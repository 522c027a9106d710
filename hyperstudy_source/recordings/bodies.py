"""The bytes of one file as they come in: whole and checked against what the host says of them, or not at all."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

import google_crc32c
import requests

from hyperstudy_source.errors import HyperStudyError
from hyperstudy_source.recordings.targets import Draft

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


class Passing(NotDelivered):
    """Another attempt may bring it."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class Expired(NotDelivered):
    """The link has expired; a new one may bring it."""


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
            raise Passing(f"{host} has fewer bytes than it sent before.")
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
            raise Passing(f"The file broke off {self.progress}.")
        fault = self._fault()
        if fault:
            self._restart()
            raise Passing(fault)
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
            raise Passing("The storage host sent another part of the file than was asked for.")
        if total != "*":
            self.length = int(total)
        self._ends_itself = bool(response.raw.chunked)

    def _restart(self) -> None:
        if self.size:
            self._on_bytes(-self.size)
        self._draft.restart()
        self._start()


def _refusal(response: requests.Response) -> NotDelivered:
    host, status = urlsplit(response.url).hostname, response.status_code
    if status in EXPIRED:
        is_page = "html" in response.headers.get("Content-Type", "").lower()
        before = ", or a proxy or firewall before it refuses" if is_page else ""
        return Expired(f"{host} answered {status}: the link has expired or does not allow it{before}.")
    if status in _PASSING or status >= 500 or status == HTTPStatus.PARTIAL_CONTENT:
        wait = response.headers.get("Retry-After", "")
        return Passing(f"{host} answered {status}.", float(wait) if wait.isdecimal() else None)
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
