"""What the stand-in promises: the documented API, its unknowns and its faults, on a real socket."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import io
import json
import threading
import tracemalloc
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import google_crc32c
import hyperstudy
import pytest
import requests

from hyperstudy_source.standin import (
    BLOCK,
    DEMO_KEY,
    TABLES,
    Behaviour,
    Fault,
    Link,
    Made,
    StandIn,
    Study,
    demo_study,
    digest,
    ratings_study,
)
from hyperstudy_source.standin.__main__ import main
from hyperstudy_source.standin.behaviour import FaultKind, FileHash, Length
from hyperstudy_source.standin.files import Content

PAIRS, AGENTS, SHARED = "exp_video_pairs", "exp_video_agents", "exp_faces_shared"
EVENTS = f"/data/events/experiment/{PAIRS}"
RATINGS = f"/data/ratings/continuous/experiment/{PAIRS}"
SDK_METHODS = {
    "events": "get_events",
    "recordings": "get_recordings",
    "chat": "get_chat",
    "videochat": "get_videochat",
    "sync": "get_sync",
    "eyetracking": "get_eyetracking",
    "components": "get_components",
    "participants": "get_participants",
    "rooms": "get_rooms",
}


@pytest.fixture
def api() -> Iterator[StandIn]:
    """Serve a demo study of the test's own."""
    with StandIn(demo_study()) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def demo() -> Iterator[StandIn]:
    """Serve a demo study that nobody changes."""
    with StandIn(demo_study()) as stand_in:
        yield stand_in


@pytest.fixture
def sdk(demo: StandIn) -> Iterator[hyperstudy.HyperStudy]:
    """Give the official client, pointed at the unchanged demo."""
    client = hyperstudy.HyperStudy(DEMO_KEY, base_url=demo.base_url)
    yield client
    client._transport._session.close()


def ask(api: StandIn, path: str, headers: dict[str, str] | None = None, **params: Any) -> requests.Response:
    """GET a path of the API with the demo key, on a connection of its own."""
    sent = {"X-API-Key": DEMO_KEY} if headers is None else headers
    return requests.get(api.base_url + path, params=params, headers=sent, timeout=10, allow_redirects=False)


def rows_of(api: StandIn, path: str, **params: Any) -> list[Any]:
    """GET a path and return its data."""
    return list(ask(api, path, **params).json()["data"])


def ticking_study(seconds: int = 5) -> Study:
    """Make a study with one event a second from 10:00:01 on, stored latest first."""
    study = Study.empty("exp_1")
    study.add_room("room_1", experiment_id="exp_1", participants=["p1"])
    for second in range(seconds, 0, -1):
        row = {
            "id": f"evt_{second}",
            "timestamp": f"2024-06-10T10:00:{second:02d}.000Z",
            "category": "system",
        }
        study.add("events", row, experiment_id="exp_1", room_id="room_1", participant_id="p1")
    return study


def test_two_demo_studies_are_equal() -> None:
    """The demo is the same every time, down to the order of its rows."""
    assert demo_study() == demo_study()
    assert json.dumps(demo_study().rows) == json.dumps(demo_study().rows)


def test_every_data_type_has_rows() -> None:
    """No table of the demo is empty."""
    assert [name for name, count in demo_study().counts().items() if count == 0] == []


def test_continuous_ratings_need_more_than_one_page() -> None:
    """The demo shows paging, too."""
    assert len(demo_study().of("ratings_continuous", PAIRS)) > 1000


def test_talking_before_a_film_makes_it_more_engaging() -> None:
    """There is an effect to find: by about 15 points of 100."""
    rows = demo_study().of("ratings_continuous", PAIRS)
    after = {
        before: [row["value"] for row in rows if row["stateId"] == f"state_clip_after_{before}"]
        for before in ("chat", "wait")
    }
    means = {before: sum(values) / len(values) for before, values in after.items()}
    assert 13 < means["chat"] - means["wait"] < 17


def test_the_demo_holds_the_oddities_of_real_data() -> None:
    """Negative onsets, 45 beside 45.0, twins, missing types, unfinished files, one person in two rooms."""
    study = demo_study()
    events = study.of("events", PAIRS)
    assert min(row["onset"] for row in events) < 0
    assert any("eventType" not in row for row in events)
    assert all("eventType" in row for row in events if row["category"] == "pre_experiment")
    assert {type(row["value"]) for row in study.of("ratings_continuous", PAIRS)} == {int, float}
    sync = [json.dumps(row) for row in study.of("sync", PAIRS)]
    assert len(set(sync)) < len(sync)
    unfinished = [row for row in study.of("recordings", PAIRS) if row["status"] == "processing"]
    assert unfinished
    assert not {"endTime", "duration", "fileSize"} & unfinished[0].keys()
    people = [row["id"] for row in study.of("participants", PAIRS)]
    assert len(set(people)) == len(people) - 1
    assert any(row["deleted"] for row in study.of("chat", PAIRS))
    for name, key in {"ratings_continuous": "ratingId", "chat": "messageId", "videochat": "id"}.items():
        assert {key in row for rows in study.rows[name].values() for row in rows} == {True, False}


def test_ratings_carry_neither_experiment_nor_room() -> None:
    """As in the API's own examples; a recording has them in its metadata."""
    study = demo_study()
    for name in ("ratings_continuous", "ratings_sparse", "recordings"):
        assert all(not {"experimentId", "roomId"} & row.keys() for row in study.of(name, PAIRS))


def test_a_study_can_be_empty() -> None:
    """An account without experiments answers an empty list; an experiment without rows, empty data."""
    with StandIn(Study.empty()) as api:
        assert rows_of(api, "/experiments") == []
    with StandIn(Study.empty("exp_1")) as api:
        assert rows_of(api, "/data/events/experiment/exp_1") == []


def test_a_row_added_while_serving_is_served() -> None:
    """The study may change at any time, also a frozen one."""
    with StandIn(ratings_study(10)) as api:
        path = "/data/ratings/continuous/experiment/exp_bulk"
        assert len(rows_of(api, path)) == 10
        api.study.add("ratings_continuous", {"ratingId": "late"}, experiment_id="exp_bulk")
        assert len(rows_of(api, path)) == 11


