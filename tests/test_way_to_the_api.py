"""What stands between here and the API: a proxy, a firewall, a certificate. None of them is taken for the API."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dlt
import pytest
import requests
import responses
from loaded import add, at, small_study
from proxies import RefusingProxy, self_signed_host
from truth import FakeTime

from hyperstudy_source import Intercepted, KeyRejected, ServerFailed, Unreachable, load
from hyperstudy_source.api.client import ATTEMPTS, Client
from hyperstudy_source.api.envelope import read_page
from hyperstudy_source.errors import ApiError, RateLimited
from hyperstudy_source.recordings.bodies import Body, NotDelivered
from hyperstudy_source.recordings.downloads import Downloader, Link
from hyperstudy_source.recordings.targets import Target
from hyperstudy_source.standin import DEMO_KEY, Behaviour, Fault, StandIn

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
NOBODY = "http://someone:hunter2@127.0.0.1:9"
"""A proxy where nobody listens."""
REMOTE = "https://api.hyperstudy.invalid/api/v3"
PATH = "/data/events/experiment/exp_1"
PAGE = b"<!DOCTYPE html>\n<html><body>Access denied</body></html>"


@pytest.fixture(autouse=True)
def _no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def client(url: str = REMOTE) -> Client:
    time = FakeTime(1000.0)
    return Client(DEMO_KEY, url, clock=time.clock, sleep=time.sleep)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_way_to_this_machine_passes_every_proxy(
    variable: str, host: str, api: StandIn, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, NOBODY)
    assert client(api.base_url.replace("127.0.0.1", host)).get("/experiments").rows
    assert not any("proxy" in name for name in api.requests[0].headers)


def test_the_demo_with_its_recordings_runs_behind_a_proxy(tmp_path: Path) -> None:
    environment = {**os.environ, **dict.fromkeys(VARIABLES[:3], NOBODY)}
    command = [str(Path(sys.executable).parent / "dlt"), "pipeline", "demo", "run", "--demo", "--data-type",
               "recording_files", "--recordings", "files"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(file.suffix == ".wav" for file in (tmp_path / "files").rglob("*"))


@pytest.mark.parametrize("status", [403, 407])
def test_a_proxy_that_refuses_is_named_without_its_password(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with RefusingProxy(status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://someone:hunter2@{proxy.address}")
        with pytest.raises(Intercepted) as raised:
            client().get("/experiments")
    text = str(raised.value)
    assert proxy.asked == ["api.hyperstudy.invalid:443"]
    told = (proxy.address, str(status), "HTTPS_PROXY", "NO_PROXY", "api.hyperstudy.invalid")
    assert all(each in text for each in told)
    assert not any(secret in text for secret in ("someone", "hunter2"))


def test_no_proxy_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    with RefusingProxy(407) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", "api.hyperstudy.invalid")
        with pytest.raises(Unreachable):
            client().get("/experiments")
    assert proxy.asked == []


def test_a_proxy_that_is_down_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", NOBODY)
    with pytest.raises(Unreachable) as raised:
        client().get("/experiments")
    text = str(raised.value)
    assert all(told in text for told in ("ProxyError", "127.0.0.1:9", "HTTPS_PROXY", "NO_PROXY"))
    assert "hunter2" not in text


@pytest.mark.parametrize(("proxy", "told"), [
    ("socks5h://someone:hunter2@127.0.0.1:9", "requests[socks]"), ("http://someone:hunter2@", "cannot be used"),
], ids=["socks", "no_host"])
def test_a_proxy_that_cannot_be_used_is_no_fault_of_the_address(
    proxy: str, told: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ApiError) as raised:
        client().get("/experiments")
    assert "hunter2" not in str(raised.value)
    assert (told in str(raised.value), "HTTPS_PROXY" in str(raised.value)) == (True, True), raised.value


def test_a_certificate_that_is_not_trusted_names_what_to_set(tmp_path: Path) -> None:
    with self_signed_host(tmp_path) as url, pytest.raises(Intercepted, match="REQUESTS_CA_BUNDLE") as raised:
        client(url).get("/experiments")
    assert "127.0.0.1 is not trusted (self" in str(raised.value)


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "institution.pem"))
    told = r"REQUESTS_CA_BUNDLE is .*institution\.pem"
    with self_signed_host(tmp_path) as url, pytest.raises(Intercepted, match=told):
        client(url).get("/experiments")


@responses.activate
@pytest.mark.parametrize(("failure", "told"), [
    (requests.exceptions.SSLError("EOF occurred in violation of protocol"), "REQUESTS_CA_BUNDLE"),
    (requests.exceptions.ProxyError("Cannot connect to proxy http://someone:hunter2@h:1"), "HTTPS_PROXY"),
], ids=["tls", "proxy"])
def test_a_failure_on_the_way_that_may_pass_is_tried_again(failure: Exception, told: str) -> None:
    responses.get(REMOTE + "/experiments", body=failure)
    with pytest.raises(Unreachable, match=told) as raised:
        client().get("/experiments")
    assert len(responses.calls) == ATTEMPTS
    assert "hunter2" not in str(raised.value)


def test_a_file_is_not_fetched_through_what_stands_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    with RefusingProxy(407) as proxy, Target(str(tmp_path)).draft("exp_1") as draft:
        monkeypatch.setenv("HTTPS_PROXY", f"http://someone:hunter2@{proxy.address}")
        with pytest.raises(NotDelivered, match="HTTPS_PROXY") as raised:
            Downloader(1, slept.append).fetch(
                Link(lambda: "https://storage.invalid/f?sig=SeCrEt", renewable=True), Body(draft, lambda _: None))
    assert (len(proxy.asked), slept) == (1, [])
    assert not any(secret in str(raised.value) for secret in ("SeCrEt", "hunter2"))


@responses.activate
def test_a_page_in_place_of_a_file_may_be_of_a_firewall(tmp_path: Path) -> None:
    responses.get("https://storage.invalid/f", status=403, body=PAGE, content_type="text/html")
    with Target(str(tmp_path)).draft("exp_1") as draft, pytest.raises(NotDelivered, match="or a proxy or firewall"):
        Downloader(1, lambda _: None).fetch(
            Link(lambda: "https://storage.invalid/f", renewable=False), Body(draft, lambda _: None))


def answer(status: int, body: bytes, content_type: str) -> None:
    with responses.RequestsMock() as mocked:
        mocked.get(REMOTE + PATH, body=body, status=status, content_type=content_type)
        read_page(requests.get(REMOTE + PATH, timeout=1), PATH, {})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 407, 451, 511])
@pytest.mark.parametrize(("body", "content_type"), [
    (PAGE, "text/html; charset=utf-8"), (b"Blocked", "TEXT/HTML"),
    (b"\xef\xbb\xbf\n<!-- proxy --><HTML>", "text/plain"),
], ids=["page", "by_type", "by_beginning"])
def test_a_page_with_a_refusal_is_not_the_apis(status: int, body: bytes, content_type: str) -> None:
    with pytest.raises(Intercepted, match=f"Not the API answered for {PATH}.*came {status} ") as raised:
        answer(status, body, content_type)
    assert (raised.value.status, raised.value.path) == (status, PATH)
    assert all(told in str(raised.value) for told in ("HTTPS_PROXY", "NO_PROXY")) or status == 407


@pytest.mark.parametrize(("status", "content_type", "kind"), [
    (401, "text/html", KeyRejected), (429, "text/html", RateLimited), (503, "application/json", ServerFailed),
])
def test_an_envelope_is_the_apis_whatever_its_type(status: int, content_type: str, kind: type[ApiError]) -> None:
    with pytest.raises(kind):
        answer(status, b'{"status": "error", "error": {"code": "X", "message": "Y"}}', content_type)


@pytest.mark.parametrize(("status", "kind"), [
    (200, ServerFailed), (408, ServerFailed), (429, RateLimited), (500, ServerFailed), (502, ServerFailed),
    (503, ServerFailed),
])
def test_a_page_of_what_may_pass_is_tried_again(status: int, kind: type[ApiError]) -> None:
    with pytest.raises(kind):
        answer(status, PAGE, "text/html")


def test_what_a_firewall_refuses_is_neither_forbidden_nor_missing(
    serve: Callable[..., StandIn], pipeline: dlt.Pipeline,
) -> None:
    study = small_study("exp_1", "exp_2")
    for experiment_id in ("exp_1", "exp_2"):
        add(study, "events", {"id": f"e_{experiment_id}", "timestamp": at(1)}, experiment_id)
    blocked = Fault("/data/events/experiment/exp_1", "blocked", None, status=403)
    api = serve(study, Behaviour(faults=[blocked]))
    report = load(pipeline, ["events"], api_key=api.api_key, base_url=api.base_url)
    with pipeline.sql_client() as sql:
        ledger = sql.execute_sql("select experiment_id, status from sync_ledger where data_type = 'events'")
        loaded = sql.execute_sql("select id from events")
    assert set(ledger or ()) == {("exp_1", "failed"), ("exp_2", "complete")}
    assert (list(loaded or ()), report.exit_status) == ([("e_exp_2",)], 3)
    assert "Not the API answered" in str(report)
    assert len(api.seen("/data/events/experiment/exp_1")) == 1
    api.behaviour.faults.clear()
    assert load(pipeline, ["events"], api_key=api.api_key, base_url=api.base_url).exit_status == 0
    with pipeline.sql_client() as sql:
        assert list(sql.execute_sql("select count(*) from events") or ()) == [(2,)]


def test_a_firewall_before_everything_says_nothing_of_the_key(
    serve: Callable[..., StandIn], pipeline: dlt.Pipeline,
) -> None:
    api = serve(small_study("exp_1"), Behaviour(faults=[Fault("", "blocked", None, status=401)]))
    with pytest.raises(Intercepted, match="proxy, a firewall") as raised:
        load(pipeline, ["events"], api_key=api.api_key, base_url=api.base_url)
    assert "rejected" not in str(raised.value)
    assert len(api.requests) == 1
