"""Where an interrupted read goes on, as dlt's state keeps it from slice to slice and from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from hyperstudy_source.api.envelope import Page
from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.values import digest


@dataclass(frozen=True)
class Link:
    """What tells whether the pages behind an offset still follow those before it: some rows, and where they lie.

    The last row is told and, where rows have no key and may be alike, the one before the first that is like it: else
    rows that moved by one place would look the same.
    """

    at: int
    """The offset of the first row that is told."""
    told: tuple[str, ...]
    """Digests of one row or two."""
    overlap: int
    """How many rows are to come again, so that the next page begins with those told; 0: a page cannot hold so many."""
    page: str
    """The mark of the page before the offset."""

    @classmethod
    def behind(cls, page: Page, start: int, has_key: bool, earlier: Link | None) -> Link | None:
        """The link behind a page that starts at an offset; `earlier` is the one before it."""
        rows = page.rows
        if not rows:
            return None
        at: int
        told: tuple[str, ...]
        first, last = len(rows) - 1, digest(rows[-1])
        while not has_key and first > 0 and digest(rows[first - 1]) == last:
            first -= 1
        if has_key:
            at, told = start + first, (last,)
        elif first > 0:
            at, told = start + first - 1, (digest(rows[first - 1]), last)
        elif earlier and earlier.told[-1] == last:
            at, told = earlier.at, earlier.told
        elif earlier:
            at, told = start - 1, (earlier.told[-1], last)
        else:
            at, told = start, (last,)
        overlap = start + len(rows) - at
        return cls(at, told, overlap if overlap < len(rows) else 0, page.mark)

    def holds(self, rows: Sequence[Row]) -> bool:
        """Whether rows that lie where those told lay are the same."""
        return self.told == tuple(digest(row) for row in rows[:len(self.told)])


@dataclass(frozen=True)
class Place:
    """Where a read stands that is to go on later: behind all rows that came, and before all others.

    That is the time `after`, before which all rows came and none from then on; or an offset behind it, which means
    something only as long as no row comes or goes before it.
    """

    run_id: str
    """The run that was there last."""
    started: datetime
    """When the read began."""
    listed: str | None
    """What the list said of the experiment then, as a digest."""
    start: datetime | None
    """The start of its window."""
    after: datetime | None
    jumped: bool = False
    """Whether that is later than the start of the window."""
    offset: int = 0
    link: Link | None = None
    """What tells the rows before the offset."""
    newest: datetime | None = None
    """The latest time that came."""
    ordered: bool = True
    """Whether the rows behind `after` came in the order of their times so far."""
    expected: int | None = None
    """Rows that the API counted when the read began, of which so many were delivered."""
    delivered: int = 0
    counted: int | None = None
    """Rows that the API counted last, from `after` on, of which so many were received."""
    received: int = 0
    doubts: tuple[str, ...] = ()
    """Why rows may be missing all the same."""
    twins: Mapping[str, int] | None = None
    """How many rows without a key were alike, where that may matter later; None: too many to keep."""
    passing: str | None = None
    """Why the rooms of some rows were not told, if they may be when they are read again."""

    def written(self) -> dict[str, Any]:
        """The place as the state keeps it: JSON."""
        return {name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in asdict(self).items()}

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Place:
        """The place that the state has kept."""
        times = {name: datetime.fromisoformat(kept[name]) if kept[name] else None
                 for name in ("started", "start", "after", "newest")}
        link = Link(**{**kept["link"], "told": tuple(kept["link"]["told"])}) if kept["link"] else None
        return cls(**{**kept, **times, "link": link, "doubts": tuple(kept["doubts"])})
