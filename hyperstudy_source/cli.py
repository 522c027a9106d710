"""The dlt plugin: `dlt pipeline NAME run` and what follows from its options. Parses, loads, prints.

The modules that do the work are imported when the command runs, so that every other dlt command starts as fast as
without this plugin.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlt.common.configuration import plugins

if TYPE_CHECKING:
    import dlt

    from hyperstudy_source.loading import LoadReport

DEFAULT_NAME = "hyperstudy"
DEFAULT_DATASET = "hyperstudy_data"
FAILED, INTERRUPTED = 1, 130
"""Exit statuses beside those of a report: an error, or Ctrl-C."""
LOG_PERIOD = 5.0
"""s between two notes of progress where there is no terminal."""
HOLDS_DEMO = "hyperstudy_demo"
"""Under this name the pipeline's local state keeps whether it was filled by `--demo`."""


class RunCommand:
    """`dlt pipeline NAME run`."""

    parent = "pipeline"
    command = "run"
    compose = "replace"
    help_string = "Loads HyperStudy experiments into a database"
    docs_url: str | None = None
    description = (
        "Loads everything that is new in HyperStudy, by default every data type of every experiment that the key can "
        "read. Run it again to bring the tables up to date. Exit status: 0 complete, 3 loaded but something is "
        "incomplete, 1 anything else."
    )

    def configure_parser(self, parser: argparse.ArgumentParser) -> None:
        """Declares the options."""
        parser.add_argument("--destination", default="duckdb", help="where to load to: any dlt destination (duckdb)")
        parser.add_argument("--dataset-name", default=DEFAULT_DATASET, help=f"the dataset ({DEFAULT_DATASET})")
        parser.add_argument("--experiment", action="append", metavar="ID", help="only this experiment; repeatable")
        parser.add_argument("--room", action="append", metavar="ID", help="only this room; repeatable")
        parser.add_argument(
            "--participant", action="append", metavar="ID@ROOM", help="only this participant in a room; repeatable")
        parser.add_argument("--data-type", action="append", metavar="NAME", help="only this data type; repeatable")
        parser.add_argument("--start-time", metavar="T", help="backfill from here on, ISO 8601; cursors do not move")
        parser.add_argument("--end-time", metavar="T", help="backfill up to here, ISO 8601; cursors do not move")
        parser.add_argument("--recordings", metavar="BUCKET_URL", help="fetch the recordings' files into this folder")
        parser.add_argument("--recording-type", metavar="TYPE", help="of the recordings, fetch only audio or video")
        parser.add_argument("--demo", action="store_true", help="load a synthetic study; needs no key")

    def execute(self, args: argparse.Namespace) -> None:
        """Loads and prints the summary; ends the process with the status unless that is 0."""
        from hyperstudy_source.errors import HyperStudyError

        try:
            status = _run(args)
        except HyperStudyError as error:
            print(f"Error: {error}", file=sys.stderr)
            status = FAILED
        except KeyboardInterrupt:
            print("Stopped. What was loaded before is unchanged; run the same command again.", file=sys.stderr)
            status = INTERRUPTED
        if status:
            sys.exit(status)


def command_parser(command: type[RunCommand]) -> argparse.ArgumentParser:
    """The options of a command by themselves, without the program around it."""
    parser = argparse.ArgumentParser(command.command)
    command().configure_parser(parser)
    return parser


@plugins.hookimpl(specname="plug_cli")
@plugins.only_host("dlt")
def plug_cli_run(host: str) -> type[Any] | None:  # noqa: ARG001 - the name is that of dlt's hook
    """Adds the command to `dlt pipeline`."""
    return RunCommand


def _run(args: argparse.Namespace) -> int:
    from hyperstudy_source.loading import load

    options = {
        "experiment_ids": args.experiment, "room_ids": args.room, "participants": args.participant,
        "start_time": args.start_time, "end_time": args.end_time,
        "bucket_url": args.recordings, "recording_type": args.recording_type,
    }
    with ExitStack() as stack:
        if args.demo:
            from hyperstudy_source.standin import StandIn, demo_study

            api = stack.enter_context(StandIn(demo_study()))
            options |= {"api_key": api.api_key, "base_url": api.base_url}
        pipeline = _pipeline(args)
        _keep_demo_apart(pipeline, args.demo)
        report = load(pipeline, args.data_type, **{name: value for name, value in options.items() if value is not None})
    print(report)
    print(f"Next: {_next_command(report)}")
    return report.exit_status


def _pipeline(args: argparse.Namespace) -> dlt.Pipeline:
    import dlt
    from dlt.common.exceptions import DltException
    from dlt.common.runtime.collector import LogCollector, TqdmCollector

    from hyperstudy_source.errors import DestinationError

    on_terminal = sys.stderr.isatty()
    progress = TqdmCollector() if on_terminal else LogCollector(LOG_PERIOD, sys.stderr, dump_system_stats=False)
    try:
        return dlt.pipeline(
            args.pipeline_name or DEFAULT_NAME, destination=args.destination, dataset_name=args.dataset_name,
            pipelines_dir=args.pipelines_dir, progress=progress)
    except (DltException, ImportError) as failure:
        raise DestinationError(
            f"The destination {args.destination!r} cannot be used: {' '.join(str(failure).split())[:400]} "
            f"For one that is not installed, run: pip install \"dlt[{args.destination}]\"") from None


def _keep_demo_apart(pipeline: dlt.Pipeline, demo: bool) -> None:
    """Refuses to mix the synthetic study with real data in one pipeline."""
    from hyperstudy_source.errors import SettingError

    loaded = pipeline.default_schema_name is not None or pipeline.has_pending_data
    held = pipeline.state["_local"].get(HOLDS_DEMO) if loaded else None
    if held not in (None, demo):
        holds, other = ("the demo study", "real data") if held else ("real data", "the demo study")
        raise SettingError(f"The pipeline {pipeline.pipeline_name} holds {holds}; {other} would mix with it. "
                           "Choose another NAME in `dlt pipeline NAME run`.")
    pipeline.set_local_state_val(HOLDS_DEMO, demo)


def _next_command(report: LoadReport) -> str:
    """A first look at the data, to be typed."""
    scheme, _, file = report.destination.partition(":///")
    if scheme != "duckdb":
        return f"dlt pipeline {report.pipeline_name} info"
    path = Path(file)
    shown = path.name if path.parent == Path.cwd() else path
    names = [table.name for table in report.tables]
    table = "rooms" if "rooms" in names else names[0]
    return f"python -c \"import duckdb; print(duckdb.connect('{shown}').sql('from {report.dataset_name}.{table}'))\""
