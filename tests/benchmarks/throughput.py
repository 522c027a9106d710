"""How fast rows come into DuckDB: this source beside a bare fetch, the platform's SDK, and dlt's REST source.

    python tests/benchmarks/throughput.py                    # all cases, three rounds; some minutes
    python tests/benchmarks/throughput.py --case sync --rounds 1

Every way runs in a process of its own, in turn with the others, against one server in another process whose rows were
made beforehand. The limits of requests are off. Medians are printed as the table of the README has them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.answers import serve
from benchmarks.processes import served

HEAD = "| case | way | rows/s | of the SDK's | CPU, s | memory, MB |\n| --- | --- | ---: | ---: | ---: | ---: |"


@dataclass(frozen=True)
class Case:
    """What is measured. `rows` are those of a data type, or the experiments of the study, and stand in the name.

    `latency` is in s.
    """

    name: str
    data_type: str
    rows: int
    ways: tuple[str, ...]
    latency: float = 0.0
    added: int = 0
    """So many of the rows come with a second run, which alone is measured."""


CASES = (
    Case("{:,} continuous ratings", "ratings_continuous", 300_000, ("bare", "sdk", "rest_api", "ours")),
    Case("{:,} rows of sync", "sync", 300_000, ("bare", "sdk", "rest_api", "ours")),
    Case("{:,} events", "events", 100_000, ("bare", "sdk", "rest_api", "ours")),
    Case("{} experiments, 20 ms latency", "study", 20, ("sdk", "ours"), latency=0.02),
    Case("1,000 of {:,} ratings are new", "ratings_continuous", 1_001_000, ("sdk", "ours"), added=1_000),
)


@dataclass(frozen=True)
class Figures:
    """What one run of one way took."""

    seconds: float
    cpu: float
    mb: float


def run(way: str, case: Case, address: str, folder: Path) -> Figures:
    """One way in a process of its own."""
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("ways.py")), way, case.data_type, address,
                           str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way}, {case.name.format(case.rows)}:\n{done.stderr[-2000:]}")
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


def measured(case: Case, rounds: int) -> Iterator[str]:
    """The lines of a case: medians over the rounds, in each of which every way has its turn."""
    found: dict[str, list[Figures]] = {way: [] for way in case.ways}
    with served(serve, case.data_type, case.rows, case.latency) as (address, rows):
        for _ in range(rounds):
            for way in case.ways:
                with tempfile.TemporaryDirectory() as folder:
                    if case.added and way == "ours":
                        requests.post(f"{address}/rows/{case.rows - case.added}", timeout=60)
                        run(way, case, address, Path(folder))
                    requests.post(f"{address}/rows/{case.rows}", timeout=60)
                    found[way].append(run(way, case, address, Path(folder)))
    seconds = {way: statistics.median(each.seconds for each in figures) for way, figures in found.items()}
    for way, figures in found.items():
        cpu, mb = (statistics.median(getattr(each, name) for each in figures) for name in ("cpu", "mb"))
        ratio = f"{seconds['sdk'] / seconds[way]:.2f}"
        speed = f"{seconds[way]:.1f} s" if case.added else f"{rows / seconds[way]:,.0f}"
        yield f"| {case.name.format(case.rows)} | {way} | {speed} | {ratio} | {cpu:.1f} | {mb:,.0f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=sorted({case.data_type for case in CASES}))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="in place of those of the cases")
    wanted = parser.parse_args(arguments)
    print(HEAD)
    for case in CASES:
        if not wanted.case or case.data_type in wanted.case:
            for line in measured(replace(case, rows=wanted.rows or case.rows), wanted.rounds):
                print(line, flush=True)


if __name__ == "__main__":
    main()
