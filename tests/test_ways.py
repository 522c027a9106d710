"""The ways in which dlt's users run the source: each keeps the promises of `load`, or says which it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from loaded import Loaded, Row, add, at, new_pipeline, quiet_place, small_study
from truth import contents, query, statuses, sync

from hyperstudy_source import hyperstudy_source
from hyperstudy_source.data_types import TABLES
from hyperstudy_source.standin import StandIn, Study, demo_study

Serve = Callable[..., StandIn]
PARTS = ("questionnaire", "instructions", "consent")
EVENTS = "/data/events/experiment/"
MODES = {"fifo": {"EXTRACT__NEXT_ITEM_MODE": "fifo"}, "round robin": {"EXTRACT__NEXT_ITEM_MODE": "round_robin"},
         "one worker": {"EXTRACT__WORKERS": "1"}}


def source_of(api: StandIn, **options: Any) -> Any:
    return hyperstudy_source(api_key=api.api_key, base_url=api.base_url, **options)


def pages_of_events(pages: int = 4, *experiments: str) -> Study:
    """Two events a page, one of them an answer; a page of instructions and of consent."""
    study = small_study(*experiments or ("exp_1",))
    for experiment in experiments or ("exp_1",):
        for number in range(pages):
            for kind in ("questionnaire", "pre_experiment"):
                event_type = {1: "instructions.page_view"}.get(number, "consent.accepted")
                add(study, "events", {"id": f"{kind}_{number}", "category": kind, "eventType": event_type,
                                      "timestamp": at(number * 7200 + (kind == "pre_experiment"))}, experiment)
    return study


def ids(pipeline: dlt.Pipeline, table: str = "events") -> list[str]:
    return [str(row[0]) for row in query(pipeline, f'SELECT id FROM "{table}" ORDER BY id')]


def ledger(pipeline: dlt.Pipeline) -> dict[tuple[str, str], str]:
    return statuses(pipeline)


def read_marks(pipeline: dlt.Pipeline, name: str) -> dict[str, Any]:
    """What the state holds of a resource that says what was read."""
    kept = pipeline.state["sources"]["hyperstudy"].get("resources", {}).get(name, {})
    return {key: kept[key] for key in ("cursors", "read", "seen") if kept.get(key)}


SELECTIONS: dict[str, Callable[[Any], list[Any]]] = {
    "with_resources": lambda source: [source.with_resources("events")],
    "a part alone": lambda source: [source.with_resources("questionnaire")],
    "personas": lambda source: [source.with_resources("personas")],
    "decomposed": lambda source: source.with_resources("events", "chat").decompose("scc"),
    "twice selected": lambda source: [source.with_resources("events", "chat").with_resources("events")],
    "resources with the ledger": lambda source: [[source.events, source.sync_ledger]],
    "bound": lambda source: [[source.events.bind(), source.sync_ledger]],
}


@pytest.mark.parametrize("ways", SELECTIONS.values(), ids=SELECTIONS)
def test_the_ledger_is_written_whatever_is_selected(
    ways: Callable[[Any], list[Any]], serve: Serve, pipeline: dlt.Pipeline
) -> None:
    source = source_of(serve(pages_of_events()))
    for way in ways(source):
        pipeline.run(way)
    told = {name for (name,) in query(pipeline, "SELECT DISTINCT data_type FROM sync_ledger WHERE status = 'complete'")}
    loaded = {table for table in Loaded(pipeline).tables if "__" not in table} - {"sync_ledger"}
    assert told == loaded
    assert loaded


def test_a_resource_without_its_source_loads_all_and_says_that_it_writes_no_ledger(
    serve: Serve, pipeline: dlt.Pipeline, said: Callable[[], list[str]]
) -> None:
    api = serve(pages_of_events())
    pipeline.run(source_of(api).events)
    pipeline.run(source_of(api).questionnaire)
    assert len(ids(pipeline)) == 8
    assert len(ids(pipeline, "questionnaire")) == 4
    assert "sync_ledger" not in Loaded(pipeline).tables
    assert [text for text in said() if text.startswith("events is run without its source")]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What was logged as a warning."""
    logger = logging.getLogger("dlt")
    level = logger.level
    logger.setLevel(logging.WARNING)
    logger.addHandler(caplog.handler)
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    logger.removeHandler(caplog.handler)
    logger.setLevel(level)