@pytest.mark.parametrize("experiment_id", [PAIRS, AGENTS])
@pytest.mark.parametrize("table", SDK_METHODS)
def test_the_sdk_reads_every_table_of_an_experiment(
    demo: StandIn, sdk: hyperstudy.HyperStudy, table: str, experiment_id: str
) -> None:
    """It gets as many rows as the study holds, over several pages where needed."""
    read = getattr(sdk, SDK_METHODS[table])
    assert len(read(experiment_id, progress=False)) == len(demo.study.of(table, experiment_id))


@pytest.mark.parametrize("kind", ["continuous", "sparse"])
def test_the_sdk_reads_ratings(demo: StandIn, sdk: hyperstudy.HyperStudy, kind: str) -> None:
    """Both kinds, in order of time, with the columns the SDK makes of the nested fields."""
    frame = sdk.get_ratings(PAIRS, kind=kind, progress=False)
    assert len(frame) == len(demo.study.of(f"ratings_{kind}", PAIRS))
    assert frame["timestamp"].is_monotonic_increasing
    assert "metadata_dimension" in frame.columns


@pytest.mark.parametrize("table", [name for name in SDK_METHODS if name != "rooms"])
def test_the_sdk_reads_a_room(demo: StandIn, sdk: hyperstudy.HyperStudy, table: str) -> None:
    """Room scope gives that room's rows and no others."""
    expected = [row for row in demo.study.of(table, PAIRS) if row.room_id == "room_v01"]
    read = getattr(sdk, SDK_METHODS[table])
    assert len(read("room_v01", scope="room", progress=False)) == len(expected) > 0


def test_the_sdk_reads_all_data_of_a_participant(demo: StandIn, sdk: hyperstudy.HyperStudy) -> None:
    """Participant scope gives what one person did in one room, even if they were in two."""
    read = sdk.get_all_data("user_01", room_id="room_v05", output="dict")
    for table in (name for name, each in TABLES.items() if "participant" in each.scopes):
        rows = demo.study.of(table, PAIRS)
        expected = [row for row in rows if (row.room_id, row.participant_id) == ("room_v05", "user_01")]
        assert len(read[table]) == len(expected), table


def test_the_sdk_reads_what_comes_out_of_events(sdk: hyperstudy.HyperStudy) -> None:
    """Questionnaire, instructions and consent have rows."""
    assert len(sdk.get_questionnaire(PAIRS, progress=False)) == 56
    assert len(sdk.get_instructions(PAIRS, progress=False)) == 48
    assert len(sdk.get_consent(PAIRS, progress=False)) == 16


def test_the_sdk_reads_experiments(sdk: hyperstudy.HyperStudy) -> None:
    """The list has the summary; detail, config and export have the definition."""
    listed = sdk.list_experiments(output="dict", progress=False)
    assert [each["id"] for each in listed] == [PAIRS, AGENTS]
    assert "states" not in listed[0]
    assert len(sdk.list_experiments(search="agent", output="dict", progress=False)) == 1
    assert len(sdk.get_experiment(PAIRS)["states"]) == 7
    assert "roomCount" not in sdk.get_experiment_config(PAIRS)
    assert sdk.export_experiment(PAIRS)["experiment"]["name"] == "Watching in pairs"


def test_the_sdk_reads_deployments_and_personas(sdk: hyperstudy.HyperStudy) -> None:
    """Sessions are the deployment's rooms; spend is the sum of its runs."""
    assert len(sdk.list_deployments(output="dict")) == 3
    assert len(sdk.list_deployments(experiment_id=PAIRS, status="active", output="dict")) == 1
    assert sdk.get_deployment("dep_pilot")["name"] == "Pilot"
    assert len(sdk.get_deployment_sessions("dep_main", output="dict")) == 6
    spend = sdk.get_agent_spend("dep_agents")
    assert spend["total"] == pytest.approx(sum(spend["perRoom"].values()))
    assert sdk.get_persona(sdk.list_personas(output="dict")[0]["id"])["name"] == "Film fan"


def test_the_sdk_reads_agents(demo: StandIn, sdk: hyperstudy.HyperStudy) -> None:
    """Decisions and runs come together; the detail fields only where asked for."""
    rows = sdk.get_agent_decisions(AGENTS, output="dict")
    assert [row["_type"] for row in rows].count("decision") == len(demo.study.of("agent_decisions", AGENTS))
    assert [row["_type"] for row in rows].count("run") == len(sdk.get_agent_runs(AGENTS)) == 4
    assert "prompt" not in rows[0]
    detailed = sdk.get_agent_decisions("room_a01", scope="room", detail=True, output="dict")
    assert "prompt" in detailed[0]
    assert len(detailed) == 6
    assert sdk.get_agent_decision("room_a02", detailed[0]["id"])["roomId"] == "room_a02"
    with pytest.warns(UserWarning, match="truncated"):
        assert len(sdk.get_agent_decisions(AGENTS, limit=2, output="dict")) == 4 * 2 + 4


def test_the_sdk_reads_variables_and_counts(demo: StandIn, sdk: hyperstudy.HyperStudy) -> None:
    """The write log, the matrix from it, and the number of rows per data type."""
    variables = sdk.get_variables("room_v01", output="dict")
    assert variables["writes"] == demo.study.variables["room_v01"]["data"]
    assert len(variables["timeline"]) == 7
    counted = sdk.get_counts("user_01", "room_v01")
    assert counted["counts"]["ratings_continuous"] == 80
    assert counted["hasData"]["textchat"] is True


def test_the_sdk_downloads_recordings(sdk: hyperstudy.HyperStudy, tmp_path: Path) -> None:
    """By every kind of link the files are real sound; the one still in processing is not there."""
    with pytest.warns(UserWarning, match=r"no download URL|failed to download"):
        frame = sdk.download_recordings(PAIRS, output_dir=str(tmp_path), progress=False)
    assert list(frame["download_status"]).count("downloaded") == 7
    for path in tmp_path.glob("*.wav"):
        with wave.open(str(path)) as sound:
            assert sound.getnframes() == 8000


