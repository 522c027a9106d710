"""No more requests than the API allows, whoever sends them, and what a run says and does when they are used up."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import threading
import time as real_time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from truth import FakeTime

from hyperstudy_source.api.budget import LONGEST_HOLD, Budget, endpoint_of
from hyperstudy_source.api.client import Client
from hyperstudy_source.api.request_log import HOUR, MINUTE, file_name
from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.errors import QuotaReached, RateLimited, SettingError
from hyperstudy_source.standin import DEMO_KEY, Fault, StandIn, Study

URL = "https://api.hyperstudy.io/api/v3"
OTHER_KEY = "hst_test_" + "Other" * 12
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc).timestamp()
EVENTS, CHAT = "/data/events/experiment/exp_1", "/data/chat/experiment/exp_1"


@pytest.fixture
def time() -> FakeTime:
    return FakeTime(NOON)


@pytest.fixture
def study() -> Study:
    """Seven events of one experiment."""
    study = Study.empty("exp_1")
    for n in range(7):
        study.add("events", {"id": f"e{n}"}, experiment_id="exp_1", room_id="room_1")
    return study


@pytest.fixture
def said() -> list[str]:
    """What was announced."""
    return []


@pytest.fixture
def budget_of(time: FakeTime, said: list[str]) -> Callable[..., Budget]:
    """A budget of a run of its own, that counts for a key unless it is None: `budget_of(per_minute, per_hour, ...)`."""
    def make(
        per_minute: int | None = 100, per_hour: int | None = 1000, key: str | None = DEMO_KEY, url: str = URL,
        **options: Any,
    ) -> Budget:
        options = {"clock": time.clock, "sleep": time.sleep, "announce": said.append, "folder": folder(), **options}
        budget = Budget(per_minute, per_hour, **options)
        if key:
            budget.share(url, key)
        return budget

    return make


def folder() -> Path:
    return Path(os.environ["DLT_DATA_DIR"]) / "hyperstudy"


def noted(key: str) -> Path:
    return folder() / file_name(URL, key)


def send(budget: Budget, *paths: str) -> None:
    for path in paths:
        with budget.request(path):
            pass


def most_in_a_window(times: Sequence[float], period: float) -> int:
    """How many of the times lie within the fullest window of that length."""
    return max(sum(start <= at < start + period for at in times) for start in times)


@pytest.mark.parametrize(("path", "endpoint"), [
    ("/experiments", "/experiments"), ("/experiments/exp_1", "/experiments"), ("/experiments/shared", "/experiments"),
    ("/experiments/exp_1/config", "/experiments/config"), ("/deployments/d_1/sessions", "/deployments/sessions"),
    ("data/events/participant/p_1", "/data/events"), ("/data/ratings/sparse/room/r_1", "/data/ratings/sparse"),
    ("/data/agent-decisions/room/r_1/decision/d_1", "/data/agent-decisions"), ("/health", "/health"),
    ("/data/recordings/download/r_1/EG_1", "/data/recordings/download"), ("/data/rooms/experiment/room", "/data/rooms"),
])
def test_an_endpoint_is_told_without_ids_and_scope(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint


@pytest.mark.parametrize("data_type", [each for each in DATA_TYPES.values() if "{" in each.path], ids=lambda t: t.name)
def test_every_data_type_has_one_endpoint_whatever_is_asked_for(data_type: Any) -> None:
    paths = {data_type.path.replace("{scope}", f"{scope}/{n}") for scope in ("experiment", "room") for n in range(9)}
    assert len({endpoint_of(path) for path in paths}) == 1


@pytest.mark.parametrize(("limits", "period"), [((5, None), MINUTE), ((None, 5), HOUR)], ids=["minute", "hour"])
def test_no_window_holds_more_than_the_limit_however_many_threads_send(
    limits: tuple[int, int], period: float, time: FakeTime, budget_of: Callable[..., Budget],
) -> None:
    budget = budget_of(*limits)
    sent: list[float] = []

    def one(_: int) -> None:
        with budget.request(EVENTS):
            sent.append(time.clock())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(40)))
    assert len(sent) == budget.spent == 40
    assert most_in_a_window(sent, period) == 5


def test_a_slot_is_free_as_soon_as_its_window_is_over(time: FakeTime, budget_of: Callable[..., Budget]) -> None:
    budget = budget_of(2, None)
    send(budget, EVENTS)
    time.now += 20
    send(budget, EVENTS, EVENTS, EVENTS, CHAT)
    assert time.slept == [40, 20]


def test_a_request_counts_from_its_answer_on(time: FakeTime, budget_of: Callable[..., Budget]) -> None:
    budget = budget_of(1, None)
    with budget.request(EVENTS):
        time.now += 30
    send(budget, EVENTS)
    assert time.slept == [60]


TWO_PROCESSES = """
import os, sys, time
from pathlib import Path
from hyperstudy_source.api.budget import Budget
from hyperstudy_source.api.client import Client
url, key, start, speed, minute, hour, count = sys.argv[1:]
budget = Budget(int(minute) or None, int(hour) or None, announce=lambda _: None,
                folder=Path(os.environ["DLT_DATA_DIR"]) / "hyperstudy",
                clock=lambda: float(start) + (time.time() - float(start)) * float(speed),
                sleep=lambda seconds: time.sleep(seconds / float(speed)))
