"""One file over a real socket: whatever the storage host does, it comes whole or not at all."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from recorded import MINT, STORAGE, add_video, recorded_study

from hyperstudy_source.api.budget import Budget
from hyperstudy_source.api.client import Client
from hyperstudy_source.recordings.bodies import Body, NotDelivered
from hyperstudy_source.recordings.downloads import ATTEMPTS, PROGRESS, Downloader, Link, checked_address
from hyperstudy_source.recordings.targets import Target
from hyperstudy_source.standin import Behaviour, Fault, Made, StandIn
from hyperstudy_source.standin.files import Content

SMALL = b"\x1a\x45\xdf\xa3" + random.Random(1).randbytes(146)
OLDER = b"an older whole file"
PATIENCE = [1.0, 2.0, 4.0, 8.0]
"""s between five attempts."""
HASHES: dict[str, tuple[str, ...]] = {
    "crc32c": ("crc32c",), "md5": ("md5",), "etag": ("etag",), "both": ("crc32c", "md5")}
NO_HASHES: dict[str, tuple[str, ...]] = {"none": (), "opaque_etag": ("opaque_etag",)}


class Outcome(NamedTuple):
    """How a download went."""

    content: bytes
    """What the folder has under the file's name."""
    error: str
    slept: list[float]
    mints: int
    ranges: list[str | None]
    """The `Range` of each request to the storage."""
    attempts: int
    counted: int
    """Bytes that were reported, those taken back included."""


Download = Callable[..., Outcome]


@pytest.fixture
def download(serve: Callable[..., StandIn], tmp_path: Path) -> Download:
    """Fetches the only file of a study in place of an older one."""

    def run(content: Content = SMALL, behaviour: Behaviour | None = None, *faults: Fault,
            renewable: bool = True, link: str | None = None, stall: float = 5) -> Outcome:
        study = recorded_study()
        add_video(study, "EG_1", content)
        behaviour = behaviour or Behaviour()
        behaviour.faults += faults
        api = serve(study, behaviour)
        return fetched(api, tmp_path / "target", renewable=renewable, link=link, stall=stall)

    return run


def fetched(
    api: StandIn, folder: Path, *, renewable: bool = True, link: str | None = None, stall: float = 5
) -> Outcome:
    """Fetches `EG_1` in place of an older file, and looks at what no download may do."""
    folder.mkdir(exist_ok=True)
    file = folder / "file.mp4"
    file.write_bytes(OLDER)
    slept: list[float] = []
    counted: list[int] = []
    client = Client(api.api_key, api.base_url, budget=Budget(None, None), sleep=slept.append)
    path = f"{MINT}/room_exp_1/EG_1"
    before = len(api.requests)
    error = ""
    with Target(str(folder)).draft("") as draft:
        body = Body(draft, counted.append)
        try:
            mint = Link(lambda: link or str(client.get(path).rows[0]["url"]), renewable)
            Downloader(1, slept.append, stall).fetch(mint, body)
            draft.publish(file.name)
        except NotDelivered as failure:
            error = str(failure)
    assert [path.name for path in folder.iterdir()] == [file.name]
    for secret in ("://", "Signature", "Expires", api.api_key, "EG_1"):
        assert secret not in error
    seen = api.requests[before:]
    stored = [each for each in seen if each.path.startswith(STORAGE)]
    assert not any({"x-api-key", "x-organization-id", "authorization"} & each.headers.keys() for each in stored)
    return Outcome(file.read_bytes(), error, slept, len(seen) - len(stored),
                   [each.headers.get("range") for each in stored], body.attempts, sum(counted))


def test_a_file_is_minted_and_fetched_once(download: Download) -> None:
    assert download() == (SMALL, "", [], 1, [None], 1, len(SMALL))


@pytest.mark.parametrize(("length", "step"), [("announced", 1), ("chunked", 10), ("closed", 10)])
def test_a_file_that_is_cut_at_any_byte_comes_whole(
        serve: Callable[..., StandIn], tmp_path: Path, length: Any, step: int) -> None:
    study = recorded_study()
    add_video(study, "EG_1", SMALL)
    api = serve(study, Behaviour(file_length=length))
    for at in range(0, len(SMALL), step):
        api.behaviour.faults = [Fault(STORAGE, "cut", at=at)]
        outcome = fetched(api, tmp_path / "target")
        rest = f"bytes={at}-" if at and length != "closed" else None
        assert outcome == (SMALL, "", [1.0], 1, [None, rest], 2, len(SMALL)), at


def test_a_file_that_is_cut_again_and_again_comes_whole(download: Download) -> None:
    cuts = [Fault(STORAGE, "cut", at=40), Fault(STORAGE, "cut", at=1), Fault(STORAGE, "cut", at=30)]
    outcome = download(SMALL, None, *cuts)
    assert outcome.content == SMALL
    assert outcome.ranges == [None, "bytes=40-", "bytes=41-", "bytes=71-"]


