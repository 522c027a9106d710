"""What the download of recordings relies on, whatever dlt's filesystem configuration points to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.storages import FilesystemConfiguration, fsspec_from_config
from object_stores import STORES

BLOCK = 5 * 2**20
"""The smallest that S3 takes for the parts of an upload."""
SEVERAL_BLOCKS = 2 * BLOCK + 12_345
PIECE = 2**16


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, str]]:
    """A filesystem, and an empty folder in it."""
    with STORES[request.param]() as (bucket_url, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        config = resolve_configuration(
            FilesystemConfiguration(bucket_url=bucket_url), sections=("sources", "hyperstudy"))
        fs, root = fsspec_from_config(config)
        folder = f"{root}/folder"
        fs.makedirs(folder, exist_ok=True)
        yield fs, folder


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def write(fs: Any, path: str, data: bytes) -> None:
    with fs.open(path, "wb", block_size=BLOCK) as handle:
        for start in range(0, len(data), PIECE):
            handle.write(data[start:start + PIECE])


def give_up(fs: Any, path: str, handle: Any) -> None:
    """End a write so that nothing is kept of it; closing the handle, also by collecting it, would keep it."""
    if fs.protocol == ("file", "local"):
        handle.close()
        fs.rm(path)
    else:
        handle.discard()
        handle.closed = True


def sizes(fs: Any, folder: str) -> dict[str, int]:
    """What is in a folder, by name."""
    fs.invalidate_cache()
    return {entry["name"].rpartition("/")[2]: entry["size"] for entry in fs.ls(folder, detail=True)}


@pytest.mark.parametrize("size", [0, BLOCK, SEVERAL_BLOCKS])
def test_what_is_written_is_read(store: tuple[Any, str], size: int) -> None:
    fs, folder = store
    write(fs, f"{folder}/object", content(size))
    assert fs.cat_file(f"{folder}/object") == content(size)


def test_objects_written_at_once_are_whole(store: tuple[Any, str]) -> None:
    fs, folder = store
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda i: write(fs, f"{folder}/{i}", content(SEVERAL_BLOCKS + i, seed=i)), range(8)))
    assert sizes(fs, folder) == {str(i): SEVERAL_BLOCKS + i for i in range(8)}
    for i in range(8):
        assert fs.cat_file(f"{folder}/{i}") == content(SEVERAL_BLOCKS + i, seed=i)


def test_a_move_replaces_what_was_there(store: tuple[Any, str]) -> None:
    fs, folder = store
    write(fs, f"{folder}/a name, größer.webm", b"old")
    write(fs, f"{folder}/temporary", content(SEVERAL_BLOCKS))
    fs.mv(f"{folder}/temporary", f"{folder}/a name, größer.webm")
    assert sizes(fs, folder) == {"a name, größer.webm": SEVERAL_BLOCKS}
    assert fs.cat_file(f"{folder}/a name, größer.webm") == content(SEVERAL_BLOCKS)


def test_a_local_file_is_copied_whole(store: tuple[Any, str], tmp_path: Any) -> None:
    fs, folder = store
    (tmp_path / "file").write_bytes(content(SEVERAL_BLOCKS))
    fs.put_file(str(tmp_path / "file"), f"{folder}/object")
    assert fs.cat_file(f"{folder}/object") == content(SEVERAL_BLOCKS)


def test_a_missing_folder_is_not_found(store: tuple[Any, str]) -> None:
    fs, folder = store
    with pytest.raises(FileNotFoundError):
        fs.ls(f"{folder}/missing", detail=True)


@pytest.mark.parametrize("written", [1000, SEVERAL_BLOCKS])
def test_nothing_is_left_of_a_write_that_is_given_up(store: tuple[Any, str], written: int) -> None:
    fs, folder = store
    write(fs, f"{folder}/kept", b"kept")
    handle = fs.open(f"{folder}/object", "wb", block_size=BLOCK)
    handle.write(content(written))
    give_up(fs, f"{folder}/object", handle)
    del handle
    assert sizes(fs, folder) == {"kept": 4}


def test_what_is_given_up_leaves_the_earlier_object(store: tuple[Any, str]) -> None:
    fs, folder = store
    if fs.protocol == ("file", "local"):
        pytest.skip("a file is overwritten in place")
    write(fs, f"{folder}/object", b"earlier")
    handle = fs.open(f"{folder}/object", "wb", block_size=BLOCK)
    handle.write(content(SEVERAL_BLOCKS))
    give_up(fs, f"{folder}/object", handle)
    assert fs.cat_file(f"{folder}/object") == b"earlier"


def test_what_is_removed_is_gone(store: tuple[Any, str]) -> None:
    fs, folder = store
    write(fs, f"{folder}/kept", b"kept")
    write(fs, f"{folder}/object", b"object")
    fs.rm(f"{folder}/object")
    assert sizes(fs, folder) == {"kept": 4}