client = Client(key, url, budget=budget)
for _ in range(int(count)):
    client.get("/data/events/experiment/exp_1")
print(budget.spent)
"""


@pytest.mark.parametrize(("minute", "hour", "period"), [(5, 0, MINUTE), (0, 5, HOUR)], ids=["minute", "hour"])
def test_two_processes_with_one_key_stay_within_the_limits_together(
    minute: int, hour: int, period: float, study: Study, serve: Callable[..., StandIn],
) -> None:
    """The server's log decides; time runs so fast that a window takes 1 s."""
    start = real_time.time()
    api = serve(study, clock=lambda: start + (real_time.time() - start) * period)
    command = [sys.executable, "-c", TWO_PROCESSES, api.base_url, DEMO_KEY,
               *map(str, (start, period, minute, hour, 9))]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in running] == ["9", "9"]
    times = [request.at for request in api.seen("/data/events")]
    assert len(times) == 18
    assert most_in_a_window(times, period) == 5


def test_a_run_knows_what_earlier_runs_have_spent(time: FakeTime, budget_of: Callable[..., Budget]) -> None:
    first, second = budget_of(), budget_of()
    send(first, EVENTS, CHAT, CHAT)
    time.now += 1000
    send(second, EVENTS)
    assert (first.spent, second.spent, first.left, second.left) == (3, 1, 996, 996)
    time.now += 2600
    assert second.left == 999
    assert budget_of(None, None).left is None


@pytest.mark.parametrize(("url", "key"), [(URL, OTHER_KEY), ("https://dev.hyperstudy.io/api/v3", DEMO_KEY)],
                         ids=["another_key", "another_host"])
def test_what_the_api_counts_apart_is_counted_apart(
    url: str, key: str, time: FakeTime, budget_of: Callable[..., Budget],
) -> None:
    send(budget_of(1, 1), EVENTS)
    other = budget_of(1, 1, url=url, key=key)
    send(other, EVENTS)
    assert (time.slept, other.left) == ([], 0)
    with pytest.raises(SettingError, match="one key"):
        other.share(URL, DEMO_KEY)
    other.share(url + "/", key)


def test_the_file_tells_neither_key_nor_host(tmp_path: Path, budget_of: Callable[..., Budget]) -> None:
    send(budget_of(), EVENTS)
    files = list((tmp_path / "dlt" / "hyperstudy").iterdir())
    assert any(file == noted(DEMO_KEY) for file in files)
    for file in files:
        held = file.name.encode() + file.read_bytes()
        assert not any(secret in held for secret in (DEMO_KEY.encode(), DEMO_KEY[9:].encode(), b"api.hyperstudy"))


def client_of(api: StandIn, budget_of: Callable[..., Budget], *limits: int | None, **options: Any) -> Client:
    budget = budget_of(*limits, key=None, **options)
    return Client(DEMO_KEY, api.base_url, sleep=budget.sleep, budget=budget)


def date_in(seconds: float) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(("header", "path", "seconds"), [
    ("30", EVENTS, 30), ("30", CHAT, 0), ("900", EVENTS, 900), ("900", CHAT, 900), ("date", CHAT, 900),
    (None, EVENTS, 1), (None, CHAT, 0),
], ids=["seconds", "other_endpoint", "minutes", "minutes_for_all", "date", "none", "none_other_endpoint"])
def test_what_a_429_asks_for_holds_for_other_runs_with_the_key(
    header: str | None, path: str, seconds: float, api: StandIn, time: FakeTime, budget_of: Callable[..., Budget],
) -> None:
    header = date_in(seconds) if header == "date" else header
    api.behaviour.faults = [Fault("/data/events", "rate_limit", retry_after=header)]
    with pytest.raises(ZeroDivisionError):
        client_of(api, budget_of, sleep=lambda _: 1 / 0).get(EVENTS)
    assert time.slept == []
    client_of(api, budget_of).get(path)
    assert sum(time.slept) == pytest.approx(seconds, abs=30 if seconds == 900 else 1e-6)
    assert [request.status for request in api.requests] == [429, 200]


