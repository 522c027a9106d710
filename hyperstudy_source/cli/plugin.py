"""The dlt plugin: `dlt pipeline NAME run`, `check`, `verify`, `status` and `describe`. Parses, calls, prints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from dlt.common.configuration import plugins

from hyperstudy_source.cli.command import FAILED, Command, command_parser, keep_demo_apart

if TYPE_CHECKING:
    import dlt

    from hyperstudy_source.operations.verify import Comparison

__all__ = ["CheckCommand", "DescribeCommand", "RunCommand", "StatusCommand", "VerifyCommand", "command_parser"]


class RunCommand(Command):
    """`dlt pipeline NAME run`."""

    command = "run"
    doing = "Loading into"
    help_string = "Loads HyperStudy experiments into a database"
    description = (
        "Loads everything that is new in HyperStudy, by default every data type of every experiment that the key can "
        "read. Run it again to bring the tables up to date. Exit status: 0 complete, 3 loaded but something is "
        "incomplete, 75 stopped at the quota, run again later, 1 anything else."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declares what to load and how."""
        parser.add_argument(
            "--experiment", action="append", metavar="ID", help="only this experiment, by its id or name; repeatable")
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

    def opened(self, args: argparse.Namespace, stack: ExitStack) -> dlt.Pipeline:  # noqa: ARG002
        """The pipeline that is meant, new or not; what is to be known of the place of its file is said first."""
        from hyperstudy_source.cli.opening import opened_to_load

        pipeline, said = opened_to_load(args, command_parser(RunCommand)._actions)
        if said:
            print(said, file=sys.stderr, flush=True)
        return pipeline

    def run(self, pipeline: dlt.Pipeline, args: argparse.Namespace, options: dict[str, Any]) -> int:
        """Loads, and prints the summary."""
        from hyperstudy_source.cli.first_look import first_look
        from hyperstudy_source.load import load

        keep_demo_apart(pipeline, args.demo)
        report = load(pipeline, args.data_type, args.full, args.max_requests, args.stop_on_quota, **options)
        print(report)
        print(f"Next: {first_look(pipeline, report)}")
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
        parser.add_argument(
            "--experiment", action="append", metavar="ID", help="only this experiment, by its id or name; repeatable")
        parser.add_argument("--recordings", metavar="BUCKET_URL", help="check that the recordings' files can go there")

    def opened(self, args: argparse.Namespace, stack: ExitStack) -> dlt.Pipeline:
        """The pipeline that is meant, new or not."""
        from hyperstudy_source.cli.opening import opened_to_check

        return opened_to_check(args, stack)

    def run(self, pipeline: dlt.Pipeline, args: argparse.Namespace, options: dict[str, Any]) -> int:  # noqa: ARG002
        """Prints a line for each finding, as it comes."""
        from hyperstudy_source.operations.check import check

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
        parser.add_argument(
            "--experiment", action="append", metavar="ID", help="only this experiment, by its id or name; repeatable")
        parser.add_argument("--data-type", action="append", metavar="NAME", help="only this data type; repeatable")
        parser.add_argument("--repair", action="store_true", help="read what lacks rows again from its beginning")

    def run(self, pipeline: dlt.Pipeline, args: argparse.Namespace, options: dict[str, Any]) -> int:
        """Prints what differs, and with `--repair` mends it and compares once more."""
        from hyperstudy_source.load import INCOMPLETE
        from hyperstudy_source.operations.verify import repair, verify

        keep_demo_apart(pipeline, args.demo)
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
        from hyperstudy_source.destination.whereabouts import run_command
        from hyperstudy_source.operations.status import experiments_with_open_rooms, sync_status

        told = sync_status(pipeline)
        if not told:
            print(f"Nothing is loaded yet. To load: {run_command(pipeline)}")
            return 0
        width = max(9, *(len(each.data_type) for each in told))
        print(f"{'data type':<{width}}  {'scopes':>7}  {'incomplete':>10}  {'last complete read':<20}  newest row")
        for each in told:
            complete = f"{each.last_complete:%Y-%m-%d %H:%M:%S}" if each.last_complete else "never"
            print(f"{each.data_type:<{width}}  {each.scopes:>7,}  {each.unsettled:>10,}  {complete:<20}  "
                  f"{each.cursor or ''}")
        print(f"{experiments_with_open_rooms(pipeline)} experiments have open rooms.")
        return 0


class DescribeCommand(Command):
    """`dlt pipeline NAME describe`."""

    command = "describe"
    help_string = "Prints the data dictionary of what is loaded"
    description = (
        "Prints the data dictionary: what every table and column is, its unit, and what the loaded rows hold in it; "
        "the states, questions and scales that the researchers defined; and how the tables join. Values are shown of "
        "no column that tells who somebody is. Asks the API nothing."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declares how it is written."""
        parser.add_argument("--format", choices=["markdown", "html", "csv", "json"], default="markdown",
                            help="markdown (the default), html, csv (one line for each column) or json")

    def run(self, pipeline: dlt.Pipeline, args: argparse.Namespace, options: dict[str, Any]) -> int:  # noqa: ARG002
        """Prints the dictionary."""
        from hyperstudy_source.destination.whereabouts import run_command
        from hyperstudy_source.operations.describe import describe
        from hyperstudy_source.operations.dictionary_formats import FORMATS

        dictionary = describe(pipeline)
        if dictionary is None:
            print(f"Nothing is loaded yet. To load: {run_command(pipeline)}", file=sys.stderr)
        else:
            print(FORMATS[args.format](dictionary), end="")
        return 0


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


@plugins.hookimpl(specname="plug_cli")
@plugins.only_host("dlt")
def plug_cli_describe(host: str) -> type[Any] | None:  # noqa: ARG001
    """Adds `dlt pipeline NAME describe`."""
    return DescribeCommand


def _print_comparisons(compared: Sequence[Comparison]) -> None:
    """What differs or is not known; then how much is equal."""
    for each in compared:
        if each.found != each.expected:
            print(each)
    equal = sum(each.found == each.expected for each in compared)
    print(f"{equal} of {len(compared)} counts are equal.")
