"""Several runs with few requests make one round: none of them reads again what another has read.

Else each would spend its requests on the same, and the rest would never be reached. A run without such a limit is a
round by itself and keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dlt

from hyperstudy_source.sync.run import Run

LONGEST_ROUND = timedelta(days=1)
"""After how long everything is read again, although the runs have not got to the end."""


@dataclass(frozen=True)
class Task:
    """What is read in a round, place by place."""

    tables: tuple[str, ...]
    """The tables that the rows are for."""
    window: str = ""
    """Of a backfill."""

    @property
    def name(self) -> str:
        """What tells it from other tasks."""
        return " ".join([*self.tables, self.window]).strip()


class Round:
    """What the runs of a round have done.

    Each table of a task keeps it in the state of its own resource: one that was dropped does not know of it, and then
    nothing is done. `key` tells the place.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def is_done(self, task: Task, key: str, mark: str | None) -> bool:
        """Whether an earlier run of the round has read this, and it still has the mark that it had then."""
        done = self._kept("done", task)
        return bool(done) and all(key in each and each[key] == mark for each in done)

    def note_done(self, task: Task, key: str, mark: str | None) -> None:
        """Takes note that it was read."""
        for done in self._kept("done", task):
            done[key] = mark

    def tries(self, task: Task, key: str) -> tuple[int, str]:
        """How often it was read in vain, and why the last time."""
        known: list[tuple[int, str]] = [tuple(each.get(key, (0, ""))) for each in self._kept("tried", task)]
        return min(known, default=(0, ""))

    def was_begun(self, task: Task, key: str) -> bool:
        """Whether a run of the round has asked for it, with whatever success."""
        known = list(zip(self._kept("done", task), self._kept("tried", task), strict=True))
        return bool(known) and all(key in done or key in tried for done, tried in known)

    def note_try(self, task: Task, key: str, reason: str | None) -> None:
        """Takes note that it was read in vain; without a reason, that it was begun."""
        count, earlier = self.tries(task, key)
        for tried in self._kept("tried", task):
            tried[key] = [count + bool(reason), reason or earlier]

    def end(self) -> None:
        """Lets the next run read everything, if this one has got to its end."""
        if not self._run.stopped and not self._run.unfinished:
            for known in dlt.current.source_state().get("resources", {}).values():
                known.pop("round", None)

    def _kept(self, what: str, task: Task) -> list[dict[str, Any]]:
        """What each table of a task knows of it; nothing where a run is a round by itself."""
        rounds = [self._of(table) for table in task.tables]
        return [known[what].setdefault(task.name, {}) for known in rounds if known is not None]

    def _of(self, table: str) -> dict[str, Any] | None:
        run, state = self._run, dlt.current.resource_state(table)
        if not run.is_limited:
            state.pop("round", None)
            return None
        known: dict[str, Any] | None = state.get("round")
        if not known or known["full"] != run.full or datetime.fromisoformat(known["began"]) < run.now() - LONGEST_ROUND:
            known = state["round"] = {"began": run.now().isoformat(), "full": run.full, "done": {}, "tried": {}}
        return known
