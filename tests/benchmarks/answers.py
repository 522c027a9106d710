"""An API for benchmarks, in a process of its own: every row is JSON before the first request comes."""

from __future__ import annotations

import bisect
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import requests

from hyperstudy_source.standin import StandIn, Study, demo_study

KEY = "hst_test_" + "Benchmark" * 7
EXPERIMENT = "exp_measured"
START = datetime(2024, 1, 1, tzinfo=timezone.utc)
COPIED = "exp_video_pairs"
"""The experiment of the demo of which the whole study is made."""
Json = dict[str, Any]


def compact(row: Json) -> bytes:
    """A row as servers write it: without spaces."""
    return json.dumps(row, separators=(",", ":")).encode()


def time_of(number: int, step_ms: int = 100) -> str:
    """The time of a row."""
    return (START + timedelta(milliseconds=number * step_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rating(number: int) -> Json:
    """A continuous rating; every second one has a list, as sliders with several handles give."""
    row = {
        "ratingId": f"rat_{number:09d}", "participantId": f"p{number % 8}", "componentId": "slider",
        "timestamp": time_of(number), "onset": 100 * number, "rawOnset": 100 * number + 20, "clockOffsetApplied": 20,
        "value": number * 7 % 101, "rawValue": number * 7 % 101, "scale": {"min": 0, "max": 100},
        "type": "continuous", "stateId": "state_film", "stimulusId": "film_sea", "stimulusTime": 100 * number,
        "roomId": f"room_{number % 4}",
        "metadata": {"question": "How engaging is this film?", "dimension": "engagement"}}
    return row | ({"handles": [number % 101, number % 7]} if number % 2 else {})


def sync(number: int) -> Json:
    """A row of clock synchronisation: small, flat, without a key."""
    return {"timestamp": time_of(number), "onset": 100 * number, "participantId": f"p{number % 8}",
            "roomId": f"room_{number % 4}", "timeDrift": number % 97 / 10, "playbackRate": 1,
            "syncQuality": 0.9, "latency": number % 53}


def event(number: int) -> Json:
    """An event with an object, a list and a map."""
    return {
        "id": f"evt_{number:09d}", "experimentId": EXPERIMENT, "roomId": f"room_{number % 4}",
        "participantId": f"p{number % 8}", "participantRole": "viewer", "sessionId": f"s{number % 4}",
        "onset": 100 * number, "timestamp": time_of(number), "sessionTime": number, "category": "component",
        "eventType": "component.submit", "content": f"answer {number % 11}",
        "componentType": "ranking", "componentData": {"order": [number % 3, 1, 2], "confirmed": True},
        "previousRatings": {"joy": number % 10, "fear": number % 7}}


MEASURES: Mapping[str, tuple[str, Any]] = {
    "ratings_continuous": ("/data/ratings/continuous", rating), "sync": ("/data/sync", sync),
    "events": ("/data/events", event),
}
"""By data type: its path, and what makes its rows."""


@dataclass
class Answers:
    """The rows of one path, and what tells their times."""

    rows: list[bytes]
    times: list[str] = field(default_factory=list)
    around: Json = field(default_factory=dict)
    is_list: bool = True

    def body(self, asked: Mapping[str, str]) -> bytes:
        """One page."""
        first = bisect.bisect_left(self.times, asked["startTime"]) if self.times and "startTime" in asked else 0
        offset, limit = int(asked.get("offset", 0)), int(asked.get("limit", 1000))
        page = self.rows[first + offset:first + offset + limit]
        total, end = len(self.rows) - first, offset + len(page)
        pagination = {"total": total, "returned": len(page), "hasMore": end < total, "limit": limit, "offset": offset,
                      "nextOffset": end if end < total else None}
        head = compact({"status": "success", "metadata": {**self.around, "pagination": pagination}})
        data = b"[" + b",".join(page) + b"]" if self.is_list else self.rows[0]
        return head[:-1] + b',"data":' + data + b"}"


class Server(BaseHTTPRequestHandler):
    """Answers with what was made beforehand. `POST /rows/N` lets one measure have so many rows."""

    answers: ClassVar[dict[str, Answers]] = {}
    every: ClassVar[dict[str, Answers]] = {}
    latency = 0.0
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One page, after the latency."""
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found = self.answers.get(unquote(parts.path))
        time.sleep(self.latency)
        body = found.body(asked) if found else b'{"status":"error","error":{"code":"NOT_FOUND","message":"-"}}'
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Cuts all measures to a number of rows."""
        rows = int(self.path.rsplit("/", 1)[1])
        for path, full in self.every.items():
            self.answers[path] = Answers(full.rows[:rows], full.times[:rows])
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def measured(data_type: str, rows: int) -> dict[str, Answers]:
    """One experiment with so many rows of one data type."""
    path, make = MEASURES[data_type]
    listed = json.dumps({"id": EXPERIMENT, "name": "Measured"}).encode()
    return {
        f"{path}/experiment/{EXPERIMENT}": Answers(
            [compact(make(number)) for number in range(rows)], [time_of(number) for number in range(rows)]),
        "/experiments": Answers([listed]), f"/experiments/{EXPERIMENT}": Answers([listed], is_list=False)}


def whole_study(experiments: int) -> dict[str, Answers]:
    """Copies of an experiment of the demo, with everything that the demo's API gives of it."""
    found: dict[str, Answers] = {}
    with StandIn(only(demo_study(), COPIED)) as api, requests.Session() as session:
        session.headers["X-API-Key"] = api.api_key
        for path in paths(api):
            answer = session.get(api.base_url + path, params={"limit": "100000"}, timeout=60).json()
            for number in range(experiments):
                copy = json.loads(copied(json.dumps(answer), number))
                data = copy["data"]
                rows = [compact(row) for row in (data if isinstance(data, list) else [data])]
                place = copied(path, number)
                if path in ("/experiments", "/deployments"):
                    known = found.setdefault(path, Answers([]))
                    known.rows.extend(rows)
                else:
                    found[place] = Answers(rows, _times(data), {
                        name: value for name, value in copy["metadata"].items() if name != "pagination"},
                        isinstance(data, list))
    return found


def only(study: Study, experiment_id: str) -> Study:
    """A study without its other experiments."""
    study.experiments = [each for each in study.experiments if each["id"] == experiment_id]
    study.deployments = [each for each in study.deployments if each["experimentId"] == experiment_id]
    return study


def paths(api: StandIn) -> Iterator[str]:
    """Everything that the API gives of the one experiment."""
    from hyperstudy_source.standin.study import TABLES

    study = api.study
    yield from ("/experiments", "/deployments", f"/experiments/{COPIED}")
    yield from (f"/deployments/{each['id']}/sessions" for each in study.deployments)
    yield from (f"/data/{table.path}/experiment/{COPIED}" for table in TABLES.values())
    yield from (f"/data/variables/room/{row['id']}" for row in study.rows["rooms"][COPIED])


def copied(text: str, number: int) -> str:
    """A text about the experiment, as one about its copy."""
    return text.replace(COPIED, f"exp_{number:02d}").replace("dep_", f"dep_{number:02d}_").replace(
        "room_v", f"room_{number:02d}_v")


def _times(data: Any) -> list[str]:
    times = [row.get("timestamp") for row in data] if isinstance(data, list) else []
    return times if all(times) and times == sorted(times) else []


def serve(case: str, rows: int, latency: float, parent: Connection) -> None:
    """An API with a data type, or with a `study` of so many experiments. Tells its address and number of rows."""
    Server.answers = whole_study(rows) if case == "study" else measured(case, rows)
    Server.every = {path: each for path, each in Server.answers.items() if len(each.rows) > 1}
    Server.latency = latency
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        parent.send((f"http://127.0.0.1:{server.server_address[1]}",
                     sum(len(each.rows) for path, each in Server.answers.items() if path.startswith("/data/"))))
        parent.poll(None)
