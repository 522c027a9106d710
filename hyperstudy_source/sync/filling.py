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
from hyperstudy_source.tables.frames import Frame
from hyperstudy_source.tables.pages import TablePages, TellRooms


@dataclass
class Table:
    """A data type as the visits of one slice fill it."""

    data_type: DataType
    pages: TablePages
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

    def page(
        self, rows: Sequence[Row], scope: Scope | None, twins: Counter[str], tell_rooms: TellRooms | None = None,
        turn: int | None = None,
    ) -> Frame:
        """Rows of the API as rows of the table; from the row `turn` on, none is like one that came before."""
        experiment_id, room_id = (scope.experiment_id, scope.room_id) if scope else (None, None)
        frame = self.pages.page(rows, experiment_id, room_id, twins, tell_rooms, turn)
        if self.pages.told_by and not self.data_type.key:
            self.state["told_by"] = self.pages.told_by
        self.run.new_fields.update(self.pages.types.grown)
        for remark in self.pages.remarks():
            self.run.remark(remark)
        return frame

    def shaped(self, rows: Sequence[Row], scope: Scope | None, twins: Counter[str]) -> list[Row]:
        """The same as nested objects."""
        return self.page(rows, scope, twins).rows()
