"""What a later run asks for, and that no row is lost or doubled however the API treats times, pages and order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dlt
import pytest
from loaded import Loaded, add, at, new_pipeline, quiet_place, run, small_study
from truth import contents

from hyperstudy_source import hyperstudy_source
from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.standin import Behaviour, StandIn, Study
from hyperstudy_source.standin.behaviour import Bound

CURSORED = tuple(name for name, each in DATA_TYPES.items() if each.cursor and not each.derived_from)
BOUNDS: tuple[Bound, ...] = ("inclusive", "exclusive", "ignored", "rejected")
EVENTS = "/data/events/experiment/"
Serve = Callable[..., StandIn]


def event(study: Study, name: str, seconds: float, experiment_id: str = "exp_1", **fields: Any) -> None:
    add(study, "events", {"id": name, "timestamp": at(seconds), **fields}, experiment_id)


def states(pipeline: dlt.Pipeline) -> dict[str, Any]:
    """What the state keeps of each resource."""
    found: dict[str, Any] = pipeline.state["sources"]["hyperstudy"]["resources"]
    return found


def cursors(pipeline: dlt.Pipeline, name: str = "events") -> dict[str, str]:
    return dict(states(pipeline).get(name, {}).get("cursors", {}))


def asked(api: StandIn, prefix: str, since: int = 0, name: str = "startTime") -> list[str | None]:
    """A parameter of every request for a path, from some request on."""
    return [each.params.get(name) for each in api.requests[since:] if each.path.startswith(prefix)]


def statuses(pipeline: dlt.Pipeline) -> set[str]:
    """How all reads of all runs ended."""
    return set(Loaded(pipeline).column("sync_ledger", "status"))


def ids(pipeline: dlt.Pipeline, table: str = "events") -> list[str]:
    return Loaded(pipeline).column(table, "id")


class ThreeRuns:
    """Rows of every data type with a cursor that came between three runs, and what was asked for them."""

    def __init__(self, bound: Bound, folder: Path) -> None:
        study = small_study("exp_1", "exp_2")
        self.bound, self.marks = bound, list[str]()
        self.asked: list[dict[str, list[str | None]]] = []
        with StandIn(study, Behaviour(start_time=bound)) as api:
            pipeline = new_pipeline(folder)
            for number, (times, lookback) in enumerate((((0, 1, 1, 1, 2), 0), ((2, 2, 3, 4), 0), ((4, -50, 4, 5), 60))):
                for place, seconds in enumerate(times):
                    self.marks.append(mark := f"{number}_{place}")
                    for name in CURSORED:
                        row = {"timestamp": at(seconds), "mark": mark, "id": mark, "messageId": mark, "ratingId": mark}
                        add(study, name, row)
                        add(study, name, row, "exp_2")
                since = len(api.requests)
                run(pipeline, api, *CURSORED, page_size=3, lookback=lookback)
                self.asked.append({name: asked(api, DATA_TYPES[name].path + "/experiment", since) for name in CURSORED})
            self.loaded = Loaded(pipeline)


@pytest.fixture(scope="module", params=BOUNDS)
def three_runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeRuns]:
    with quiet_place(tmp_path_factory.mktemp("runs")) as folder:
        yield ThreeRuns(request.param, folder)


@pytest.mark.parametrize("name", CURSORED)
def test_no_row_is_lost_or_doubled_over_three_runs(name: str, three_runs: ThreeRuns) -> None:
    assert three_runs.loaded.column(name, "mark") == sorted(three_runs.marks * 2)


@pytest.mark.parametrize("name", CURSORED)
def test_a_run_asks_from_the_cursor_less_the_lookback_and_a_millisecond(name: str, three_runs: ThreeRuns) -> None:
    """Then from the last row of each page. Where it is refused, the API is asked without it from then on."""
    first, second, third = (each[name] for each in three_runs.asked)
    wanted = [at(2 - 0.001), at(4 - 60 - 0.001)]
    assert first[0] is None
    assert set(first) == {None, at(1 - 0.001)}
    if three_runs.bound == "rejected":
        assert set(second) == {wanted[0], None}
        assert set(third) == {wanted[1], None}
    else:
        assert [second[0], third[0]] == wanted
    if three_runs.bound == "ignored":
        assert [set(second), set(third)] == [{each} for each in wanted]


def test_a_new_experiment_gets_its_whole_history_beside_old_ones(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := small_study("exp_1"))
    event(study, "a", 0)
    run(pipeline, api, "events")
    study.add_experiment("exp_2")
    study.add_room("room_2", experiment_id="exp_2")
    event(study, "years before", -9e7, "exp_2")
    event(study, "later", 60, "exp_2")
    since = len(api.requests)
    run(pipeline, api, "events")
    assert ids(pipeline) == ["a", "later", "years before"]
    assert asked(api, EVENTS + "exp_1", since) == [at(-3600.001)]
    assert asked(api, EVENTS + "exp_2", since) == [None]
    assert set(cursors(pipeline)) == {"exp_1", "exp_2"}


def test_late_rows_within_the_lookback_come(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := small_study("exp_1"))
    event(study, "first", 0)
    run(pipeline, api, "events")
    event(study, "late", -3600)
    event(study, "too late", -3602)
    run(pipeline, api, "events")
    assert ids(pipeline) == ["first", "late"]
    run(pipeline, api, "events", lookback=7200)
    assert ids(pipeline) == ["first", "late", "too late"]


def test_a_row_from_the_future_does_not_hide_what_comes_before_it(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := small_study("exp_1"))
    add(study, "events", {"id": "future", "timestamp": "2999-01-01T00:00:00.000Z"})
    run(pipeline, api, "events")
    assert cursors(pipeline)["exp_1"] < "2999"


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_backfill_loads_its_window_with_both_ends_and_leaves_the_cursors_alone(
    bound: Bound, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study := small_study("exp_1"), Behaviour(start_time=bound, end_time=bound))
    for number in range(5):
        event(study, f"e{number}", number)
    window: dict[str, Any] = {"start_time": at(1), "end_time": at(3)}
    run(pipeline, api, "events", "questionnaire", "sync_ledger", page_size=2, **window)
    assert ids(pipeline) == ["e1", "e2", "e3"]
    assert statuses(pipeline) == {"complete"}
    assert cursors(pipeline) == cursors(pipeline, "questionnaire") == {}
    run(pipeline, api, "events", "questionnaire")
    before = states(pipeline)
    assert set(before["events"]["cursors"]) == set(before["questionnaire"]["cursors"]) == {"exp_1"}
    for name, seconds in (("before", 0.999), ("at start", 1), ("at end", 3), ("after", 3.001)):
        event(study, name, seconds)
    run(pipeline, api, "events", "questionnaire", **window)
    assert ids(pipeline) == ["at end", "at start", "e0", "e1", "e2", "e3", "e4"]
    assert states(pipeline) == before


@pytest.mark.parametrize(("window", "wanted"), [
    ({"start_time": at(2)}, ["e2", "e3"]), ({"end_time": at(1)}, ["e0", "e1"]),
    ({"start_time": at(2), "end_time": at(2)}, ["e2"]),
], ids=["start only", "end only", "one moment"])
def test_a_backfill_may_be_open_on_one_side_or_a_moment(
    window: dict[str, Any], wanted: list[str], serve: Serve, pipeline: dlt.Pipeline
) -> None:
    api = serve(study := small_study("exp_1"))
    for number in range(4):
        event(study, f"e{number}", number)
    run(pipeline, api, "events", **window)
    assert ids(pipeline) == wanted
    assert cursors(pipeline) == {}


def test_a_warning_of_the_api_holds_the_cursor(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := small_study("exp_1"), Behaviour(left_out={"events": 1}, warnings={"events": ["no index"]}))
    for number in range(4):
        event(study, f"e{number}", number * 7200)
    run(pipeline, api, "events", page_size=2)
    assert (ids(pipeline), cursors(pipeline)) == (["e0", "e1", "e2"], {})
    api.behaviour.warnings, api.behaviour.left_out = {}, {}
    run(pipeline, api, "events", page_size=2)
    assert ids(pipeline) == ["e0", "e1", "e2", "e3"]
    assert cursors(pipeline)["exp_1"].startswith(at(3 * 7200)[:19])


def test_the_cursors_come_back_from_the_destination(serve: Serve, tmp_path: Path) -> None:
    api = serve(study := small_study("exp_1"))
    event(study, "first", 0)
    names = ("events", "experiments", "variable_writes")
    run(new_pipeline(tmp_path), api, *names)
    event(study, "second", 7200)
    elsewhere, since = new_pipeline(tmp_path, "another machine"), len(api.requests)
    run(elsewhere, api, *names)
    assert asked(api, EVENTS, since) == [at(-3600.001)]
    assert asked(api, "/experiments/exp_1", since) == asked(api, "/data/variables", since) == []
    assert ids(elsewhere) == ["first", "second"]


def test_a_table_that_was_not_loaded_before_gets_its_whole_history(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study := small_study("exp_1"))
    event(study, "old", -9e6, category="system")
    event(study, "old answer", -9e6, category="questionnaire")
    event(study, "answer", 0, category="questionnaire")
    run(pipeline, api, "questionnaire")
    assert ids(pipeline, "questionnaire") == ["answer", "old answer"]
    assert "events" not in Loaded(pipeline).tables
    run(pipeline, api, "events", "questionnaire", "consent")
    assert ids(pipeline) == ["answer", "old", "old answer"]
    assert cursors(pipeline) == cursors(pipeline, "questionnaire") == cursors(pipeline, "consent")


def test_runs_that_are_cut_short_end_with_the_same_tables(serve: Serve, tmp_path: Path) -> None:
    study = small_study("exp_1", "exp_2")
    for number in range(9):
        event(study, f"e{number}", number * 60, category=("questionnaire", "system")[number % 2])
        event(study, f"f{number}", number * 60, "exp_2")
    api, names = serve(study), ("events", "questionnaire", "rooms")
    whole, cut = new_pipeline(tmp_path / "whole"), new_pipeline(tmp_path / "cut")
    run(whole, api, *names)
    counts = []
    for limit in (1, 2, 3):
        run(cut, api, *names, add_limit=limit, page_size=2, lookback=0)
        counts.append(len(ids(cut)))
    assert 0 < counts[1] < counts[2] < 18
    run(cut, api, *names, page_size=2)
    assert contents(cut) == contents(whole)


BEHAVIOURS: dict[str, Behaviour] = {
    "clamped limits": Behaviour(max_limit=2),
    "limits refused above two": Behaviour(reject_limit_above=2),
    "any limit refused": Behaviour(reject_limit={""}),
    "no next offset": Behaviour(next_offset=False, max_limit=2),
    "unfiltered totals": Behaviour(total="unfiltered"),
    "moving totals": Behaviour(total="moving"),
    "single objects": Behaviour(single_as_object=True, max_limit=1),
    "sort ignored": Behaviour(sort="ignored"),
    "sort rejected": Behaviour(sort="rejected"),
    "no pagination, whole answers": Behaviour(pagination=False, whole_answers=True),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
def test_every_row_comes_once_whatever_the_pages_look_like(
    behaviour: Behaviour, serve: Serve, pipeline: dlt.Pipeline
) -> None:
    """The rows lie in no order; more come between the runs, of which the list of experiments does not tell."""
    behaviour.list_tells = False
    api = serve(study := small_study("exp_1", "exp_2", "exp_3"), behaviour)
    for number in (3, 0, 4, 1):
        event(study, f"e{number}", number * 7200)
        study.add_room(f"room_1{number}", experiment_id="exp_1")
    event(study, "only", 0, "exp_3")
    run(pipeline, api, "events", "rooms", "sync_ledger", page_size=3)
    event(study, "later", 9 * 7200)
    event(study, "late", 4 * 7200 - 60)
    run(pipeline, api, "events", "rooms", "sync_ledger", page_size=3)
    loaded = Loaded(pipeline)
    assert loaded.column("events", "id") == ["e0", "e1", "e3", "e4", "late", "later", "only"]
    assert loaded.column("events", "experiment_id") == ["exp_1"] * 6 + ["exp_3"]
    assert loaded.column("rooms", "id") == ["room_1", "room_10", "room_11", "room_13", "room_14", "room_2", "room_3"]
    in_doubt = {"incomplete"} if behaviour.total == "moving" else set()
    assert statuses(pipeline) == {"complete"} | in_doubt


@pytest.mark.parametrize(("options", "key", "wanted"), [
    ({"room_ids": ["room_1"]}, "room:room_1", ["mine", "nobody's", "theirs"]),
    ({"participants": ["p1@room_1"]}, "participant:p1@room_1", ["mine"]),
    ({"experiment_ids": ["exp_1"]}, "exp_1", ["elsewhere", "mine", "nobody's", "theirs"]),
], ids=["room", "participant", "experiment"])
def test_a_narrower_scope_loads_its_rows_with_their_place_and_a_cursor_of_its_own(
    options: dict[str, Any], key: str, wanted: list[str], serve: Serve, pipeline: dlt.Pipeline
) -> None:
    study = small_study("exp_1", "exp_2")
    study.add_room("room_9", experiment_id="exp_1", participants=["p1"])
    api = serve(study, Behaviour(rows_with_ids=False))
    for room, person, name in (("room_1", "p1", "mine"), ("room_1", "p2", "theirs"), ("room_1", None, "nobody's"),
                               ("room_9", "p1", "elsewhere")):
        row = {"id": name, "ratingId": name, "timestamp": at(0)}
        for data_type in ("events", "ratings_continuous"):
            study.add(data_type, row, experiment_id="exp_1", room_id=room, participant_id=person)
    event(study, "other experiment", 0, "exp_2")
    for _ in range(2):
        run(pipeline, api, "events", "ratings_continuous", "rooms", "participants", **options)
    loaded = Loaded(pipeline)
    assert loaded.column("events", "id") == loaded.column("ratings_continuous", "rating_id") == wanted
    places = {(row["experiment_id"], row["room_id"]) for row in loaded["events"]}
    rooms = {"room_1", "room_9"} if key == "exp_1" else {"room_1"}
    assert places == ({("exp_1", None)} if key == "exp_1" else {("exp_1", "room_1")})
    assert set(loaded.column("rooms", "id")) == set(loaded.column("participants", "room_id")) == rooms
    assert set(cursors(pipeline)) == set(cursors(pipeline, "ratings_continuous")) == {key}


def test_details_are_asked_for_only_where_something_changed(serve: Serve, pipeline: dlt.Pipeline) -> None:
    study = small_study("exp_1", "exp_2")
    study.deployments += [{"id": f"dep_{n}", "experimentId": f"exp_{n}", "status": "completed"} for n in (1, 2)]
    for number, experiment_id in ((1, "exp_1"), (2, "exp_2")):
        study.rows["rooms"][experiment_id][0]["deploymentId"] = f"dep_{number}"
        study.variables[f"room_{number}"] = {"data": [{"variable": "v", "value": 1}], "metadata": {"timeline": []}}
    api, names = serve(study), ("experiments", "sessions", "variable_writes", "variable_timeline")
    paths = ("/experiments/exp_", "/deployments/dep_", "/data/variables/room/")
    run(pipeline, api, *names)
    assert [len(api.seen(path)) for path in paths] == [2, 2, 2]
    since = len(api.requests)
    run(pipeline, api, *names)
    assert [len(asked(api, path, since)) for path in paths] == [0, 0, 0]
    study.experiments[1].update(name="Renamed", updatedAt="2024-07-01T10:00:00.000Z")
    study.deployments[1].update(participantCount=9)
    study.rows["rooms"]["exp_2"][0].update(status="failed")
    began = datetime.now(timezone.utc).isoformat()
    times: dict[str, Any] = {"createdAt": began, "startTime": began, "endTime": None}
    study.add_room("room_3", experiment_id="exp_2", deploymentId="dep_2", status="active", **times)
    for _ in range(2):
        since = len(api.requests)
        run(pipeline, api, *names)
        seen = [each.path for each in api.requests[since:]]
    assert [path for path in seen if path.startswith(paths)] == [
        "/deployments/dep_2/sessions", "/data/variables/room/room_3"]
    loaded = Loaded(pipeline)
    assert loaded.column("experiments", "name") == ["Renamed", "exp_1"]
    assert loaded.column("sessions", "id") == ["room_1", "room_2", "room_3"]
    assert sorted(loaded.column("variable_writes", "room_id")) == ["room_1", "room_2"]


def test_the_beginning_of_the_history_can_be_set_as_in_any_dlt_source(
    serve: Serve, pipeline: dlt.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = serve(study := small_study("exp_1"))
    for number in range(3):
        event(study, f"e{number}", number)
    monkeypatch.setenv("SOURCES__HYPERSTUDY__EVENTS__CURSOR__INITIAL_VALUE", at(1))
    run(pipeline, api, "events")
    assert asked(api, EVENTS) == [at(1 - 0.001)]


@pytest.mark.parametrize("name", ["sync", "eyetracking", "videochat", "ratings_continuous", "components"])
def test_rows_without_a_key_stay_as_many_when_the_api_grows_a_field(
    name: str, serve: Callable[..., StandIn], pipeline: dlt.Pipeline,
) -> None:
    study = Study.empty("exp_1")
    study.add_room("room_1", experiment_id="exp_1", participants=["user_1"])
    sample = {"participantId": "user_1", "timestamp": "2024-06-15T10:00:00.000Z", "onset": 5, "componentId": "c"}
    rows = [study.add(name, sample, experiment_id="exp_1", room_id="room_1", participant_id="user_1")
            for _ in range(3)]
    api = serve(study)
    for number in range(3):
        for row in rows if number else []:
            row["grown"] = number
        pipeline.run(hyperstudy_source(api_key=api.api_key, base_url=api.base_url).with_resources(name))
    table = pipeline.dataset()[name]
    assert table.select("grown").fetchall() == [(2.0,)] * 3
