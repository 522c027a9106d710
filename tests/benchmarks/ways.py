"""Ways to get an API's rows into DuckDB. Each runs in a process of its own, and prints one line of JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.answers import EXPERIMENT, KEY, MEASURES

DATASET = "hyperstudy_data"


def bare(case: str, address: str, _: Path) -> None:
    """Fetches and parses, and throws the rows away."""
    import orjson
    import requests

    offset: int | None = 0
    with requests.Session() as session:
        while offset is not None:
            answer = session.get(f"{address}{MEASURES[case][0]}/experiment/{EXPERIMENT}", timeout=60,
                                 params={"limit": "1000", "offset": str(offset)})
            offset = orjson.loads(answer.content)["metadata"]["pagination"]["nextOffset"]


def sdk(case: str, address: str, folder: Path) -> None:
    """The platform's SDK into pandas, and that into DuckDB."""
    import hyperstudy
    import pandas as pd

    client = hyperstudy.HyperStudy(api_key=KEY, base_url=address)
    found: dict[str, list[Any]] = {}
    experiments = [EXPERIMENT] if case in MEASURES else [
        row["id"] for row in client._transport.get("experiments", params={"limit": 50})["data"]]
    for experiment_id in experiments:
        for name, frame in _sdk_frames(client, case, experiment_id):
            if len(frame):
                found.setdefault(name, []).append(frame)
    with duckdb.connect(str(folder / "sdk.duckdb")) as database:
        for name, frames in found.items():
            joined = pd.concat(frames)  # noqa: F841  # DuckDB finds it by its name
            database.execute(f"CREATE TABLE {name} AS FROM joined")


def _sdk_frames(client: Any, case: str, experiment_id: str) -> Iterator[tuple[str, Any]]:
    one: dict[str, Callable[[], Any]] = {
        "ratings_continuous": lambda: client.get_ratings(experiment_id, kind="continuous", progress=False),
        "sync": lambda: client.get_sync(experiment_id, progress=False),
        "events": lambda: client.get_events(experiment_id, progress=False),
    }
    if case in one:
        yield case, one[case]()
        return
    yield from ((name, get()) for name, get in one.items())
    yield "ratings_sparse", client.get_ratings(experiment_id, kind="sparse", progress=False)
    for name in ("recordings", "chat", "videochat", "components", "eyetracking", "participants", "questionnaire",
                 "instructions", "consent"):
        yield name, getattr(client, f"get_{name}")(experiment_id, progress=False)
    rooms = client.get_rooms(experiment_id, progress=False)
    yield "rooms", rooms
    yield "agent_decisions", client.get_agent_decisions(experiment_id)
    yield "agent_runs", client.get_agent_runs(experiment_id)
    for room_id in rooms["id"]:
        yield "variables", client.get_variables(room_id)


def rest_api(case: str, address: str, folder: Path) -> None:
    """The REST source that comes with dlt, with Parquet."""
    from dlt.sources.rest_api import rest_api_source

    key = {"sync": ["timestamp", "participantId"], "events": ["id"]}.get(case, ["ratingId"])
    source = rest_api_source({
        "client": {"base_url": address, "headers": {"X-API-Key": KEY}},
        "resources": [{
            "name": case, "primary_key": key, "write_disposition": "merge",
            "endpoint": {
                "path": f"{MEASURES[case][0].strip('/')}/experiment/{EXPERIMENT}", "data_selector": "data",
                "params": {"limit": 1000},
                "paginator": {"type": "offset", "limit": 1000, "total_path": "metadata.pagination.total"}}}]})
    _pipeline(folder).run(source, loader_file_format="parquet")


def ours(case: str, address: str, folder: Path) -> None:
    """Loads with the source of this project, without the API's limits of requests."""
    from hyperstudy_source import load

    report = load(_pipeline(folder), [case] if case in MEASURES else None, api_key=KEY, base_url=address,
                  requests_per_minute=None, requests_per_hour=None)
    if report.exit_status:
        raise SystemExit(str(report))


def _pipeline(folder: Path) -> Any:
    import dlt

    return dlt.pipeline("hyperstudy", destination=dlt.destinations.duckdb(str(folder / "hyperstudy.duckdb")),
                        dataset_name=DATASET, pipelines_dir=str(folder / "pipelines"))


WAYS = {"bare": bare, "sdk": sdk, "rest_api": rest_api, "ours": ours}


def main() -> None:
    """Runs one way; the time is that of the whole, without Python's start and imports of the standard library."""
    way, case, address, folder = sys.argv[1:]
    os.environ.update(RUNTIME__LOG_LEVEL="CRITICAL", RUNTIME__DLTHUB_TELEMETRY="false", DLT_DATA_DIR=folder)
    began, cpu = time.perf_counter(), time.process_time()
    WAYS[way](case, address, Path(folder))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "mb": peak / 1024}))


if __name__ == "__main__":
    main()
