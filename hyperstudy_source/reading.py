"""Reads one data type in every scope of a run.

Types with a cursor are read in windows of time, ascending; all others whole. Rows are handed on page by page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import dlt
from dlt.common import logger
from dlt.common.schema import Schema

from hyperstudy_source.client import ANSWER_TIMEOUT, Client
from hyperstudy_source.cursors import Positions, Progress, window
from hyperstudy_source.data_types import DATA_TYPES, DataType
from hyperstudy_source.envelope import Page
from hyperstudy_source.errors import ApiError
from hyperstudy_source.fields import Row
from hyperstudy_source.scopes import Scope, Scopes, explained
from hyperstudy_source.tables import TableRows, opening
from hyperstudy_source.values import read_time


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(timezone.utc)


@dataclass
class RunNotes:
    """What a run says of itself beside its rows."""

    clients: list[Client] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    """Why the data may be incomplete."""
    remarks: list[str] = field(default_factory=list)
    """What is odd, but leaves the data complete."""
    new_fields: set[str] = field(default_factory=set)
    """`table.column` of fields that the API has grown and that came for the first time."""

    @property
    def requests(self) -> int:
        """Requests sent, every attempt counted."""
        return sum(client.request_count for client in self.clients)

    def notice(self, text: str) -> None:
        """Takes a reason why the data may be incomplete, once, and logs it."""
        if text not in self.notices:
            self.notices.append(text)
            logger.warning(text)

    def remark(self, text: str) -> None:
        """Takes something odd, once, and logs it."""
        if text not in self.remarks:
            self.remarks.append(text)
            logger.info(text)


_notes: ContextVar[RunNotes | None] = ContextVar("hyperstudy_run_notes", default=None)


@contextmanager
def run_notes() -> Iterator[RunNotes]:
    """The notes of every source that is made inside the block."""
    token = _notes.set(notes := RunNotes())
    try:
        yield notes
    finally:
        _notes.reset(token)


class Reader:
    """What the resources of one source share: the client, the scopes, and how many rows to ask for at once."""

    def __init__(
        self, client: Client, scopes: Scopes, page_size: int, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.client, self.scopes, self.page_size, self.now = client, scopes, page_size, now
        self.notes = _notes.get() or RunNotes()
        self.notes.clients.append(client)
        self._readings: dict[str, Reading] = {}

    def reading(self, data_type: DataType) -> Reading:
        """The reading of a data type in the current run; the same one until dlt starts another."""
        schema = dlt.current.source_schema()
        known = self._readings.get(data_type.name)
        if known is None or known.schema is not schema:
            known = self._readings[data_type.name] = Reading(self, data_type, schema)
        return known

    def in_windows(self, data_type: DataType, cursor: dlt.sources.incremental[datetime]) -> Iterator[Any]:
        """The rows of a data type with a cursor, each scope from where its cursor stands.

        The cursors of the tables derived from it move along if they are loaded too; a table that was not loaded
        before gets its whole history.
        """
        cursor.advance(None)  # type: ignore[arg-type]  # None is what switches the filter off
        table = self.reading(data_type)
        yield opening()
        order = {"sort": data_type.cursor, "order": "asc"}
        for scope in self.scopes:
            positions = _positions(data_type)
            span = window(cursor, positions, scope.cursor_key)
            progress = Progress(span, positions, scope.cursor_key, self.now)
            twins: Counter[str] = Counter()
            for page in table.pages(scope, {**order, **span.params}, limit=self.page_size):
                moments = [read_time(row.get(str(data_type.cursor))) for row in page.rows]
                progress.see(page, moments)
                inside = [row for row, moment in zip(page.rows, moments, strict=True) if span.holds(moment)]
                yield table.shaped(inside, scope, twins)

    def whole(self, data_type: DataType) -> Iterator[Any]:
        """The rows of a data type without a cursor, all of them in every scope."""
        table = self.reading(data_type)
        yield opening()
        for scope in self.scopes:
            twins: Counter[str] = Counter()
            for page in table.pages(scope, {}, limit=self.page_size):
                yield table.shaped(page.rows, scope, twins)


class Reading:
    """One data type during one run: its pages and its rows."""

    def __init__(self, reader: Reader, data_type: DataType, schema: Schema) -> None:
        self.data_type, self.schema, self.notes = data_type, schema, reader.notes
        self._client = reader.client
        self.state = dlt.current.resource_state(data_type.name)
        """What dlt keeps for the resource from run to run."""
        self._rows = TableRows(data_type, schema, self.state.get("told_by"))

    def pages(self, scope: Scope, params: dict[str, Any], *, limit: int | None = None) -> Iterator[Page]:
        """The pages of a scope with only the rows that are in it."""
        name, most = self.data_type.name, self.data_type.most_rows
        path, place = scope.endpoint(self.data_type)
        received = 0
        for page in self.at(path, {**place, **params}, scope, limit=limit):
            received += len(page.rows)
            if most and received >= most:
                self.notes.notice(f"{name} of {scope}: the API gives at most {most:,} rows, there may be more.")
            if any(scope.cannot_place(self.data_type, row) for row in page.rows):
                self.notes.notice(f"{name} of {scope}: the API does not say in which room rows are; they are left out.")
            rows = [row for row in page.rows if scope.holds(self.data_type, row)]
            yield page if len(rows) == len(page.rows) else Page(rows, page.metadata, page.params)

    def at(
        self, path: str, params: dict[str, Any] | None = None, scope: Scope | None = None, *, limit: int | None = None
    ) -> Iterator[Page]:
        """The pages of any endpoint; an error of the API names the data type and the scope."""
        try:
            for page in self._client.pages(path, params, timeout=self.data_type.timeout or ANSWER_TIMEOUT, limit=limit):
                for warning in page.warnings:
                    self.notes.notice(f"{scope or path}: the API warns, rows may be missing: {warning}")
                if page.stops_short:
                    self.notes.notice(f"{scope or path}: the API says that there is more, and gives none.")
                yield page
        except ApiError as error:
            raise explained(error, self.data_type, scope) from None

    def shaped(self, rows: Sequence[Row], scope: Scope | None, twins: Counter[str] | None = None) -> list[Row]:
        """Rows of the API as rows of the table."""
        shaped = self._rows.shape(rows, scope, Counter() if twins is None else twins)
        if self._rows.told_by and not self.data_type.key:
            self.state["told_by"] = self._rows.told_by
        self.notes.new_fields.update(self._rows.types.grown)
        return shaped


def selected(*names: str) -> list[str]:
    """Which of these resources are loaded in the current run."""
    loaded = dlt.current.source().resources.selected
    return [name for name in names if name in loaded]


def _positions(data_type: DataType) -> list[Positions]:
    """The cursors of a data type and of what is derived from it, as far as they are loaded in this run."""
    family = [data_type.name, *(t.name for t in DATA_TYPES.values() if t.derived_from == data_type.name)]
    return [dlt.current.resource_state(name).setdefault("cursors", {}) for name in selected(*family)]
