"""Which files a run fetches, what it costs, and what the manifest says; then the same again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import dlt
import pytest
from loaded import new_pipeline
from recorded import MINT, PERSON, STORAGE, Fetched, add_video, fetch, files_in, md5, recorded_study, whole

from hyperstudy_source.recordings.recording import FINAL_STATUSES, LOST_STATUSES, RUNNING_STATUSES, path_within_api
from hyperstudy_source.standin import Behaviour, Fault, Made, Request, StandIn, digest
from hyperstudy_source.standin.files import Content

Serve = Callable[..., StandIn]
HOSTILE_PATHS = (
    "//evil.example.org/x", "https://evil.example.org/x", "/https://evil.example.org/x", "/../x", "..", "/data/../x",
    "/data/%2e%2e/x", "/data/%252e%252e/x", "/data/..%2fx", "/data/.%2e/x", "\\\\evil.example.org", "/data\\..\\x",
    "/data/%5c..%5cx", "/data/x?limit=1", "/data/x#y", "/data/x\r\nX-Evil: 1", "/data/%0d%0aX-Evil", "/data/ x",
    "/data/%00", "javascript:x", "/", "//", "/./x",
)


def names(*recording_ids: str) -> set[str]:
    return {f"exp_1/Mia_Müller_video_{each}.mp4" for each in recording_ids}


def test_every_ready_recording_has_its_file_and_its_row(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study("exp_1", "exp_2")
    contents: dict[str, Content] = {"EG_1": Made(700_000, seed=1), "EG_2": b"\x00small", "EG_3": Made(5000, seed=3)}
    for recording_id, content in contents.items():
        add_video(study, recording_id, content, experiment_id="exp_2" if recording_id == "EG_3" else "exp_1")
    api = serve(study)
    fetched = fetch(api, pipeline)
    assert fetched.statuses() == dict.fromkeys(contents, "downloaded")
    assert fetched.notices == []
    assert sorted(fetched.remarks) == ["recording_files of experiment exp_1: 2 downloaded.",
                                       "recording_files of experiment exp_2: 1 downloaded."]
    for recording_id, content in contents.items():
        row = fetched.rows[recording_id]
        assert Path(row["file_url"].removeprefix("file://")).read_bytes() == whole(content)
        assert row["file_name"] == f"Mia_Müller_video_{recording_id}.mp4"
        assert (row["size_bytes"], row["expected_size_bytes"], row["attempts"]) == (len(content), len(content), 1)
        assert (row["md5"], row["sha256"]) == (md5(content), digest(content, "sha256").hex())
        assert (row["content_type"], row["recording_type"], row["error"]) == ("video/mp4", "video", None)
    assert len(api.seen(MINT)) == len(api.seen(STORAGE)) == 3
    assert not any({"x-api-key", "x-organization-id"} & each.headers.keys() for each in api.seen(STORAGE))


@pytest.mark.parametrize("order", ["mints", "organization"])
def test_each_link_is_minted_just_before_its_file(serve: Serve, pipeline: dlt.Pipeline, order: str) -> None:
    study = recorded_study()
    for number in range(4):
        add_video(study, f"EG_{number}")
    api = serve(study)
    fetch(api, pipeline, download_threads=1, organization_id="org_1" if order == "organization" else None)
    asked = [each for each in api.requests if each.path.startswith((MINT, STORAGE))]
    assert [each.path.startswith(MINT) for each in asked] == [True, False] * 4
    assert not any("x-organization-id" in each.headers for each in asked if each.path.startswith(STORAGE))


def test_a_second_run_asks_for_no_file_and_touches_none(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    add_video(study, "EG_1")
    add_video(study, "EG_2", fileSize=None)
    add_video(study, "EG_3", fileSize=5)
    api = serve(study)
    first = fetch(api, pipeline)
    assert first.rows["EG_3"]["error"] == ("The API has 5 bytes for it, the storage host sent 3,000, which is the "
                                           "whole file.")
    before = {path: path.stat().st_mtime_ns for path in Path("target").rglob("*.mp4")}
    api.requests.clear()
    again = fetch(api, pipeline)
    assert again.statuses() == dict.fromkeys(first.rows, "skipped")
    assert api.seen(MINT) + api.seen(STORAGE) == []
    assert {path: path.stat().st_mtime_ns for path in Path("target").rglob("*.mp4")} == before
    for recording_id, row in again.rows.items():
        kept = {"size_bytes", "md5", "sha256", "downloaded_at", "content_type", "file_url", "attempts"}
        assert {name: row[name] for name in kept} == {name: first.rows[recording_id][name] for name in kept}
    assert again.rows["EG_3"]["error"] == "The API has 5 bytes for it, the whole file has 3,000."
    assert again.notices == []


@pytest.mark.parametrize("size_known", [True, False])
def test_what_vanished_or_was_changed_by_hand_is_fetched_again(
        serve: Serve, pipeline: dlt.Pipeline, size_known: bool) -> None:
    study = recorded_study()
    for recording_id in ("EG_gone", "EG_short", "EG_long", "EG_good"):
        add_video(study, recording_id, Made(3000), fileSize=3000 if size_known else None)
    api = serve(study)
    fetch(api, pipeline)
    files = {path.stem.removeprefix("Mia_Müller_video_"): path for path in Path("target").rglob("*.mp4")}
    files["EG_gone"].unlink()
    os.truncate(files["EG_short"], 1000)
    files["EG_long"].write_bytes(b"x" * 4000)
    api.requests.clear()
    again = fetch(api, pipeline)
    assert again.statuses() == {"EG_gone": "downloaded", "EG_short": "downloaded", "EG_long": "downloaded",
                                "EG_good": "skipped"}
    assert set(files_in("target").values()) == {whole(Made(3000))}


def test_a_truncated_file_is_not_taken_for_whole_after_a_failure(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    add_video(study, "EG_1", Made(3000), fileSize=None)
    api = serve(study)
    fetch(api, pipeline)
    os.truncate("target/exp_1/Mia_Müller_video_EG_1.mp4", 1000)
    api.behaviour.faults = [Fault(STORAGE, "server_error", status=404)]
    failed = fetch(api, pipeline).rows["EG_1"]
    assert (failed["status"], "file_url" in failed) == ("failed", False)
    assert fetch(api, pipeline).statuses() == {"EG_1": "downloaded"}
    assert set(files_in("target").values()) == {whole(Made(3000))}


def test_a_machine_that_knows_nothing_takes_the_files_that_are_there(
        serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    study = recorded_study()
    for recording_id, size in (("EG_1", 3000), ("EG_2", None), ("EG_3", 3000), ("EG_4", 3000)):
        add_video(study, recording_id, Made(3000), fileSize=size)
    api = serve(study)
    first = fetch(api, pipeline)
    os.truncate("target/exp_1/Mia_Müller_video_EG_3.mp4", 1000)
    Path("target/exp_1/Mia_Müller_video_EG_4.mp4").write_bytes(b"")
    api.requests.clear()
    fresh = fetch(api, new_pipeline(tmp_path, "elsewhere"))
    assert fresh.statuses() == {"EG_1": "skipped", "EG_2": "skipped", "EG_3": "downloaded", "EG_4": "downloaded"}
    assert len(api.seen(MINT)) == len(api.seen(STORAGE)) == 2
    for recording_id, row in fresh.rows.items():
        for name in ("size_bytes", "md5", "sha256", "file_url"):
            assert row[name] == first.rows[recording_id][name]


def test_one_failure_leaves_the_others_and_is_tried_again(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    for number in range(4):
        add_video(study, f"EG_{number}")
    api = serve(study, Behaviour(faults=[Fault(f"{STORAGE}/recordings/room_exp_1/EG_2", "server_error", status=404)]))
    first = fetch(api, pipeline)
    row = first.rows["EG_2"]
    assert [each for each, status in first.statuses().items() if status != "downloaded"] == ["EG_2"]
    assert (row["status"], row["attempts"]) == ("failed", 1)
    assert row["error"] == "127.0.0.1 answered 404. It has no such file."
    assert first.notices == ["recording_files of experiment exp_1: 1 of 4 files are missing, one since: "
                             f"{row['error']}"]
    assert files_in("target").keys() == names("EG_0", "EG_1", "EG_3")
    again = fetch(api, pipeline)
    assert (again.rows["EG_2"]["status"], again.rows["EG_2"]["attempts"]) == ("downloaded", 2)
    assert (len(api.seen(MINT)), again.notices) == (5, [])


def test_a_file_that_changed_is_replaced_and_stays_where_the_new_one_fails(
        serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    row = add_video(study, "EG_1", Made(3000))
    api = serve(study)
    fetch(api, pipeline)
    study.files[row["url"]], row["fileSize"] = Made(4000), 4000
    api.behaviour.faults = [Fault(STORAGE, "server_error", status=404)]
    failed = fetch(api, pipeline).rows["EG_1"]
    assert failed["error"].endswith("The older file of 3,000 bytes stays.")
    assert (failed["status"], failed["size_bytes"], failed["md5"]) == ("failed", 3000, md5(Made(3000)))
    assert list(files_in("target").values()) == [whole(Made(3000))]
    assert fetch(api, pipeline).rows["EG_1"]["size_bytes"] == 4000
    assert list(files_in("target").values()) == [whole(Made(4000))]


def test_the_status_says_whether_a_file_is_ready(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    for status in sorted(RUNNING_STATUSES):
        add_video(study, f"running_{status}", status=status.upper())
    for status in sorted(FINAL_STATUSES | LOST_STATUSES):
        add_video(study, f"ready_{status}", status=f"EGRESS_{status}".upper())
    add_video(study, "running_unheard_of", status="levitating")
    add_video(study, "ready_unheard_of", status="levitating", endTime="2024-06-10T10:05:00.000Z")
    add_video(study, "running_nothing", None, status=None, link=None)
    add_video(study, "ready_none", status=None)
    add_video(study, "ready_none_legacy", status="", link="url")
    fetched = fetch(serve(study), pipeline)
    assert len(fetched.rows) == len(study.of("recordings", "exp_1"))
    for recording_id, status in fetched.statuses().items():
        assert status == ("downloaded" if recording_id.startswith("ready") else "pending"), recording_id


def test_the_media_server_s_own_numbers_and_words_say_whether_a_file_is_ready(
        serve: Serve, pipeline: dlt.Pipeline) -> None:
    """Starting, active, ending, complete, failed, aborted, limit reached: LiveKit's `EgressStatus`."""
    study, ready = recorded_study(), {3, 4, 5, 6}
    words = ("STARTING", "ACTIVE", "ENDING", "COMPLETE", "FAILED", "ABORTED", "LIMIT_REACHED")
    for number, word in enumerate(words):
        kind = "ready" if number in ready else "running"
        for form, status in {"number": number, "text": str(number), "float": float(number), "word": f"EGRESS_{word}",
                             "spaced": word.replace("_", " ").lower()}.items():
            add_video(study, f"{kind}_{number}_{form}", status=status)
    fetched = fetch(serve(study), pipeline)
    assert len(fetched.rows) == 35
    for recording_id, status in fetched.statuses().items():
        assert status == ("downloaded" if recording_id.startswith("ready") else "pending"), recording_id
    assert not any("nobody knows" in remark for remark in fetched.remarks)


