"""Whatever the API sends, every row and every value is in the tables, and each column keeps its type."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from loaded import (
    Loaded,
    Row,
    add,
    at,
    everything_under,
    held,
    new_pipeline,
    quiet_place,
    read_back,
    run,
    scalars,
    small_study,
)

from hyperstudy_source import load
from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.standin import TABLES, Behaviour, Fault, StandIn, Study
from hyperstudy_source.sync.run import Run, current_run
from hyperstudy_source.tables.fields import Field, ListOf, MapOf, Object, columns

MIXED: tuple[Any, ...] = (
    45, 45.0, "45", "Agree", True, None, [1, "a", None], {"a": 1}, "2024-06-15T10:00:00Z", -0.5, "true", 2**63,
    "2024-06-15", 1718445600000,
)
"""Values of every form, each of which is put into every field."""
KEPT = frozenset({"experimentId", "roomId", "id", "messageId", "recordingId", "egressId", "ratingId", "url", "_type"})
"""Fields that say which row it is, and those that have a test of their own."""
MARK = "mark"
"""A field that the API does not document, by which a row is found."""
VARIANT = "__v_"
SERVED = tuple(TABLES)


def keys_of(data_type: str, mark: str) -> Row:
    """What makes a row one of its own, in a study's only room."""
    fields = DATA_TYPES[data_type].fields
    keys = {"experimentId", "roomId", "ratingId", "messageId", "recordingId", "id"} & fields.keys()
    named = {"experimentId": "exp_1", "roomId": "room_1"}
    return {MARK: mark, **{name: named.get(name, mark) for name in sorted(keys)}}


def filled(fields: Mapping[str, Field], value: Any, deep: bool) -> Row:
    """A row with a value in every field, or in the fields of its objects, lists and maps."""
    return {name: _at_bottom(kind, value) if deep else value for name, kind in fields.items() if name not in KEPT}


def _at_bottom(kind: Field, value: Any) -> Any:
    if isinstance(kind, Object) and kind.fields:
        return {name: _at_bottom(inner, value) for name, inner in kind.fields.items()}
    if isinstance(kind, ListOf):
        return [_at_bottom(kind.item, value), value]
    if isinstance(kind, MapOf):
        return {"Wärme & mehr": _at_bottom(kind.value, value), "key": value}
    return {"inside": value} if isinstance(kind, Object) else value


def mixed_rows(data_type: str) -> list[Row]:
    """Rows that have each value in every field."""
    return [{**filled(DATA_TYPES[data_type].fields, value, deep), **keys_of(data_type, f"{number}_{deep}")}
            for number, value in enumerate(MIXED) for deep in (False, True)]


def put(study: Study, rows: Mapping[str, list[Row]]) -> None:
    """Add rows of several data types to `exp_1`; a room is found by its own id."""
    for data_type, some in rows.items():
        for row in some:
            room_id = str(row.get("id")) if data_type == "rooms" else "room_1"
            study.add(data_type, row, experiment_id="exp_1", room_id=room_id, participant_id="p1")


Sent = dict[str, list[Row]]
Course = Callable[[StandIn, dlt.Pipeline, Sent], None]


def _in_order(api: StandIn, pipeline: dlt.Pipeline, sent: Sent) -> None:
    put(api.study, sent)
    run(pipeline, api, *SERVED)


def _backwards_in_two_runs(api: StandIn, pipeline: dlt.Pipeline, sent: Sent) -> None:
    """The cursor does not hide the second half: the API ignores times."""
    api.behaviour.start_time = "ignored"
    for first in (True, False):
        put(api.study, {data_type: [row for number, row in enumerate(rows[::-1]) if (number % 4 < 2) == first]
                        for data_type, rows in sent.items()})
        run(pipeline, api, *SERVED, page_size=7)


class Arrived:
    """Rows that were sent, and the tables that they came to."""

    def __init__(self, sent: Sent, loaded: Loaded) -> None:
        self.sent, self.loaded = sent, loaded
        self.rows = {data_type: {row[MARK]: row for row in loaded[data_type] if row.get(MARK)} for data_type in sent}


@pytest.fixture(scope="module", params=[_in_order, _backwards_in_two_runs],
                ids=["in order", "backwards in two runs"])
def mixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arrived]:
    """All mixed rows of all data types, in one or two runs."""
    sent = {data_type: mixed_rows(data_type) for data_type in SERVED}
    study = Study.empty("exp_1")
    with quiet_place(tmp_path_factory.mktemp("mixed")) as folder, StandIn(study) as api:
        pipeline = new_pipeline(folder)
        request.param(api, pipeline, sent)
        yield Arrived(sent, Loaded(pipeline))


