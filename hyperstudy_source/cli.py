"""The dlt plugin: `dlt pipeline NAME run`, `check`, `verify` and `status`. Parses, calls, prints.

The modules that do the work are imported when a command runs, so that every other dlt command starts as fast as
without this plugin.
"""

from __future__ import annotations

import argparse
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlt.common.configuration import plugins

if TYPE_CHECKING:
    import dlt

    from hyperstudy_source.loading import LoadReport
    from hyperstudy_source.verification import Comparison

DEFAULT_NAME = "hyperstudy"
DEFAULT_DATASET = "hyperstudy_data"
FAILED, INTERRUPTED = 1, 130
"""Exit statuses beside those of a report: an error, or Ctrl-C."""
LOG_PERIOD = 5.0
"""s between two notes of progress where there is no terminal."""
HOLDS_DEMO = "hyperstudy_demo"
"""Under this name the pipeline's local state keeps whether it was filled by `--demo`."""


class Command(ABC):
    """What the commands of this package share: options, errors in one sentence, exit statuses."""

    parent = "pipeline"
    command = ""
    compose = "replace"
    help_string = ""
    docs_url: str | None = None
    description = ""

    def configure_parser(self, parser: argparse.ArgumentParser) -> None:
        """Declares the options."""
        parser.add_argument("--destination", default="duckdb", help="where to load to: any dlt destination (duckdb)")
        parser.add_argument("--dataset-name", default=DEFAULT_DATASET, help=f"the dataset ({DEFAULT_DATASET})")
        self.add_options(parser)
        parser.add_argument("--demo", action="store_true", help="use a synthetic study; needs no key")

    def add_options(self, parser: argparse.ArgumentParser) -> None:  # noqa: B027 - a command need not have any
        """Declares the options that only this command has."""

    @abstractmethod
    def run(self, pipeline: dlt.Pipeline, args: argparse.Namespace, options: dict[str, Any]) -> int:
        """Does the work, and returns the exit status. `options` are those of the source."""

    def execute(self, args: argparse.Namespace) -> None:
        """Runs and prints; ends the process with the status unless that is 0."""
        from hyperstudy_source.errors import HyperStudyError

        try:
            with ExitStack() as stack:
                options = _source_options(args, stack)
                status = self.run(_pipeline(args), args, options)
        except HyperStudyError as error:
            print(f"Error: {error}", file=sys.stderr)
            status = FAILED
        except KeyboardInterrupt:
            print("Stopped. What was loaded before is unchanged; run the same command again.", file=sys.stderr)
            status = INTERRUPTED
        if status:
            sys.exit(status)


