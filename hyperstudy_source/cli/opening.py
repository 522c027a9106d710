"""Which pipeline a command means: its destination, its dataset, and the folder of its file."""

from __future__ import annotations

import argparse
import json
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dlt
from dlt.common.exceptions import DltException
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.pipeline.exceptions import InvalidPipelineName

from hyperstudy_source.cli.console import progress
from hyperstudy_source.destination.whereabouts import database_file, is_gone
from hyperstudy_source.errors import DestinationError, SettingError

DEFAULT_DATASET = "hyperstudy_data"
DEFAULT_DESTINATION = "duckdb"


def opened_to_load(args: argparse.Namespace, options: Sequence[argparse.Action]) -> tuple[dlt.Pipeline, str | None]:
    """The pipeline to load with, and what is to be said first of the place of its file.

    A pipeline whose file is gone has nothing left to protect: it begins anew in the folder that the command runs in,
    as a new one does. Any other goes on where it first ran.
    """
    known = _local_state(args)
    pipeline = _pipeline(args)
    there = database_file(pipeline) if known else None
    if there is None:
        return pipeline, None
    if is_gone(there):
        has_loaded = pipeline.default_schema_name is not None
        pipeline.drop()
        pipeline = _pipeline(args)
        here = database_file(pipeline)
        goes_on = "Everything is loaded anew, into" if here is None or is_gone(here) else "It goes on in the file"
        return pipeline, (f"The pipeline {args.pipeline_name} has loaded before, but its file {there} is gone. "
                          f"{goes_on} {here}.") if has_loaded else None
    folder = str(known.get("_local", {}).get("initial_cwd"))
    if Path(folder) == Path.cwd() or _file_of_new(args) == there:
        return pipeline, None
    other = _typed(args, options, _free_name(args))
    return pipeline, (f"The pipeline {args.pipeline_name} first ran in {folder}, and goes on in its file {there}. "
                      f"To load into the folder that you are in, choose another NAME: {other}")


def opened_to_read(args: argparse.Namespace, stack: ExitStack) -> dlt.Pipeline:
    """The pipeline as it ran, or as its destination tells of it, where this machine knows nothing of it.

    Raises `SettingError` where there is none, and leaves no trace of having asked.
    """
    if _local_state(args):
        return _pipeline(args)
    pipeline = _pipeline(args, stack.enter_context(_folder()))
    file = database_file(pipeline)
    if not file or not is_gone(file):
        pipeline.sync_destination()
    if pipeline.first_run:
        pipelines = args.pipelines_dir or get_dlt_pipelines_dir()
        place = file or f"the dataset {pipeline.dataset_name} of {pipeline.destination.destination_name}"
        raise SettingError(
            f"There is no pipeline {args.pipeline_name} in {pipelines}, and {place} tells of none. "
            f"`dlt pipeline --list-pipelines` shows those that there are; to load with one of this name: {_run(args)}")
    return pipeline


def opened_to_check(args: argparse.Namespace, stack: ExitStack) -> dlt.Pipeline:
    """The pipeline, or what it would be; a check does not bind a new one to the folder that it runs in."""
    return _pipeline(args, None if _local_state(args) else stack.enter_context(_folder()))


def _pipeline(args: argparse.Namespace, pipelines_dir: str | None = None) -> dlt.Pipeline:
    """With the destination and the dataset that are named, else those it ran with, else the usual ones."""
    known = {} if pipelines_dir else _local_state(args)
    named = args.destination or (None if known.get("destination_type") else DEFAULT_DESTINATION)
    dataset = args.dataset_name or known.get("dataset_name") or DEFAULT_DATASET
    try:
        return dlt.pipeline(args.pipeline_name, destination=named, dataset_name=dataset, progress=progress(),
                            pipelines_dir=pipelines_dir or args.pipelines_dir)
    except InvalidPipelineName as failure:
        raise SettingError(f"{args.pipeline_name!r} cannot be the NAME of a pipeline: {_line(failure)}") from None
    except (DltException, ImportError) as failure:
        raise DestinationError(f"The destination {named!r} cannot be used: {_line(failure)} For one that is not "
                               f"installed, run: pip install \"dlt[{named}]\"") from None


def _local_state(args: argparse.Namespace) -> Mapping[str, Any]:
    """What dlt keeps of the pipeline on this machine; empty where there is none."""
    file = Path(args.pipelines_dir or get_dlt_pipelines_dir(), args.pipeline_name, "state.json")
    return dict(json.loads(file.read_bytes())) if file.is_file() else {}


def _file_of_new(args: argparse.Namespace) -> Path | None:
    """Where a new pipeline of this kind would have its file."""
    current = dlt.pipeline()
    with _folder() as folder:
        file = database_file(_pipeline(args, folder))
    current.activate()
    return file


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hyperstudy-")


def _free_name(args: argparse.Namespace) -> str:
    pipelines = Path(args.pipelines_dir or get_dlt_pipelines_dir())
    number = 2
    while (pipelines / f"{args.pipeline_name}_{number}").exists():
        number += 1
    return f"{args.pipeline_name}_{number}"


def _typed(args: argparse.Namespace, options: Sequence[argparse.Action], name: str) -> str:
    """The command `run` as it was typed, with another name."""
    words = ["dlt", "pipeline", *(["--pipelines-dir", args.pipelines_dir] if args.pipelines_dir else []), name, "run"]
    for option in options:
        value = getattr(args, option.dest, None)
        if value is True:
            words.append(option.option_strings[-1])
        elif value not in (None, False):
            for each in value if isinstance(value, list) else [value]:
                words += [option.option_strings[-1], str(each)]
    return shlex.join(words)


def _run(args: argparse.Namespace) -> str:
    return _typed(argparse.Namespace(pipelines_dir=args.pipelines_dir), (), args.pipeline_name)


def _line(failure: BaseException) -> str:
    return " ".join(str(failure).split())