def test_pages_follow_one_another_without_gap_or_overlap(api: StandIn) -> None:
    """`nextOffset` leads from page to page and is missing on the last."""
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        body = ask(api, RATINGS, limit=300, offset=offset).json()
        page = body["metadata"]["pagination"]
        assert page["total"] == 1280
        assert page["hasMore"] == ("nextOffset" in page)
        seen += [row["ratingId"] for row in body["data"]]
        offset = page.get("nextOffset")
    assert len(seen) == len(set(seen)) == 1280
    assert len(api.seen(RATINGS)) == 5


def test_filters_narrow_an_experiment(demo: StandIn) -> None:
    """Deployment, room, category, component type and completion code."""
    assert len(rows_of(demo, f"/data/rooms/experiment/{PAIRS}", deploymentId="dep_pilot")) == 2
    assert len(rows_of(demo, RATINGS, roomId="room_v01")) == 160
    assert {row["category"] for row in rows_of(demo, EVENTS, category="scanner")} == {"scanner"}
    components = f"/data/components/experiment/{PAIRS}"
    assert len(rows_of(demo, components, componentType="rapidrate", completed="false")) == 2
    assert len(rows_of(demo, f"/data/participants/experiment/{PAIRS}", completionCode="TIMEOUT")) == 2
    assert len(rows_of(demo, f"/data/sync/experiment/{PAIRS}", aggregationWindow=5000)) < 200


def test_rows_come_in_the_order_asked_for(demo: StandIn) -> None:
    """By any field, either way; by time unless said."""
    onsets = [row["onset"] for row in rows_of(demo, EVENTS, sort="onset", order="desc")]
    assert onsets == sorted(onsets, reverse=True)
    times = [row["timestamp"] for row in rows_of(demo, EVENTS)]
    assert times == sorted(times)


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "many"},
        {"offset": "-1"},
        {"order": "up"},
        {"startTime": "yesterday"},
        {"format": "xml"},
    ],
    ids=lambda params: "-".join(params),
)
def test_a_bad_parameter_is_answered_with_400(demo: StandIn, params: dict[str, Any]) -> None:
    """The error names the parameter."""
    response = ask(demo, EVENTS, **params)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "INVALID_PARAMETER"
    assert response.json()["error"]["details"]["parameter"] in params


def test_without_the_right_key_nothing_is_read(demo: StandIn) -> None:
    """401 without a key and with another one; health needs none."""
    assert ask(demo, EVENTS, headers={}).status_code == 401
    response = ask(demo, EVENTS, headers={"X-API-Key": "hst_test_other"})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "AUTHENTICATION_ERROR")
    assert ask(demo, "/health", headers={}).status_code == 200


def test_a_missing_scope_is_named() -> None:
    """403 says what is required and what the key has; participants are read under events."""
    with StandIn(demo_study(), scopes=("read:participants",)) as api:
        response = ask(api, f"/data/participants/experiment/{PAIRS}")
    assert response.status_code == 403
    details = {"required": ["read:events"], "provided": ["read:participants"]}
    assert response.json()["error"]["details"] == details


@pytest.mark.parametrize(
    "path",
    [
        "/experiments/exp_none",
        "/data/events/experiment/exp_none",
        "/data/events/room/room_none",
        "/data/events/participant/user_none?roomId=room_v01",
        "/data/rooms/room/room_v01",
        "/data/smells/experiment/exp_video_pairs",
        "/deployments/dep_none",
        "/personas/persona_none",
        "/nowhere",
    ],
)
def test_what_does_not_exist_is_answered_with_404(demo: StandIn, path: str) -> None:
    """Experiments, rooms, participants, data types and paths alike."""
    response = ask(demo, path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_participant_scope_needs_a_room(demo: StandIn) -> None:
    """400 without `roomId`."""
    assert ask(demo, "/data/events/participant/user_01").status_code == 400


def test_shared_experiments_need_the_organization(demo: StandIn) -> None:
    """Another organisation's experiment is listed and read only with `X-Organization-Id`."""
    member = {"X-API-Key": DEMO_KEY, "X-Organization-Id": "org_demo_lab"}
    shared = ask(demo, "/experiments/shared", headers=member).json()["data"]
    assert [each["id"] for each in shared] == [SHARED]
    assert len(ask(demo, f"/data/events/experiment/{SHARED}", headers=member).json()["data"]) == 2
    assert rows_of(demo, "/experiments/shared") == []
    assert ask(demo, f"/data/events/experiment/{SHARED}").status_code == 403


def test_the_list_of_experiments_can_say_less(api: StandIn) -> None:
    told = {"updatedAt", "roomCount", "participantCount"}
    assert all(told <= row.keys() for row in rows_of(api, "/experiments"))
    api.behaviour.list_tells = False
    listed = rows_of(api, "/experiments")
    assert listed
    assert all(told & row.keys() == {"updatedAt"} for row in listed)


def test_an_experiment_can_be_forbidden(api: StandIn) -> None:
    """For one table or for all, and check-access says so."""
    api.behaviour.forbidden = {("chat", PAIRS), ("*", AGENTS)}
    assert ask(api, f"/data/chat/experiment/{PAIRS}").status_code == 403
    assert ask(api, "/data/chat/room/room_v01").status_code == 403
    assert ask(api, EVENTS).status_code == 200
    assert ask(api, f"/data/events/experiment/{AGENTS}").status_code == 403
    access = ask(api, f"/data/check-access/experiment/{AGENTS}").json()["data"]
    assert access == {"canView": False, "canExport": False}


def minted(api: StandIn, experiment_id: str = PAIRS) -> str:
    """Mint a link to the first recording's file."""
    row = api.study.of("recordings", experiment_id)[0]
    return str(ask(api, row["downloadPath"]).json()["data"]["url"])


def test_a_file_comes_with_its_length_and_hash(demo: StandIn) -> None:
    """And can be fetched from the middle."""
    url = minted(demo)
    whole = requests.get(url, timeout=10)
    assert (
        int(whole.headers["Content-Length"])
        == len(whole.content)
        == demo.study.of("recordings", PAIRS)[0]["fileSize"]
    )
    md5 = hashlib.md5(whole.content, usedforsecurity=False)
    crc32c = base64.b64encode(google_crc32c.value(whole.content).to_bytes(4, "big")).decode()
    assert whole.headers["x-goog-hash"] == f"crc32c={crc32c},md5={base64.b64encode(md5.digest()).decode()}"
    assert whole.headers["ETag"] == f'"{md5.hexdigest()}"'
    assert whole.headers["Content-Type"] == "audio/wav"
    with wave.open(io.BytesIO(whole.content)) as sound:
        assert sound.getframerate() == 8000
    rest = requests.get(url, headers={"Range": "bytes=1000-"}, timeout=10)
    assert (rest.status_code, rest.content) == (206, whole.content[1000:])
    beyond = requests.get(url, headers={"Range": "bytes=99999999-"}, timeout=10)
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(whole.content)}")
    other = requests.get(url, headers={"Range": "bytes=1000-", "If-Range": '"old"'}, timeout=10)
    assert (other.status_code, other.content) == (200, whole.content)


