"""Everything that the platform's own SDK returns is in the tables, value by value."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import hyperstudy
import pytest
from loaded import Loaded, Row, instant, new_pipeline, quiet_place, run

from hyperstudy_source.standin import Behaviour, StandIn, demo_study
from hyperstudy_source.tables.fields import column_name

MAPS = frozenset({
    "roles", "variables", "previousRatings", "ratings", "globalComponents", "globalComponentsVisibility",
    "peerModelSnapshot",
})
"""Objects whose keys the researcher chose: child tables of `key` and value."""
BESIDE_KEY = frozenset({"roles"})
"""Maps of objects with documented fields, which are columns beside `key`."""
ANY = ("_text", "_number", "_bool")
EXPERIMENTS = ("exp_video_pairs", "exp_video_agents")
PLAIN = {"output": "dict"}
PAGED = {"output": "dict", "progress": False}

Read = Callable[[hyperstudy.HyperStudy], list[Row]]


def _of_experiments(method: str, **options: Any) -> Read:
    def read(sdk: hyperstudy.HyperStudy) -> list[Row]:
        return [{"experimentId": name, **row} for name in EXPERIMENTS for row in getattr(sdk, method)(name, **options)]

    return read


def _decisions(sdk: hyperstudy.HyperStudy) -> list[Row]:
    return [row for row in _of_experiments("get_agent_decisions", detail=True, **PLAIN)(sdk) if row["_type"] != "run"]


def _experiments(sdk: hyperstudy.HyperStudy) -> list[Row]:
    return [sdk.get_experiment(row["id"]).to_dict() for row in sdk.list_experiments(**PAGED)]


def _deployments(sdk: hyperstudy.HyperStudy) -> list[Row]:
    rows: list[Row] = sdk.list_deployments(**PLAIN)
    return rows


def _sessions(sdk: hyperstudy.HyperStudy) -> list[Row]:
    return [row for each in _deployments(sdk) for row in sdk.get_deployment_sessions(each["id"], **PLAIN)]


def _personas(sdk: hyperstudy.HyperStudy) -> list[Row]:
    rows: list[Row] = sdk.list_personas(**PLAIN)
    return rows


def _variables(part: str) -> Read:
    def read(sdk: hyperstudy.HyperStudy) -> list[Row]:
        rooms = _of_experiments("get_rooms", **PAGED)(sdk)
        return [{"roomId": room["id"], **row} for room in rooms for row in sdk.get_variables(room["id"], **PLAIN)[part]]

    return read


def _timeline(sdk: hyperstudy.HyperStudy) -> list[Row]:
    known = ("roomId", "stateId")
    return [{**{name: row[name] for name in known}, "variables": {k: v for k, v in row.items() if k not in known}}
            for row in _variables("timeline")(sdk)]


SAMPLE = ("experimentId", "participantId", "timestamp", "onset")
READS: dict[str, tuple[Read, tuple[str, ...]]] = {
    "experiments": (_experiments, ("id",)),
    "deployments": (_deployments, ("experimentId", "id")),
    "sessions": (_sessions, ("experimentId", "deploymentId", "id")),
    "rooms": (_of_experiments("get_rooms", **PAGED), ("experimentId", "id")),
    "participants": (_of_experiments("get_participants", **PAGED), ("experimentId", "roomId", "id")),
    "events": (_of_experiments("get_events", **PAGED), ("experimentId", "id")),
    "questionnaire": (_of_experiments("get_questionnaire", **PAGED), ("experimentId", "id")),
    "instructions": (_of_experiments("get_instructions", **PAGED), ("experimentId", "id")),
    "consent": (_of_experiments("get_consent", **PAGED), ("experimentId", "id")),
    "recordings": (_of_experiments("get_recordings", **PAGED), ("experimentId", "recordingId")),
    "chat": (_of_experiments("get_chat", **PAGED), SAMPLE[::2]),
    "videochat": (_of_experiments("get_videochat", **PAGED), SAMPLE),
    "sync": (_of_experiments("get_sync", **PAGED), SAMPLE),
    "ratings_continuous": (_of_experiments("get_ratings", kind="continuous", **PAGED), SAMPLE),
    "ratings_sparse": (_of_experiments("get_ratings", kind="sparse", **PAGED), ("experimentId", "ratingId")),
    "components": (_of_experiments("get_components", **PAGED), ("experimentId", "roomId", "participantId", "stateId")),
    "eyetracking": (_of_experiments("get_eyetracking", **PAGED), SAMPLE),
    "agent_decisions": (_decisions, ("experimentId", "roomId", "id")),
    "agent_runs": (_of_experiments("get_agent_runs", **PLAIN), ("experimentId", "id")),
    "variable_writes": (_variables("writes"), ("roomId", "variable", "timestamp")),
    "variable_timeline": (_timeline, ("roomId", "stateId")),
    "personas": (_personas, ("id",)),
}
"""For every table: what the SDK returns for it, and the fields by which a row is found."""


class Copies:
    """What the SDK returned, and the tables after the first and after a second run."""

    def __init__(self, sdk: hyperstudy.HyperStudy, first: Loaded, second: Loaded) -> None:
        self.first, self.second = first, second
        self.sent = {table: read(sdk) for table, (read, _) in READS.items()}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copies]:
    """The demo study, by the SDK and by two runs."""
    behaviour = Behaviour(list_tells=False)
    with quiet_place(tmp_path_factory.mktemp("parity")) as folder, StandIn(demo_study(), behaviour) as api:
        pipeline = new_pipeline(folder)
        run(pipeline, api, *READS)
        first = Loaded(pipeline)
        run(pipeline, api, *READS)
        yield Copies(hyperstudy.HyperStudy(api_key=api.api_key, base_url=api.base_url), first, Loaded(pipeline))


@pytest.mark.parametrize("table", READS)
def test_a_table_has_as_many_rows_as_the_sdk_returns(table: str, copies: Copies) -> None:
    assert len(copies.sent[table]) > 0
    assert len(copies.first[table]) == len(copies.sent[table])


@pytest.mark.parametrize("table", READS)
def test_every_value_that_the_sdk_returns_is_in_its_column(table: str, copies: Copies) -> None:
    places = READS[table][1]
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in copies.first[table]:
        found[tuple(row[column_name(name)] for name in places)].append(row)
    different: list[str] = []
    for sent in copies.sent[table]:
        candidates = found[tuple(_as_found(sent.get(name)) for name in places)]
        compared = [(list(differences(table, row, sent)), number) for number, row in enumerate(candidates)]
        fewest, number = min(compared, default=([f"no row for {sent}"], -1), key=lambda one: len(one[0]))
        different += fewest
        if number >= 0:
            candidates.pop(number)
    assert different == []


@pytest.mark.parametrize("table", READS)
def test_a_second_run_changes_nothing(table: str, copies: Copies) -> None:
    assert copies.second.contents(table) == copies.first.contents(table)
    assert copies.second.types == copies.first.types


def test_the_link_that_opens_a_recording_is_in_no_column(copies: Copies) -> None:
    assert any("downloadUrl" in row for row in copies.sent["recordings"])
    assert any("?" in str(row.get("url")) for row in copies.sent["recordings"])
    assert "download_url" not in copies.first.types["recordings"]
    assert not any("?" in str(row["url"]) for row in copies.first["recordings"])


def _as_found(value: Any) -> Any:
    return (instant(value) if isinstance(value, str) else None) or value


def differences(table: str, row: Row, sent: Row, prefix: str = "") -> Iterator[str]:
    """Every value of an object that is not where it belongs in the row of a table."""
    for name, value in sent.items():
        column = prefix + column_name(name)
        child = f"{table}__{column}"
        items = row.get(child, [])
        if name == "downloadUrl":
            continue
        if value is None:
            filled = [place for place in (column, *(column + suffix for suffix in ANY)) if row.get(place) is not None]
            yield from (f"{table}.{place} is not null" for place in [*filled, *(child for _ in items)])
        elif isinstance(value, dict) and name in MAPS:
            yield from _map_differences(name, child, items, value)
        elif isinstance(value, dict):
            held = [row[place] for place in (column, column + "_text") if isinstance(row.get(place), str)]
            if not held:
                yield from differences(table, row, value, column + "__")
            elif json.loads(held[0]) != value:
                yield f"{table}.{column} is {held[0]} for {value}"
        elif isinstance(value, list):
            yield from _list_differences(child, items, value)
        else:
            wanted = value.split("?")[0] if name == "url" else value
            yield from _scalar_differences(table, row, column, wanted)


def _map_differences(name: str, table: str, entries: list[Row], sent: Row) -> Iterator[str]:
    if [entry["key"] for entry in entries] != list(sent):
        yield f"{table} has the keys {[entry['key'] for entry in entries]} for {list(sent)}"
    for entry, value in zip(entries, sent.values(), strict=False):
        beside = name in BESIDE_KEY
        yield from differences(table, entry, value if beside else {"value": value})


def _list_differences(table: str, items: list[Row], sent: list[Any]) -> Iterator[str]:
    if len(items) != len(sent):
        yield f"{table} has {len(items)} rows for {sent}"
    for item, value in zip(items, sent, strict=False):
        name = "list" if isinstance(value, list) else "value"
        yield from differences(table, item, value if isinstance(value, dict) else {name: value})


def _scalar_differences(table: str, row: Row, column: str, value: Any) -> Iterator[str]:
    places = {place: row[place] for place in (column, *(column + suffix for suffix in ANY))
              if row.get(place) is not None}
    held = list(places.values())
    if len(held) != 1 or not _same(held[0], value):
        yield f"{table}.{column} holds {places} for {value!r}"


def _same(held: Any, value: Any) -> bool:
    if isinstance(held, datetime):
        return held == instant(str(value))
    if isinstance(held, bool) or isinstance(value, bool):
        return held is value
    if isinstance(held, str) or isinstance(value, str):
        return bool(held == value)
    return float(held) == float(value)