LIMITED = ("events", *PARTS, "participants", "rooms", "variable_writes", "variable_timeline", "deployments", "sessions",
           "recordings", "recording_files", "chat", "experiments", "agent_runs", "sync_ledger")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """The tables of the demo study, with its files, after one run without a limit."""
    with quiet_place(tmp_path_factory.mktemp("whole")) as folder, StandIn(demo_study()) as api:
        pipeline = new_pipeline(folder)
        pipeline.run(source_of(api, bucket_url=str(folder / "files")).with_resources(*LIMITED))
        yield without_attempts(contents(pipeline))


def without_attempts(tables: dict[str, list[str]]) -> dict[str, list[str]]:
    """A file that a limited run fetched is there for the next one."""
    return {name: rows if name != "recording_files" else [str(len(rows))] for name, rows in tables.items()}


LIMITS: dict[str, Callable[[Any], Any]] = {
    "source": lambda source: source.add_limit(1),
    "source by time": lambda source: source.add_limit(max_time=1e-9),
    "nothing": lambda source: source.add_limit(0),
    "the first of each reading": lambda source: [
        source.resources[name].add_limit(1) for name in ("events", "rooms", "deployments", "recordings")] and source,
    "the others of each reading": lambda source: [source.resources[name].add_limit(1) for name in (
        *PARTS, "variable_timeline", "sessions", "recording_files")] and source,
}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_a_limited_run_says_what_it_stopped_and_the_next_run_gets_all_the_rest(
    limit: Callable[[Any], Any], serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path, whole: dict[str, list[str]]
) -> None:
    api = serve(demo_study())
    options: dict[str, Any] = {"bucket_url": str(tmp_path / "files"), "requests_per_minute": None}
    pipeline.run(limit(source_of(api, page_size=7, **options).with_resources(*LIMITED)))
    told = query(pipeline, "SELECT DISTINCT data_type FROM sync_ledger WHERE status = 'stopped' AND reason IS NOT NULL")
    assert told
    for (name,) in told:
        closed = query(pipeline, f"SELECT DISTINCT experiment_id FROM sync_ledger WHERE status = 'stopped' "
                                 f"AND data_type = '{name}'")
        read = read_marks(pipeline, name)
        assert not {experiment for (experiment,) in closed} & {*read.get("read", {}), *read.get("cursors", {})}, name
    pipeline.run(source_of(api, **options).with_resources(*LIMITED))
    assert without_attempts(contents(pipeline)) == whole
    assert {status for _, status in query(pipeline, "SELECT data_type, status FROM sync_ledger WHERE run_id = (SELECT "
            "run_id FROM sync_ledger ORDER BY _dlt_load_id DESC LIMIT 1)")} <= {"complete", "quiet"}


