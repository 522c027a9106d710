"""How fast recordings come compared with the platform's own SDK, and how little memory it takes.

    python tests/benchmarks/recordings.py             # seconds: `load()` into DuckDB and a folder, and the SDK's
    python tests/benchmarks/recordings.py --memory    # peak memory of 10 MB and of 500 MB, as large and as small files

Everything runs in a process of its own and into a fresh folder; the stand-in has computed its digests before. What
surprises: a process starts with the peak memory of the one that started it, so this module imports nothing large.
"""


from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.processes import SPAWN, served

KEY = "hst_test_" + "Benchmark" * 7
EXPERIMENT, ROOM = "exp_recordings", "room_1"
DISTINCT = 8
"""Contents that differ; the stand-in remembers the bytes of so many."""
ALLOWED_GROWTH = 30.0
"""MB that 500 MB may take more than 10 MB."""
MEMORY_CASES = {"large": ((8, 1_250_000), (8, 62_500_000)), "small": ((10, 1_000_000), (500, 1_000_000))}
"""Number and size of the files: 10 MB, then 500 MB."""

Fetch = Callable[[str, Path], "Measured"]


class Measured(NamedTuple):
    """What a process says of itself: wall times in s, and its peak memory in MB."""

    seconds: float
    """Of the call."""
    fetching: float
    """Of it, until the list, the files and their metadata are there; what is left is the load into the database."""
    peak: float


class Round(NamedTuple):
    """One process: the wall time of all of it, and what it says of itself."""

    whole: float
    measured: Measured


def ours(base_url: str, folder: Path) -> Measured:
    """Fetches with this package: recordings and manifest into DuckDB, files into the folder."""
    os.environ |= {"DLT_DATA_DIR": str(folder / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    os.chdir(folder)
    import dlt

    from hyperstudy_source import load

    pipeline = dlt.pipeline("hyperstudy", destination="duckdb", dataset_name="hyperstudy_data")
    started = time.perf_counter()
    report = load(pipeline, ["recordings", "recording_files"], api_key=KEY, base_url=base_url, bucket_url="files",
                  requests_per_minute=None, requests_per_hour=None)  # the SDK keeps no limits either
    seconds = time.perf_counter() - started
    if report.notices:
        raise RuntimeError(str(report))
    trace = pipeline.last_trace
    step = trace.last_pipeline_step_trace("extract") if trace else None
    if step is None or step.finished_at is None:
        raise RuntimeError("dlt has no trace of the extraction.")
    return Measured(seconds, (step.finished_at - step.started_at).total_seconds(), _peak())


def sdk(base_url: str, folder: Path) -> Measured:
    """Fetches with the platform's SDK, which knows no database and does one file after the other."""
    from hyperstudy import HyperStudy

    client = HyperStudy(api_key=KEY, base_url=base_url)
    started = time.perf_counter()
    client.download_recordings(EXPERIMENT, output_dir=str(folder / "files"), progress=False)
    seconds = time.perf_counter() - started
    return Measured(seconds, seconds, _peak())


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def serve(files: int, size: int, latency: float, parent: Connection) -> None:
    """Serves a study of so many recordings; tells its address, and ends when the other side does."""
    from hyperstudy_source.standin import Behaviour, Made, StandIn, Study, digest

    contents = [Made(size, seed) for seed in range(DISTINCT)]
    for content in contents:
        digest(content, "md5")
        digest(content, "crc32c")
    study = Study.empty(EXPERIMENT)
    study.add_room(ROOM, experiment_id=EXPERIMENT, participants=["p1"])
    for number in range(files):
        row = {"recordingId": f"EG_{number:06d}", "participantId": "p1", "participantName": "Ada", "format": "mp4",
               "status": "complete", "metadata": {"type": "video"}}
        study.add_recording(row, contents[number % DISTINCT], experiment_id=EXPERIMENT, room_id=ROOM)
    study.frozen = True
    with StandIn(study, Behaviour(latency=latency), api_key=KEY) as api:
        parent.send(api.base_url)
        parent.poll(None)


def fetched(fetch: Fetch, base_url: str, files: int, size: int) -> Round:
    """Runs `fetch` in a fresh process and folder, and checks that every file came whole."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with ProcessPoolExecutor(1, mp_context=SPAWN) as process:
            measured = process.submit(fetch, base_url, Path(folder)).result()
        whole = time.perf_counter() - started
        sizes = [path.stat().st_size for path in Path(folder, "files").rglob("*.mp4")]
    if sizes != [size] * files:
        raise RuntimeError(f"{fetch.__name__} brought {len(sizes)} of {files} files, or not all of them whole.")
    return Round(whole, measured)


def compare(files: int, size: int, latency: float, rounds: int) -> None:
    """Prints the seconds of the SDK and of this package, in turns."""
    print(f"{files} files of {size:,} bytes, {latency * 1000:.0f} ms per request, seconds:")
    print(f"{'':>8}" + "".join(f"  {title:^26}" for title in ("until files are there", "call", "whole process")))
    print(f"{'':>8}" + f"  {'SDK':>8}{'ours':>9}{'ratio':>9}" * 3)
    runs: list[tuple[Round, Round]] = []
    with served(serve, files, size, latency) as base_url:
        for number in range(1, rounds + 1):
            runs.append((fetched(sdk, base_url, files, size), fetched(ours, base_url, files, size)))
            _print_line(f"round {number}", runs[-1:], min)
    _print_line("min", runs, min)
    _print_line("median", runs, statistics.median)


def _print_line(name: str, runs: Sequence[tuple[Round, Round]], middle: Callable[[list[float]], float]) -> None:
    line = f"{name:<8}"
    for pairs in ([(a.measured.fetching, b.measured.fetching) for a, b in runs],
                  [(a.measured.seconds, b.measured.seconds) for a, b in runs], [(a.whole, b.whole) for a, b in runs]):
        theirs, own = middle([a for a, _ in pairs]), middle([b for _, b in pairs])
        line += f"  {theirs:8.2f}{own:9.2f}{theirs / own:8.1f}x"
    print(line, flush=True)


def measure_memory() -> bool:
    """Prints the peak memory of little and of much; whether much takes hardly more."""
    flat = True
    print(f"peak memory in MB:  {'10 MB':>8}{'500 MB':>9}{'more':>9}")
    for name, cases in MEMORY_CASES.items():
        peaks = []
        for files, size in cases:
            with served(serve, files, size, 0) as base_url:
                peaks.append(fetched(ours, base_url, files, size).measured.peak)
        little, much = peaks
        flat = flat and much - little < ALLOWED_GROWTH
        print(f"{name + ' files':<18}  {little:8.1f}{much:9.1f}{much - little:+9.1f}", flush=True)
    return flat


def main() -> int:
    """Exit status 1: much takes more memory than little."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--size", type=int, default=1_000_000, help="bytes of each file")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before every answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="peak memory instead of seconds")
    options = parser.parse_args()
    if options.memory:
        return 0 if measure_memory() else 1
    compare(options.files, options.size, options.latency, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
