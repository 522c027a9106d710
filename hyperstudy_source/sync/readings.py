"""Which reading each resource takes its rows from.

A reading that serves several resources is made once: what steps of the user do to the rows of one, another does not
see. Some make requests of their own for each page that they take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from copy import deepcopy
from datetime import datetime
from functools import partial
from typing import Any, Optional, Protocol

import dlt

from hyperstudy_source.data_types import DATA_TYPES, RECORDING_FILES, TABLES, DataType
from hyperstudy_source.errors import SettingError
from hyperstudy_source.sync.endpoints import READ_BY, consent, instructions, questionnaire, sessions
from hyperstudy_source.sync.reader import Reader
from hyperstudy_source.sync.resources import extracted
from hyperstudy_source.sync.rooms import VARIABLES, room_variables, variable_timeline, variable_writes
from hyperstudy_source.sync.sharing import Items, Part, Sharing, made_of
from hyperstudy_source.tables.fields import Row, column_name
from hyperstudy_source.tables.frames import Frame, Places

Settings = tuple[Optional[datetime], Optional[datetime], float]
"""Of a reading by time: where it begins and ends, and how many s it goes back behind the cursors."""


class Files(Protocol):
    """What is made of the rows of recordings: their files, and a row for each."""

    def read(self, reader: Reader, data_type: DataType) -> Items:
        """The rows of recordings."""

    def rows(self, page: Sequence[Row], reader: Reader) -> Iterator[list[Row]]:
        """The rows of the files of a page of recordings."""


class Readings:
    """The readings of one source."""

    def __init__(self, reader: Reader, files: Files | None) -> None:
        self._reader, self._files = reader, files

    def items(self, data_type: DataType) -> Items:
        """The rows of a data type without a cursor."""
        name = data_type.name
        if data_type is RECORDING_FILES:
            yield from self._manifest(self._files) if self._files else ()
        elif name == "sessions":
            yield from made_of(self._parts("deployments", name), partial(sessions, self._reader, data_type))
        else:
            yield from self._parts("room_variables" if name in VARIABLES else name, name)

    def in_windows(
        self, data_type: DataType, cursor: dlt.sources.incremental[datetime], default: Settings
    ) -> Items:
        """The rows of a data type with a cursor. Raises `SettingError` for settings that cannot be heeded."""
        if cursor.cursor_path != column_name(str(data_type.cursor)):
            raise SettingError(f"{data_type.name} is to be read by {cursor.cursor_path}, but the API orders its rows "
                               f"by {data_type.cursor}. Leave the cursor's path out.")
        reading = data_type.derived_from or data_type.name
        own = (cursor.initial_value, cursor.end_value, cursor.lag or 0)
        sharing = self._sharing(reading)
        with closing(sharing.parts(
                data_type.name, lambda: self._reader.in_windows(DATA_TYPES[reading], cursor), own)) as parts:
            for part in parts:
                if sharing.settings and own not in (default, sharing.settings):
                    raise SettingError(f"{data_type.name} is a part of {reading} and read with it, so its cursor "
                                       f"cannot have settings of its own. Set them for {reading} too.")
                yield part

    def _manifest(self, files: Files) -> Items:
        def make(page: Sequence[Row]) -> Iterator[list[Row]]:
            return files.rows(page, self._reader)

        yield from made_of(self._parts("recordings", RECORDING_FILES.name), make)

    def _parts(self, reading: str, taker: str) -> Items:
        return self._sharing(reading).parts(taker, lambda: self._read(reading))

    def _read(self, reading: str) -> Items:
        if reading == "room_variables":
            return made_of(self._parts("rooms", reading), partial(room_variables, self._reader))
        if reading == "recordings" and self._files:
            return self._files.read(self._reader, DATA_TYPES[reading])
        if reading in READ_BY:
            return READ_BY[reading](self._reader, DATA_TYPES[reading])
        return self._reader.whole(DATA_TYPES[reading])

    def _sharing(self, reading: str) -> Sharing:
        """The reading in the current extract, with those that take part in it there."""
        run = self._reader.run
        loaded = extracted(run) - (set() if self._files else {RECORDING_FILES.name})
        takers = {name: part for name, part in self._takers(reading).items()
                  if name in loaded or (name not in TABLES and not loaded.isdisjoint(self._takers(name)))}
        return run.extract.sharings.setdefault(reading, Sharing(takers, run.extract.left))

    def _takers(self, reading: str) -> Mapping[str, Part]:
        return TAKERS[reading](self._reader) if reading in TAKERS else {reading: _all}


def _all(page: Any) -> Any:
    return page


def _rows_that(belong: Callable[[Frame], Places]) -> Part:
    return lambda page: page.take(belong(page))


TAKERS: Mapping[str, Callable[[Reader], Mapping[str, Part]]] = {
    "events": lambda _: {
        "events": _all, "questionnaire": _rows_that(questionnaire), "instructions": _rows_that(instructions),
        "consent": _rows_that(consent)},
    "deployments": lambda _: {"deployments": _all, "sessions": deepcopy},
    "rooms": lambda _: {"rooms": _all, "room_variables": deepcopy},
    "room_variables": lambda reader: {
        "variable_writes": partial(variable_writes, reader), "variable_timeline": partial(variable_timeline, reader)},
    "recordings": lambda _: {"recordings": _all, "recording_files": deepcopy},
}
"""Readings that serve several resources, and what each takes of a page."""