def test_a_429_rules_over_the_own_count(api: StandIn, time: FakeTime, budget_of: Callable[..., Budget]) -> None:
    client = client_of(api, budget_of, 1, 1000)
    client.get(EVENTS)
    api.behaviour.faults = [Fault("/data/chat", "rate_limit", retry_after="1800")]
    client.get(CHAT)
    assert sum(time.slept) == 1800
    client.get(EVENTS)
    assert sum(time.slept) == 1800


def test_of_two_429s_the_longer_wait_holds(time: FakeTime, budget_of: Callable[..., Budget]) -> None:
    budget = budget_of()
    for seconds in (50, 20):
        budget.hold(EVENTS, seconds)
    send(budget, EVENTS)
    assert sum(time.slept) == 50


def test_a_429_holds_other_runs_back_for_two_hours_at_most(
    api: StandIn, time: FakeTime, budget_of: Callable[..., Budget],
) -> None:
    api.behaviour.faults = [Fault("/data", "rate_limit", retry_after="99999999")]
    with pytest.raises(RateLimited):
        client_of(api, budget_of).get(EVENTS)
    client_of(api, budget_of).get(EVENTS)
    assert sum(time.slept) == LONGEST_HOLD


@pytest.mark.parametrize("seconds_back", [30, 3600, 365 * 24 * 3600])
def test_a_clock_that_is_set_back_costs_one_window_at_most(
    seconds_back: float, time: FakeTime, budget_of: Callable[..., Budget],
) -> None:
    budget = budget_of(2, 4)
    send(budget, EVENTS, EVENTS)
    budget.hold(CHAT, 10)
    time.now -= seconds_back
    send(budget, CHAT)
    assert sum(time.slept) <= 10
    send(budget, EVENTS)
    assert sum(time.slept) <= MINUTE
    send(budget, EVENTS)
    assert sum(time.slept) <= HOUR


@pytest.mark.parametrize("sleep", [lambda _: None], ids=["sleep_that_does_not_sleep"])
def test_a_clock_that_stands_still_stops_no_run(sleep: Any, budget_of: Callable[..., Budget]) -> None:
    budget = budget_of(2, 4, sleep=sleep)
    send(budget, *[EVENTS] * 10)
    assert budget.spent == 10


def test_waiting_is_said_at_least_once_a_minute_with_its_end(
    time: FakeTime, said: list[str], budget_of: Callable[..., Budget],
) -> None:
    moments: list[float] = []

    def announce(text: str) -> None:
        moments.append(time.now)
        said.append(text)

    budget = budget_of(None, 1, announce=announce)
    time.now += 125
    send(budget, EVENTS, EVENTS)
    assert set(said) == {"The hour's 1 requests are used up; going on at 13:03 UTC."}
    assert (moments[0], sum(time.slept), len(said)) == (NOON + 125, 3600, 60)
    assert max(later - earlier for earlier, later in itertools.pairwise([*moments, time.now])) <= 60


@pytest.mark.parametrize(("header", "texts"), [
    ("90", ["The API takes no more requests for now (429); going on at 12:02 UTC."] * 2),
    ("60", ["The API takes no more requests to /data/events for now (429); going on at 12:01 UTC."]),
])
def test_waiting_for_a_429_is_said_too(
    header: str, texts: list[str], api: StandIn, said: list[str], budget_of: Callable[..., Budget],
) -> None:
    api.behaviour.faults = [Fault("/data", "rate_limit", retry_after=header)]
    client_of(api, budget_of).get(EVENTS)
    assert said == texts


def test_threads_that_wait_for_the_same_say_it_once(
    time: FakeTime, said: list[str], budget_of: Callable[..., Budget],
) -> None:
    together = threading.Barrier(4)

    def sleep(seconds: float) -> None:
        together.wait(timeout=30)
        time.sleep(seconds)

    budget = budget_of(sleep=sleep)
    budget.hold(EVENTS, 40)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: send(budget, EVENTS), range(4)))
    assert said == ["The API takes no more requests to /data/events for now (429); going on at 12:01 UTC."]


@pytest.mark.parametrize("faults", [0, 2], ids=["answers", "failures"])
def test_a_run_sends_no_more_than_max_requests(faults: int, api: StandIn, budget_of: Callable[..., Budget]) -> None:
    api.behaviour.faults = [Fault("/data", "server_error", times=faults)]
    client = client_of(api, budget_of, max_requests=3)
    with pytest.raises(QuotaReached, match="max_requests") as raised:
        list(client.pages(EVENTS, limit=1))
    assert len(api.requests) == client.request_count == 3
    assert raised.value.until is None
    client_of(api, budget_of, max_requests=1).get(EVENTS)


