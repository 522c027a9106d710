"""A merge that fails in the database takes nothing away."""

from __future__ import annotations

from collections.abc import Callable

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from loaded import run
from test_cli import small_study

from hyperstudy_source import DestinationError, load
from hyperstudy_source.standin import StandIn


def by_load(pipeline: dlt.Pipeline, api: StandIn) -> object:
    return load(pipeline, ["events"], full=True, api_key=api.api_key, base_url=api.base_url)


def bare(pipeline: dlt.Pipeline, api: StandIn) -> None:
    run(pipeline, api, "events")


@pytest.mark.parametrize(("way", "error"), [(by_load, DestinationError), (bare, PipelineStepFailed)])
def test_a_merge_that_the_database_refuses_leaves_the_rows_that_were_there(
        way: Callable[..., object], error: type[Exception], serve: Callable[..., StandIn],
        pipeline: dlt.Pipeline) -> None:
    api = serve(small_study())
    run(pipeline, api, "events")
    with pipeline.sql_client() as client:
        client.execute_sql("UPDATE events SET session_id = 'here'")
        client.execute_sql("ALTER TABLE events ALTER session_id SET NOT NULL")
    with pytest.raises(error):
        way(pipeline, api)
    with pipeline.sql_client() as client:
        assert client.execute_sql("SELECT count(*) FROM events WHERE session_id = 'here'") == [(6,)]
