"""A row that does not name its room gets it from who was in which room, wherever exactly one is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
import pytest
from loaded import new_pipeline, quiet_place
from placed import TYPES, rooms, study_of_stays, true_rooms
from truth import contents, sync

from hyperstudy_source import LoadReport
from hyperstudy_source.standin import Behaviour, StandIn

Serve = Callable[..., StandIn]
LISTS = ("rooms", "participants")


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
