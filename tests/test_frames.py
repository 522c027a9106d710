"""Which way a page goes makes no difference: as Arrow tables, or as objects where a user's steps want those."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import dlt
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from loaded import DATASET, Loaded, at, quiet_place
from truth import NO_LIMITS, contents

from hyperstudy_source import hyperstudy_source
from hyperstudy_source.data_types import DATA_TYPES
from hyperstudy_source.standin import StandIn, Study

EXAMPLES = int(os.environ.get("FRAMES", "4"))
SERVED = ("events", "chat", "videochat", "sync", "ratings_continuous", "ratings_sparse", "eyetracking")
LOADED = (*SERVED, "questionnaire", "instructions", "consent")
KEYS = {name: names for name in SERVED if (names := {part for each in DATA_TYPES[name].key for part in each})}
GROWN = ("grown", "grownLater", "GROWN", "ratings", "größe", "value_text", "")

_scalars = st.none() | st.booleans() | st.integers(-2**64, 2**64) | st.floats() | st.sampled_from([
    "", "Agree", "45", "NaN", "true", "ä", "2026-03-02T09:00:00.000Z", "2026-03-02", "2026-02-30T09:00:00.000Z",
    "https://storage.example.org/a?X-Goog-Signature=x"])
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(GROWN), inner, max_size=3),
    max_leaves=5)


@st.composite
def _rows(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    table = draw(st.sampled_from(SERVED))
    names = sorted({*DATA_TYPES[table].fields, *GROWN} - {"experimentId", "roomId", "timestamp", "category"})
    rows = draw(st.lists(st.dictionaries(st.sampled_from(names), _values, max_size=6), min_size=1, max_size=6))
    return table, rows


def _load(folder: Path, api: StandIn, *, as_objects: bool) -> dlt.Pipeline:
    pipeline = dlt.pipeline(
        f"objects_{as_objects}", destination=dlt.destinations.duckdb(str(folder / f"{as_objects}.duckdb")),
        dataset_name=DATASET, pipelines_dir=str(folder / "pipelines"))
    source = hyperstudy_source(api.api_key, api.base_url, page_size=4, **NO_LIMITS).with_resources(
        *LOADED, "sync_ledger")
    for name in LOADED if as_objects else ():
        source.resources[name].add_map(lambda row: row)
    pipeline.run(source)
    return pipeline


@settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(_rows(), min_size=1, max_size=6))
def test_columns_and_objects_land_as_the_same_tables(pages: list[tuple[str, list[dict[str, Any]]]]) -> None:
    study = Study.empty("exp_1")
    for table, rows in pages:
        for number, row in enumerate(rows):
            keys = {name: f"{number} {len(study.of(table, 'exp_1'))}" for name in KEYS.get(table, ())}
            category = "questionnaire" if number % 2 else "component"
            study.add(table, {**row, "timestamp": at(number), "category": category, **keys}, experiment_id="exp_1",
                      room_id="room_1")
    with tempfile.TemporaryDirectory() as folder, quiet_place(Path(folder)) as place, StandIn(study) as api:
        columns, objects = (_load(place, api, as_objects=as_objects) for as_objects in (False, True))
        assert contents(columns) == contents(objects)
        types = [{(table, column, kind) for table, each in Loaded(pipeline).types.items()
                  for column, kind in each.items() if not table.startswith("_dlt")} for pipeline in (columns, objects)]
        assert types[0] ^ types[1] == set()