def test_the_rest_of_a_file_is_only_asked_of_the_same_file(serve: Callable[..., StandIn], tmp_path: Path) -> None:
    study = recorded_study()
    row = add_video(study, "EG_1", SMALL)
    other = SMALL[::-1]

    def change(study: Any) -> None:
        study.files[row["url"]] = other

    kinds: list[tuple[Any, ...]] = [("etag",), ("opaque_etag",), ("md5",), ("crc32c", "md5")]
    for hashes in kinds:
        study.files[row["url"]] = SMALL
        faults = [Fault(STORAGE, "cut", at=50), Fault(STORAGE, "hook", after=1, hook=change)]
        api = serve(study, Behaviour(file_hashes=hashes, faults=faults))
        assert fetched(api, tmp_path / "target").content == other


@pytest.mark.parametrize("ranges", ["ignored", "wrong"])
def test_a_host_that_does_not_give_the_rest_is_asked_for_all(download: Download, ranges: Any) -> None:
    outcome = download(SMALL, Behaviour(ranges=ranges), Fault(STORAGE, "cut", at=70))
    assert (outcome.content, outcome.error, outcome.counted) == (SMALL, "", len(SMALL))
    assert outcome.ranges[:2] == [None, "bytes=70-"]
    assert outcome.ranges[2:] == ([] if ranges == "ignored" else [None])


@pytest.mark.parametrize("hashes", (HASHES | NO_HASHES).values(), ids=HASHES | NO_HASHES)
@pytest.mark.parametrize("separate", [False, True])
def test_a_whole_file_passes_whatever_hash_it_comes_with(
        download: Download, hashes: tuple[Any, ...], separate: bool) -> None:
    behaviour = Behaviour(file_hashes=hashes, separate_hashes=separate)
    assert download(SMALL, behaviour, Fault(STORAGE, "cut", at=70)).content == SMALL


@pytest.mark.parametrize(("fault", "waits"), [
    (Fault(STORAGE, "server_error"), [1.0]),
    (Fault(STORAGE, "server_error", status=503, retry_after="7"), [7.0]),
    (Fault(STORAGE, "server_error", status=503, retry_after="Wed, 21 Oct 2065 07:28:00 GMT"), [1.0]),
    (Fault(STORAGE, "server_error", status=503, retry_after="86400"), [60.0]),
    (Fault(STORAGE, "rate_limit", retry_after="3", times=3), [3.0, 3.0, 3.0]),
    (Fault(STORAGE, "rate_limit"), [1.0]),
    (Fault(STORAGE, "html"), [1.0]),
    (Fault(STORAGE, "html_200", content_type="video/mp4"), [1.0]),
    (Fault(STORAGE, "empty"), [1.0]),
    (Fault(STORAGE, "reset"), [1.0]),
    (Fault(STORAGE, "corrupt"), [1.0]),
    (Fault(STORAGE, "wrong_hash"), [1.0]),
    (Fault(STORAGE, "announced_shorter"), [1.0]),
    (Fault(STORAGE, "announced_longer"), [1.0]),
    (Fault(STORAGE, "server_error", times=4), PATIENCE),
], ids=lambda value: f"{value.kind}_{value.status}" if isinstance(value, Fault) else "")
def test_what_passes_is_waited_for(download: Download, fault: Fault, waits: list[float]) -> None:
    outcome = download(SMALL, None, fault)
    assert (outcome.content, outcome.error, outcome.slept) == (SMALL, "", waits)
    assert outcome.counted == len(SMALL)


def test_a_connection_that_says_nothing_counts_as_cut(download: Download) -> None:
    outcome = download(SMALL, None, Fault(STORAGE, "stall", at=60), stall=0.2)
    assert (outcome.content, outcome.ranges) == (SMALL, [None, "bytes=60-"])


@pytest.mark.parametrize("kind", ["html_200", "json_200", "xml_200"])
@pytest.mark.parametrize("content_type", ["", "video/mp4"])
@pytest.mark.parametrize("hashes", [(), ("crc32c",)])
def test_a_page_never_takes_the_place_of_a_file(
        download: Download, kind: Any, content_type: str, hashes: tuple[Any, ...]) -> None:
    fault = Fault(STORAGE, kind, None, content_type=content_type)
    outcome = download(SMALL, Behaviour(file_hashes=hashes), fault)
    assert outcome.content == OLDER
    assert "an error page in place of the file" in outcome.error
    assert (outcome.slept, outcome.attempts, outcome.counted) == (PATIENCE, ATTEMPTS, 0)


