"""What a command writes to: streams that show any text, and progress that shares the screen with messages."""

from __future__ import annotations

import codecs
import io
import logging
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from dlt.common import logger
from dlt.common.runtime.collector import TqdmCollector
from dlt.common.runtime.collector_base import Collector

PERIOD = 15.0
"""s between two lines of progress where there is no terminal."""
PLAIN = {"✓": "ok", "✗": "NO", "…": "..."}
"""What stands for our own signs where the screen has no such letters."""
READABLE = "hyperstudy_source.readable"
"""The name under which Python knows how to show what an encoding lacks."""


def show_any_text() -> None:
    """Lets a console of few letters show a sign or `?` in place of a letter that it lacks."""
    codecs.register_error(READABLE, _readable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=READABLE)


def progress() -> Collector:
    """Bars on a terminal; else a line now and then."""
    return TqdmCollector() if sys.stderr.isatty() else Lines()


def messages_above_bars() -> None:
    """Sends what is logged to where it does not break the bars of a terminal."""
    log: logging.Logger | None = logger.LOGGER
    if log and sys.stderr.isatty():
        for handler in [each for each in log.handlers if type(each) is logging.StreamHandler]:
            log.removeHandler(handler)
            log.addHandler(AboveBars(handler))


def _readable(error: UnicodeError) -> tuple[str, int]:
    """What stands for the letters that an encoding lacks, and where to go on behind them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(letter, "?") for letter in error.object[error.start:error.end]), error.end


class AboveBars(logging.Handler):
    """Writes the messages of this package as they are, and others as the handler that it replaces does."""

    def __init__(self, replaced: logging.Handler) -> None:
        super().__init__(replaced.level)
        self.setFormatter(replaced.formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line above the bars."""
        from tqdm import tqdm

        ours = str(__package__).split(".")[0] in Path(record.pathname).parts
        tqdm.write(record.getMessage() if ours else self.format(record), file=sys.stderr)


class Lines(Collector):
    """A line when a step of dlt begins, one every `PERIOD` while it lasts, and one when it ends."""

    def __init__(self) -> None:
        self.step = ""
        self._label = self._main = ""
        self._counts: Counter[str] = Counter()
        self._total, self._due = 0, 0.0
        self._is_rest = False

    def update(
        self, name: str, inc: int = 1, total: int | None = None, inc_total: int | None = None,
        message: str | None = None, label: str | None = None,  # noqa: ARG002 - the names are those of dlt
    ) -> None:
        """Counts."""
        self._main = self._main or name
        if name == self._main:
            self._total += (total if total is not None and not self._total else 0) + (inc_total or 0)
        self._counts[name] += inc
        if time.monotonic() >= self._due:
            self._write()

    def _start(self, step: str) -> None:
        label = step.split(" in ")[0]
        self._is_rest = label == self._label  # dlt extracts its own state in a step of the same name
        self._label, self._main, self._total = label, "", 0
        self._due = time.monotonic() + PERIOD if self._is_rest else 0.0
        self._counts.clear()

    def _stop(self) -> None:
        if not self._is_rest:
            self._write()

    def _write(self) -> None:
        rows = sum(self._counts.values()) - self._counts[self._main]
        line = (f"{self._label}: {self._main} {self._counts[self._main]}/{self._total}"
                + (f", {rows:,} rows" if rows and self._label.startswith("Extract") else ""))
        self._due = time.monotonic() + PERIOD
        if self._main:
            print(f"{datetime.now():%H:%M:%S} {line}", file=sys.stderr, flush=True)
