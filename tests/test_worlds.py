"""Whatever the API does and whatever stops a run, the tables are true, or the run says what is missing.

The next calm run brings it.

`WORLDS=500 pytest -n 0 -s tests/test_worlds.py` tries as many worlds; `WORLDS_SEED` chooses others.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from loaded import quiet_place
from worlds import PLANS, Plan, World

from hyperstudy_source.standin import StandIn

EXAMPLES = int(os.environ.get("WORLDS", "20"))
SEED = int(os.environ.get("WORLDS_SEED", "101"))


@seed(SEED)
@settings(max_examples=EXAMPLES, deadline=None, database=None, print_blob=True,
          phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if EXAMPLES > 20 else [])],
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large])
@given(plan=PLANS)
def test_in_any_world_the_tables_are_true_or_the_run_says_what_is_missing(plan: Plan) -> None:
    with tempfile.TemporaryDirectory() as folder, quiet_place(Path(folder)) as place:
        world = World(place, plan)
        with StandIn(world.study, clock=world.time.clock) as api:
            for act in plan.acts:
                world.play(act, api)
            world.end(api)


@pytest.fixture(scope="module", autouse=True)
def _seed_is_told() -> None:
    """Which worlds these are, whether they pass or not."""
    sys.stderr.write(f"\nworlds of seed {SEED}\n")