def test_a_run_that_stops_on_quota_stops_when_the_hour_is_used_up(
    api: StandIn, time: FakeTime, budget_of: Callable[..., Budget],
) -> None:
    client = client_of(api, budget_of, 1, 2, stop_on_quota=True)
    client.get(EVENTS)
    client.get(EVENTS)
    with pytest.raises(QuotaReached, match=r"The hour's 2 requests are used up. Run again after 13:00 UTC") as raised:
        client.get(EVENTS)
    assert (time.slept, raised.value.until, len(api.requests)) == ([60], NOON + HOUR, 2)
    time.now = NOON + HOUR - 50
    client.get(EVENTS)
    assert time.slept == [60, 50]


@pytest.mark.parametrize(("header", "stops"), [("60", False), ("61", True), ("99999999", True)])
def test_a_run_that_stops_on_quota_stops_when_a_429_asks_for_more_than_a_minute(
    header: str, stops: bool, api: StandIn, time: FakeTime, budget_of: Callable[..., Budget],
) -> None:
    api.behaviour.faults = [Fault("/data", "rate_limit", retry_after=header)]
    client = client_of(api, budget_of, stop_on_quota=True)
    if not stops:
        client.get(EVENTS)
        assert time.slept == [60]
        return
    for _ in range(2):
        with pytest.raises(QuotaReached) as raised:
            client.get(EVENTS)
    assert (time.slept, len(api.requests)) == ([], 1)
    assert raised.value.until == NOON + min(float(header), LONGEST_HOLD)


def damaged(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database at all, but long enough to be taken for one" * 100)


def in_the_way(file: Path) -> None:
    file.parent.parent.mkdir(parents=True)
    file.parent.write_text("a file where the folder should be")


def of_another_kind(file: Path) -> None:
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE sent (a, b)")
    database.close()


def unwritable(file: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("every folder is writable for root")
    file.parent.mkdir(parents=True)
    file.parent.chmod(0o500)


@pytest.mark.parametrize("spoil", [damaged, in_the_way, of_another_kind, unwritable])
def test_without_a_file_a_run_counts_for_itself_and_warns_once(
    spoil: Callable[[Path], None], time: FakeTime, said: list[str], budget_of: Callable[..., Budget],
) -> None:
    spoil(noted(DEMO_KEY))
    budget = budget_of(None, 3)
    send(budget, EVENTS, EVENTS, EVENTS)
    assert (budget.left, time.slept) == (0, [])
    assert len(said) == 1
    assert str(noted(DEMO_KEY)) in said[0]
    send(budget, EVENTS)
    assert sum(time.slept) == HOUR


def test_a_file_that_fails_on_the_way_does_not_stop_the_run(said: list[str], budget_of: Callable[..., Budget]) -> None:
    budget = budget_of()
    send(budget, EVENTS)
    with sqlite3.connect(noted(DEMO_KEY)) as database:
        database.execute("DROP TABLE sent")
    database.close()
    send(budget, EVENTS, EVENTS)
    assert (budget.spent, len(said)) == (3, 1)


def test_what_is_old_is_forgotten(time: FakeTime, budget_of: Callable[..., Budget]) -> None:
    budget, unused, recent = budget_of(), noted(OTHER_KEY), noted(OTHER_KEY + "2")
    unused.parent.mkdir(parents=True)
    for file in (unused, Path(f"{unused}-wal"), recent, Path(f"{recent}-wal")):
        file.touch()
    for file in (unused, Path(f"{unused}-wal"), recent):
        os.utime(file, (0, 0))
    for _ in range(20):
        send(budget, EVENTS)
        time.now += HOUR / 2
    database = sqlite3.connect(noted(DEMO_KEY))
    assert database.execute("SELECT count(*) FROM sent").fetchone()[0] <= 3
    database.close()
    assert (unused.exists(), Path(f"{unused}-wal").exists(), recent.exists()) == (False, False, True)


@pytest.mark.parametrize("name", ["requests_per_minute", "requests_per_hour", "max_requests"])
def test_a_limit_that_lets_nothing_through_is_a_wrong_setting(name: str) -> None:
    options: dict[str, Any] = {name: 0}
    with pytest.raises(SettingError, match=name):
        Budget(**options)


def test_a_client_without_a_budget_keeps_the_documented_limits(time: FakeTime, api: StandIn) -> None:
    client = Client(DEMO_KEY, api.base_url, clock=time.clock, sleep=time.sleep)
    for _ in range(120):
        client.get("/health")
    assert sum(time.slept) == 60
    assert not any(DEMO_KEY[9:] in repr(each) for each in (client, Budget(), client.budget))
