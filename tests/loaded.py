"""Runs the source against a stand-in and reads the tables back, each row with its child rows inside it."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dlt
import pyarrow.parquet
import pytest

from hyperstudy_source import hyperstudy_source
from hyperstudy_source.standin import StandIn, Study
from hyperstudy_source.tables.fields import column_name

Row = dict[str, Any]

DATASET = "hyperstudy_data"
PARENT, ROW, PLACE, ROOT, LOAD = "_dlt_parent_id", "_dlt_id", "_dlt_list_idx", "_dlt_root_id", "_dlt_load_id"
MORNING = datetime(2024, 6, 10, 10, tzinfo=timezone.utc)


def new_pipeline(folder: Path, working: str = "pipelines") -> dlt.Pipeline:
    """A pipeline into the DuckDB file of a folder; another working folder forgets all but the destination."""
    return dlt.pipeline(
        "hyperstudy", destination=dlt.destinations.duckdb(str(folder / "hyperstudy.duckdb")),
        dataset_name=DATASET, pipelines_dir=str(folder / working))


@contextlib.contextmanager
def quiet_place(folder: Path) -> Iterator[Path]:
    """A folder to load in for fixtures that outlive a test, out of the reach of the machine's own dlt."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        patch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")
        patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        patch.chdir(folder)
        yield folder


def run(pipeline: dlt.Pipeline, api: StandIn, *names: str, add_limit: int | None = None, **options: Any) -> None:
    """One run of the source: all of its resources, or those named."""
    source = hyperstudy_source(api_key=api.api_key, base_url=api.base_url, **options)
    source = source.with_resources(*names) if names else source
    pipeline.run(source if add_limit is None else source.add_limit(add_limit))


class Loaded:
    """All tables as they stand in the destination. A row has its child rows as lists, in their order."""

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        self.types: dict[str, dict[str, str]] = {}
        self._tables: dict[str, list[Row]] = {}
        with pipeline.sql_client() as client:
            query = f"SELECT table_name, column_name, data_type FROM information_schema.columns " \
                    f"WHERE table_schema = '{DATASET}' ORDER BY ordinal_position"
            for table, column, data_type in client.execute_sql(query) or ():
                self.types.setdefault(table, {})[column] = data_type
            for table in self.types:
                found = client.execute_sql(f'SELECT * FROM "{table}"') or ()
                self._tables[table] = [dict(zip(self.types[table], row, strict=True)) for row in found]
        self._nest()
        schemas = pipeline.schemas.values()
        self.declared = {name: {column: str(hints.get("data_type")) for column, hints in table["columns"].items()}
                         for schema in schemas for name, table in schema.tables.items()}

    def _nest(self) -> None:
        """A list inside an object has the object's table as its parent, whatever its name begins with."""
        owners = {row[ROW]: row for rows in self._tables.values() for row in rows if ROW in row}
        for table, rows in self._tables.items():
            if PARENT in self.types[table]:
                for row in sorted(rows, key=lambda row: int(row[PLACE])):
                    owners[row[PARENT]].setdefault(table, []).append(row)

    def __getitem__(self, table: str) -> list[Row]:
        return self._tables[table]

    @property
    def tables(self) -> list[str]:
        """Every table that is not dlt's own."""
        return [table for table in self.types if not table.startswith("_dlt")]

    def column(self, table: str, column: str) -> list[Any]:
        """The values of a column, sorted."""
        return sorted((row[column] for row in self[table]), key=str)

    def contents(self, *tables: str) -> dict[str, list[str]]:
        """What the tables say, whatever ids dlt gave to their rows and in whatever order they lie."""
        roots = [table for table in tables or self.tables if PARENT not in self.types[table]]
        return {table: sorted(_told(row) for row in self[table]) for table in roots}


def _told(row: Row) -> str:
    return json.dumps(_without_ids(row), sort_keys=True, default=str)


def _without_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_ids(item) for item in value]
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in (PARENT, ROW, ROOT, LOAD) and v is not None}
        return {k: _without_ids(v) for k, v in kept.items()}
    return value


def instant(text: str) -> datetime | None:
    """A time as a moment in UTC, or None for any other text."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def at(seconds: float) -> str:
    """A time so many seconds after the morning on which rows are made, as the API writes it."""
    moment = datetime.fromtimestamp(MORNING.timestamp() + seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def small_study(*experiment_ids: str) -> Study:
    """Experiments of one room each: `exp_1` has `room_1` with `p1` in it."""
    study = Study.empty(*experiment_ids)
    for experiment_id in experiment_ids:
        number = experiment_id.removeprefix("exp_")
        study.add_room(f"room_{number}", experiment_id=experiment_id, participants=[f"p{number}"])
    return study


def add(study: Study, data_type: str, row: Row, experiment_id: str = "exp_1") -> None:
    """Add a row to the room and participant of a small study's experiment."""
    number = experiment_id.removeprefix("exp_")
    study.add(data_type, row, experiment_id=experiment_id, room_id=f"room_{number}", participant_id=f"p{number}")


def scalars(value: Any) -> set[str]:
    """The scalars in a value, each as one text however it is stored; empty texts, lists and objects say nothing."""
    if isinstance(value, dict):
        return {text for key, item in value.items() for text in scalars(item)}
    if isinstance(value, list):
        return {text for item in value for text in scalars(item)}
    if isinstance(value, datetime):
        return {value.isoformat(), str(int(value.timestamp() * 1000))}
    if isinstance(value, bool):
        return {str(value).lower()}
    if isinstance(value, (int, float)):
        return {str(int(value)) if float(value).is_integer() else str(value)}
    if value in (None, ""):
        return set()
    moment = instant(value)
    return {moment.isoformat() if moment else str(value)}


def held(row: Row, table: str, name: str) -> set[str]:
    """The scalars in what one field became: its columns, its child tables, and JSON in them."""
    column = re.escape(column_name(name))
    own = re.compile(rf"({table}__)?{column}(_text|_number|_bool|_\d+)*(__.*)?")
    return read_back({key: value for key, value in row.items() if own.fullmatch(key)})


def read_back(value: Any) -> set[str]:
    """The scalars in columns, child rows, and JSON in them."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in (PARENT, ROW, PLACE, ROOT, LOAD)}
        return {text for item in kept.values() for text in read_back(item)}
    if isinstance(value, list):
        return {text for item in value for text in read_back(item)}
    parsed: Any = None
    if isinstance(value, str) and value[:1] in ("[", "{"):
        parsed = json.loads(value)
    return scalars(value) | scalars(parsed)


def everything_under(folder: Path) -> str:
    """All that lies in a folder as one text, packed files unpacked."""
    told = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        if path.suffix == ".parquet":
            content += str(pyarrow.parquet.read_table(path).to_pylist()).encode()
        told.append(f"{path}\n{content.decode('utf-8', 'replace')}")
    return "\n".join(told)