@pytest.mark.parametrize("data_type", SERVED)
def test_every_row_of_mixed_values_is_there_once(data_type: str, mixed: Arrived) -> None:
    assert mixed.loaded.column(data_type, MARK) == sorted(row[MARK] for row in mixed.sent[data_type])


@pytest.mark.parametrize("data_type", SERVED)
def test_mixed_values_make_no_variant_columns(data_type: str, mixed: Arrived) -> None:
    tables = [table for table in mixed.loaded.tables if table.split("__")[0] == data_type]
    assert [f"{t}.{c}" for t in tables for c in mixed.loaded.types[t] if VARIANT in c] == []


@pytest.mark.parametrize("data_type", SERVED)
def test_no_mixed_value_is_lost(data_type: str, mixed: Arrived) -> None:
    lost = [f"{row[MARK]}: {name}={row[name]!r} lacks {missing}" for row in mixed.sent[data_type] for name in row
            if (missing := scalars(row[name]) - held(mixed.rows[data_type][row[MARK]], data_type, name))]
    assert lost == []


@pytest.mark.parametrize("data_type", SERVED)
def test_mixed_values_leave_the_declared_types_alone(data_type: str, mixed: Arrived) -> None:
    declared = columns(DATA_TYPES[data_type].fields)
    kinds = {"text": "VARCHAR", "double": "DOUBLE", "bigint": "BIGINT", "bool": "BOOLEAN", "json": "JSON",
             "timestamp": "TIMESTAMP WITH TIME ZONE"}
    for path, types in declared.items():
        table = mixed.loaded.types["__".join((data_type, *path))]
        assert {name: table[name] for name in types} == {name: kinds[kind] for name, kind in types.items()}


@pytest.fixture(scope="module")
def nulls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """Of every data type two rows of nothing but null, and one without any field; loaded twice."""
    study = Study.empty("exp_1")
    for data_type in SERVED:
        for row in [dict.fromkeys(DATA_TYPES[data_type].fields) for _ in range(2)] + [{}]:
            study.add(data_type, row, experiment_id="exp_1", room_id="room_1", participant_id="p1")
    told = Behaviour(list_tells=False)
    with quiet_place(tmp_path_factory.mktemp("nulls")) as folder, StandIn(study, told) as api:
        pipeline = new_pipeline(folder)
        run(pipeline, api)
        run(pipeline, api)
        yield Loaded(pipeline)


@pytest.mark.parametrize("data_type", SERVED)
def test_rows_of_nothing_but_null_are_there_and_stay_as_many(data_type: str, nulls: Loaded) -> None:
    assert [row["experiment_id"] for row in nulls[data_type]] == ["exp_1"] * 3


GROWN: Row = {
    "newNumber": 1.5, "newText": "Agree", "newFlag": True, "newObject": {"inner": {"deep": 7}, "list": ["x"]},
    "newList": [3, "b"], "newTime": "2024-06-15T10:00:00Z", "select": "a word of SQL",
}
COLLIDING: Row = {
    "videoUrl": "as usual", "videoURL": "in capitals", "video_url": "with underscores", "participantID": "capital ID",
    "onsetSec": "their own onset", "rowKey": "their own key", "experimentID": "their own experiment", "_dlt_id": "x",
    "newObject__inner": "like a flattened field", "response_text": "like a typed column", " ": "no name at all",
    "größe": "not ASCII", "größ€": "not ASCII either",
}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arrived]:
    """Rows of all data types with fields that nothing documents; in a second run each has a value of another form."""
    turned = dict(zip(GROWN, [*list(GROWN.values())[1:], GROWN["newNumber"]], strict=True))
    study, sent = Study.empty("exp_1"), {data_type: list[Row]() for data_type in SERVED}
    with quiet_place(tmp_path_factory.mktemp("grown")) as folder, StandIn(study) as api:
        pipeline = new_pipeline(folder)
        for number, fields in enumerate(({**GROWN, **COLLIDING}, {**COLLIDING, **turned})):
            for data_type in SERVED:
                row = {**fields, "timestamp": at(number), "participantId": "p1", **keys_of(data_type, str(number))}
                sent[data_type].append(row)
                put(study, {data_type: [row]})
            run(pipeline, api, *SERVED)
        yield Arrived(sent, Loaded(pipeline))


@pytest.mark.parametrize("data_type", SERVED)
def test_fields_that_the_api_has_grown_land_whatever_form_they_take_later(data_type: str, grown: Arrived) -> None:
    rows = grown.rows[data_type]
    lost = [f"{row[MARK]}: {name}={row[name]!r}" for row in grown.sent[data_type] for name in GROWN
            if scalars(row[name]) - held(rows[row[MARK]], data_type, name)]
    types = {table: names for table, names in grown.loaded.types.items() if table.split("__")[0] == data_type}
    assert lost == []
    assert [name for names in types.values() for name in names if VARIANT in name] == []


