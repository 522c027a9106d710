"""Recordings from end to end: targets, what lies beside the files, what is kept nowhere, and runs that break."""

from __future__ import annotations

import csv
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import duckdb
import fsspec
import hyperstudy
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from loaded import everything_under, new_pipeline
from recorded import MINT, PERSON, STORAGE, add_video, fetch, files_in, recorded_study, whole
from test_cli import access, run_script

from hyperstudy_source import SettingError, hyperstudy_source, load
from hyperstudy_source.load import COMPLETE, INCOMPLETE
from hyperstudy_source.standin import Behaviour, Fault, Made, StandIn, Study

Serve = Callable[..., StandIn]
SIZE = 3000
TABLES = ["recordings", "recording_files"]
WITHOUT_NAMES = "{participant_id}_{type}_{recording_id}"


def options(api: StandIn, **more: Any) -> dict[str, Any]:
    return {"api_key": api.api_key, "base_url": api.base_url, **more}


def two_videos() -> Study:
    study = recorded_study()
    add_video(study, "EG_1", Made(SIZE, seed=1))
    add_video(study, "EG_2", Made(SIZE, seed=2))
    return study


def metadata(folder: str | Path) -> list[dict[str, str]]:
    with (Path(folder) / "recordings_metadata.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".part"]


@pytest.mark.parametrize("form", ["relative", "absolute", "url", "environment"])
def test_a_folder_may_be_named_in_any_way(
        form: str, serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a folder" / "größer#1"
    forms = {"relative": "a folder/größer#1", "absolute": str(folder), "url": folder.as_uri()}
    if form == "environment":
        monkeypatch.setenv("SOURCES__HYPERSTUDY__BUCKET_URL", str(folder))
    fetched = fetch(serve(two_videos()), pipeline, forms.get(form))
    for row in fetched.rows.values():
        with fsspec.open(row["file_url"], "rb") as file:
            assert len(file.read()) == SIZE
    assert len(files_in(folder)) == 2
    for row in metadata(folder / "exp_1"):
        assert row["local_path"] == str(folder / "exp_1" / row["file_name"])


@pytest.mark.parametrize(("wrong", "said"), [
    ({"bucket_url": "foo://someone:hunter2@host/x?sig=SeCrEt"}, "bucket_url is foo://someone@host/x, which cannot"),
    ({"bucket_url": "ssh://someone:hunter2@host/x"}, "bucket_url is ssh://someone@host/x, but the packages for it"),
    ({"bucket_url": "s3://"}, "bucket_url is s3://"),
    ({"download_threads": 0}, "download_threads is 0, but files need at least 1. Set download_threads=8."),
    ({"download_threads": -3}, "download_threads is -3"),
    ({"recording_type": "screen"}, "recording_type is 'screen'. Set audio or video"),
    ({"filename": "{email}"}, "filename is '{email}'"),
], ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "")
def test_an_option_that_cannot_work_is_one_sentence(serve: Serve, wrong: dict[str, Any], said: str) -> None:
    api = serve(two_videos())
    with pytest.raises(SettingError) as refused:
        hyperstudy_source(**options(api, **wrong))
    assert str(refused.value).startswith(said)
    assert "hunter2" not in str(refused.value)
    assert "SeCrEt" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert api.requests == []


def test_a_folder_that_takes_no_file_is_found_out_before_the_first_link(
        serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("this is no folder")
    api = serve(two_videos())
    fetched = fetch(api, pipeline, tmp_path / "target")
    assert set(fetched.statuses().values()) == {"failed"}
    assert api.seen(MINT) + api.seen(STORAGE) == []
    assert "cannot be" in fetched.notices[0]


@pytest.fixture(scope="module")
def columns() -> set[str]:
    """Those that a user of the tables relies on."""
    return {"experiment_id", "recording_id", "participant_id", "room_id", "status", "file_url", "file_name",
            "size_bytes", "expected_size_bytes", "md5", "sha256", "content_type", "recording_type", "attempts",
            "error", "downloaded_at"}


def test_a_load_leaves_tables_with_types_and_an_exit_status(
        serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path, columns: set[str]) -> None:
    study = two_videos()
    add_video(study, "EG_lost", None, status="failed", link=None)
    add_video(study, "EG_running", None, status="processing", link=None)
    api = serve(study)
    empty = load(pipeline, TABLES, **options(api))
    assert (empty.exit_status, api.seen(MINT)) == (COMPLETE, [])
    assert load(pipeline, TABLES, **options(api, bucket_url="target")).exit_status == COMPLETE
    add_video(study, "EG_missing", None, link=None)
    report = load(pipeline, TABLES, **options(api, bucket_url="target"))
    assert report.exit_status == INCOMPLETE
    assert [(table.name, table.new, table.total) for table in report.tables] == [
        ("recordings", 1, 5), ("recording_files", 1, 5), ("sync_ledger", 2, 5)]
    with duckdb.connect(str(tmp_path / "hyperstudy.duckdb"), read_only=True) as connection:
        types = dict(connection.sql("SELECT column_name, data_type FROM information_schema.columns "
                                    "WHERE table_name = 'recording_files'").fetchall())
        found = connection.sql("SELECT recording_id, status, file_url IS NOT NULL, downloaded_at IS NOT NULL "
                               "FROM hyperstudy_data.recording_files ORDER BY 1").fetchall()
    assert {name for name in types if not name.startswith("_dlt")} == columns
    assert {types[each] for each in ("size_bytes", "expected_size_bytes", "attempts")} == {"BIGINT"}
    assert types["downloaded_at"] == "TIMESTAMP WITH TIME ZONE"
    assert found == [("EG_1", "skipped", True, True), ("EG_2", "skipped", True, True),
                     ("EG_lost", "failed", False, False), ("EG_missing", "failed", False, False),
                     ("EG_running", "pending", False, False)]


def test_a_failure_leaves_the_other_tables_loaded(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(two_videos(), Behaviour(faults=[Fault(MINT, "server_error", None, status=401)]))
    report = load(pipeline, [*TABLES, "rooms", "participants"], **options(api, bucket_url="target"))
    assert report.exit_status == INCOMPLETE
    assert {table.name: table.total for table in report.tables if "__" not in table.name} == {
        "rooms": 1, "participants": 1, "recordings": 2, "recording_files": 2, "sync_ledger": 4}


def test_no_link_and_no_name_is_kept(serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    study = recorded_study()
    for number, link in enumerate(("path", "download_url", "url")):
        add_video(study, f"EG_{number}", Made(SIZE), link=link)  # type: ignore[arg-type]  # each is a kind of link
    add_video(study, "EG_fails", None, link="download_url")
    add_video(study, "EG_named", Made(SIZE), fileName=f"recordings/{PERSON}.mp4")
    report = load(pipeline, TABLES, **options(serve(study), bucket_url="target", filename=WITHOUT_NAMES))
    assert report.exit_status == INCOMPLETE
    assert files_in("target").keys() == {f"exp_1/p1_video_EG_{each}.mp4" for each in (0, 1, 2, "named")}
    told = everything_under(tmp_path) + str(report)
    assert not any(mark in told for mark in ("X-Goog-Signature", "X-Goog-Expires"))
    for place in (everything_under(tmp_path / "target"), str(pipeline.state), str(report)):
        assert not any(name in place for name in ("Mia", "Müller", "M\\u00fcller"))


def test_names_in_file_names_are_not_in_the_state(serve: Serve, pipeline: dlt.Pipeline) -> None:
    fetch(serve(two_videos()), pipeline)
    assert len(files_in("target")) == 2
    assert not any(name in str(pipeline.state) for name in ("Mia", "Müller", "M\\u00fcller"))


@pytest.fixture
def sdk(tmp_path: Path) -> Callable[..., Path]:
    """Downloads with the platform's own SDK into a folder."""

    def run(api: StandIn, folder: str) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HYPERSTUDY_API_KEY", api.api_key)
            client = hyperstudy.HyperStudy(api.api_key, base_url=api.base_url)
            client.download_recordings("exp_1", output_dir=str(tmp_path / folder), progress=False)
        return tmp_path / folder

    return run


def test_the_files_are_those_of_the_sdk(
        serve: Serve, pipeline: dlt.Pipeline, sdk: Callable[..., Path]) -> None:
    study = two_videos()
    add_video(study, "EG_3", Made(SIZE, seed=3), link="download_url", participantName=None)
    add_video(study, "EG_4", Made(SIZE, seed=4), format=None, metadata={"type": "audio", "recordingType": "audio"})
    add_video(study, "EG_5", Made(SIZE, seed=5), participantName="Zoë O'Neill, \"the\" one\n=1+1", metadata=None)
    api = serve(study)
    theirs = sdk(api, "sdk")
    fetch(api, pipeline)
    assert files_in("target/exp_1") == files_in(theirs)
    assert len(files_in(theirs)) == 5
    ours = metadata("target/exp_1")
    assert set(metadata(theirs)[0]) - set(ours[0]) == {"downloadUrl"}, "which is a signed link"
    for mine, their in zip(sorted(ours, key=lambda row: row["recordingId"]),
                           sorted(metadata(theirs), key=lambda row: row["recordingId"]), strict=True):
        for name in ("recordingId", "participantName", "format", "download_status", "downloadPath"):
            assert mine[name] == their[name], name
        assert Path(mine["local_path"]).name == Path(their["local_path"]).name
        assert float(mine["fileSize"]) == float(their["fileSize"])


def test_a_folder_of_the_sdk_is_taken_over(serve: Serve, pipeline: dlt.Pipeline, sdk: Callable[..., Path]) -> None:
    study = two_videos()
    study.add_room("room_2", experiment_id="exp_1", participants=["p1"])
    study.add_recording({"recordingId": "EG_old", "status": "complete", "format": "mp4"}, Made(SIZE),
                        experiment_id="exp_1", room_id="room_2", participant_id="p1", link="download_url")
    api = serve(study)
    folder = sdk(api, "target/exp_1")
    assert "X-Goog-Signature" in (folder / "recordings_metadata.csv").read_text()
    api.requests.clear()
    fetched = fetch(api, pipeline, experiment_ids=["exp_1"], room_ids=["room_exp_1"])
    assert fetched.statuses() == {"EG_1": "skipped", "EG_2": "skipped"}
    assert api.seen(MINT) + api.seen(STORAGE) == []
    kept = {row["recordingId"]: row for row in metadata(folder)}
    assert kept.keys() == {"EG_1", "EG_2", "EG_old"}
    assert kept["EG_old"]["download_status"] == "downloaded"
    assert "X-Goog" not in (folder / "recordings_metadata.csv").read_text()


def test_the_metadata_keep_what_a_run_did_not_see(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = two_videos()
    study.add_room("room_2", experiment_id="exp_1", participants=["p1"])
    study.add_recording({"recordingId": "EG_9", "status": "complete", "format": "mp4"}, Made(SIZE),
                        experiment_id="exp_1", room_id="room_2", participant_id="p1")
    api = serve(study)
    fetch(api, pipeline)
    before = Path("target/exp_1/recordings_metadata.csv").stat().st_ino
    fetch(api, pipeline, experiment_ids=["exp_1"], room_ids=["room_2"])
    rows = {row["recording_id"]: row["download_status"] for row in metadata("target/exp_1")}
    assert rows == {"EG_1": "downloaded", "EG_2": "downloaded", "EG_9": "skipped"}
    assert Path("target/exp_1/recordings_metadata.csv").stat().st_ino != before


def test_metadata_that_cannot_be_read_stop_nothing(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(two_videos())
    folder = Path("target/exp_1")
    folder.mkdir(parents=True)
    (folder / "recordings_metadata.csv").write_text("recording_id,x\nEG_0," + "x" * 200_000)
    fetched = fetch(api, pipeline)
    assert set(fetched.statuses().values()) == {"downloaded"}
    assert fetched.notices == ["recording_files of experiment exp_1: recordings_metadata.csv is not up to date: Error"]


class _FullFile(MemoryFile):  # type: ignore[misc]  # fsspec ships no types
    """Takes so many bytes and no more."""

    room = 1000

    def write(self, data: bytes) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(super().write(data))


class _SmallDisk(MemoryFileSystem):  # type: ignore[misc]
    """A disk on which a file of more than 1,000 bytes has no room, and whose moves fail by the name of a file."""

    protocol = "smalldisk"
    store: dict[str, Any] = {}  # noqa: RUF012 - as fsspec has it
    pseudo_dirs = [""]  # noqa: RUF012

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode != "wb":
            return super()._open(path, mode, **options)
        file = _FullFile(self, self._strip_protocol(path))
        file.commit()
        return file

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        if "EG_unmovable" in path2:
            raise FileNotFoundError(path2)
        super().cp_file(path1, path2, **options)


def test_a_full_disk_fails_the_file_that_has_no_room_and_no_other(
        serve: Serve, pipeline: dlt.Pipeline) -> None:
    fsspec.register_implementation("smalldisk", _SmallDisk, clobber=True)
    _SmallDisk.store.clear()
    _FullFile.room = 10_000
    study = recorded_study()
    for recording_id, size in (("EG_1", 500), ("EG_big", 600_000), ("EG_2", 501), ("EG_unmovable", 502)):
        add_video(study, recording_id, Made(size))
    fetched = fetch(serve(study), pipeline, "smalldisk://bucket/recordings")
    assert fetched.statuses() == {"EG_1": "downloaded", "EG_big": "failed", "EG_2": "downloaded",
                                  "EG_unmovable": "failed"}
    assert fetched.rows["EG_big"]["error"] == (
        "smalldisk://bucket/recordings cannot be written: No space left on device.")
    assert fetched.rows["EG_unmovable"]["error"] == (
        "smalldisk://bucket/recordings cannot be written: FileNotFoundError.")
    assert {path.rpartition("/")[2] for path in _SmallDisk.store} == {
        "Mia_Müller_video_EG_1.mp4", "Mia_Müller_video_EG_2.mp4", "recordings_metadata.csv"}


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Waits for something that another process brings about."""
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        process.poll()


LOADS = """
import dlt, hyperstudy_source
pipeline = dlt.pipeline("hyperstudy", destination="duckdb", dataset_name="hyperstudy_data", pipelines_dir="pipelines")
hyperstudy_source.load(pipeline, ["recordings", "recording_files"], bucket_url="target")
"""


def start(api: StandIn, folder: Path) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DLT_DATA_DIR": str(folder / "dlt"),
                   "RUNTIME__DLTHUB_TELEMETRY": "false", **access(api)}
    return subprocess.Popen([sys.executable, "-c", LOADS], cwd=folder, env=environment, text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def stalled_study() -> tuple[Study, Fault]:
    study = two_videos()
    add_video(study, "EG_stalls", Made(2_000_000))
    return study, Fault(f"{STORAGE}/recordings/room_exp_1/EG_stalls", "stall", None)


def test_a_run_that_was_killed_is_made_good_by_the_next_one(serve: Serve, tmp_path: Path) -> None:
    study, fault = stalled_study()
    api = serve(study, Behaviour(faults=[fault]))
    with start(api, tmp_path) as running:
        wait_for(lambda: len(api.seen(STORAGE)) == 3 and len(files_in(tmp_path / "target")) == 3
                 and len(temporary_files(tmp_path / "target")) == 1, running)
        running.kill()
    assert len(temporary_files(tmp_path / "target")) == 1
    fault.times = 0
    api.requests.clear()
    report = load(new_pipeline(tmp_path), TABLES, **options(api, bucket_url="target"))
    assert report.exit_status == COMPLETE
    assert [each.path for each in api.seen(STORAGE)] == ["/storage/recordings/room_exp_1/EG_stalls.mp4"]
    assert temporary_files(tmp_path / "target") == []
    assert sorted(files_in(tmp_path / "target").values(), key=len) == sorted(
        [whole(Made(SIZE, seed=1)), whole(Made(SIZE, seed=2)), whole(Made(2_000_000))], key=len)
    with duckdb.connect(str(tmp_path / "hyperstudy.duckdb"), read_only=True) as connection:
        found = connection.sql("SELECT recording_id, status, size_bytes FROM hyperstudy_data.recording_files "
                               "ORDER BY 1").fetchall()
    assert found == [("EG_1", "skipped", SIZE), ("EG_2", "skipped", SIZE), ("EG_stalls", "downloaded", 2_000_000)]


def test_ctrl_c_ends_a_download_that_goes_on_for_ever(serve: Serve, tmp_path: Path) -> None:
    study = recorded_study()
    add_video(study, "EG_stalls", Made(2_000_000))
    fault = Fault(STORAGE, "stall", None)
    api = serve(study, Behaviour(faults=[fault]))
    with start(api, tmp_path) as running:
        wait_for(lambda: temporary_files(tmp_path / "target"), running)
        wait_for(lambda: api.seen(STORAGE), running)
        running.send_signal(signal.SIGINT)
        fault.times = 0
        api._server.close_connections()
        _, said = running.communicate(timeout=30)
    assert running.returncode != 0
    assert "KeyboardInterrupt" in said
    assert len(api.seen(STORAGE)) == 1, "it was not tried again"
    assert temporary_files(tmp_path / "target") == []


def test_the_script_fetches_and_says_what_is_missing(serve: Serve, tmp_path: Path) -> None:
    study = two_videos()
    add_video(study, "EG_gone", None, link=None)
    done = run_script("recordings", serve(study), tmp_path)
    assert done.returncode == INCOMPLETE, done.stderr
    assert "EG_gone: failed. The API gives no link to the file." in done.stdout
    assert "Signature" not in done.stdout + done.stderr
    assert len(files_in(tmp_path / "recordings")) == 2


def test_the_command_fetches_into_a_folder(serve: Serve, tmp_path: Path) -> None:
    study = two_videos()
    add_video(study, "EG_3", metadata={"type": "audio"})
    api = serve(study)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DLT_DATA_DIR": str(tmp_path / "dlt"),
                   "RUNTIME__DLTHUB_TELEMETRY": "false", **access(api)}
    command = [str(Path(sys.executable).parent / "dlt"), "pipeline", "lab", "run", "--recordings", "files",
               "--recording-type", "video", *(f"--data-type={each}" for each in TABLES)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == COMPLETE, done.stderr
    assert "Note: recording_files of experiment exp_1: 2 downloaded." in done.stdout
    assert "Signature" not in done.stdout + done.stderr
    assert files_in(tmp_path / "files").keys() == {
        f"exp_1/Mia_Müller_video_{each}.mp4" for each in ("EG_1", "EG_2")}
