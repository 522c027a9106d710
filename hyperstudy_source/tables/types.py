"""The types of all columns: those declared, those of earlier runs, and those first seen in this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class ColumnTypes:
    """A column has one type for ever. `stored` gives the name under which the destination has a table or a column."""

    def __init__(self, known: Mapping[tuple[str, str], str], stored: Callable[[str], str] = str) -> None:
        self.known, self._stored = known, stored
        self._types: dict[tuple[str, str], str] = {}
        self.grown: set[str] = set()
        """`table.column` of every field that no documentation and no earlier run knows."""

    def settle(self, table: str, column: str, data_type: str) -> str:
        """The type of a column for ever: the one given, unless it has one."""
        settled = self.settled(table, column)
        if settled is None:
            settled = self._types[table, column] = data_type
        return settled

    def settled(self, table: str, column: str) -> str | None:
        """The type that a column has; None: no value has told one so far."""
        settled = self._types.get((table, column))
        if settled is None and (known := self.known.get((self._stored(table), self._stored(column)))):
            settled = self._types[table, column] = known
        return settled
