"""Several runs with few requests make one round: none of them reads again what another has read.

Else each would spend its requests on the same, and the rest would never be reached. A run without such a limit is a
round by itself and keeps nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import dlt

from hyperstudy_source.runs import Run

LONGEST_ROUND = timedelta(days=1)
"""After how long everything is read again, although the runs have not got to the end."""


class Round:
    """What the runs of a round have done. It is kept in the state of the source, task by task."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def is_done(self, task: str, key: str, mark: str | None) -> bool:
        """Whether an earlier run of the round has read this, and it still has the mark that it had then."""
        done: dict[str, str | None] = self._kept("done").get(task, {})
        return key in done and done[key] == mark

    def note_done(self, task: str, key: str, mark: str | None) -> None:
        """Takes note that it was read."""
        self._kept("done").setdefault(task, {})[key] = mark

    def tries(self, task: str, key: str) -> tuple[int, str]:
        """How often it was read in vain, and why the last time."""
        count, reason = self._kept("tried").get(task, {}).get(key, (0, ""))
        return int(count), str(reason)

    def was_begun(self, task: str, key: str) -> bool:
        """Whether a run of the round has asked for it, with whatever success."""
        return any(key in self._kept(what).get(task, {}) for what in ("done", "tried"))

    def note_try(self, task: str, key: str, reason: str | None) -> None:
        """Takes note that it was read in vain; without a reason, that it was begun."""
        count, earlier = self.tries(task, key)
        self._kept("tried").setdefault(task, {})[key] = [count + bool(reason), reason or earlier]

    def end(self) -> None:
        """Lets the next run read everything, if this one has got to its end."""
        if not self._run.stopped and not self._run.unfinished:
            dlt.current.source_state().pop("round", None)

    def _kept(self, what: str) -> dict[str, dict[str, Any]]:
        run, state = self._run, dlt.current.source_state()
        if not run.is_limited:
            state.pop("round", None)
            return {}
        known = state.get("round")
        if not known or known["full"] != run.full or datetime.fromisoformat(known["began"]) < run.now() - LONGEST_ROUND:
            known = state["round"] = {"began": run.now().isoformat(), "full": run.full, "done": {}, "tried": {}}
        tasks: dict[str, dict[str, Any]] = known[what]
        return tasks
