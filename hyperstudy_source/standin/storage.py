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
from dataclasses import replace
from urllib.parse import quote, urlencode

from hyperstudy_source.standin.answers import Answer
from hyperstudy_source.standin.behaviour import Behaviour, Fault
from hyperstudy_source.standin.files import Content, digest
from hyperstudy_source.standin.study import Json, Study

STORAGE = "/storage/"
LISTED_SECONDS = 7 * 24 * 3600
"""Life of a `downloadUrl` in a row: seven days (documented)."""
SAMPLE_RATE = 8000
CONTENT_TYPES = {
    "json": "application/json",
    "m4a": "audio/mp4",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ogg": "audio/ogg",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webm": "video/webm",
}
"""Content types by the end of a file's name."""
OTHER_FILE = b"Not the file that was asked for."
"""What a file with wrong hashes has the hashes of."""


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
        return f"{self._origin}{STORAGE}{quote(name)}"

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
        return "ExpiredToken" if self._clock() >= float(expires) else None

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
    behaviour: Behaviour,
    links: Links,
    name: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    fault: Fault | None = None,
) -> Answer:
    """Answer a GET for a file, whole or its `Range`, with those faults that are not the connection's."""
    if "x-api-key" in headers:
        return _refused(400, "InvalidArgument")
    why = links.refusal(name, params)
    if behaviour.expire_links or why == "ExpiredToken" or (fault is not None and fault.kind == "expired"):
        return _refused(behaviour.expired_status, "ExpiredToken")
    if why is not None:
        return _refused(403, why)
    content = study.files.get(name)
    if content is None:
        return _refused(404, "NoSuchKey")
    wrong = fault is not None and fault.kind == "wrong_hash"
    shown = {
        "Content-Type": CONTENT_TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream"),
        "Accept-Ranges": "bytes",
        **_hashes(name, OTHER_FILE if wrong else content, behaviour),
    }
    return _ranged(name, content, shown, headers, behaviour)


def _hashes(name: str, content: Content, behaviour: Behaviour) -> dict[str, str | list[str]]:
    found: dict[str, str | list[str]] = {}
    etag = _etag(name, content, behaviour)
    if etag is not None:
        found["ETag"] = etag
    lines = []
    if "crc32c" in behaviour.file_hashes:
        lines.append(f"crc32c={base64.b64encode(digest(content, 'crc32c')).decode()}")
    if "md5" in behaviour.file_hashes:
        lines.append(f"md5={base64.b64encode(digest(content, 'md5')).decode()}")
    if lines:
        found["x-goog-hash"] = lines if behaviour.separate_hashes else ",".join(lines)
    return found


def _etag(name: str, content: Content, behaviour: Behaviour) -> str | None:
    if "etag" in behaviour.file_hashes:
        return f'"{digest(content, "md5").hex()}"'
    if "opaque_etag" in behaviour.file_hashes:
        label = base64.b64encode(name.encode() + digest(content, "crc32c"))
        return f'"{label.decode()}"'
    return None


def _ranged(
    name: str,
    content: Content,
    shown: Mapping[str, str | list[str]],
    headers: Mapping[str, str],
    behaviour: Behaviour,
) -> Answer:
    whole = Answer(200, content, shown, length=behaviour.file_length)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
    if match is None or match.group() == "bytes=-" or behaviour.ranges == "ignored":
        return whole
    if "if-range" in headers and headers["if-range"] != _etag(name, content, behaviour):
        return whole
    size = len(content)
    first, last = match.groups()
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        return Answer(416, b"", {"Content-Range": f"bytes */{size}"})
    if behaviour.ranges == "wrong":
        start, stop = (0, stop - start) if start > 0 else (min(1, size - 1), size)
    part = {**shown, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return replace(whole, status=206, body=content[start:stop], headers=part)


def _refused(status: int, code: str) -> Answer:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml; charset=UTF-8"})


def _is_name(value: object) -> bool:
    return isinstance(value, str) and "://" not in value
