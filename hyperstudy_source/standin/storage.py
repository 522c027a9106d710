"""The storage host: signed, short-lived links to recordings, and the files behind them.

It lives outside `/api/v3` and refuses whoever sends the API key along.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import io
import math
import re
import secrets
import struct
import wave
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from hyperstudy_source.standin.answers import Answer
from hyperstudy_source.standin.study import Json, Study

STORAGE = "/storage/"
MINTED_SECONDS = 900
"""Life of a link from the download endpoint."""
LISTED_SECONDS = 7 * 24 * 3600
"""Life of a `downloadUrl` in a row: seven days (documented)."""
SAMPLE_RATE = 8000


@functools.cache
def tone(frequency: float, seconds: float = 1.0) -> bytes:
    """Return a WAV file with a sine tone: mono, 16 bit, 8 kHz."""
    count = int(SAMPLE_RATE * seconds)
    samples = (int(12000 * math.sin(2 * math.pi * frequency * n / SAMPLE_RATE)) for n in range(count))
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return content.getvalue()


class Links:
    """Makes and checks links to files, as the storage of one stand-in."""

    def __init__(self, origin: str, clock: Callable[[], float]) -> None:
        """Take the address before the path, and a clock of epoch seconds."""
        self._origin = origin
        self._clock = clock
        self._secret = secrets.token_bytes(16)

    def plain(self, name: str) -> str:
        """Return a file's address without a signature; it is refused."""
        return f"{self._origin}{STORAGE}{name}"

    def signed(self, name: str, seconds: int) -> str:
        """Return a file's address that is good for some seconds."""
        expires = str(int(self._clock()) + seconds)
        query = {"X-Goog-Expires": expires, "X-Goog-Signature": self._signature(name, expires)}
        return f"{self.plain(name)}?{urlencode(query)}"

    def refusal(self, name: str, params: Mapping[str, str]) -> str | None:
        """Say why a link is not good, or None if it is."""
        expires = params.get("X-Goog-Expires", "")
        expected = self._signature(name, expires)
        if not hmac.compare_digest(params.get("X-Goog-Signature", ""), expected):
            return "SignatureDoesNotMatch"
        return "ExpiredToken" if self._clock() > float(expires) else None

    def _signature(self, name: str, expires: str) -> str:
        return hmac.new(self._secret, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()


def with_links(row: Json, links: Links) -> Json:
    """Return a recording's row with addresses in place of the storage names in `url` and `downloadUrl`.

    `url` is signed only where it is the one way to the file; full addresses stay as they are.
    """
    served = dict(row)
    only_url = "downloadUrl" not in row and "downloadPath" not in row
    if _is_name(row.get("url")):
        served["url"] = links.signed(row["url"], LISTED_SECONDS) if only_url else links.plain(row["url"])
    if _is_name(row.get("downloadUrl")):
        served["downloadUrl"] = links.signed(row["downloadUrl"], LISTED_SECONDS)
    return served


def file_answer(
    study: Study,
    links: Links,
    name: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    expired_status: int | None = None,
) -> Answer:
    """Answer a GET for a file: whole, or its `Range`; with `expired_status` the link has expired."""
    if "x-api-key" in headers:
        return _refused(400, "InvalidArgument")
    why = links.refusal(name, params)
    if expired_status is not None or why == "ExpiredToken":
        return _refused(expired_status or 403, "ExpiredToken")
    if why is not None:
        return _refused(403, why)
    if name not in study.files:
        return _refused(404, "NoSuchKey")
    return _ranged(study.files[name], headers)


def _ranged(content: bytes, headers: Mapping[str, str]) -> Answer:
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    etag = f'"{digest.hex()}"'
    shown = {
        "Content-Type": "audio/wav",
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "x-goog-hash": f"md5={base64.b64encode(digest).decode()}",
    }
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
    if match is None or match.group() == "bytes=-" or headers.get("if-range", etag) != etag:
        return Answer(200, content, shown)
    size = len(content)
    first, last = match.groups()
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        return Answer(416, b"", {"Content-Range": f"bytes */{size}"})
    return Answer(206, content[start:stop], {**shown, "Content-Range": f"bytes {start}-{stop - 1}/{size}"})


def _refused(status: int, code: str) -> Answer:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml; charset=UTF-8"})


def _is_name(value: object) -> bool:
    return isinstance(value, str) and "://" not in value
