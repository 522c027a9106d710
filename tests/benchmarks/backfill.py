"""What a long backfill takes: rows a second, memory, and disk beside the database, however many pages there are.

    python tests/benchmarks/backfill.py                        # 5,000 pages of 1,000 ratings
    python tests/benchmarks/backfill.py --start-time ignored   # from an API that knows offsets only

The rows are made as they are asked for, in a process of their own. Loading is compared with a bare fetch of a tenth of
the same pages, parsed and thrown away, in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.processes import SPAWN, served

KEY = "hst_test_" + "Benchmark" * 7
EXPERIMENT = "exp_backfill"
PATH = f"/data/ratings/continuous/experiment/{EXPERIMENT}"
START, STEP_MS = datetime(2024, 1, 1, tzinfo=timezone.utc), 100
"""A rating every 100 ms."""


def rating(number: int) -> dict[str, Any]:
    """A continuous rating without an id, as the documentation's own examples are."""
    moment = START + timedelta(milliseconds=STEP_MS * number)
    return {"participantId": f"p{number % 4}", "componentId": "slider", "onset": STEP_MS * number,
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "value": number % 101,
            "scale": {"min": 0, "max": 100}, "metadata": {"question": "How tense?", "sampleIndex": number}}


class Ratings(BaseHTTPRequestHandler):
    """`GET /data/ratings/continuous/experiment/{id}` over so many rows, in the order of their times."""

    rows, heeds_start = 0, True
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answers with one page of ratings, or with the one experiment; there is nothing else."""
        path = urlsplit(self.path).path
        if path == "/experiments":
            self._answer(200, {"status": "success", "metadata": {}, "data": [{"id": EXPERIMENT, "name": "Backfill"}]})
            return
        if path != PATH:
            self._answer(404, {"status": "error", "error": {"code": "NOT_FOUND", "message": "nothing else"}})
            return
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        first = 0
        if self.heeds_start and "startTime" in asked:
            since = datetime.fromisoformat(asked["startTime"].replace("Z", "+00:00")) - START
            first = max(0, min(self.rows, -(-since // timedelta(milliseconds=STEP_MS))))
        offset, limit = int(asked.get("offset", 0)), int(asked.get("limit", 1000))
        page = [rating(number) for number in range(first + offset, min(first + offset + limit, self.rows))]
        left = self.rows - first
        pagination = {"total": left, "offset": offset, "hasMore": offset + len(page) < left}
        self._answer(200, {"status": "success", "metadata": {"pagination": pagination}, "data": page})

    def _answer(self, status: int, envelope: dict[str, Any]) -> None:
        body = json.dumps(envelope).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def serve(rows: int, heeds_start: bool, parent: Connection) -> None:
    """Tells its address, and ends when the other side does."""
    Ratings.rows, Ratings.heeds_start = rows, heeds_start
    with ThreadingHTTPServer(("127.0.0.1", 0), Ratings) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        parent.send(f"http://127.0.0.1:{server.server_address[1]}")
        parent.poll(None)


class Disk:
    """Watches how many bytes a folder holds at most."""

    def __init__(self, folder: Path) -> None:
        self.most, self._folder, self._over = 0, folder, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Disk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            held = (Path(folder, name) for folder, _, names in os.walk(self._folder) for name in names)
            self.most = max(self.most, sum(map(_size, held)))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def fetched(base_url: str, pages: int, page_size: int) -> float:
    """Rows a second of a bare fetch that parses the rows and throws them away."""
    import requests

    started = time.perf_counter()
    with requests.Session() as session:
        for number in range(pages):
            answer = session.get(base_url + PATH, timeout=60,
                                 params={"limit": str(page_size), "offset": str(number * page_size)})
            json.loads(answer.content)
    return pages * page_size / (time.perf_counter() - started)


def loaded(base_url: str, rows: int, page_size: int, folder: Path) -> None:
    """Loads all rows, and prints what it took."""
    import dlt

    from hyperstudy_source import load

    working = folder / "pipelines"
    pipeline = dlt.pipeline("hyperstudy", destination=dlt.destinations.duckdb(str(folder / "hyperstudy.duckdb")),
                            dataset_name="hyperstudy_data", pipelines_dir=str(working))
    started = time.perf_counter()
    with Disk(working) as disk:
        load(pipeline, ["ratings_continuous"], api_key=KEY, base_url=base_url, experiment_ids=[EXPERIMENT],
             page_size=page_size, requests_per_minute=None, requests_per_hour=None)
    seconds = time.perf_counter() - started
    with pipeline.sql_client() as client:
        counts = client.execute_sql("SELECT (SELECT count(*) FROM ratings_continuous), (SELECT count(*) FROM "
                                    "_dlt_loads), pages, requests, status FROM sync_ledger")
    came, packages, pages, requests, status = (counts or [()])[0]
    if (came, status) != (rows, "complete"):
        raise RuntimeError(f"{came:,} of {rows:,} rows are there, and the ledger says {status}.")
    bare = fetched(base_url, max(1, rows // page_size // 10), page_size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
    print(f"{rows:>10,} rows, {pages:,} pages, {requests:,} requests, {packages} packages, {seconds:.0f} s: "
          f"{rows / seconds:,.0f} rows/s ({bare * seconds / rows:.1f} times slower than a bare fetch), "
          f"at most {peak:.0f} MB of memory and {disk.most / 1e6:.0f} MB of packages on disk", flush=True)


def main() -> int:
    """Loads a fifth of the pages, then all, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=5000)
    parser.add_argument("--page-size", type=int, default=1000)
    parser.add_argument("--start-time", choices=["heeded", "ignored"], default="heeded")
    options = parser.parse_args()
    for pages in (options.pages // 5, options.pages):
        rows = pages * options.page_size
        with served(serve, rows, options.start_time == "heeded") as base_url, tempfile.TemporaryDirectory() as folder:
            os.environ |= {"DLT_DATA_DIR": str(Path(folder, "dlt")), "RUNTIME__DLTHUB_TELEMETRY": "false"}
            process = SPAWN.Process(target=loaded, args=(base_url, rows, options.page_size, Path(folder)))
            process.start()
            process.join()
            if process.exitcode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