@pytest.mark.parametrize("data_type", SERVED)
def test_field_names_that_collide_do_not_overwrite_each_other(data_type: str, grown: Arrived) -> None:
    rows = grown.rows[data_type]
    lost = [f"{row[MARK]}: {name}" for row in grown.sent[data_type] for name in COLLIDING
            if name in row and scalars(row[name]) - read_back(rows[row[MARK]])]
    assert lost == []
    assert {row["experiment_id"] for row in rows.values()} == {"exp_1"}
    if "participant_id" in grown.loaded.types[data_type]:
        assert {row["participant_id"] for row in rows.values()} == {"p1"}


@pytest.mark.parametrize(("data_type", "served_as"), [
    *((name, name) for name in SERVED), ("experiments", "experiments"), ("variable_writes", "variables"),
    ("questionnaire", "events"),
])
def test_an_experiment_that_is_forbidden_is_named_and_the_others_are_loaded(
    data_type: str, served_as: str, serve: Callable[..., StandIn], pipeline: dlt.Pipeline
) -> None:
    api = serve(study_of_all("exp_1", "exp_2"), Behaviour(forbidden={(served_as, "exp_2")}))
    report = load(pipeline, [data_type], api_key=api.api_key, base_url=api.base_url)
    assert report.exit_status == 3
    notice, = report.notices
    place = "room room_2" if data_type == "variable_writes" else "experiment exp_2"
    assert notice.startswith(f"{data_type} of {place}: No access to ")
    loaded = Loaded(pipeline)
    assert {row["experiment_id"] for row in loaded[data_type]} == {"exp_1"}
    read = {row["experiment_id"]: row for row in loaded["sync_ledger"] if row["data_type"] == data_type}
    assert {place: row["status"] for place, row in read.items()} == {"exp_1": "complete", "exp_2": "forbidden"}
    assert (read["exp_1"]["reason"], read["exp_2"]["rows_received"]) == (None, 0)
    assert "403" in read["exp_2"]["reason"]


def study_of_all(*experiment_ids: str) -> Study:
    """Experiments with a row of every data type."""
    study = small_study(*experiment_ids)
    for experiment_id in experiment_ids:
        for data_type in SERVED:
            if data_type not in ("rooms", "participants"):
                keys = dict.fromkeys(("id", "recordingId", "messageId", "ratingId"), "a")
                add(study, data_type, {"timestamp": at(0), "category": "questionnaire", **keys}, experiment_id)
        room_id = "room_" + experiment_id.removeprefix("exp_")
        study.variables[room_id] = {"data": [{"variable": "mood", "value": 1}], "metadata": {}}
    return study


def test_what_was_forbidden_is_whole_once_it_is_allowed(serve: Callable[..., StandIn], pipeline: dlt.Pipeline) -> None:
    study = small_study("exp_1", "exp_2")
    for experiment_id in ("exp_1", "exp_2"):
        add(study, "events", {"id": "one", "timestamp": at(0)}, experiment_id)
    api = serve(study, Behaviour(forbidden={("events", "exp_2")}))
    run(pipeline, api, "events", "rooms")
    assert Loaded(pipeline).column("events", "experiment_id") == ["exp_1"]
    add(study, "events", {"id": "late", "timestamp": at(-7200)}, "exp_2")
    api.behaviour.forbidden.clear()
    run(pipeline, api, "events", "rooms")
    loaded = Loaded(pipeline)
    assert sorted((row["experiment_id"], row["id"]) for row in loaded["events"]) == [
        ("exp_1", "one"), ("exp_2", "late"), ("exp_2", "one")]


TWINS = ("sync", "eyetracking", "videochat", "ratings_continuous", "components")
"""Data types of which the API gives rows that nothing tells apart."""


@pytest.fixture(scope="module")
def simultaneous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Loaded]]:
    """Eight rows of every data type at one time, three twins where they can be, in pages of three; loaded twice."""
    study = Study.empty("exp_1")
    for data_type in SERVED:
        put(study, {data_type: [{"timestamp": at(0), **keys_of(data_type, str(number))} for number in range(8)]})
    for data_type in TWINS:
        put(study, {data_type: [{"timestamp": at(0), "roomId": "room_1", MARK: "twin"} for _ in range(3)]})
    told = Behaviour(list_tells=False)
    with quiet_place(tmp_path_factory.mktemp("simultaneous")) as folder, StandIn(study, told) as api:
        pipeline, states = new_pipeline(folder), []
        for _ in range(2):
            run(pipeline, api, *SERVED, page_size=3)
            states.append(Loaded(pipeline))
        yield states