def test_a_status_that_nobody_knows_is_said_and_makes_no_run_incomplete_for_ever(
        serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    add_video(study, "EG_1", status=9)
    add_video(study, "EG_2", None, status=9, endTime="2024-06-10T10:05:00.000Z")
    api = serve(study)
    runs = [fetch(api, pipeline) for _ in range(4)]
    assert [bool(each.notices) for each in runs] == [True, True, False, False]
    assert all(each.statuses() == {"EG_1": "pending", "EG_2": "failed"} for each in runs)
    for each in runs:
        assert sum("nobody knows the status '9' of recording EG_" in remark for remark in each.remarks) == 2
    study.rows["recordings"]["exp_1"].pop()
    add_video(study, "EG_2", status=9, endTime="2024-06-10T10:05:00.000Z")
    assert fetch(api, pipeline).statuses()["EG_2"] == "downloaded"


def test_a_pending_recording_comes_once_it_is_complete(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    add_video(study, "EG_1")
    row = add_video(study, "EG_2", status="processing")
    api = serve(study)
    first = fetch(api, pipeline)
    assert (first.rows["EG_2"]["status"], first.rows["EG_2"]["attempts"], first.notices) == ("pending", 0, [])
    assert files_in("target").keys() == names("EG_1")
    row["status"] = "complete"
    assert fetch(api, pipeline).statuses() == {"EG_1": "skipped", "EG_2": "downloaded"}


def test_a_recording_that_the_platform_lost_is_a_row_and_no_fault_of_the_run(
        serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    add_video(study, "EG_1", None, status="failed", link=None)
    fetched = fetch(serve(study), pipeline)
    assert fetched.notices == []
    assert fetched.rows["EG_1"]["status"] == "failed"
    assert fetched.rows["EG_1"]["error"] == "The platform gave this recording up; there is no file."


def test_a_complete_recording_without_a_link_is_missing(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    add_video(study, "EG_1", None, link=None)
    fetched = fetch(serve(study), pipeline)
    assert fetched.rows["EG_1"]["error"] == "The API gives no link to the file."
    assert "1 of 1 files are missing" in fetched.notices[0]


def test_links_of_an_older_backend_are_taken_as_they_are(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    add_video(study, "EG_1", link="download_url")
    add_video(study, "EG_2", link="url")
    add_video(study, "EG_3", link="download_url", url="https://storage.example.org/not/this/one")
    api = serve(study)
    assert set(fetch(api, pipeline).statuses().values()) == {"downloaded"}
    assert (api.seen(MINT), len(api.seen(STORAGE))) == ([], 3)


def test_a_download_path_that_leads_out_of_the_api_is_refused(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    for number, path in enumerate(HOSTILE_PATHS):
        add_video(study, f"EG_{number}", downloadPath=path)
    api = serve(study)
    fetched = fetch(api, pipeline)
    assert {row["error"] for row in fetched.rows.values()} == {
        "The recording's downloadPath leads out of the API; it is refused."}
    assert {request.path for request in api.requests} <= {"/experiments", *(
        f"/data/{name}/experiment/exp_1" for name in ("recordings", "rooms", "participants"))}
    assert files_in("target") == {}


@pytest.mark.parametrize("path", [
    "/data/recordings/download/room_1/EG_1", "data/recordings/download/room_1/EG_1", "/data/a%20room/EG%3A1",
    "/data/room%2F1/EG%3F1%23", "/data/r\u00f6\u00f6m/EG.1", "/data/EG..1", "/data/100%25"])
def test_a_download_path_may_hold_any_id(path: str) -> None:
    assert path_within_api(path) == path


def test_ids_that_a_path_must_quote_are_fetched(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    for recording_id in ("EG 1", "EG/2", "EG?3", "EG#4", "EG:5", "EG%6", "EG…7"):
        add_video(study, recording_id)
    assert set(fetch(serve(study), pipeline).statuses().values()) == {"downloaded"}


def test_a_key_that_is_refused_meanwhile_does_not_stop_the_run(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    for number in range(20):
        add_video(study, f"EG_{number:02}")
    refused = Fault(MINT, "server_error", None, status=401)
    api = serve(study, Behaviour(faults=[refused]))
    fetched = fetch(api, pipeline, download_threads=2)
    assert set(fetched.statuses().values()) == {"failed"}
    assert len(api.seen(MINT)) <= 2
    assert api.api_key not in str(fetched.rows)
    refused.times = 0
    assert set(fetch(api, pipeline).statuses().values()) == {"downloaded"}


def test_only_one_kind_is_fetched_where_one_is_asked_for(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    add_video(study, "EG_1")
    add_video(study, "EG_2", format="ogg", metadata={"type": "audio"})
    add_video(study, "EG_3", metadata=None)
    api = serve(study)
    assert fetch(api, pipeline, recording_type="audio").statuses() == {"EG_2": "downloaded"}
    assert files_in("target").keys() == {"exp_1/Mia_Müller_audio_EG_2.ogg"}


def test_names_that_would_be_one_stay_two_and_stay_the_same(
        serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    study = recorded_study()
    for number, recording_id in enumerate(("EG_a", "EG_A", "EG/1", "EG_1", "EG 1")):
        add_video(study, recording_id, Made(2000 + number))
    api = serve(study)
    first = fetch(api, pipeline)
    assert len({row["file_name"].casefold() for row in first.rows.values()}) == 5
    assert {len(each) for each in files_in("target").values()} == {2000, 2001, 2002, 2003, 2004}
    study.rows["recordings"]["exp_1"].reverse()
    again = fetch(api, pipeline)
    assert set(again.statuses().values()) == {"skipped"}
    assert {each: row["file_name"] for each, row in again.rows.items()} == {
        each: row["file_name"] for each, row in first.rows.items()}
    fresh = fetch(api, new_pipeline(tmp_path, "elsewhere"))
    for recording_id, row in fresh.rows.items():
        content = Path(row["file_url"].removeprefix("file://")).read_bytes()
        assert len(content) == first.rows[recording_id]["size_bytes"]


HOSTILE = ["../../up", "/etc/passwd", "..", "a/b", "a\\b", "C:\\x", "nul", "\x00", "\ud800", "x" * 400, "~", "-rf", ""]


def test_hostile_names_stay_in_the_folder(serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path) -> None:
    study = recorded_study("exp_1", "../../up", "CON")
    for number, value in enumerate(HOSTILE):
        add_video(study, f"name_{number}", participantName=value)
        add_video(study, f"format_{number}", format=value)
        add_video(study, f"type_{number}", metadata={"type": value})
        add_video(study, f"{value}_id_{number}".replace("\ud800", "\ud7ff"))
    for experiment_id in ("../../up", "CON"):
        add_video(study, f"in_{len(experiment_id)}", experiment_id=experiment_id)
    fetched = fetch(serve(study), pipeline, "deep/er/target")
    failed = {recording_id for recording_id, status in fetched.statuses().items() if status != "downloaded"}
    assert failed == {"../../up_id_0", "\x00_id_7"}, "their downloadPath leads elsewhere, however it is quoted"
    inside = files_in("deep")
    assert len(inside) == len(fetched.rows) - 2 == 4 * len(HOSTILE)
    assert all(path.startswith("er/target/") and path.count("/") == 3 for path in inside)
    assert {path.name for path in tmp_path.iterdir()} <= {"deep", "dlt", "pipelines"}


def test_an_organisation_and_a_person_are_in_no_reason(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    faults = []
    for number, status in enumerate((400, 404, 418)):
        add_video(study, f"EG_{number}")
        faults.append(Fault(f"{STORAGE}/recordings/room_exp_1/EG_{number}", "server_error", status=status))
    add_video(study, "EG_8", None)
    add_video(study, "EG_9", link="download_url", downloadUrl=f"http://example.org/{PERSON}?X-Goog-Signature=SeCrEt")
    fetched = fetch(serve(study, Behaviour(faults=faults)), pipeline)
    for row in fetched.rows.values():
        assert row["status"] == "failed"
        assert not any(each in row["error"] for each in ("://", "Signature", "SeCrEt", "Mia", "Müller"))
    assert "SeCrEt" not in str(fetched)


def requests_for_files(api: StandIn) -> list[Request]:
    return api.seen(MINT) + api.seen(STORAGE)


def test_without_a_target_nothing_is_fetched(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = recorded_study()
    add_video(study, "EG_1")
    api = serve(study)
    fetched: Fetched = fetch(api, pipeline, None)
    assert (fetched.rows, requests_for_files(api)) == ({}, [])
