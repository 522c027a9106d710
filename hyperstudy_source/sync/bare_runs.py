"""What a bare `pipeline.run` of the source does first, when a resource starts: it takes the lock and aligns the state.

By then dlt has loaded what an earlier run has left; it asks no source before that.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dlt
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext, SupportsPipeline, pipeline_state
from dlt.common.runtime.collector import NullCollector
from dlt.common.storages.load_package import LoadPackageStateInjectableContext
from dlt.pipeline import trace

from hyperstudy_source.destination.alignment import align
from hyperstudy_source.destination.comments import write_comments
from hyperstudy_source.destination.run_lock import RunLock

if TYPE_CHECKING:
    from dlt.pipeline.trace import PipelineTrace


@dataclass
class _Begun:
    """A bare run of a pipeline."""

    state: object
    """What dlt keeps for it: tells it from others, since several resources begin, even of two sources."""
    lock: RunLock | None
    schema: str
    """The name of the source's schema."""


_begun: dict[str, _Begun] = {}
"""By working folder."""
_beginning = threading.Lock()


class _End(NullCollector):
    """Collects nothing: it is told by dlt when a run is over, be it by an error."""

    def on_end_trace(self, trace: PipelineTrace, pipeline: SupportsPipeline, send_state: bool) -> None:  # noqa: ARG002
        """Describes tables that are new, and releases the lock of a bare run."""
        begun = _begun.pop(pipeline.working_dir, None)
        if begun is None:
            return
        try:
            if isinstance(pipeline, dlt.Pipeline) and _has_new_columns(trace):
                with pipeline.destination_client(begun.schema) as client:
                    write_comments(client, pipeline.schemas[begun.schema])
        finally:
            if begun.lock:
                begun.lock.release()


trace.TRACKING_MODULES.append(_End())


def begin_bare_run() -> None:
    """To be called by every resource that starts; only the first in an extract of a pipeline has something to do."""
    state, managed = pipeline_state(Container())
    context = Container()[PipelineContext]
    if not managed or not context.is_active() or LoadPackageStateInjectableContext not in Container():
        return  # somebody only looks at the rows
    pipeline = context.pipeline()
    if not isinstance(pipeline, dlt.Pipeline):
        return
    with _beginning:
        known = _begun.get(pipeline.working_dir)
        if known and known.state is state:
            return
        lock = _taken_lock(pipeline)
        schema = dlt.current.source_schema().name
        if not pipeline.has_pending_data and not _is_refresh():
            align(pipeline, state, schema)
        _begun[pipeline.working_dir] = _Begun(state, lock, schema)


def _has_new_columns(trace: PipelineTrace) -> bool:
    """Whether a run has loaded, and has created tables or columns for that."""
    info = trace.last_load_info
    return info is not None and any(package.schema_update for package in info.load_packages)


def _is_refresh() -> bool:
    """Whether dlt drops what the destination holds with this load package, and has emptied the state."""
    return "refresh" in Container()[LoadPackageStateInjectableContext].state


def _taken_lock(pipeline: dlt.Pipeline) -> RunLock | None:
    """The lock until the run is over; none where dlt does not tell that: then it is only seen to be free."""
    lock = RunLock(pipeline)
    lock.take()
    if pipeline.config.enable_runtime_trace:
        return lock
    lock.release()
    return None
