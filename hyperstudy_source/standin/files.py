"""What is in the storage: files held as bytes, or made up while they are read, and their digests."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Union

import google_crc32c

BLOCK = 256 * 1024
"""Bytes that are made, hashed and sent at a time."""
COUNTER = 8
"""Bytes at the start of each block of a `Made` that tell it from the others."""
DigestKind = Literal["md5", "sha256", "crc32c"]


@dataclass(frozen=True)
class Made:
    """A file of pseudo-random bytes that is never held whole: the same for the same numbers.

    Attributes:
        size: number of bytes.
        seed: which bytes.
        offset: how many of the seed's bytes come before the first; a slice has it.
    """

    size: int
    seed: int = 0
    offset: int = 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> Made:
        """Return the part as another `Made`; steps are not heeded."""
        start, stop, _ = part.indices(self.size)
        return replace(self, size=max(stop - start, 0), offset=self.offset + start)

    def blocks(self) -> Iterator[bytes]:
        """Make the bytes, a block or less at a time."""
        place, end = self.offset, self.offset + self.size
        while place < end:
            number, within = divmod(place, BLOCK)
            block = number.to_bytes(COUNTER, "big") + _noise(self.seed)
            yield block[within : within + end - place]
            place = min((number + 1) * BLOCK, end)


Content = Union[bytes, Made]


def blocks(content: Content) -> Iterator[bytes]:
    """Yield a content, a block or less at a time and nothing empty."""
    if isinstance(content, Made):
        yield from content.blocks()
    else:
        yield from (content[place : place + BLOCK] for place in range(0, len(content), BLOCK))


def digest(content: Content, kind: DigestKind) -> bytes:
    """Return a digest of a content; that of a `Made` is remembered."""
    return _remembered(content, kind) if isinstance(content, Made) else _digest(content, kind)


def _digest(content: Content, kind: DigestKind) -> bytes:
    if kind == "crc32c":
        checksum = 0
        for block in blocks(content):
            checksum = google_crc32c.extend(checksum, block)
        return checksum.to_bytes(4, "big")
    state = hashlib.new(kind, usedforsecurity=False)
    for block in blocks(content):
        state.update(block)
    return state.digest()


@functools.lru_cache(maxsize=256)
def _remembered(content: Made, kind: DigestKind) -> bytes:
    return _digest(content, kind)


@functools.lru_cache(maxsize=8)
def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(BLOCK - COUNTER)
