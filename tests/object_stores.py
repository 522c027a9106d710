"""Places to write to, on this machine: a folder, and servers that speak S3 and Google Cloud Storage.

Each is a context manager that gives an empty `Store`. Its environment variables configure dlt's own filesystem
(`FilesystemConfiguration`, resolved in the sections `sources` and `hyperstudy`), and nothing else is needed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import HTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fsspec import get_filesystem_class
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage
from moto.server import ThreadedMotoServer

BUCKET = "recordings"
SECTION = "SOURCES__HYPERSTUDY__"
"""Under which dlt looks for the credentials and the options of the filesystem."""


class Store(NamedTuple):
    """An empty place to write to, and the environment variables with which dlt reaches it."""

    bucket_url: str
    environment: Mapping[str, str]


@contextmanager
def local() -> Iterator[Store]:
    """A folder."""
    with tempfile.TemporaryDirectory() as folder:
        yield Store(Path(folder).as_uri(), {})


@contextmanager
def s3() -> Iterator[Store]:
    """A bucket of moto's S3, served by threads of this process; one at a time, since moto's servers share all data."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        requests.post(f"{endpoint}/moto-api/reset", timeout=10).raise_for_status()
        requests.put(f"{endpoint}/{BUCKET}", timeout=10).raise_for_status()
        yield Store(f"s3://{BUCKET}", {
            f"{SECTION}CREDENTIALS__AWS_ACCESS_KEY_ID": "anyone",
            f"{SECTION}CREDENTIALS__AWS_SECRET_ACCESS_KEY": "secret",
            f"{SECTION}CREDENTIALS__REGION_NAME": "us-east-1",
            f"{SECTION}CREDENTIALS__ENDPOINT_URL": endpoint,
        })
    finally:
        get_filesystem_class("s3").clear_instance_cache()  # also closes their connections
        server.stop()


@contextmanager
def gcs() -> Iterator[Store]:
    """A bucket of the Google Cloud Storage emulator, served by a thread of this process."""
    storage = Storage(use_memory_fs=True)
    create_bucket(BUCKET, storage)
    server = _GcsServer(("127.0.0.1", 0), partial(_GcsHandler, storage))
    endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield Store(f"gs://{BUCKET}", {
            f"{SECTION}CREDENTIALS": json.dumps(_service_account(f"{endpoint}/token")),
            f"{SECTION}KWARGS": json.dumps({"endpoint_url": endpoint}),
            # gcsfs reads this once, when it is imported; it would ask for the kind of the bucket over gRPC
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        })
    finally:
        get_filesystem_class("gs").clear_instance_cache()
        server.shutdown()
        thread.join()
        server.server_close()


STORES: Mapping[str, Callable[[], AbstractContextManager[Store]]] = {"local": local, "s3": s3, "gcs": gcs}


def _service_account(token_uri: str) -> dict[str, str]:
    """The key of a service account that gets its tokens from here, as Google would let it be downloaded."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "type": "service_account",
        "project_id": "anything",
        "client_email": "anyone@anything.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
        "token_uri": token_uri,
    }


class _GcsServer(HTTPServer):
    """Answers one request after the other, since the emulator's storage knows no threads; the others wait."""

    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Overlook that a client hung up: gcsfs does, on answers that it no longer needs."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _GcsHandler(RequestHandler):  # type: ignore[misc]  # the emulator ships no types
    """The emulator, and what gcsfs needs besides: tokens, moves, and uploads that are given up."""

    path: str

    def do_POST(self) -> None:
        """Give a token to whoever asks, or move an object: as the emulator's copy, and a deletion."""
        path = urlsplit(self.path).path
        objects, moves, target = path.partition("/moveTo/o/")
        if path == "/token":
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(200, {"access_token": "token", "token_type": "Bearer", "expires_in": 3600})
        elif moves:
            bucket, _, source = objects.removeprefix("/storage/v1/b/").partition("/o/")
            self.path = f"{objects}/copyTo/b/{bucket}/o/{target}"
            super().do_POST()
            if source != target:
                self._forget(self.storage.delete_file, unquote(bucket), unquote(source))
        else:
            super().do_POST()

    def do_DELETE(self) -> None:
        """Give up an upload, or delete what the emulator can delete."""
        upload = parse_qs(urlsplit(self.path).query).get("upload_id")
        if upload:
            self._forget(self.storage.delete_resumable_file_obj, *upload)
            self._answer(499, {})
        else:
            super().do_DELETE()

    def _answer(self, status: int, content: Mapping[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status, "")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _forget(self, delete: Callable[..., None], *names: str) -> None:
        """Delete what may not be there."""
        try:
            delete(*names)
        except NotFound:
            self.log_message("there is no %s", names)
