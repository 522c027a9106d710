"""A data type as the reads of one slice fill its table: its rows, its state, and what it is read with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hyperstudy_source.api.client import ANSWER_TIMEOUT, Client
from hyperstudy_source.data_types import DataType
from hyperstudy_source.sync.freshness import Freshness
from hyperstudy_source.sync.run import Run
from hyperstudy_source.sync.scopes import Scope
from hyperstudy_source.tables.fields import Row
from hyperstudy_source.tables.hints import TableRows, TellRoom


@dataclass
class Table:
    """A data type as the visits of one slice fill it."""

    data_type: DataType
    rows: TableRows
    state: dict[str, Any]
    """What dlt keeps for the resource from run to run."""
    loaded: Sequence[str]
    """The tables that its rows are read for in this run: its own and those derived from it."""
    client: Client
    run: Run
    freshness: Freshness
    page_size: int

    @property
    def name(self) -> str:
        """Of the data type."""
        return self.data_type.name

    @property
    def still_loaded(self) -> list[str]:
        """Those of them whose resources have not been closed: only they may count as read."""
        return [name for name in self.loaded if name not in self.run.extract.left]

    @property
    def timeout(self) -> float:
        """How many s may lie between two bytes of an answer."""
        return self.data_type.timeout or ANSWER_TIMEOUT

    def shaped(
        self, rows: Sequence[Row], scope: Scope | None, twins: Counter[str], tell_room: TellRoom | None = None
    ) -> list[Row]:
        """Rows of the API as rows of the table."""
        shaped = self.rows.shape(rows, scope, twins, tell_room)
        if self.rows.told_by and not self.data_type.key:
            self.state["told_by"] = self.rows.told_by
        self.run.new_fields.update(self.rows.types.grown)
        for remark in self.rows.remarks():
            self.run.remark(remark)
        return shaped
