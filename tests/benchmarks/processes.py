"""Servers of benchmarks in processes of their own, so that what they cost is not counted."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def served(serve: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """What a server tells of itself. `serve` gets the arguments and a connection, at whose end it ends."""
    here, there = SPAWN.Pipe()
    server = SPAWN.Process(target=serve, args=(*arguments, there), daemon=True)
    server.start()
    there.close()
    with here:
        yield here.recv()
    server.join()