@pytest.mark.parametrize("kind", ["wrong_hash", "corrupt", "announced_shorter"])
@pytest.mark.parametrize("hashes", HASHES.values(), ids=HASHES)
def test_a_file_that_does_not_agree_with_its_hash_never_arrives(
        download: Download, kind: Any, hashes: tuple[Any, ...]) -> None:
    outcome = download(SMALL, Behaviour(file_hashes=hashes), Fault(STORAGE, kind, None))
    assert outcome.content == OLDER
    assert "The file is damaged: its " in outcome.error
    assert outcome.attempts == ATTEMPTS


@pytest.mark.parametrize(("fault", "reason"), [
    (Fault(STORAGE, "server_error", None), "127.0.0.1 answered 500. It was tried 5 times."),
    (Fault(STORAGE, "rate_limit", None), "127.0.0.1 answered 429."),
    (Fault(STORAGE, "empty", None), "The file is empty."),
    (Fault(STORAGE, "reset", None), "The connection to 127.0.0.1 broke (ConnectionError), after 0 of unknown bytes."),
    (Fault(STORAGE, "cut", None, at=0), "after 0 of 150 bytes"),
    (Fault(STORAGE, "announced_longer", None), "after 150 of 151 bytes"),
], ids=lambda value: value.kind if isinstance(value, Fault) else "")
@pytest.mark.parametrize("hashes", [(), ("md5",)], ids=["no_hash", "md5"])
def test_what_does_not_pass_is_given_up(
        download: Download, fault: Fault, reason: str, hashes: tuple[Any, ...]) -> None:
    outcome = download(SMALL, Behaviour(file_hashes=hashes, ranges="ignored"), Fault(**vars(fault)))
    assert outcome.content == OLDER
    assert reason in outcome.error
    assert outcome.error.endswith(f"It was tried {outcome.attempts} times.")
    assert (outcome.slept, outcome.attempts) == (PATIENCE, ATTEMPTS)


def test_a_host_that_says_later_that_the_file_has_an_end_is_believed(download: Download) -> None:
    """It announces a byte more than there is, and then that nothing follows (416)."""
    outcome = download(SMALL, None, Fault(STORAGE, "announced_longer", 5))
    assert (outcome.content, outcome.ranges) == (SMALL, [None, "bytes=150-"])


@pytest.mark.parametrize("status", [400, 404, 405, 416, 451])
def test_a_refusal_is_final(download: Download, status: int) -> None:
    outcome = download(SMALL, None, Fault(STORAGE, "server_error", None, status=status))
    assert (outcome.content, outcome.slept, outcome.attempts) == (OLDER, [], 1)
    assert f"127.0.0.1 answered {status}." in outcome.error


@pytest.mark.parametrize("status", [401, 403, 410])
def test_an_expired_link_is_minted_again(download: Download, status: int) -> None:
    outcome = download(SMALL, Behaviour(expired_status=status), Fault(STORAGE, "expired"))
    assert outcome == (SMALL, "", [], 2, [None, None], 2, len(SMALL))


@pytest.mark.parametrize("status", [401, 403, 410])
def test_a_link_that_expires_in_the_middle_is_minted_again_and_the_rest_asked_for(
        download: Download, status: int) -> None:
    faults = [Fault(STORAGE, "cut", at=60), Fault(STORAGE, "expired")]
    outcome = download(SMALL, Behaviour(expired_status=status), *faults)
    assert outcome == (SMALL, "", [1.0], 2, [None, "bytes=60-", "bytes=60-"], 3, len(SMALL))


@pytest.mark.parametrize("behaviour", [Behaviour(expire_links=True), Behaviour(minted_seconds=0)],
                         ids=["refused", "born expired"])
def test_links_that_never_work_are_given_up(download: Download, behaviour: Behaviour) -> None:
    outcome = download(SMALL, behaviour)
    assert (outcome.content, outcome.mints, outcome.attempts) == (OLDER, ATTEMPTS, ATTEMPTS)
    assert outcome.error == "127.0.0.1 answered 403: the link has expired or does not allow it."


def test_a_link_from_a_row_is_not_minted_again(download: Download) -> None:
    outcome = download(SMALL, Behaviour(expire_links=True), renewable=False)
    assert (outcome.content, outcome.mints, outcome.attempts) == (OLDER, 1, 1)


def test_a_file_with_neither_length_nor_hash_is_refused(download: Download) -> None:
    outcome = download(SMALL, Behaviour(file_length="closed", file_hashes=()))
    assert outcome.content == OLDER
    assert "neither how long the file is nor what its hash is" in outcome.error