class RunCommand(Command):
    """`dlt pipeline NAME run`."""

    command = "run"
    help_string = "Loads HyperStudy experiments into a database"
    description = (
        "Loads everything that is new in HyperStudy, by default every data type of every experiment that the key can "
        "read. Run it again to bring the tables up to date. Exit status: 0 complete, 3 loaded but something is "
        "incomplete, 75 stopped at the quota, run again later, 1 anything else."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declares what to load and how."""
        parser.add_argument("--experiment", action="append", metavar="ID", help="only this experiment; repeatable")
        parser.add_argument("--room", action="append", metavar="ID", help="only this room; repeatable")
        parser.add_argument(
            "--participant", action="append", metavar="ID@ROOM", help="only this participant in a room; repeatable")
        parser.add_argument("--data-type", action="append", metavar="NAME", help="only this data type; repeatable")
        parser.add_argument("--start-time", metavar="T", help="backfill from here on, ISO 8601; cursors do not move")
        parser.add_argument("--end-time", metavar="T", help="backfill up to here, ISO 8601; cursors do not move")
        parser.add_argument("--recordings", metavar="BUCKET_URL", help="fetch the recordings' files into this folder")
        parser.add_argument("--recording-type", metavar="TYPE", help="of the recordings, fetch only audio or video")
        parser.add_argument("--full", action="store_true", help="read everything from its beginning, changed or not")
        parser.add_argument("--max-requests", type=int, metavar="N", help="stop after N requests; the next run goes on")
        parser.add_argument(
            "--stop-on-quota", action="store_true", help="stop in place of waiting for the next hour's requests")

    def run(self, pipeline: dlt.Pipeline, args: argparse.Namespace, options: dict[str, Any]) -> int:
        """Loads, and prints the summary."""
        from hyperstudy_source.loading import load

        _keep_demo_apart(pipeline, args.demo)
        report = load(pipeline, args.data_type, args.full, args.max_requests, args.stop_on_quota, **options)
        print(report)
        print(f"Next: {_next_command(report)}")
        return report.exit_status


class CheckCommand(Command):
    """`dlt pipeline NAME check`."""

    command = "check"
    help_string = "Checks the key, its permissions, the destination and where recordings go"
    description = (
        "Checks what a load needs, and says what to do where something is missing. Nothing is loaded. Exit status: 0 a "
        "load can work, 1 it cannot."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declares what the check is for."""
        parser.add_argument("--experiment", action="append", metavar="ID", help="only this experiment; repeatable")
        parser.add_argument("--recordings", metavar="BUCKET_URL", help="check that the recordings' files can go there")

    def run(self, pipeline: dlt.Pipeline, args: argparse.Namespace, options: dict[str, Any]) -> int:  # noqa: ARG002
        """Prints a line for each finding, as it comes."""
        from hyperstudy_source.checks import check

        status = 0
        for finding in check(pipeline, **options):
            print(finding, flush=True)
            status = status if finding.holds or not finding.essential else FAILED
        return status


class VerifyCommand(Command):
    """`dlt pipeline NAME verify`."""

    command = "verify"
    help_string = "Compares the API's counts with the tables"
    description = (
        "Compares the API's counts with the tables, one request for each experiment and data type, and prints what "
        "differs. Exit status: 0 no row is missing, 3 some are, 1 anything else."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declares what to compare."""
        parser.add_argument("--experiment", action="append", metavar="ID", help="only this experiment; repeatable")
        parser.add_argument("--data-type", action="append", metavar="NAME", help="only this data type; repeatable")
        parser.add_argument("--repair", action="store_true", help="read what lacks rows again from its beginning")

    def run(self, pipeline: dlt.Pipeline, args: argparse.Namespace, options: dict[str, Any]) -> int:
        """Prints what differs, and with `--repair` mends it and compares once more."""
        from hyperstudy_source.loading import INCOMPLETE
        from hyperstudy_source.verification import repair, verify

        _keep_demo_apart(pipeline, args.demo)
        compared = list(verify(pipeline, args.data_type, **options))
        if args.repair and any(each.missing for each in compared):
            _print_comparisons(compared)
            for report in repair(pipeline, [each for each in compared if each.missing], **options):
                print(report)
            compared = list(verify(pipeline, args.data_type, **options))
        _print_comparisons(compared)
        return INCOMPLETE if any(each.missing for each in compared) else 0


class StatusCommand(Command):
    """`dlt pipeline NAME status`."""

    command = "status"
    help_string = "Shows how far the tables are"
    description = "Shows the last complete read and the cursor of each data type, and what is incomplete. Asks nothing."

    def run(self, pipeline: dlt.Pipeline, args: argparse.Namespace, options: dict[str, Any]) -> int:  # noqa: ARG002
        """Prints a line for each data type."""
        from hyperstudy_source.sync_status import experiments_with_open_rooms, sync_status

        told = sync_status(pipeline)
        width = max([len(each.data_type) for each in told] or [9])
        print(f"{'data type':<{width}}  {'scopes':>7}  {'incomplete':>10}  {'last complete read':<20}  newest row")
        for each in told:
            complete = f"{each.last_complete:%Y-%m-%d %H:%M:%S}" if each.last_complete else "never"
            print(f"{each.data_type:<{width}}  {each.scopes:>7,}  {each.unsettled:>10,}  {complete:<20}  "
                  f"{each.cursor or ''}")
        print(f"{experiments_with_open_rooms(pipeline)} experiments have open rooms.")
        return 0


def command_parser(command: type[Command]) -> argparse.ArgumentParser:
    """The options of a command by themselves, without the program around it."""
    parser = argparse.ArgumentParser(command.command)
    command().configure_parser(parser)
    return parser


@plugins.hookimpl(specname="plug_cli")
@plugins.only_host("dlt")
def plug_cli_run(host: str) -> type[Any] | None:  # noqa: ARG001 - the name is that of dlt's hook
    """Adds `dlt pipeline NAME run`."""
    return RunCommand


@plugins.hookimpl(specname="plug_cli")
@plugins.only_host("dlt")
def plug_cli_check(host: str) -> type[Any] | None:  # noqa: ARG001
    """Adds `dlt pipeline NAME check`."""
    return CheckCommand


@plugins.hookimpl(specname="plug_cli")
@plugins.only_host("dlt")
def plug_cli_verify(host: str) -> type[Any] | None:  # noqa: ARG001
    """Adds `dlt pipeline NAME verify`."""
    return VerifyCommand


@plugins.hookimpl(specname="plug_cli")
@plugins.only_host("dlt")
def plug_cli_status(host: str) -> type[Any] | None:  # noqa: ARG001
    """Adds `dlt pipeline NAME status`."""
    return StatusCommand


OPTIONS = {
    "experiment": "experiment_ids", "room": "room_ids", "participant": "participants", "start_time": "start_time",
    "end_time": "end_time", "recordings": "bucket_url", "recording_type": "recording_type",
}
"""Options of the commands -> options of the source."""


def _source_options(args: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    """The options of the source that were given; with `--demo` the stand-in runs until the stack is closed."""
    given = {name: getattr(args, option, None) for option, name in OPTIONS.items()}
    options = {name: value for name, value in given.items() if value is not None}
    if args.demo:
        from hyperstudy_source.standin import StandIn, demo_study

        api = stack.enter_context(StandIn(demo_study()))
        options |= {"api_key": api.api_key, "base_url": api.base_url}
    return options


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


def _print_comparisons(compared: Sequence[Comparison]) -> None:
    """What differs or is not known; then how much is equal."""
    for each in compared:
        if each.found != each.expected:
            print(each)
    equal = sum(each.found == each.expected for each in compared)
    print(f"{equal} of {len(compared)} counts are equal.")
