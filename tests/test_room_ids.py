"""A row that does not name its room gets it from who was in which room, wherever exactly one is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from loaded import new_pipeline, quiet_place
from placed import KEYLESS, TYPES, rooms, study_of_stays, true_rooms
from truth import contents, marks, query, statuses, sync

from hyperstudy_source import LoadReport
from hyperstudy_source.standin import Behaviour, StandIn

Serve = Callable[..., StandIn]
LISTS = ("rooms", "participants")
KEPT = tuple(name for name in TYPES if not name.startswith("agent_"))
"""All but the rows of agents, which name their room by the documentation, as a part of their key."""


class Told:
    """What a run with everything made of the study, and what it and a second one asked for."""

    def __init__(self, pipeline: dlt.Pipeline, api: StandIn) -> None:
        self.pipeline = pipeline
        self.report: LoadReport = sync(pipeline, api)
        self.requests = [request.path for request in api.requests]
        self.first = contents(pipeline)
        self.again = sync(pipeline, api)
        self.second = contents(pipeline)


@pytest.fixture(scope="module", params=["nameless", "documented", "named"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    named = request.param == "named"
    behaviour = Behaviour(rows_with_ids={"nameless": False, "documented": None, "named": True}[request.param])
    with quiet_place(tmp_path_factory.mktemp("told")) as folder, \
            StandIn(study_of_stays(name_rooms=named), behaviour) as api:
        loaded = Told(new_pipeline(folder), api)
        loaded.named = named  # type: ignore[attr-defined]
        yield loaded


@pytest.mark.parametrize("name", TYPES)
def test_a_row_has_its_room_where_only_one_is_possible(name: str, told: Any) -> None:
    assert rooms(told.pipeline, name) == true_rooms(told=told.named, name=name)


def test_what_stays_unknown_is_null_and_is_counted(told: Any) -> None:
    said = [remark for remark in told.report.remarks if "cannot be told" in remark]
    counted = {remark.split(" of ")[1]: int(remark.split()[0]) for remark in said}
    assert counted == {name: list(true_rooms(told=told.named, name=name).values()).count(None) for name in TYPES}
    assert told.report.exit_status == 0


@pytest.mark.parametrize("name", LISTS)
def test_the_lists_that_are_read_anyway_tell_the_rooms(name: str, told: Any) -> None:
    """Once more where the key of components of a person whom the lists do not know needs a room."""
    assert told.requests.count(f"/data/{name}/experiment/exp_1") <= 2


def test_a_second_run_leaves_the_rooms_as_they_are(told: Any) -> None:
    assert told.again.exit_status == 0
    assert {name: told.first[name] for name in TYPES} == {name: told.second[name] for name in TYPES}


def test_a_message_says_who_sent_it(told: Any) -> None:
    assert query(told.pipeline, "SELECT count(*) FROM chat WHERE participant_id IS DISTINCT FROM sender_id") == [(0,)]


@pytest.mark.parametrize("first", [{"room_ids": ["room_3"]}, {"participants": ["eve@room_3"]}, {}], ids=[
    "a room", "a participant", "without lists"])
@pytest.mark.parametrize("rows_with_ids", [False], ids=["nameless"])
def test_what_is_known_of_a_room_outlives_a_full_run_and_doubles_no_row(
    first: dict[str, Any], rows_with_ids: bool | None, serve: Serve, pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    api = serve(study_of_stays(), Behaviour(rows_with_ids=rows_with_ids))
    sync(pipeline, api, *KEPT, experiment_ids=["exp_1"], **first)
    known = {name: rooms(pipeline, name) for name in KEPT if marks(pipeline, name)}
    assert sync(pipeline, api, full=True).exit_status == 0
    alone = new_pipeline(tmp_path / "alone")
    sync(alone, api, full=True)
    for name in KEPT:
        after, otherwise = rooms(pipeline, name), rooms(alone, name)
        assert after.keys() == otherwise.keys(), name
        assert after == {mark: known.get(name, {}).get(mark) or room for mark, room in otherwise.items()}, name
        key = "row_key" if name in KEYLESS and name != "components" else "mark"
        assert query(pipeline, f"SELECT {key} FROM {name} ORDER BY 1") == query(
            alone, f"SELECT {key} FROM {name} ORDER BY 1"), name


def test_a_list_that_cannot_be_read_any_more_takes_no_room_away(serve: Serve, pipeline: dlt.Pipeline) -> None:
    api = serve(study_of_stays(), Behaviour(rows_with_ids=False))
    assert sync(pipeline, api).exit_status == 0
    told = {name: rooms(pipeline, name) for name in KEPT}
    api.behaviour.forbidden = {(name, "exp_1") for name in LISTS}
    assert sync(pipeline, api, full=True).exit_status == 3
    assert {name: rooms(pipeline, name) for name in KEPT} == told
    assert statuses(pipeline)["components", "exp_1"] == "incomplete"


def test_rooms_are_told_later_where_the_lists_could_not_be_read_at_first(serve: Serve, pipeline: dlt.Pipeline) -> None:
    """Also of an experiment in which nothing has changed since."""
    api = serve(study_of_stays(), Behaviour(rows_with_ids=False, forbidden={(name, "exp_1") for name in LISTS}))
    names = [*LISTS, "events", "chat", "eyetracking", "agent_runs"]
    sync(pipeline, api, *names)
    assert query(pipeline, "SELECT count(*) FROM eyetracking WHERE room_id IS NOT NULL") == [(0,)]
    api.behaviour.forbidden = set()
    assert sync(pipeline, api, *names).exit_status == 0
    for name in ("events", "chat", "eyetracking"):
        assert rooms(pipeline, name) == true_rooms(told=False, name=name)
    before = len(api.requests)
    sync(pipeline, api, *names)
    assert not [request for request in api.requests[before:] if "eyetracking" in request.path]
