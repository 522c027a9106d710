"""What the tables should hold: a stand-in's own rows, told apart by a field `mark` that identical rows share."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import dlt
from loaded import DATASET, Loaded

from hyperstudy_source import load
from hyperstudy_source.load import LoadReport
from hyperstudy_source.standin import StandIn, Study
from hyperstudy_source.sync.run import Run, current_run

NO_LIMITS: dict[str, Any] = {"requests_per_minute": None, "requests_per_hour": None}
Marks = Counter[tuple[str, str]]
"""(experiment, mark) -> rows."""


@dataclass
class FakeTime:
    """A clock that only sleeping and tests move, for many threads."""

    now: float
    slept: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.now += seconds


def sync(
    pipeline: dlt.Pipeline, api: StandIn, *names: str, slice_requests: int | None = None, time: FakeTime | None = None,
    **options: Any,
) -> LoadReport:
    """One `load()` that never waits, without limits unless they are among the options."""
    run = Run(slice_requests=slice_requests, sleep=_no_sleep)
    if time:
        run = Run(slice_requests=slice_requests, clock=time.clock, sleep=time.sleep)
    with current_run(run):
        return load(pipeline, list(names) or None, api_key=api.api_key, base_url=api.base_url,
                    **{**NO_LIMITS, **options})


def _no_sleep(_: float) -> None:
    """Takes no time."""


def query(pipeline: dlt.Pipeline, text: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with pipeline.sql_client() as client:
        return [tuple(row) for row in client.execute_sql(text) or ()]


def marks(pipeline: dlt.Pipeline, table: str) -> Marks:
    """The rows that a table holds."""
    if not query(pipeline, f"SELECT 1 FROM information_schema.columns "
                           f"WHERE table_name = '{table}' AND column_name = 'mark' AND table_schema = '{DATASET}'"):
        return Counter()
    return Counter({(str(experiment), str(mark)): int(rows) for experiment, mark, rows in query(
        pipeline, f'SELECT experiment_id, mark, count(*) FROM "{table}" GROUP BY ALL')})


def true_marks(study: Study, table: str) -> Marks:
    """The rows that the stand-in serves."""
    return Counter((experiment, str(row["mark"])) for experiment, rows in study.rows[table].items() for row in rows)


def contents(pipeline: dlt.Pipeline) -> dict[str, list[str]]:
    """All tables but the ledger, which says how it was read; the same whatever port a stand-in has."""
    loaded = Loaded(pipeline)
    tables = (table for table in loaded.tables if table.split("__")[0] != "sync_ledger")
    return {table: sorted(re.sub(r"127\.0\.0\.1:\d+", "host", row) for row in rows)
            for table, rows in loaded.contents(*tables).items()}


def statuses(pipeline: dlt.Pipeline) -> dict[tuple[str, str], str]:
    """The ledger of the newest run: (data type, experiment) -> status."""
    return {(data_type, str(experiment)): status for data_type, experiment, status in query(
        pipeline, "SELECT data_type, experiment_id, status FROM sync_ledger WHERE run_id = "
                  "(SELECT run_id FROM sync_ledger ORDER BY _dlt_load_id DESC LIMIT 1)")}
