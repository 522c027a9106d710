"""What a bare `pipeline.run` of the source does first, when a resource starts: it takes the lock and aligns the state.

By then dlt has loaded what an earlier run has left; it asks no source before that.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import dlt
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext, SupportsPipeline, pipeline_state
from dlt.common.runtime.collector import NullCollector
from dlt.pipeline import trace

from hyperstudy_source.alignment import align
from hyperstudy_source.run_lock import RunLock

if TYPE_CHECKING:
    from dlt.pipeline.trace import PipelineTrace


class _Begun(threading.local):
    """The bare run of the current thread."""

    state: object = None
    """What dlt keeps for it: tells it from others, since several resources begin, even of two sources."""
    lock: RunLock | None = None


_begun = _Begun()


class _End(NullCollector):
    """Collects nothing: it is told by dlt when a run is over, be it by an error."""

    def on_end_trace(self, trace: PipelineTrace, pipeline: SupportsPipeline, send_state: bool) -> None:  # noqa: ARG002
        """Releases the lock of a bare run."""
        if _begun.lock and _begun.lock.is_of(pipeline):
            _begun.lock.release()
            _begun.lock = _begun.state = None


trace.TRACKING_MODULES.append(_End())


def begin_bare_run() -> None:
    """To be called by every resource that starts; only the first in an extract of a pipeline has something to do."""
    state, managed = pipeline_state(Container())
    context = Container()[PipelineContext]
    if not managed or not context.is_active() or _begun.state is state:
        return
    pipeline = context.pipeline()
    if not isinstance(pipeline, dlt.Pipeline):
        return
    _take_lock(pipeline)
    if not pipeline.has_pending_data:
        align(pipeline, state, dlt.current.source_schema().name)
    _begun.state = state


def _take_lock(pipeline: dlt.Pipeline) -> None:
    """Takes the lock until the run is over, or where dlt does not tell that, looks whether it is free."""
    lock = RunLock(pipeline)
    lock.take()
    if pipeline.config.enable_runtime_trace:
        _begun.lock = lock
    else:
        lock.release()
