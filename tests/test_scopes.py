"""What a run reads: every experiment of the key, or experiments, rooms and participants by their ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hyperstudy_source.api.client import Client
from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.errors import Forbidden, NotFound, ServerFailed, SettingError
from hyperstudy_source.standin import DEMO_KEY, Behaviour, Fault, StandIn, Study
from hyperstudy_source.sync.id_texts import listed_ids, participants_in_rooms
from hyperstudy_source.sync.scopes import Scope, Scopes, explained

ORGANIZATION = "org_1"
Options = dict[str, Any]


@pytest.fixture
def study() -> Study:
    """Two experiments with a room each, of which only the first has events, and one shared with an organisation."""
    study = Study.empty("exp_1", "exp_2")
    study.add_room("room_1", experiment_id="exp_1", participants=["ann", "bob"])
    study.add_room("room_2", experiment_id="exp_2", participants=["ann"])
    event = {"id": "e1", "timestamp": "2024-06-15T12:00:00.000Z", "experimentId": "exp_1", "roomId": "room_1"}
    study.add("events", event, experiment_id="exp_1", room_id="room_1", participant_id="ann")
    study.shared[ORGANIZATION] = [Study().add_experiment("exp_shared"), Study().add_experiment("exp_1")]
    return study


def scopes(api: StandIn, organization: str | None = None, **options: Any) -> Scopes:
    return Scopes(Client(DEMO_KEY, api.base_url, organization, sleep=lambda _: None), **options)


FOUND: dict[str, tuple[Options, list[Scope]]] = {
    "all": ({}, [Scope("exp_1"), Scope("exp_2")]),
    "all_of_an_organisation": ({"organization": ORGANIZATION}, [Scope("exp_1"), Scope("exp_2"), Scope("exp_shared")]),
    "by_id": ({"experiment_ids": ["exp_2", "exp_1", "exp_2"]}, [Scope("exp_2"), Scope("exp_1")]),
    "unlisted_id": ({"experiment_ids": ["exp_9"]}, [Scope("exp_9")]),
    "room_by_its_events": ({"room_ids": ["room_1"]}, [Scope("exp_1", "room_1")]),
    "room_without_events": ({"room_ids": ["room_2"]}, [Scope("exp_2", "room_2")]),
    "room_of_a_named_experiment": ({"room_ids": ["room_9"], "experiment_ids": ["exp_2"]}, [Scope("exp_2", "room_9")]),
    "room_of_one_of_several": (
        {"room_ids": ["room_2"], "experiment_ids": ["exp_1", "exp_2"]}, [Scope("exp_2", "room_2")]),
    "participant": ({"participants": [("ann", "room_1")]}, [Scope("exp_1", "room_1", "ann")]),
    "room_and_participant": ({"room_ids": ["room_1"], "participants": [("ann", "room_2")]}, [
        Scope("exp_1", "room_1"), Scope("exp_2", "room_2", "ann")]),
}


@pytest.mark.parametrize(("options", "found"), FOUND.values(), ids=FOUND)
def test_the_scopes_of_a_run_are_those_asked_for(options: Options, found: list[Scope], api: StandIn) -> None:
    assert list(scopes(api, **options)) == found


@pytest.mark.parametrize(("options", "requests"), [
    ({"experiment_ids": ["exp_1"]}, 0), ({"room_ids": ["room_1"], "experiment_ids": ["exp_1"]}, 0),
    ({"room_ids": ["room_1"]}, 1), ({}, 1), ({"organization": ORGANIZATION}, 2),
], ids=["experiments", "room_and_experiment", "room", "all", "organisation"])
def test_finding_the_scopes_costs_as_few_requests_as_can_be_and_only_once(
    options: Options, requests: int, api: StandIn,
) -> None:
    found = scopes(api, **options)
    assert list(found) == list(found)
    assert found.experiments()
    assert len(api.requests) == requests


def test_all_pages_of_the_experiments_are_read(api: StandIn) -> None:
    for number in range(120):
        api.study.add_experiment(f"exp_more_{number}")
    assert len(scopes(api).experiments()) == 122
    assert [request.params["limit"] for request in api.requests] == ["50"] * 3


@pytest.mark.parametrize(("options", "named"), [
    ({}, False), ({"experiment_ids": ["e"]}, True), ({"room_ids": ["r"]}, True), ({"participants": [("p", "r")]}, True),
], ids=["all", "experiment", "room", "participant"])
def test_a_run_knows_whether_something_was_asked_for_by_id(options: Options, named: bool, api: StandIn) -> None:
    assert scopes(api, **options).named is named


@pytest.mark.parametrize("room", ["room_9", "../experiments", "ä ö"], ids=["unknown", "path", "odd"])
def test_a_room_that_no_experiment_has_is_a_wrong_setting(room: str, api: StandIn) -> None:
    with pytest.raises(SettingError, match="is in no experiment") as raised:
        list(scopes(api, room_ids=[room]))
    assert repr(room) in str(raised.value)


@pytest.mark.parametrize("served", [{"rows_with_ids": False}, {"forbidden": {("events", "exp_1")}}],
                         ids=["rows_without_ids", "events_forbidden"])
def test_a_room_is_found_in_the_lists_of_rooms_where_its_events_do_not_tell(
    served: dict[str, Any], study: Study, serve: Callable[..., StandIn],
) -> None:
    api = serve(study, Behaviour(**served))
    assert list(scopes(api, room_ids=["room_1"])) == [Scope("exp_1", "room_1")]


def test_an_experiment_whose_rooms_are_forbidden_does_not_hide_the_room_of_another(api: StandIn) -> None:
    api.behaviour.forbidden = {("rooms", "exp_1")}
    assert list(scopes(api, room_ids=["room_2"])) == [Scope("exp_2", "room_2")]


def test_a_failure_while_the_scopes_are_found_is_not_remembered(api: StandIn) -> None:
    found = scopes(api)
    api.behaviour.faults = [Fault("/experiments", "html", times=5)]
    with pytest.raises(ServerFailed):
        list(found)
    assert list(found) == [Scope("exp_1"), Scope("exp_2")]


EXPERIMENT, ROOM, PERSON = Scope("e 1/x"), Scope("e 1/x", "r/1?"), Scope("e 1/x", "r/1?", "p@#%2F ü")
ENDPOINTS: dict[str, tuple[Scope, str, str, dict[str, str]]] = {
    "experiment": (EXPERIMENT, "events", "/data/events/experiment/e%201%2Fx", {}),
    "room": (ROOM, "events", "/data/events/room/r%2F1%3F", {}),
    "participant": (PERSON, "events", "/data/events/participant/p%40%23%252F%20%C3%BC", {"roomId": "r/1?"}),
    "two_steps": (ROOM, "ratings_sparse", "/data/ratings/sparse/room/r%2F1%3F", {}),
    "participant_in_a_room_type": (PERSON, "participants", "/data/participants/room/r%2F1%3F", {}),
    "participant_in_an_experiment_type": (PERSON, "rooms", "/data/rooms/experiment/e%201%2Fx", {}),
    "room_in_an_experiment_type": (ROOM, "agent_runs", "/data/agent-runs/experiment/e%201%2Fx", {}),
}


@pytest.mark.parametrize(("scope", "name", "path", "params"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_the_narrowest_endpoint_is_read_and_its_ids_are_quoted(
    scope: Scope, name: str, path: str, params: dict[str, str],
) -> None:
    assert scope.endpoint(DATA_TYPES[name]) == (path, params)


@pytest.mark.parametrize("odd", ["a b", "a?b#c", "a%2Fb", "ü@x", "a+b&c=d"])
def test_an_odd_id_reaches_the_api_as_it_is(odd: str, serve: Callable[..., StandIn]) -> None:
    study = Study.empty(odd)
    study.add_room(f"room {odd}", experiment_id=odd, participants=[odd])
    study.add("events", {"id": "e1"}, experiment_id=odd, room_id=f"room {odd}", participant_id=odd)
    api = serve(study)
    for scope in (Scope(odd), Scope(odd, f"room {odd}"), Scope(odd, f"room {odd}", odd)):
        path, params = scope.endpoint(DATA_TYPES["events"])
        page = Client(DEMO_KEY, api.base_url).get(path, params)
        assert [row["id"] for row in page.rows] == ["e1"], str(scope)


IN_ROOM, OF_ANN = Scope("exp_1", "room_1"), Scope("exp_1", "room_1", "ann")
HELD: dict[str, tuple[Scope, str, dict[str, Any], bool]] = {
    "experiment_holds_all": (Scope("exp_1"), "agent_runs", {"roomId": "room_2"}, True),
    "narrow_endpoint_holds_all": (OF_ANN, "events", {"participantId": "bob", "roomId": "room_2"}, True),
    "own_room": (IN_ROOM, "rooms", {"id": "room_1"}, True), "other_room": (IN_ROOM, "rooms", {"id": "room_2"}, False),
    "run_in_the_room": (IN_ROOM, "agent_runs", {"id": "a", "roomId": "room_1"}, True),
    "run_in_another_room": (IN_ROOM, "agent_runs", {"id": "a", "roomId": "room_2"}, False),
    "run_without_room": (IN_ROOM, "agent_runs", {"id": "a"}, False),
    "person": (OF_ANN, "participants", {"id": "ann", "roomId": "room_1"}, True),
    "person_by_other_field": (OF_ANN, "participants", {"id": "doc_1", "participantId": "ann"}, True),
    "other_person": (OF_ANN, "participants", {"id": "bob"}, False),
    "decision_of_the_person": (OF_ANN, "agent_decisions", {"id": "ann_1", "participantId": "ann"}, True),
    "decision_of_another": (OF_ANN, "agent_decisions", {"id": "bob_1", "participantId": "bob"}, False),
    "room_of_the_person": (OF_ANN, "rooms", {"id": "room_1"}, True),
    "room_of_others": (OF_ANN, "rooms", {"id": "room_2"}, False),
    "run_of_the_person": (OF_ANN, "agent_runs", {"participantId": "ann", "roomId": "room_1"}, True),
    "run_of_the_person_elsewhere": (OF_ANN, "agent_runs", {"participantId": "ann", "roomId": "room_2"}, False),
}


@pytest.mark.parametrize(("scope", "name", "row", "held"), HELD.values(), ids=HELD)
def test_of_a_wider_endpoint_only_the_rows_of_the_scope_are_held(
    scope: Scope, name: str, row: dict[str, Any], held: bool,
) -> None:
    assert scope.holds(DATA_TYPES[name], row) is held


def test_cursors_of_different_scopes_have_different_names() -> None:
    kinds = [Scope("x"), Scope("x", "x"), Scope("y", "x", "x"), Scope("x", "y", "x"), Scope("x", "x", "y")]
    assert Scope("x").cursor_key == "x"
    assert len({scope.cursor_key for scope in kinds}) == len({str(scope) for scope in kinds}) == len(kinds)


@pytest.mark.parametrize(("given", "ids"), [
    (None, ()), ("exp_1", ("exp_1",)), (" exp_1 ", ("exp_1",)), (["b", " a", "b"], ("b", "a")),
], ids=["none", "one", "space", "several"])
def test_ids_are_given_as_one_or_several(given: str | Sequence[str] | None, ids: tuple[str, ...]) -> None:
    assert listed_ids("experiment_ids", given) == ids


@pytest.mark.parametrize("given", ["", " ", [], ["a", ""], ["."], ".."], ids=repr)
def test_what_is_no_id_does_not_read_everything(given: str | Sequence[str]) -> None:
    with pytest.raises(SettingError, match=r"room_ids is .* holds no id"):
        listed_ids("room_ids", given)


@pytest.mark.parametrize(("given", "pairs"), [
    (None, ()), ("ann@room_1", (("ann", "room_1"),)), (["ann@x.org@room_1"], (("ann@x.org", "room_1"),)),
    (["a@r", "b@r", "a@r"], (("a", "r"), ("b", "r"))),
], ids=["none", "one", "mail_address", "several"])
def test_participants_are_given_within_their_rooms(given: Any, pairs: Any) -> None:
    assert participants_in_rooms(given) == pairs


@pytest.mark.parametrize("given", ["ann", "ann@", "@room_1", "@"])
def test_a_participant_without_a_room_is_a_wrong_setting(given: str) -> None:
    with pytest.raises(SettingError, match="participant_id@room_id") as raised:
        participants_in_rooms([given])
    assert repr(given) in str(raised.value)


def test_a_refusal_is_explained_with_data_type_scope_and_permission() -> None:
    error = Forbidden("/data/chat answered 403.", path="/data/chat", status=403, required=["read:chat", "read:sync"])
    assert explained(error, DATA_TYPES["chat"], IN_ROOM) is error
    for part in ("chat of room room_1", "read:chat, read:sync", "/data/chat answered 403."):
        assert part in str(error)
    unnamed = explained(Forbidden("No.", path="/data/chat"), DATA_TYPES["chat"], None)
    assert "permission read:chat" in str(unnamed)


def test_an_absence_is_explained_with_the_scope_and_what_to_set() -> None:
    error = explained(NotFound("No.", path="/data/chat"), DATA_TYPES["chat"], Scope("exp_9"))
    assert "experiment exp_9" in str(error)
    assert "organization_id" in str(error)


def test_other_errors_need_no_explanation() -> None:
    error = ServerFailed("The API failed.", path="/data/chat")
    assert str(explained(error, DATA_TYPES["chat"], IN_ROOM)) == "The API failed."
