"""Several files at once, of several pages and experiments: none is disturbed, and progress counts each once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import dlt
import pytest
from dlt.common.runtime.collector import DictCollector
from recorded import STORAGE, add_video, fetch, recorded_study

from hyperstudy_source.standin import Behaviour, Made, StandIn, Study
from hyperstudy_source.standin.answers import Answer

Serve = Callable[..., StandIn]


class _Crowd(StandIn):
    """Notes how many files are asked for at once; the first `together` wait for each other."""

    def __init__(self, study: Study, together: int) -> None:
        super().__init__(study, Behaviour(latency=0.01))
        self.together, self.most, self._now = together, 0, 0
        self._count = threading.Condition()

    def respond(self, target: str, headers: dict[str, str]) -> Answer:
        """Answers a file when enough others are under way."""
        if not target.startswith(STORAGE):
            return super().respond(target, headers)
        with self._count:
            self._now += 1
            self.most = max(self.most, self._now)
            self._count.notify_all()
            assert self._count.wait_for(lambda: self.most >= self.together, timeout=20)
        answer = super().respond(target, headers)
        with self._count:
            self._now -= 1
        return answer


@pytest.mark.parametrize("threads", [1, 3])
def test_as_many_files_are_fetched_at_once_as_there_are_threads(pipeline: dlt.Pipeline, threads: int) -> None:
    """Also where the recordings of several experiments come in several pages."""
    study = recorded_study("exp_1", "exp_2", "exp_3")
    for number in range(21):
        add_video(study, f"EG_{number:02}", experiment_id=f"exp_{number % 3 + 1}")
    crowd = _Crowd(study, threads)
    with crowd as api:
        fetched = fetch(api, pipeline, download_threads=threads, page_size=4)
        assert set(fetched.statuses().values()) == {"downloaded"}
        assert len(fetched.rows) == 21
        assert crowd.most == threads
        assert sorted(fetched.remarks) == [
            f"recording_files of experiment exp_{number}: 7 downloaded." for number in (1, 2, 3)]


class _Counter(DictCollector):
    """Keeps what was counted when it is stopped."""

    kept: dict[str, int]

    def _stop(self) -> None:
        if self.counters:
            self.kept = {**getattr(self, "kept", {}), **self.counters}
        super()._stop()


def test_progress_counts_the_bytes_of_every_file_once(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study("exp_1", "exp_2")
    sizes = [100, 20_000, 700_000, 1]
    for number, size in enumerate(sizes):
        add_video(study, f"EG_{number}", Made(size), experiment_id=f"exp_{number % 2 + 1}")
    pipeline.collector = counter = _Counter()
    fetch(serve(study), pipeline, page_size=1)
    assert counter.kept["Recordings (bytes)"] == sum(sizes)
