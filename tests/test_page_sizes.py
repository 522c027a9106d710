"""A long read asks for large pages where the API gives them, and has every row where it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loaded import Loaded, new_pipeline
from truth import sync

from hyperstudy_source.standin import Behaviour, Fault, StandIn, Study, ratings_study

ROWS = 3500
PATH = "/data/ratings/continuous/experiment/exp_bulk"


@pytest.fixture(scope="module")
def study() -> Study:
    """More ratings than three pages of the default size hold."""
    return ratings_study(ROWS)


def limits(api: StandIn) -> list[int]:
    """The `limit` of each request for ratings."""
    return [int(seen.params["limit"]) for seen in api.requests if seen.path == PATH and "limit" in seen.params]


def loaded(folder: Path, api: StandIn, **options: Any) -> int:
    """How many ratings there are after a run that calls itself complete."""
    pipeline = new_pipeline(folder)
    assert sync(pipeline, api, "ratings_continuous", **options).exit_status == 0
    return len(Loaded(pipeline)["ratings_continuous"])


def test_what_has_more_is_asked_for_at_once(study: Study, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(study)
    assert loaded(tmp_path, api) == ROWS
    first, second = limits(api)
    assert first == 1000
    assert ROWS < second <= 10_000


def test_a_page_size_of_the_user_is_kept(study: Study, serve: Callable[..., StandIn], tmp_path: Path) -> None:
    api = serve(study)
    assert loaded(tmp_path, api, page_size=1000) == ROWS
    assert set(limits(api)) == {1000}


@pytest.mark.parametrize("behaviour", [
    Behaviour(max_limit=700), Behaviour(max_limit=1500), Behaviour(reject_limit_above=1000),
    Behaviour(max_limit=1000, next_offset=False), Behaviour(max_limit=1000, pagination=False),
], ids=["fewer than the default", "more than the default", "refused", "no next offset", "nothing of what follows"])
def test_where_large_pages_do_not_come_every_row_does(
    study: Study, serve: Callable[..., StandIn], tmp_path: Path, behaviour: Behaviour
) -> None:
    api = serve(study, behaviour)
    assert loaded(tmp_path, api) == ROWS
    assert len(limits(api)) < 12


def test_an_endpoint_that_fails_over_a_large_page_gets_small_ones(
    study: Study, serve: Callable[..., StandIn], tmp_path: Path
) -> None:
    api = serve(study)
    api.behaviour.faults.append(Fault(PATH, "server_error", times=2, after=1))
    assert loaded(tmp_path, api) == ROWS
    first, large, again, *rest = limits(api)
    assert first < large == again
    assert set(rest) == {1000}