@pytest.mark.parametrize("data_type", SERVED)
def test_rows_of_one_time_over_several_pages_are_all_there_and_twins_stay(
    data_type: str, simultaneous: list[Loaded]
) -> None:
    wanted = [*map(str, range(8)), *(["twin"] * 3 if data_type in TWINS else [])]
    assert [loaded.column(data_type, MARK) for loaded in simultaneous] == [wanted, wanted]
    assert simultaneous[0].contents(data_type) == simultaneous[1].contents(data_type)


def test_pages_full_of_rows_that_nothing_tells_apart_are_read_to_their_end(
    serve: Callable[..., StandIn], pipeline: dlt.Pipeline
) -> None:
    study = small_study("exp_1")
    for _ in range(7):
        add(study, "sync", {"timestamp": at(0), "participantId": "p1", "roomId": "room_1"})
    run(pipeline, serve(study), "sync", page_size=3)
    assert len(Loaded(pipeline)["sync"]) == 7


def test_text_that_looks_like_a_time_or_a_number_stays_text(
    serve: Callable[..., StandIn], pipeline: dlt.Pipeline
) -> None:
    study, texts = small_study("exp_1"), ["2024-06-15T10:00:00Z", "45", "true", "2024-06-15", "null"]
    for number, text in enumerate(texts):
        add(study, "chat", {"messageId": str(number), "content": text, "timestamp": at(number)})
    run(pipeline, serve(study), "chat")
    loaded = Loaded(pipeline)
    assert loaded.column("chat", "content") == sorted(texts)
    assert loaded.types["chat"]["content"] == "VARCHAR"


def test_events_without_type_or_category_are_events_and_nothing_else(
    serve: Callable[..., StandIn], pipeline: dlt.Pipeline
) -> None:
    study = small_study("exp_1")
    for number, category in enumerate((None, "pre_experiment", "questionnaire", "system")):
        add(study, "events", {"id": f"null_{number}", "category": category, "eventType": None, "timestamp": at(0)})
        add(study, "events", {"id": f"none_{number}", "category": category, "timestamp": at(1)})
    run(pipeline, serve(study), "events", "questionnaire", "instructions", "consent")
    loaded = Loaded(pipeline)
    assert len(loaded["events"]) == 8
    assert loaded.column("questionnaire", "id") == ["none_2", "null_2"]
    assert loaded["instructions"] == loaded["consent"] == []


SIGNED = "https://storage.example.org/a.mp4?X-Goog-Expires=9&X-Goog-Signature=abc123"


def test_no_key_and_no_link_that_opens_a_file_is_kept_anywhere(
    serve: Callable[..., StandIn], pipeline: dlt.Pipeline, tmp_path: Path
) -> None:
    """Neither in tables, state, schema, trace and load packages, nor after a run that failed."""
    study = small_study("exp_1", "exp_2")
    for experiment_id in ("exp_1", "exp_2"):
        links = {"downloadUrl": SIGNED, "url": SIGNED, "note": f"see {SIGNED} there", "list": [SIGNED]}
        add(study, "recordings", {"recordingId": "a", **links, "metadata": {**links}}, experiment_id)
        add(study, "recordings", {"recordingId": "b", "url": "b.mp4", "downloadUrl": "b.mp4"}, experiment_id)
        add(study, "recordings", {"recordingId": "c", "url": "c.mp4"}, experiment_id)
        add(study, "chat", {"messageId": "a", "content": SIGNED, "timestamp": at(0), "download_url": SIGNED},
            experiment_id)
        shown = {"componentId": "a", "config": links, "variables": {"link": SIGNED}, "response": links}
        add(study, "components", shown, experiment_id)
    names = ("recordings", "chat", "components", "experiments")
    api = serve(study, Behaviour(forbidden={("recordings", "exp_2")}))
    report = load(pipeline, names, api_key=api.api_key, base_url=api.base_url)
    assert report.exit_status == 3
    api.behaviour.forbidden.clear()
    api.behaviour.faults = [
        Fault("/experiments", "error_in_200", times=None), Fault("/data/chat", "html", times=None)]
    with pytest.raises(PipelineStepFailed) as failure, current_run(Run(sleep=lambda _: None)):
        run(pipeline, api, *names)
    api.behaviour.faults = []
    told = str(report) + str(failure.value) + everything_under(tmp_path)
    run(pipeline, api, *names)
    loaded = Loaded(pipeline)
    assert len(loaded["recordings"]) == 6
    told += everything_under(tmp_path) + json.dumps(loaded.contents()) + str(loaded.types)
    assert "storage.example.org/a.mp4" in told
    secrets = ("Signature=", "abc123", api.api_key, "downloadUrl", "download_url")
    assert [secret for secret in secrets if secret in told] == []