def test_the_storage_refuses_the_api_key_and_unsigned_links(demo: StandIn) -> None:
    """The key belongs to the API's host; a link without its signature opens nothing."""
    url = minted(demo)
    assert requests.get(url, headers={"X-API-Key": DEMO_KEY}, timeout=10).status_code == 400
    assert requests.get(url.split("?")[0], timeout=10).status_code == 403


def test_a_link_expires() -> None:
    """After its time, or at once where the behaviour says so."""
    now = [1_718_000_000.0]
    with StandIn(demo_study(), clock=lambda: now[0]) as api:
        url = minted(api)
        assert requests.get(url, timeout=10).status_code == 200
        now[0] += 901
        assert requests.get(url, timeout=10).status_code == 403
        fresh = minted(api)
        api.behaviour.expire_links, api.behaviour.expired_status = True, 410
        assert requests.get(fresh, timeout=10).status_code == 410
        api.behaviour.expire_links = False
        api.behaviour.faults.append(Fault("/storage", "expired"))
        assert [requests.get(fresh, timeout=10).status_code for _ in range(2)] == [410, 200]


FILM = bytes(range(256)) * 40
"""The file of most tests below: 10,240 bytes."""


def film_study(content: Content | None = FILM, link: Link | None = "path", **fields: Any) -> Study:
    """Make a study with one recording."""
    study = Study.empty("exp_1")
    study.add_room("room_1", experiment_id="exp_1", participants=["p1"])
    row = {"recordingId": "rec_1", "format": "mp4", **fields}
    study.add_recording(
        row, content, experiment_id="exp_1", room_id="room_1", participant_id="p1", link=link)
    return study


@pytest.fixture
def film() -> Iterator[tuple[StandIn, str]]:
    """Serve one recording; give the stand-in and a link to the file."""
    with StandIn(film_study()) as api:
        yield api, minted(api, "exp_1")


def fetched(url: str, part: str | None = None, **headers: str) -> requests.Response:
    """GET a file, or the part `bytes=...` of it."""
    return requests.get(
        url, headers=headers | ({"Range": part} if part else {}), timeout=10, allow_redirects=False)


class Raw:
    """One answer over a bare connection: what came before the connection ended, whatever was announced."""

    def __init__(self, url: str, **headers: str) -> None:
        split = urlsplit(url)
        self.connection = http.client.HTTPConnection(split.netloc, timeout=10)
        self.connection.request("GET", f"{split.path}?{split.query}", headers=headers)
        self.response = self.connection.getresponse()
        self.status = self.response.status

    def header(self, name: str) -> list[str]:
        """Return the lines of a header."""
        return self.response.headers.get_all(name) or []

    def body(self) -> bytes:
        """Read to the end, early or not."""
        with contextlib.closing(self.connection):
            try:
                return self.response.read()
            except http.client.IncompleteRead as error:
                return error.partial


def test_made_files_are_the_same_from_any_place() -> None:
    """Bytes depend on seed and place alone; every block differs from the others."""
    made = Made(3 * BLOCK + 100, seed=3)
    whole = b"".join(made.blocks())
    assert len(whole) == len(made)
    assert max(map(len, made.blocks())) == BLOCK
    assert len({whole[place : place + BLOCK] for place in range(0, len(whole), BLOCK)}) == 4
    for start, stop in [(0, 10), (5, 7), (BLOCK - 1, BLOCK + 1), (100, 2 * BLOCK + 3), (7, 7), (9, 10**9)]:
        assert b"".join(made[start:stop].blocks()) == whole[start:stop]
        assert b"".join(made[10:][start:stop].blocks()) == whole[10:][start:stop]
    assert b"".join(Made(100, seed=4).blocks()) != whole[:100]


def test_digests_are_those_of_the_bytes() -> None:
    """For bytes and for made files alike; CRC32C is the one of Castagnoli."""
    made = Made(2 * BLOCK + 1)
    whole = b"".join(made.blocks())
    assert digest(made, "md5") == digest(whole, "md5") == hashlib.md5(whole, usedforsecurity=False).digest()
    assert digest(made, "sha256") == digest(whole, "sha256") == hashlib.sha256(whole).digest()
    assert digest(made, "crc32c") == digest(whole, "crc32c")
    assert digest(b"123456789", "crc32c").hex() == "e3069283"


def test_a_big_file_is_never_held_whole() -> None:
    """It is sent and hashed in blocks, and parts of it come from their place."""
    made = Made(64 * 1024 * 1024)
    with StandIn(film_study(made)) as api:
        url = minted(api, "exp_1")
        tracemalloc.start()
        state, size = hashlib.md5(usedforsecurity=False), 0
        with requests.get(url, stream=True, timeout=60) as response:
            for block in response.iter_content(BLOCK):
                state.update(block)
                size += len(block)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        last = fetched(url, "bytes=67000000-")
    assert (size, response.headers["ETag"]) == (len(made), f'"{state.hexdigest()}"')
    assert peak < 16 * BLOCK
    assert (last.status_code, last.content) == (206, b"".join(made[67_000_000:].blocks()))


