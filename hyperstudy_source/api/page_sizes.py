"""How many rows to ask an endpoint for: requests are counted, not rows, so a long read asks for large pages.

The largest `limit` that an endpoint takes is not documented. A read begins with the documented default; an answer that
says that more follows lets the next one be larger, and an endpoint that refuses that or fails over it gets the default
for as long as the client lives.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hyperstudy_source.api.envelope import DEFAULT_PAGE, Page

LARGEST_PAGE = 10_000
"""Rows of the largest page that is asked for."""
LARGEST_ANSWER = 4_000_000
"""Bytes that such an answer may have, going by the one before it: memory is to stay flat."""


@dataclass
class PageSizes:
    """The size of the next page of each endpoint. `fixed`: the one that is always asked for, if any."""

    fixed: int | None = None
    _sizes: dict[str, int] = field(default_factory=dict)

    def of(self, endpoint: str) -> int:
        """Rows to ask an endpoint for."""
        return self._sizes.get(endpoint, self.fixed or DEFAULT_PAGE)

    def grow(self, endpoint: str, page: Page) -> None:
        """Takes note of an answer with more behind it."""
        if self.fixed is None and endpoint not in self._sizes and page.says_more and page.size:
            fitting = LARGEST_ANSWER * len(page.rows) // page.size
            self._sizes[endpoint] = max(DEFAULT_PAGE, min(LARGEST_PAGE, fitting))

    def is_large(self, endpoint: str, limit: object) -> bool:
        """Whether a page is so large that the endpoint may not give it, where it gives a smaller one."""
        return limit == self._sizes.get(endpoint, DEFAULT_PAGE) != DEFAULT_PAGE

    def lower(self, endpoint: str) -> int:
        """Takes note that an endpoint does not give large pages."""
        self._sizes[endpoint] = DEFAULT_PAGE
        return DEFAULT_PAGE
