"""Where recordings go: a folder on any filesystem that fsspec knows, with dlt's own configuration and credentials.

A file is written under a temporary name and moved when it is whole. What surprises: object stores show an object only
once it is complete, but a killed process can leave a temporary one behind on any of them; the next run removes it.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.exceptions import MissingDependencyException
from dlt.common.storages import FilesystemConfiguration, fsspec_from_config
from fsspec.spec import AbstractBufferedFile

from hyperstudy_source.api.redaction import without_secrets
from hyperstudy_source.errors import HyperStudyError, SettingError

BLOCK = 8 * 1024 * 1024
"""Bytes that a file in an object store is written in, and held in memory; 5 MiB is the least that S3 takes."""
READ_BLOCK = 1024 * 1024
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az", "adl": "az"}
"""Object stores, which have no folders to make, by the extra of this package that they need."""


class NotWritten(HyperStudyError):
    """The target cannot be listed or written: says which one and why."""


class Target:
    """The place of the files, `bucket_url`. Safe to share between threads.

    Raises `SettingError` where the URL, its credentials or the packages for it are missing.
    """

    def __init__(self, bucket_url: str) -> None:
        try:
            self._config = resolve_configuration(
                FilesystemConfiguration(bucket_url=bucket_url), sections=("sources", "hyperstudy"))
            self._fs, self._root = fsspec_from_config(self._config)
        except MissingDependencyException:
            extra = _EXTRAS.get(bucket_url.partition("://")[0])
            hint = f'Run: pip install "dlt-source-hyperstudy[{extra}]"' if extra else "Install what fsspec asks for."
            raise SettingError(
                f"bucket_url is {_shown(bucket_url)}, but the packages for it are missing. {hint}") from None
        except (ConfigurationException, ValueError) as failure:
            raise SettingError(
                f"bucket_url is {_shown(bucket_url)}, which cannot be used: {_reason(failure)} Give a folder, or a URL "
                "such as s3://bucket/folder, with its credentials under [sources.hyperstudy.credentials].") from None
        self.writer = ""
        """Whose temporary files these are: what a killed run left is removed by the next one of the same writer."""
        self._own = secrets.token_hex(4)
        """In the names of the temporary files of this target, which are under way and no leftovers."""
        self.is_local = self._config.is_local_filesystem
        if self.is_local:  # the root of fsspec has what a URL must quote, such as spaces, as %20
            folder = FilesystemConfiguration.make_local_path(str(self._config.bucket_url))
            self._root = Path(folder).absolute().as_posix()

    def __str__(self) -> str:
        return self._root if self.is_local else _shown(str(self._config))

    def files(self, folder: str) -> dict[str, int]:
        """Names and sizes in bytes of the files in a folder; what a killed run left behind is removed.

        Raises `NotWritten` where the folder cannot be listed.
        """
        try:
            self._fs.invalidate_cache()
            found = self._fs.ls(self._path(folder), detail=True)
        except FileNotFoundError:
            return {}
        except Exception as failure:
            raise NotWritten(f"{self} cannot be listed: {_reason(failure)}") from None
        sizes = {posixpath.basename(each["name"].rstrip("/")): each["size"] for each in found if each["type"] == "file"}
        for name in [name for name in sizes if name.startswith(self._prefix)]:
            del sizes[name]
            if not name.startswith(self._prefix + self._own):
                self.remove(self._path(folder, name))
        return {name: int(size or 0) for name, size in sizes.items()}

    def prove_writable(self) -> None:
        """Writes a file and removes it. Raises `NotWritten` where that fails."""
        with self.draft("") as draft:
            draft.write(b"?")
            draft.close()

    def draft(self, folder: str) -> Draft:
        """A new file in a folder that has no name yet."""
        return Draft(self, folder)

    def read(self, folder: str, name: str) -> Iterator[bytes]:
        """The content of a file, block by block."""
        with self._fs.open(self._path(folder, name), "rb") as file:
            while block := file.read(READ_BLOCK):
                yield block

    def written_at(self, folder: str, name: str) -> datetime:
        """When a file was written."""
        moment: datetime = self._fs.modified(self._path(folder, name))
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)

    def url(self, folder: str, name: str) -> str:
        """Where a file lies, as fsspec opens it."""
        path = self._path(folder, name)
        return f"file://{path}" if self.is_local else str(self._config.make_url(path))

    def local_path(self, folder: str, name: str) -> str:
        """The path of a file on this machine, else its URL."""
        return self._path(folder, name) if self.is_local else self.url(folder, name)

    def open_draft(self, folder: str) -> tuple[str, Any]:
        """A path that no file has, and the file opened for writing there. Raises `OSError`."""
        path = self._path(folder, f"{self._prefix}{self._own}{secrets.token_hex(6)}.part")
        try:
            return path, self._fs.open(path, "wb", block_size=BLOCK)
        except FileNotFoundError:
            if self._config.protocol in _EXTRAS:
                raise
            self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
            return path, self._fs.open(path, "wb", block_size=BLOCK)

    def move(self, path: str, folder: str, name: str) -> None:
        """Gives a draft its name, in place of an older file. Raises `OSError`.

        Object stores copy on their side. `mv` would take a bracket in the path for a pattern, and a name that others
        begin with for a folder.
        """
        final = self._path(folder, name)
        if self.is_local:
            Path(path).replace(final)
            return
        self._fs.cp_file(path, final)
        if self.size(final) != self.size(path):
            raise OSError("the copy is not whole")
        self._fs.rm_file(path)

    def size(self, path: str) -> int:
        """Bytes of a draft that was written."""
        self._fs.invalidate_cache()
        return int(self._fs.size(path) or 0)

    def remove(self, path: str) -> None:
        """Removes a draft if it is there; one that cannot be removed is left for the next run."""
        with suppress(Exception):
            self._fs.rm_file(path)

    @property
    def _prefix(self) -> str:
        return f".hyperstudy-{hashlib.blake2b(self.writer.encode(), digest_size=4).hexdigest()}-"

    def _path(self, *names: str) -> str:
        return posixpath.join(self._root, *filter(None, names))


class Draft:
    """A file on its way: written under a temporary name, and gone after the `with` block unless it was published.

    Every method raises `NotWritten` where the target refuses.
    """

    def __init__(self, target: Target, folder: str) -> None:
        self._target, self._folder = target, folder
        self._path: str | None = None
        self._file: Any = None
        self.size = 0
        """Bytes written so far."""

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restart()

    def write(self, data: bytes) -> None:
        """Adds bytes at the end."""
        try:
            if self._file is None:
                self._path, self._file = self._target.open_draft(self._folder)
            self._file.write(data)
        except Exception as failure:
            raise self._refused(failure) from None
        self.size += len(data)

    def restart(self) -> None:
        """Forgets what was written."""
        if self._file is not None:
            with suppress(Exception):
                _abandon(self._file)
        if self._path is not None:
            self._target.remove(self._path)
        self._path = self._file = None
        self.size = 0

    def close(self) -> None:
        """Makes sure that all bytes are in the target."""
        try:
            if self._target.is_local:
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            written = self._target.size(str(self._path))
        except Exception as failure:
            raise self._refused(failure) from None
        if written != self.size:
            raise NotWritten(f"{self._target} kept {written:,} of {self.size:,} bytes.")

    def publish(self, name: str) -> None:
        """Closes the file and gives it its name; an older one of that name is replaced at once."""
        if self._file is not None:
            self.close()
        try:
            self._target.move(str(self._path), self._folder, name)
        except Exception as failure:
            raise self._refused(failure, name) from None
        self._path = None

    def _refused(self, failure: Exception, name: str | None = None) -> NotWritten:
        if name and (name in str(failure) or quote(name) in str(failure)):
            return NotWritten(f"{self._target} cannot be written: {type(failure).__name__}.")
        return NotWritten(f"{self._target} cannot be written: {_reason(failure)}")


def _abandon(file: Any) -> None:
    """Ends an upload without an object coming of it, also not when the file is collected, where the filesystem can."""
    if isinstance(file, AbstractBufferedFile):
        file.closed = True
        file.discard()
    else:
        file.close()


def _reason(failure: Exception) -> str:
    """The first line of what a filesystem says, with a full stop; without the names of files."""
    said = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
    line = without_secrets(" ".join(said.split("\n")[0].split()))[:300] or type(failure).__name__
    return line if line.endswith(".") else f"{line}."


def _shown(bucket_url: str) -> str:
    """A URL without its password and its query."""
    scheme, separator, rest = without_secrets(bucket_url).partition("://")
    place = rest.split("?")[0]
    head, at, tail = place.partition("@")
    return scheme + separator + (f"{head.split(':')[0]}{at}{tail}" if at else place)
