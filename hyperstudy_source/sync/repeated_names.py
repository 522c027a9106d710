"""What the report says of rows in which a name came twice: once for each data type, with one example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hyperstudy_source.api.json_objects import Repeat
from hyperstudy_source.data_types import DataType
from hyperstudy_source.tables.fields import Row, column_name
from hyperstudy_source.tables.values import digest

_PEOPLE = ("participantId", "participantName", "senderId", "senderName")
"""Fields that name a person; an id that holds one of them is not told."""


class RepeatRemarks:
    """Remarks of a run, one for each data type."""

    def __init__(self, remarks: list[str], remark: Callable[[str], None]) -> None:
        self._remarks, self._remark = remarks, remark
        self._found: dict[str, _RepeatedNames] = {}

    def note(self, data_type: DataType, repeats: Sequence[tuple[Row, Repeat]]) -> None:
        """Says of all rows so far, in place of what was said of the earlier ones."""
        if repeats:
            found = self._found.setdefault(data_type.name, _RepeatedNames(data_type))
            earlier = str(found)
            found.take(repeats)
            self._remarks[:] = [remark for remark in self._remarks if remark != earlier]
            self._remark(str(found))


@dataclass
class _RepeatedNames:
    """The rows of one data type in which a name came twice with different values, for people by `str()`."""

    data_type: DataType
    first: str = ""
    """The first of them, for people."""
    rows: set[str] = field(default_factory=set)
    """Digests, since a row may be read several times."""

    def take(self, repeats: Iterable[tuple[Row, Repeat]]) -> None:
        """Takes note of rows."""
        for row, repeat in repeats:
            self.first = self.first or self._told(row, repeat)
            self.rows.add(digest(row))

    def __str__(self) -> str:
        others = len(self.rows) - 1
        also = f" So it is in {others:,} other row{'s' if others > 1 else ''}." if others else ""
        return f"{self.data_type.name}: {self.first}{also}"

    def _told(self, row: Row, repeat: Repeat) -> str:
        name = self._name(row)
        subject = f"row {name}" if name else "a row"
        if not repeat.kept_as:
            return (f"{subject} has a name twice within the field {repeat.name}; the name of the earlier value has a "
                    "number behind it.")
        return (f"{subject} has the field {repeat.name} twice; the earlier value is in "
                f"{column_name(repeat.kept_as)}.")

    def _name(self, row: Row) -> str | None:
        """The id of a row that names no person."""
        names = self.data_type.key[-1] if self.data_type.key else (self.data_type.key_where_present or "",)
        if "participantId" in names:
            return None
        found = next((str(row[name]) for name in names if row.get(name)), None)
        people = [str(row[name]) for name in _PEOPLE if row.get(name)]
        return None if found is None or any(person in found for person in people) else found