def test_a_recording_can_be_added_in_a_line() -> None:
    """It leads to its file by the link named; what the row says itself stays."""
    added: dict[Link | None, set[str]] = {
        "path": {"fileSize", "url", "downloadPath"},
        "download_url": {"fileSize", "url", "downloadUrl"},
        "url": {"fileSize", "url"},
        None: {"fileSize"},
    }
    for link, fields in added.items():
        with StandIn(film_study(link=link)) as api:
            (row,) = rows_of(api, "/data/recordings/experiment/exp_1")
            assert row.keys() - {"recordingId", "format"} == fields
            if link == "path":
                assert (fetched(row["url"]).status_code, fetched(minted(api, "exp_1")).content) == (403, FILM)
            elif link is not None:
                assert fetched(row.get("downloadUrl", row["url"])).content == FILM
    assert film_study(fileSize=7).of("recordings", "exp_1")[0]["fileSize"] == 7
    with StandIn(film_study(None)) as api:
        assert "fileSize" not in rows_of(api, "/data/recordings/experiment/exp_1")[0]
        assert fetched(minted(api, "exp_1")).status_code == 404


def test_recordings_with_odd_or_equal_ids_have_files_of_their_own() -> None:
    """Whatever the ids are, links work and no file takes the place of another."""
    study = Study.empty("exp_1")
    study.add_room("room/1 ?", experiment_id="exp_1")
    ids = ["a/b", "a_b", "../ü", "100%", "a#?&b", "a_b"]
    rows = [
        study.add_recording(
            {"recordingId": each, "url": None}, each.encode() * (place + 1), experiment_id="exp_1",
            room_id="room/1 ?")
        for place, each in enumerate(ids)
    ]
    with StandIn(study) as api:
        links = [ask(api, row["downloadPath"]).json()["data"]["url"] for row in rows]
        assert [fetched(link).content for link in links[:5]] == [
            each.encode() * (place + 1) for place, each in enumerate(ids[:5])
        ]
    assert len(study.files) == 6


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [("mp4", "video/mp4"), ("WEBM", "video/webm"), ("wav", "audio/wav"), ("odd", "application/octet-stream")],
)
def test_the_content_type_follows_the_kind_of_file(kind: str, content_type: str) -> None:
    """By the end of its name."""
    with StandIn(film_study(format=kind)) as api:
        assert fetched(minted(api, "exp_1")).headers["Content-Type"] == content_type


