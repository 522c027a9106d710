"""What the commands of this package share: their options, errors in one sentence, exit statuses.

The modules that do the work are imported when a command runs, so that every other dlt command starts as fast as
without this plugin.
"""

from __future__ import annotations

import argparse
import sys
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dlt

DEFAULT_NAME = "hyperstudy"
FAILED, INTERRUPTED = 1, 130
"""Exit statuses beside those of a report: an error, or Ctrl-C."""


class Command(ABC):
    """A command: options, errors in one sentence, exit statuses."""

    parent = "pipeline"
    command = ""
    compose = "replace"
    help_string = ""
    docs_url: str | None = None
    description = ""
    doing = "Reading from"
    """What a command does with the destination, for its errors."""

    def configure_parser(self, parser: argparse.ArgumentParser) -> None:
        """Declares the options."""
        parser.add_argument("--destination", help="any dlt destination (where NAME ran before, else duckdb)")
        parser.add_argument("--dataset-name", help="the dataset (where NAME ran before, else hyperstudy_data)")
        self.add_options(parser)
        parser.add_argument("--demo", action="store_true", help="use a synthetic study; needs no key")

    def add_options(self, parser: argparse.ArgumentParser) -> None:  # noqa: B027 - a command need not have any
        """Declares the options that only this command has."""

    @abstractmethod
    def run(self, pipeline: dlt.Pipeline, args: argparse.Namespace, options: dict[str, Any]) -> int:
        """Does the work, and returns the exit status. `options` are those of the source."""

    def opened(self, args: argparse.Namespace, stack: ExitStack) -> dlt.Pipeline:
        """The pipeline that is meant; it has to be there, unless a command says otherwise."""
        from hyperstudy_source.cli.opening import opened_to_read

        return opened_to_read(args, stack)

    def execute(self, args: argparse.Namespace) -> None:
        """Runs and prints; ends the process with the status unless that is 0."""
        from hyperstudy_source.cli.console import messages_above_bars, show_any_text
        from hyperstudy_source.destination.failures import explained_failure

        show_any_text()
        args.pipeline_name = args.pipeline_name or DEFAULT_NAME
        pipeline = None
        try:
            with ExitStack() as stack:
                options = _source_options(args, stack)
                pipeline = self.opened(args, stack)
                messages_above_bars()
                status = self.run(pipeline, args, options)
        except Exception as failure:
            print(f"Error: {explained_failure(failure, pipeline, self.doing)}", file=sys.stderr)
            status = FAILED
        except KeyboardInterrupt:
            print("Stopped. What was loaded before is unchanged; run the same command again.", file=sys.stderr)
            status = INTERRUPTED
        if status:
            sys.exit(status)


def command_parser(command: type[Command]) -> argparse.ArgumentParser:
    """The options of a command by themselves, without the program around it."""
    parser = argparse.ArgumentParser(command.command)
    command().configure_parser(parser)
    return parser


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


def keep_demo_apart(pipeline: dlt.Pipeline, demo: bool) -> None:
    """Refuses to mix the synthetic study with real data in one pipeline."""
    from hyperstudy_source.destination.whereabouts import HOLDS_DEMO
    from hyperstudy_source.errors import SettingError

    loaded = pipeline.default_schema_name is not None or pipeline.has_pending_data
    held = pipeline.state["_local"].get(HOLDS_DEMO) if loaded else None
    if held not in (None, demo):
        holds, other = ("the demo study", "real data") if held else ("real data", "the demo study")
        raise SettingError(f"The pipeline {pipeline.pipeline_name} holds {holds}; {other} would mix with it. "
                           "Choose another NAME in `dlt pipeline NAME run`.")
    pipeline.set_local_state_val(HOLDS_DEMO, demo)
