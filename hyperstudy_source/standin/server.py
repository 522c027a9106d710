"""The stand-in itself: a real HTTP server on 127.0.0.1 in a thread."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from hyperstudy_source.standin import data, endpoints, routing
from hyperstudy_source.standin.answers import Answer, ApiError, rate_limited, spoiled
from hyperstudy_source.standin.behaviour import Behaviour, Fault
from hyperstudy_source.standin.requests_seen import Request, seconds_to_wait
from hyperstudy_source.standin.storage import STORAGE, Links, file_answer
from hyperstudy_source.standin.study import Study

ENDPOINT_MODULES = (endpoints, data)
"""Imported so that their endpoints are registered."""
DEMO_KEY = "hst_test_StandInStandInStandInStandInStandInStandInStandInStandIn00000000"
API = "/api/v3"


class StandIn:
    """Serves a study until the `with` block ends.

    Attributes:
        study: what is served; may be changed meanwhile.
        behaviour: how; may be changed meanwhile.
        requests: every request so far, added before its answer is sent.
        base_url: what a client is given, such as `http://127.0.0.1:40001/api/v3`.
    """

    def __init__(
        self,
        study: Study,
        behaviour: Behaviour | None = None,
        api_key: str = DEMO_KEY,
        scopes: tuple[str, ...] = ("read:*",),
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Listen on a port (0: a free one) for requests with this key, which has these permissions.

        `clock` gives epoch seconds: the time of answers, the age of links and the windows of rate limits.
        """
        self.study = study
        self.behaviour = behaviour if behaviour is not None else Behaviour()
        self.api_key = api_key
        self.scopes = scopes
        self.requests: list[Request] = []
        self._clock = clock
        self._stopped = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.stand_in = self
        origin = f"http://127.0.0.1:{self._server.server_port}"
        self.base_url = origin + API
        self._links = Links(origin, clock)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> StandIn:
        """Start to serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and close what clients keep open."""
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()

    def seen(self, prefix: str = "") -> list[Request]:
        """Return the requests so far whose path starts with `prefix`."""
        return [each for each in list(self.requests) if each.path.startswith(prefix)]

    def respond(self, target: str, headers: dict[str, str]) -> Answer:
        """Answer one GET, note it in `requests` and return what to send."""
        now = self._clock()
        split = urlsplit(target)
        path = split.path.removeprefix(API) or "/"
        params = dict(parse_qsl(split.query, keep_blank_values=True))
        fault = self.behaviour.take(path, params, self.study)
        if self.behaviour.latency and self._stopped.wait(self.behaviour.latency):
            return Answer(0, b"", dropped=True)
        if split.path.startswith(STORAGE):
            answer = self._file(unquote(path.removeprefix(STORAGE)), params, headers, fault)
        elif split.path.startswith(API + "/"):
            answer = self._api(path, params, headers, now)
        else:
            answer = ApiError(404, "NOT_FOUND", f"No such path: {split.path}").answer()
        answer = answer if fault is None else spoiled(answer, fault)
        status = 0 if answer.dropped else answer.status
        self.requests.append(Request(path, params, headers, status, now))
        return answer

    def _api(self, path: str, params: dict[str, str], headers: dict[str, str], now: float) -> Answer:
        if path != "/health" and headers.get("x-api-key") != self.api_key:
            return ApiError(401, "AUTHENTICATION_ERROR", "Invalid or expired API key").answer()
        seen = list(self.requests)
        wait = seconds_to_wait(seen, path, now, self.behaviour)
        if wait:
            return rate_limited(str(wait))
        asked = routing.Asked(
            path=path,
            params=params,
            study=self.study,
            behaviour=self.behaviour,
            links=self._links,
            scopes=self.scopes,
            organization=headers.get("x-organization-id"),
            now=now,
            earlier=sum(each.path == path for each in seen),
        )
        return routing.answer(asked)

    def _file(
        self, name: str, params: dict[str, str], headers: dict[str, str], fault: Fault | None
    ) -> Answer:
        return file_answer(self.study, self.behaviour, self._links, name, params, headers, fault)


class _Server(ThreadingHTTPServer):
    stand_in: StandIn
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the traceback, unless a client merely went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.stand_in.respond(self.path, headers)
        if answer.dropped:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            for line in [value] if isinstance(value, str) else value:
                self.send_header(name, line)
        self._send_length(answer)
        self.end_headers()
        self._send_body(answer)
        if answer.stalled:
            self.wfile.flush()
            self._await_end()
        self.close_connection = self.close_connection or answer.sent is not None

    def _send_length(self, answer: Answer) -> None:
        size = len(answer.body) if answer.announced is None else answer.announced
        match answer.length:
            case "announced":
                self.send_header("Content-Length", str(size))
            case "chunked":
                self.send_header("Transfer-Encoding", "chunked")
            case "closed":
                self.send_header("Connection", "close")

    def _send_body(self, answer: Answer) -> None:
        chunked = answer.length == "chunked"
        for block in answer.blocks():
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked and answer.sent is None:
            self.wfile.write(b"0\r\n\r\n")

    def _await_end(self) -> None:
        """Wait until the client, or `close_connections`, ends the connection."""
        while self.rfile.read(1):
            pass

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: what was asked is in `StandIn.requests`."""