@pytest.mark.parametrize(
    ("fault", "part", "got"),
    [
        (Fault("/storage", "cut"), None, FILM[:5120]),
        (Fault("/storage", "cut", at=0), None, b""),
        (Fault("/storage", "cut", at=7), None, FILM[:7]),
        (Fault("/storage", "cut", at=7), "bytes=1000-", FILM[1000:1007]),
        (Fault("/storage", "cut"), "bytes=1000-1009", FILM[1000:1005]),
        (Fault("/storage", "announced_longer", by=100), None, FILM),
        (Fault("/storage", "announced_longer"), "bytes=10000-", FILM[10000:]),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_a_file_can_end_early(film: tuple[StandIn, str], fault: Fault, part: str | None, got: bytes) -> None:
    """At any byte of the answer, or because more was announced than there is; the next answer is whole."""
    api, url = film
    api.behaviour.faults += [replace(fault), replace(fault)]
    answer = Raw(url, **({"Range": part} if part else {}))
    length = int(answer.header("Content-Length")[0])
    assert answer.body() == got
    assert length > len(got)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        fetched(url)
    assert fetched(url).content == FILM


def test_less_can_be_announced_than_the_file_has(film: tuple[StandIn, str]) -> None:
    """No more is sent than announced, and the hashes stay those of the file."""
    api, url = film
    true = fetched(url).headers
    api.behaviour.faults.append(Fault("/storage", "announced_shorter", by=100))
    answer = fetched(url)
    assert (answer.content, answer.headers["Content-Length"]) == (FILM[:-100], "10140")
    assert all(answer.headers[name] == true[name] for name in ("ETag", "x-goog-hash"))


def test_a_file_can_come_empty(film: tuple[StandIn, str]) -> None:
    """200 without a body, also for a part."""
    api, url = film
    api.behaviour.faults.append(Fault("/storage", "empty", times=2))
    for answer in (fetched(url), fetched(url, "bytes=5-")):
        assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
        assert answer.headers["Content-Type"] == "video/mp4"
        assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("content", [FILM, Made(3 * BLOCK)], ids=["bytes", "made"])
def test_bytes_and_hashes_can_be_wrong(content: Content) -> None:
    """A byte changed under the true headers, or the true bytes under other hashes."""
    with StandIn(film_study(content)) as api:
        url = minted(api, "exp_1")
        true = fetched(url)
        api.behaviour.faults += [
            Fault("/storage", "corrupt"), Fault("/storage", "corrupt", at=7), Fault("/storage", "wrong_hash")]
        middle, part, wrong = fetched(url), fetched(url, "bytes=100-199"), fetched(url)
    pairs = enumerate(zip(middle.content, true.content, strict=True))
    assert [place for place, (sent, meant) in pairs if sent != meant] == [len(content) // 2]
    assert part.content[:7] + part.content[8:] == true.content[100:107] + true.content[108:200]
    assert part.content[7] != true.content[107]
    unlike = {name for name in true.headers if name != "Date" and true.headers[name] != wrong.headers[name]}
    assert unlike == {"ETag", "x-goog-hash"}
    assert wrong.content == true.content
    assert {middle.headers["ETag"], part.headers["ETag"]} == {true.headers["ETag"]}


@pytest.mark.parametrize("at", [None, 0, 7])
def test_a_file_can_stall(at: int | None) -> None:
    """Some of the body comes and then nothing, until the client goes or the stand-in stops."""
    with StandIn(film_study()) as api:
        url = minted(api, "exp_1")
        api.behaviour.faults.append(Fault("/storage", "stall", times=2, at=at))
        with pytest.raises(requests.ConnectionError, match="Read timed out"):
            requests.get(url, timeout=(10, 0.05))
        assert fetched(api.base_url + "/health").status_code == 200
        answer = Raw(url)
    assert answer.body() == FILM[: len(FILM) // 2 if at is None else at]


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "begin"),
    [
        (Fault("/storage", "html"), 502, "text/html", b"<html>"),
        (Fault("/storage", "html_200"), 200, "text/html", b"<html>"),
        (Fault("/storage", "html_200", content_type="video/mp4"), 200, "video/mp4", b"<html>"),
        (Fault("/storage", "json_200"), 200, "application/json; charset=UTF-8", b"{"),
        (Fault("/storage", "xml_200"), 200, "application/xml; charset=UTF-8", b"<?xml"),
        (Fault("/storage", "server_error", status=404), 404, "application/json; charset=utf-8", b"{"),
        (Fault("/storage", "server_error", status=410), 410, "application/json; charset=utf-8", b"{"),
        (Fault("/storage", "server_error"), 500, "application/json; charset=utf-8", b"{"),
        (Fault("/storage", "server_error", status=503, retry_after="3"), 503,
         "application/json; charset=utf-8", b"{"),
        (Fault("/storage", "rate_limit", retry_after="3"), 429, "application/json; charset=utf-8", b"{"),
        (Fault("/storage", "expired"), 403, "application/xml; charset=UTF-8", b"<?xml"),
        (Fault("/storage", "redirect", location="/elsewhere"), 302, None, b""),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
def test_another_answer_can_come_in_place_of_a_file(
    film: tuple[StandIn, str], fault: Fault, status: int, content_type: str | None, begin: bytes
) -> None:
    """A page or an error, once; a page can pass for a film."""
    api, url = film
    api.behaviour.faults.append(fault)
    answer = fetched(url)
    assert (answer.status_code, answer.headers.get("Content-Type")) == (status, content_type)
    assert answer.content.startswith(begin)
    assert not {"ETag", "x-goog-hash"} & answer.headers.keys()
    assert answer.headers.get("Retry-After") == fault.retry_after
    assert answer.headers.get("Location", "") == fault.location
    assert fetched(url).content == FILM


def test_the_storage_can_hang_up(film: tuple[StandIn, str]) -> None:
    """Closed without an answer."""
    api, url = film
    api.behaviour.faults.append(Fault("/storage/recordings/room_1/", "reset", after=1))
    assert fetched(url).content == FILM
    with pytest.raises(requests.ConnectionError):
        fetched(url)
    assert [each.status for each in api.seen("/storage")] == [200, 0]


def test_parts_can_be_ignored_or_wrong(film: tuple[StandIn, str]) -> None:
    """The whole file with 200, or other bytes with 206, which `Content-Range` admits."""
    api, url = film
    api.behaviour.ranges = "ignored"
    whole = fetched(url, "bytes=10000-")
    assert (whole.status_code, whole.content) == (200, FILM)
    assert fetched(url, "bytes=99999-").status_code == 200
    api.behaviour.ranges = "wrong"
    other = fetched(url, "bytes=10000-")
    assert (other.status_code, other.content) == (206, FILM[:240])
    assert other.headers["Content-Range"] == "bytes 0-239/10240"
    other = fetched(url, "bytes=0-")
    assert (other.content, other.headers["Content-Range"]) == (FILM[1:], "bytes 1-10239/10240")
    assert fetched(url).content == FILM


@pytest.mark.parametrize(
    ("hashes", "shown"),
    [
        ((), set()),
        (("etag",), {"ETag"}),
        (("md5",), {"md5"}),
        (("crc32c",), {"crc32c"}),
        (("crc32c", "opaque_etag"), {"ETag", "crc32c"}),
        (("md5", "crc32c", "etag"), {"ETag", "md5", "crc32c"}),
    ],
    ids=lambda value: "-".join(sorted(value)) or "none",
)
@pytest.mark.parametrize("separate", [False, True], ids=["together", "separate"])
def test_a_file_comes_with_the_hashes_named(
    film: tuple[StandIn, str], hashes: tuple[FileHash, ...], shown: set[str], separate: bool
) -> None:
    """In one line or in several; an opaque `ETag` tells versions apart without being a hash."""
    api, url = film
    api.behaviour.file_hashes, api.behaviour.separate_hashes = hashes, separate
    answer = Raw(url)
    lines, etag = answer.header("x-goog-hash"), answer.header("ETag")
    assert answer.body() == FILM
    assert len(lines) == (len(shown - {"ETag"}) if separate else bool(shown - {"ETag"}))
    named = [each for line in lines for each in line.split(",")]
    assert {each.split("=")[0] for each in named} | ({"ETag"} if etag else set()) == shown
    if etag:
        assert (digest(FILM, "md5").hex() in etag[0]) == ("etag" in hashes)
        for given, status in ((etag[0], 206), ('"other"', 200)):
            assert fetched(url, "bytes=5-", **{"If-Range": given}).status_code == status
    else:
        assert fetched(url, "bytes=5-", **{"If-Range": '"other"'}).status_code == 200


@pytest.mark.parametrize("length", ["chunked", "closed"])
@pytest.mark.parametrize("content", [FILM, b"", Made(2 * BLOCK + 5)], ids=["bytes", "empty", "made"])
def test_a_file_can_come_without_its_length(length: Length, content: Content) -> None:
    """In chunks, or until the connection closes; parts and faults as ever."""
    expected = content if isinstance(content, bytes) else b"".join(content.blocks())
    with StandIn(film_study(content), Behaviour(file_length=length)) as api:
        url = minted(api, "exp_1")
        with requests.Session() as session:
            answers = [session.get(url, timeout=10) for _ in range(2)]
        assert [each.content for each in answers] == [expected] * 2
        assert "Content-Length" not in answers[0].headers
        assert answers[0].headers.get("Transfer-Encoding") == ("chunked" if length == "chunked" else None)
        part = fetched(url, "bytes=5-9")
        assert (part.status_code, part.content) == ((206, expected[5:10]) if content else (416, b""))
        api.behaviour.faults.append(Fault("/storage", "cut", times=2, at=7))
        assert Raw(url).body() == expected[:7]
        if length == "chunked":
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                fetched(url)
        else:
            assert fetched(url).content == expected[:7]


def test_a_link_lives_as_long_as_told() -> None:
    """Each for what was set when it was minted; 0 for one that is of no use."""
    now = [1_718_000_000.0]
    with StandIn(film_study(), Behaviour(minted_seconds=5), clock=lambda: now[0]) as api:
        short = minted(api, "exp_1")
        api.behaviour.minted_seconds = 60
        long = minted(api, "exp_1")
        path = api.study.of("recordings", "exp_1")[0]["downloadPath"]
        assert ask(api, path).json()["data"]["expiresIn"] == 60
        now[0] += 4
        assert [fetched(url).status_code for url in (short, long)] == [200, 200]
        now[0] += 1
        assert [fetched(url).status_code for url in (short, long)] == [403, 200]
        api.behaviour.minted_seconds, api.behaviour.expired_status = 0, 400
        assert fetched(minted(api, "exp_1")).status_code == 400


def test_a_file_can_be_slow() -> None:
    """The latency holds for the storage, too."""
    with StandIn(film_study()) as api:
        url = minted(api, "exp_1")
        api.behaviour.latency = 3600
        with pytest.raises(requests.ReadTimeout):
            requests.get(url, timeout=(10, 0.05))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("inclusive", "inclusive", "234"),
        ("exclusive", "inclusive", "34"),
        ("inclusive", "exclusive", "23"),
        ("ignored", "inclusive", "1234"),
        ("inclusive", "ignored", "2345"),
    ],
)
def test_time_bounds_behave_as_told(start: Any, end: Any, expected: str) -> None:
    """A row at exactly the bound is in or out, or the bound is ignored."""
    window = {"startTime": "2024-06-10T10:00:02Z", "endTime": "2024-06-10T10:00:04Z"}
    with StandIn(ticking_study(), Behaviour(start_time=start, end_time=end)) as api:
        rows = rows_of(api, "/data/events/experiment/exp_1", **window)
    assert "".join(row["id"][-1] for row in rows) == expected


@pytest.mark.parametrize(
    ("behaviour", "params"),
    [
        (Behaviour(start_time={"events": "rejected"}), {"startTime": "2024-06-10T10:00:02Z"}),
        (Behaviour(end_time="rejected"), {"endTime": "2024-06-10T10:00:02Z"}),
        (Behaviour(sort="rejected"), {"sort": "timestamp"}),
        (Behaviour(reject_limit_above=500), {"limit": 501}),
        (Behaviour(reject_limit={"/data/events"}), {"limit": 10}),
    ],
    ids=["startTime", "endTime", "sort", "limit-above", "limit"],
)
def test_a_parameter_can_be_rejected(behaviour: Behaviour, params: dict[str, Any]) -> None:
    """400 that names it; without it the endpoint answers."""
    with StandIn(ticking_study(), behaviour) as api:
        response = ask(api, "/data/events/experiment/exp_1", **params)
        assert response.status_code == 400
        assert response.json()["error"]["details"]["parameter"] in params
        assert ask(api, "/data/events/experiment/exp_1").status_code == 200


def test_the_order_can_be_ignored() -> None:
    """Rows then come as they are stored."""
    with StandIn(ticking_study(), Behaviour(sort="ignored")) as api:
        rows = rows_of(api, "/data/events/experiment/exp_1", sort="timestamp", order="asc")
    assert [row["id"][-1] for row in rows] == ["5", "4", "3", "2", "1"]


def test_a_page_can_be_smaller_than_asked_for(api: StandIn) -> None:
    """Clamped without a word; `nextOffset` can be missing even when there is more."""
    api.behaviour.max_limit, api.behaviour.next_offset = 100, False
    body = ask(api, RATINGS, limit=1000).json()
    assert len(body["data"]) == body["metadata"]["pagination"]["limit"] == 100
    assert body["metadata"]["pagination"]["hasMore"] is True
    assert "nextOffset" not in body["metadata"]["pagination"]


def test_pagination_can_be_missing(api: StandIn) -> None:
    """With pages as before, or with everything in one answer."""
    api.behaviour.pagination = False
    body = ask(api, RATINGS, limit=1000).json()
    assert "pagination" not in body["metadata"]
    assert len(body["data"]) == 1000
    api.behaviour.whole_answers = True
    assert len(rows_of(api, RATINGS, limit=1000)) == 1280


def test_the_total_can_mislead(api: StandIn) -> None:
    """It counts the filtered rows, all rows, or moves between requests."""

    def total(offset: int = 0) -> int:
        body = ask(api, EVENTS, category="scanner", limit=10, offset=offset).json()
        return int(body["metadata"]["pagination"]["total"])

    assert total() == 24
    api.behaviour.total = "unfiltered"
    assert total() == len(api.study.of("events", PAIRS))
    api.behaviour.total = "moving"
    assert total(offset=10) == total(offset=20) - 1


def test_one_row_can_be_an_object() -> None:
    """A one-row answer is then the object itself."""
    with StandIn(ticking_study(1), Behaviour(single_as_object=True)) as api:
        assert ask(api, "/data/events/experiment/exp_1").json()["data"]["id"] == "evt_1"
        assert ask(api, "/experiments/exp_1").json()["data"]["id"] == "exp_1"


def test_warnings_come_with_rows_left_out() -> None:
    """The answer says that it may be incomplete, and is."""
    behaviour = Behaviour(warnings={"events": ["MISSING_INDEX: incomplete"]}, left_out={"events": 2})
    with StandIn(ticking_study(), behaviour) as api:
        body = ask(api, "/data/events/experiment/exp_1").json()
    assert body["metadata"]["_warnings"] == ["MISSING_INDEX: incomplete"]
    assert len(body["data"]) == 3


def test_rows_carry_their_ids_as_told(api: StandIn) -> None:
    """Always, never, or as documented; participants keep theirs."""
    api.behaviour.rows_with_ids = True
    assert rows_of(api, RATINGS)[0]["experimentId"] == PAIRS
    api.behaviour.rows_with_ids = False
    assert not {"experimentId", "roomId"} & rows_of(api, EVENTS)[0].keys()
    assert "roomId" in rows_of(api, f"/data/participants/experiment/{PAIRS}")[0]


def test_rooms_stop_at_the_cap(api: StandIn) -> None:
    """As the API's 5,000, lowered; a deployment narrows below it."""
    api.behaviour.room_cap = 3
    assert len(rows_of(api, f"/data/rooms/experiment/{PAIRS}")) == 3
    assert len(rows_of(api, f"/data/rooms/experiment/{PAIRS}", deploymentId="dep_pilot")) == 2


def test_rate_limits_hold_per_endpoint_and_per_key() -> None:
    """429 says how long to wait, and after that it answers again."""
    now = [1_718_000_000.0]
    limits = Behaviour(per_minute=2, per_hour=4)
    with StandIn(demo_study(), limits, clock=lambda: now[0]) as api:
        other = f"/data/events/experiment/{AGENTS}"
        assert [ask(api, path).status_code for path in (EVENTS, other, EVENTS)] == [200, 200, 429]
        assert ask(api, EVENTS).headers["Retry-After"] == "60"
        now[0] += 61
        assert [ask(api, path).status_code for path in (EVENTS, EVENTS, RATINGS)] == [200, 200, 429]
        assert ask(api, RATINGS).headers["Retry-After"] == "3539"


def test_an_answer_can_be_slow() -> None:
    """It waits for the latency, unless the stand-in stops first."""
    with StandIn(ticking_study(), Behaviour(latency=3600)) as api:
        waiting = threading.Thread(target=pytest.raises, args=(requests.ConnectionError, ask, api, "/health"))
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [
        (Fault("/data", "rate_limit", retry_after="7"), 429, "application/json; charset=utf-8"),
        (Fault("/data", "server_error", status=503), 503, "application/json; charset=utf-8"),
        (Fault("/data", "html"), 502, "text/html"),
        (Fault("/data", "html_200"), 200, "text/html"),
        (Fault("/data", "error_in_200"), 200, "application/json; charset=utf-8"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
def test_a_fault_answers_once_and_is_gone(api: StandIn, fault: Fault, status: int, content_type: str) -> None:
    """With its status and body; the next request is answered as usual."""
    api.behaviour.faults.append(fault)
    response = ask(api, EVENTS)
    assert (response.status_code, response.headers["Content-Type"]) == (status, content_type)
    assert response.headers.get("Retry-After") == fault.retry_after
    if "json" in content_type:
        assert response.json()["status"] == "error"
    assert ask(api, EVENTS).json()["status"] == "success"
    assert [each.status for each in api.requests] == [status, 200]


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [("cut", requests.exceptions.ChunkedEncodingError, 200), ("reset", requests.ConnectionError, 0)],
)
def test_a_connection_can_break(
    api: StandIn, kind: FaultKind, error: type[requests.RequestException], status: int
) -> None:
    """In the middle of the body, or before any answer."""
    api.behaviour.faults.append(Fault("/data", kind))
    with pytest.raises(error):
        ask(api, EVENTS)
    assert ask(api, EVENTS).status_code == 200
    assert [each.status for each in api.requests] == [status, 200]


def test_json_can_be_broken(api: StandIn) -> None:
    """200 with a body that does not parse."""
    api.behaviour.faults.append(Fault("/data", "bad_json"))
    response = ask(api, EVENTS)
    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        response.json()


def test_an_answer_can_lead_elsewhere(api: StandIn) -> None:
    """302 with the location given."""
    api.behaviour.faults.append(Fault("/data", "redirect", location="http://127.0.0.1:9/elsewhere"))
    response = ask(api, EVENTS)
    assert (response.status_code, response.headers["Location"]) == (302, "http://127.0.0.1:9/elsewhere")


def test_a_fault_waits_for_its_request(api: StandIn) -> None:
    """It meets the path, the parameters and the number it names, as often as it says."""
    api.behaviour.faults += [
        Fault("/data/ratings", "server_error", params={"offset": "1000"}),
        Fault("/data/events", "server_error", times=2, after=1),
        Fault("/experiments", "server_error", times=None),
    ]
    assert [ask(api, RATINGS, offset=offset).status_code for offset in (0, 1000, 1000)] == [200, 500, 200]
    assert [ask(api, EVENTS).status_code for _ in range(4)] == [200, 500, 500, 200]
    assert [ask(api, "/experiments").status_code for _ in range(3)] == [500, 500, 500]


def test_rows_can_come_between_pages() -> None:
    """A hook changes the study before the page is made."""

    def add_late_row(study: Study) -> None:
        late = {"id": "evt_0", "timestamp": "2024-06-10T10:00:00.000Z"}
        study.add("events", late, experiment_id="exp_1", room_id="room_1")

    with StandIn(ticking_study()) as api:
        api.behaviour.faults.append(Fault("/data/events", "hook", params={"offset": "3"}, hook=add_late_row))
        path = "/data/events/experiment/exp_1"
        pages = [rows_of(api, path, limit=3, offset=offset) for offset in (0, 3)]
    assert [[row["id"][-1] for row in page] for page in pages] == [["1", "2", "3"], ["3", "4", "5"]]


def test_requests_are_noted_with_what_was_sent(api: StandIn) -> None:
    """Path relative to the API, query, headers and status."""
    ask(api, EVENTS, limit=5)
    (seen,) = api.requests
    assert (seen.path, seen.params, seen.status) == (EVENTS, {"limit": "5"}, 200)
    assert seen.headers["x-api-key"] == DEMO_KEY
    assert seen.endpoint == "/data/events/experiment"


def test_a_connection_serves_many_requests(api: StandIn) -> None:
    """HTTP/1.1 keep-alive: one connection for all, also from many threads at once."""
    with requests.Session() as session:
        session.headers["X-API-Key"] = DEMO_KEY
        statuses = [session.get(api.base_url + EVENTS, timeout=10).status_code for _ in range(20)]
    assert statuses == [200] * 20
    threads = [threading.Thread(target=ask, args=(api, EVENTS)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(api.requests) == 28


def test_the_command_serves_the_demo_and_says_how_to_reach_it(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the address, and the two variables to set."""
    done = threading.Event()
    done.set()
    assert main([], until=done) == 0
    printed = capsys.readouterr().out
    assert f"HYPERSTUDY_API_KEY={DEMO_KEY}" in printed
    assert "HYPERSTUDY_BASE_URL=http://127.0.0.1:" in printed