def test_the_end_of_a_chunked_file_tells_that_it_is_whole(download: Download) -> None:
    behaviour = Behaviour(file_length="chunked", file_hashes=())
    assert download(Made(600_000), behaviour, Fault(STORAGE, "cut")).error == ""
    given_up = download(SMALL, Behaviour(file_length="chunked", file_hashes=()), Fault(STORAGE, "cut", None, at=0))
    assert given_up.content == OLDER


def test_progress_starts_the_count_of_attempts_anew(download: Download) -> None:
    size = 8 * PROGRESS
    outcome = download(Made(size), None, Fault(STORAGE, "cut", 7, at=PROGRESS))
    assert (outcome.error, outcome.attempts, len(outcome.content)) == ("", 8, size)
    assert outcome.slept == [1.0] * 7


def test_a_little_progress_is_none(download: Download) -> None:
    outcome = download(Made(8 * PROGRESS), None, Fault(STORAGE, "cut", None, at=1000))
    assert (outcome.content, outcome.slept) == (OLDER, PATIENCE)


def test_starting_over_is_no_progress(download: Download) -> None:
    behaviour = Behaviour(ranges="ignored")
    outcome = download(Made(3 * PROGRESS), behaviour, Fault(STORAGE, "cut", None, at=2 * PROGRESS))
    assert outcome.content == OLDER
    assert outcome.attempts == ATTEMPTS


def test_a_redirect_is_followed_and_a_circle_is_not(serve: Callable[..., StandIn], tmp_path: Path) -> None:
    study = recorded_study()
    add_video(study, "EG_1", SMALL)
    add_video(study, "EG_2", SMALL[::-1])
    api = serve(study)
    client = Client(api.api_key, api.base_url)
    links = [str(client.get(f"{MINT}/room_exp_1/{each}").rows[0]["url"]) for each in ("EG_1", "EG_2")]
    api.behaviour.faults = [Fault(STORAGE, "redirect", location=links[1])]
    assert fetched(api, tmp_path / "target").content == SMALL[::-1]
    api.behaviour.faults = [Fault(STORAGE, "redirect", None, location=links[0])]
    outcome = fetched(api, tmp_path / "target")
    assert (outcome.content, outcome.error) == (OLDER, "127.0.0.1 redirects in a circle.")


def test_a_redirect_to_where_nothing_is_encrypted_is_refused(serve: Callable[..., StandIn], tmp_path: Path) -> None:
    study = recorded_study()
    add_video(study, "EG_1", SMALL)
    api = serve(study)
    link = str(Client(api.api_key, api.base_url).get(f"{MINT}/room_exp_1/EG_1").rows[0]["url"])
    foreign = link.replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - reaches this machine, but is no loopback address
    through = [Fault(STORAGE, "redirect", location=foreign), Fault(STORAGE, "redirect", location=link)]
    for faults in (through[:1], through):
        api.behaviour.faults = [Fault(**vars(each)) for each in faults]
        outcome = fetched(api, tmp_path / "target")
        assert outcome.content == OLDER
        assert outcome.error.endswith("without encryption (http).")


@pytest.mark.parametrize("address", [
    "http://storage.example.org/x?sig=1", "ftp://storage.example.org/x", "file:///etc/passwd", "/relative", "", "x",
    "https://", "https:///x", "http://[::1", "https://host:99999999/x", "data:text/html,x", "//storage.example.org/x"])
def test_a_link_that_is_no_protected_web_address_is_refused(address: str) -> None:
    with pytest.raises(NotDelivered, match="The link to the file") as refused:
        checked_address(address)
    assert "sig" not in str(refused.value)


def test_a_link_without_protection_is_never_asked(download: Download) -> None:
    outcome = download(link="http://storage.example.org/x?X-Goog-Signature=SeCrEt")
    assert (outcome.content, outcome.ranges, outcome.attempts) == (OLDER, [], 0)
    assert "storage.example.org without encryption" in outcome.error


def test_passwords_of_the_machine_stay_here(
        download: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login someone password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert download().content == SMALL


def test_a_downloader_that_is_stopped_ends_at_the_next_byte(serve: Callable[..., StandIn], tmp_path: Path) -> None:
    study = recorded_study()
    add_video(study, "EG_1", Made(5_000_000))
    api = serve(study)
    link = str(Client(api.api_key, api.base_url).get(f"{MINT}/room_exp_1/EG_1").rows[0]["url"])
    downloader = Downloader(1, lambda _: None)
    with Target(str(tmp_path / "target")).draft("") as draft:
        body = Body(draft, lambda _: downloader.stopped.set())
        with pytest.raises(NotDelivered, match="The run was stopped"):
            downloader.fetch(Link(lambda: link, True), body)
    assert body.furthest < 5_000_000
    assert list((tmp_path / "target").iterdir()) == []