def test_a_first_look_holds_the_first_page_of_every_table(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(demo_study())
    pipeline.run(source_of(api, page_size=7).add_limit(1))
    loaded = Loaded(pipeline)
    rows = {name: len(loaded[name]) for name in TABLES if name not in ("personas", "recording_files", "sync_ledger")}
    assert {name for name, count in rows.items() if not count} == set()
    assert max(rows["events"], rows["chat"], rows["participants"]) <= 7
    assert loaded["recording_files"] == []
    assert loaded["sync_ledger"]


@pytest.mark.parametrize("parallelized", [False, True], ids=["in turns", "in threads"])
@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_what_shares_a_reading_costs_the_requests_of_one(
    settings: dict[str, str], parallelized: bool, serve: Serve, pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    api = serve(pages_of_events(4, "exp_1", "exp_2"))
    list(source_of(api, page_size=2).with_resources("events"))
    alone = len(api.seen(EVENTS))
    source = source_of(api, page_size=2).with_resources("events", *PARTS, "chat")
    pipeline.run(source.parallelize() if parallelized else source)
    assert [len(ids(pipeline, name)) for name in ("events", *PARTS)] == [16, 8, 2, 6]
    assert len(api.seen(EVENTS)) == 2 * alone > 8
    assert set(ledger(pipeline).values()) == {"complete"}
    assert len(ledger(pipeline)) == 10


@pytest.mark.parametrize("name", ["events", *PARTS])
def test_each_of_those_that_share_a_reading_can_be_limited_alone(
    name: str, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(pages_of_events())
    source = source_of(api, page_size=2).with_resources("events", *PARTS)
    source.resources[name].add_limit(1)
    pipeline.run(source)
    wanted = {"events": 8, "questionnaire": 4, "instructions": 1, "consent": 3}
    there = {each: len(ids(pipeline, each)) for each in wanted}
    assert there == {**wanted, name: 1}
    assert {each for (each, _), status in ledger(pipeline).items() if status == "stopped"} == {name}
    assert [each for each in wanted if not read_marks(pipeline, each)] == [name]
    pipeline.run(source_of(api).with_resources("events", *PARTS))
    assert {each: len(ids(pipeline, each)) for each in wanted} == wanted


def marked(row: Row) -> Row:
    row["mark"] = row.get("mark", 0) + 1
    row["status"] = "lost"
    row.pop("metadata", None)
    return row


def test_a_step_of_the_user_meets_each_row_once_and_no_other_table_sees_it(
    serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path, said: Callable[[], list[str]]
) -> None:
    names = ("events", *PARTS, "rooms", "variable_writes", "deployments", "sessions", "recordings", "recording_files")
    api = serve(demo_study())
    source = source_of(api, bucket_url=str(tmp_path / "files")).with_resources(*names)
    for name in names:
        if name not in ("sessions", "recording_files", "variable_writes"):
            source.resources[name].add_map(marked)
    pipeline.run(source)
    for name in (*PARTS, "events", "rooms", "deployments", "recordings"):
        assert query(pipeline, f'SELECT DISTINCT mark, status FROM "{name}"') == [(1, "lost")], name
    assert query(pipeline, "SELECT count(*) FROM sessions") == [(12,)]
    assert query(pipeline, "SELECT count(*) FROM variable_writes") == [(36,)]
    assert dict(query(pipeline, "SELECT status, count(*) FROM recording_files GROUP BY 1"))["downloaded"] == 9
    since = len(api.requests)
    pipeline.run(source_of(api, bucket_url=str(tmp_path / "files")).with_resources(*names))
    assert len(api.requests) - since <= 3
    assert [text for text in said() if text.startswith("The ledger counts the rows of consent, deployments, events,")]


def test_rows_that_a_filter_drops_are_gone_from_one_table_only(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(pages_of_events())
    source = source_of(api).with_resources("events", *PARTS)
    source.events.add_filter(lambda _: False)
    source.rooms.add_filter(lambda _: False)
    pipeline.run(source)
    assert [len(ids(pipeline, name)) for name in ("events", *PARTS)] == [0, 4, 1, 3]
    assert ledger(pipeline)["events", "exp_1"] == "complete"


@pytest.mark.parametrize("mode", ["drop_data", "drop_resources", "drop_sources"])
@pytest.mark.parametrize("by_load", [True, False], ids=["load", "bare"])
def test_a_refresh_reads_everything_anew_in_the_same_run(
    mode: Any, by_load: bool, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(pages_of_events())
    names = ("events", *PARTS, "rooms", "deployments", "sessions")
    for refresh in (None, mode, None):
        pipeline.refresh = refresh
        if by_load:
            assert sync(pipeline, api, *names, page_size=2, slice_requests=2).exit_status == 0
        else:
            pipeline.run(source_of(api, page_size=2).with_resources(*names))
        assert [len(ids(pipeline, name)) for name in ("events", *PARTS, "rooms")] == [8, 4, 1, 3, 1], refresh
        assert pipeline.refresh == refresh
