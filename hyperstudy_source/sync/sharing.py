"""One reading of which several resources take their part, page by page in step.

Transformers of dlt see what a user's steps have made of the rows, are given each page behind those steps, and cannot
be limited. Here whichever resource is asked first reads on for all, once all have handed on what they have of the page
before. None turns dlt to the other resources meanwhile: nothing blocks, whatever order or threads dlt asks them in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from hyperstudy_source.destination.known_rooms import KnownRooms

Part = Callable[[Any], Any]
"""What a taker wants of a page, as the API gave it; nothing where that is empty."""
Items = Generator[Any, None, None]
_OVER = object()


class Sharing:
    """A reading and those that still take part in it. `left` gets the names of takers that are closed before its end.

    The first taker begins it: a reading that has settings has those of the first.
    """

    def __init__(self, takers: Mapping[str, Part], left: set[str]) -> None:
        self._takers = dict(takers)
        self._first = next(iter(takers))
        self._left = left
        self._untaken: dict[str, Any] = {}
        self._reading: Items | None = None
        self.settings: object = None
        """Those of the reading, once it has begun."""
        self._over = False
        self._lock = threading.RLock()

    def parts(self, taker: str, read: Callable[[], Items], settings: object = None) -> Items:
        """The parts of one taker, and None where it has to wait.

        A part counts as handed on when the next one is asked for: of one at which it is closed nobody knows.
        """
        if taker == self._first:
            self._reading, self.settings = read(), settings
        try:
            while not self._over or taker in self._untaken:
                if taker in self._untaken:
                    yield self._untaken[taker]
                    del self._untaken[taker]
                elif not self._reads_on(taker):
                    yield None
        finally:
            self._leave(taker)

    def _reads_on(self, taker: str) -> bool:
        """Reads a page if none is held by anybody, and says whether that brought the taker something, or the end."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._reading is None or self._untaken:
                return False
            page = next(self._reading, _OVER)
            if page is _OVER:
                self._over = True
            elif page is not None:
                parts = ((name, wanted(page)) for name, wanted in self._takers.items())
                self._untaken = {name: part for name, part in parts if part}
            return self._over or taker in self._untaken
        finally:
            self._lock.release()

    def _leave(self, taker: str) -> None:
        with self._lock:
            self._takers.pop(taker, None)
            self._untaken.pop(taker, None)
            if not self._over:
                self._left.add(taker)
            if not self._takers and self._reading:
                self._reading.close()


@dataclass
class Extract:
    """What the resources of a source share while dlt extracts it once."""

    over: set[str] = field(default_factory=set)
    """Resources that have ended, however they did."""
    left: set[str] = field(default_factory=set)
    """Resources that were closed before they had handed on everything, as `add_limit` does."""
    changed: set[str] = field(default_factory=set)
    """Resources whose rows go through steps of the user before they are stored."""
    sharings: dict[str, Sharing] = field(default_factory=dict)
    known_rooms: KnownRooms = field(default_factory=KnownRooms)
    unledgered: bool = False
    """Whether there is no ledger among them."""


def made_of(parts: Items, make: Callable[[Any], Iterator[Any]]) -> Items:
    """What is made of each part; first of an empty one, for what an earlier slice has left."""
    with closing(parts):
        yield from make([])
        for part in parts:
            yield from [None] if part is None else make(part)
