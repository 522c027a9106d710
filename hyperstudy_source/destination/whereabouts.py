"""Where the database of a pipeline lies. dlt binds a file to the folder in which the pipeline first ran."""

from __future__ import annotations

import shlex
from pathlib import Path

import dlt
from dlt.common.configuration.resolve import inject_section
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.destination.client import DestinationClientConfiguration, DestinationClientDwhConfiguration
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.common.schema import Schema
from dlt.common.storages import WithLocalFiles

from hyperstudy_source.destination.failures import require_packages
from hyperstudy_source.errors import DestinationError, SettingError

HOLDS_DEMO = "hyperstudy_demo"
"""Under this name the pipeline's local state keeps whether it was filled by `--demo`."""
NAMELESS = "any"
"""A schema that is made for its naming convention only."""


def database_file(pipeline: dlt.Pipeline) -> Path | None:
    """The file of DuckDB or SQLite, there or not; None where the destination is no file. Opens nothing.

    Raises `DestinationError` where the destination's packages are not installed.
    """
    config = _configuration(pipeline)
    name = getattr(getattr(config, "credentials", None), "database", None)
    local = isinstance(config, WithLocalFiles) and isinstance(name, str) and Path(name).is_absolute()
    return Path(str(name)) if local else None


def is_gone(file: Path) -> bool:
    """Whether there is no such file; one that may not be looked at is not gone."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def require_database(pipeline: dlt.Pipeline) -> None:
    """Raises `DestinationError` where a pipeline has loaded into a file that is gone."""
    file = database_file(pipeline)
    if file and pipeline.default_schema_name and is_gone(file):
        place = "it is gone" if file.parent.is_dir() else "its folder is gone"
        raise DestinationError(
            f"The pipeline {pipeline.pipeline_name} has loaded into {file}, but {place}. Move it back, or load "
            f"into the folder that you are in: {run_command(pipeline)}")


def require_names_apart(pipeline: dlt.Pipeline) -> None:
    """Raises `SettingError` where a dataset is called as DuckDB's file, since DuckDB takes one for the other."""
    file, config = database_file(pipeline), _configuration(pipeline)
    if not file or config.destination_type != "duckdb":
        return
    layout = str(getattr(config, "staging_dataset_name_layout", ""))
    staging = layout % pipeline.dataset_name if "%s" in layout else layout
    naming = Schema(NAMELESS).naming
    datasets = {naming.normalize_table_identifier(str(each)) for each in (pipeline.dataset_name, staging) if each}
    if naming.normalize_table_identifier(file.name.split(".")[0]) in datasets:
        raise SettingError(
            f"DuckDB cannot tell the dataset {pipeline.dataset_name} from its file {file.name}, which have one name. "
            "Choose another dataset, with --dataset-name or dataset_name.")


def _configuration(pipeline: dlt.Pipeline) -> DestinationClientConfiguration:
    """What is configured for the destination, with the place of its files."""
    require_packages(pipeline)
    config = pipeline.destination.spec()
    if isinstance(config, DestinationClientDwhConfiguration):
        config._bind_dataset_name(str(pipeline.dataset_name))
    with inject_section(ConfigSectionContext(pipeline_name=pipeline.pipeline_name, sections=())):
        return pipeline.destination.configuration(config)


def run_command(pipeline: dlt.Pipeline) -> str:
    """What to type to load with a pipeline again."""
    return command_line(pipeline, "run", *(["--demo"] if pipeline.state["_local"].get(HOLDS_DEMO) else []))


def command_line(pipeline: dlt.Pipeline, *words: str) -> str:
    """`dlt pipeline NAME` with the words that follow, as a shell takes it."""
    elsewhere = Path(pipeline.pipelines_dir) != Path(get_dlt_pipelines_dir())
    folder = ["--pipelines-dir", pipeline.pipelines_dir] if elsewhere else []
    return shlex.join(["dlt", "pipeline", *folder, pipeline.pipeline_name, *words])
