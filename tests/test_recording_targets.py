"""The same course of a recording on every kind of target: fetched, skipped, lost, cut, left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dlt
import pytest
from loaded import new_pipeline
from object_stores import STORES
from recorded import MINT, STORAGE, add_video, fetch, md5, recorded_study, whole

from hyperstudy_source.recordings.targets import BLOCK, Target
from hyperstudy_source.standin import Fault, Made, StandIn

FOLDER = "study [1]/exp"
"""A folder that a pattern would not find."""
SMALL, LARGE = Made(3000, seed=1), Made(BLOCK + 12_345, seed=2)
NAMES = {"EG_1": "Mia_Müller_video_EG_1.mp4", "EG_2": "Mia_Müller_video_EG_2.mp4"}
METADATA = "recordings_metadata.csv"

Serve = Callable[..., StandIn]


@pytest.fixture(params=STORES)
def bucket_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty target."""
    with STORES[request.param]() as (url, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield f"{url}/{FOLDER}"


@pytest.fixture
def api(serve: Serve) -> StandIn:
    """A study of a small recording and of one that is larger than a block."""
    study = recorded_study()
    add_video(study, "EG_1", SMALL)
    add_video(study, "EG_2", LARGE)
    return serve(study)


def read(target: Target, name: str) -> bytes:
    return b"".join(target.read("exp_1", name))


def test_files_are_whole_under_their_names_and_nothing_else_is_there(
        bucket_url: str, api: StandIn, pipeline: dlt.Pipeline) -> None:
    fetched = fetch(api, pipeline, bucket_url)
    assert fetched.statuses() == {"EG_1": "downloaded", "EG_2": "downloaded"}
    target = Target(bucket_url)
    assert set(target.files("exp_1")) == {*NAMES.values(), METADATA}
    assert target.files("") == {}
    for recording_id, content in (("EG_1", SMALL), ("EG_2", LARGE)):
        assert read(target, NAMES[recording_id]) == whole(content)
        assert fetched.rows[recording_id]["md5"] == md5(content)
        assert fetched.rows[recording_id]["file_url"] == target.url("exp_1", NAMES[recording_id])


def test_what_is_there_is_not_fetched_again_and_what_vanished_is(
        bucket_url: str, api: StandIn, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    fetch(api, pipeline, bucket_url)
    target = Target(bucket_url)
    target.remove(str(target.local_path("exp_1", NAMES["EG_1"])))
    before = len(api.seen(MINT))
    assert fetch(api, pipeline, bucket_url).statuses() == {"EG_1": "downloaded", "EG_2": "skipped"}
    assert len(api.seen(MINT)) == before + 1
    fresh = fetch(api, new_pipeline(tmp_path / "fresh"), bucket_url)
    assert fresh.statuses() == {"EG_1": "skipped", "EG_2": "skipped"}
    assert fresh.rows["EG_2"]["md5"] == md5(LARGE)
    assert len(api.seen(MINT)) == before + 1


@pytest.mark.parametrize("at", [1, 2000, BLOCK + 1])
def test_a_download_that_is_cut_goes_on_and_ends_whole(
        at: int, bucket_url: str, api: StandIn, pipeline: dlt.Pipeline) -> None:
    api.behaviour.faults = [Fault(STORAGE, "cut", at=at, times=2)]
    fetched = fetch(api, pipeline, bucket_url)
    assert fetched.statuses() == {"EG_1": "downloaded", "EG_2": "downloaded"}
    assert read(Target(bucket_url), NAMES["EG_2"]) == whole(LARGE)


def test_a_download_that_fails_leaves_the_older_file_and_nothing_else(
        bucket_url: str, api: StandIn, pipeline: dlt.Pipeline) -> None:
    fetch(api, pipeline, bucket_url)
    api.study.rows["recordings"]["exp_1"][1]["fileSize"] = 5
    api.behaviour.faults = [Fault(STORAGE, "server_error", status=404, times=None)]
    fetched = fetch(api, pipeline, bucket_url)
    assert fetched.statuses() == {"EG_1": "skipped", "EG_2": "failed"}
    target = Target(bucket_url)
    assert read(target, NAMES["EG_2"]) == whole(LARGE)
    assert set(target.files("exp_1")) == {*NAMES.values(), METADATA}


def test_what_a_killed_run_left_behind_goes_and_what_others_write_stays(
        bucket_url: str, api: StandIn, pipeline: dlt.Pipeline) -> None:
    for writer in (pipeline.pipeline_name, "another"):
        killed = Target(bucket_url)
        killed.writer = writer
        _, file = killed.open_draft("exp_1")
        file.write(b"half a file")
        file.close()
    fetch(api, pipeline, bucket_url)
    left = set(Target(bucket_url).files("exp_1")) - {*NAMES.values(), METADATA}
    assert len(left) == 1


def test_a_target_that_takes_nothing_costs_no_link(
        bucket_url: str, api: StandIn, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    if bucket_url.startswith("file:"):
        (tmp_path / "a file").write_text("")
        missing = str(tmp_path / "a file")
    else:
        missing = bucket_url.replace("recordings", "no-such-bucket")
    fetched = fetch(api, pipeline, missing)
    assert fetched.statuses() == {"EG_1": "failed", "EG_2": "failed"}
    assert api.seen(MINT) == []
    assert "cannot be" in fetched.rows["EG_1"]["error"]
