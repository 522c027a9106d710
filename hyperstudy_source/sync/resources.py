"""What a resource needs for its rows to be right in whichever way dlt runs it: its hints, its table, its ledger.

Checked and set when dlt extracts it, since until then a user may change them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import dlt
from dlt.common import logger
from dlt.common.configuration.container import Container
from dlt.common.destination.capabilities import DestinationCapabilitiesContext
from dlt.common.schema import Schema
from dlt.common.schema.typing import TFileFormat
from dlt.common.schema.utils import has_table_seen_data
from dlt.extract import DltResource
from dlt.extract.incremental import IncrementalResourceWrapper
from dlt.extract.items_transform import LimitItem, MetricsItem
from dlt.extract.pipe import Pipe

from hyperstudy_source.data_types import SYNC_LEDGER, DataType
from hyperstudy_source.errors import DestinationError, SettingError
from hyperstudy_source.sync.run import Run
from hyperstudy_source.tables.frames import Shaped
from hyperstudy_source.tables.hints import MERGE_STRATEGY, child_tables, declare, hints
from hyperstudy_source.tables.items import AsArrow, as_objects, is_extracted

RUN_OF = "hyperstudy_run"
"""Under this name a resource tells its run, whatever dlt wraps around it."""
LEAVES_ROWS_ALONE = (IncrementalResourceWrapper, LimitItem, MetricsItem)
"""Steps of dlt that change no row. The filter of an incremental is switched off."""
TAKES_ARROW = (IncrementalResourceWrapper, MetricsItem)
"""Those of them for which a page may be several items, of its table and its child tables; a limit counts them."""


class Ledger(DltResource):
    """The resource of the ledger: it is a part of every selection, and no limit cuts it short."""

    @property
    def selected(self) -> bool:
        """Always."""
        return True

    @selected.setter
    def selected(self, _: bool) -> None:
        """Leaves it selected."""

    def add_limit(self, *_: Any, **__: Any) -> Ledger:
        """Leaves it whole: its one item says what the limits of the others did."""
        return self


def resource(run: Run, data_type: DataType, rows: Callable[..., Iterator[Any]]) -> DltResource:
    """A data type's resource, of a run."""
    setattr(rows, RUN_OF, run.token)
    is_ledger = data_type is SYNC_LEDGER
    made: DltResource = dlt.resource(rows, **hints(data_type), _impl_cls=Ledger if is_ledger else DltResource)
    return made


def extracted(run: Run) -> set[str]:
    """The resources of a run that dlt extracts now, those that are not loaded but feed another one too."""
    found = dlt.current.source().resources.extracted
    return {each.name for each in found if getattr(each, RUN_OF, None) == run.token}


def prepare(run: Run, data_type: DataType) -> Callable[[Shaped], Iterator[Any]]:
    """Makes sure that the rows of the resource that dlt extracts now come into a table that keeps them as they are.

    Returns what makes items of dlt of these rows.
    Raises `DestinationError` where the destination cannot merge: dlt would append there, and double rows in silence.
    Raises `SettingError` where the resource is not to be merged by its key any more.
    """
    capabilities = _capabilities()
    if capabilities and MERGE_STRATEGY not in (capabilities.supported_merge_strategies or ()):
        raise DestinationError(
            "The destination cannot replace rows, so a second run would double them. Nothing was read. Choose a "
            "database, such as duckdb, postgres, bigquery or snowflake, and export files from there.")
    if capabilities:
        _merge_as_a_whole(capabilities)
    of, schema = dlt.current.resource(), dlt.current.source_schema()
    _check_hints(of, data_type)
    has_contract = bool(of.schema_contract or schema.settings.get("schema_contract"))
    _prepare_table(schema, data_type, capabilities, has_contract)
    pipe = cast(Pipe, dlt.current.pipe())
    steps = [step for step in pipe.steps if step is not pipe.gen]
    if not all(isinstance(step, LEAVES_ROWS_ALONE) for step in steps):
        run.extract.changed.add(data_type.name)
    if SYNC_LEDGER.name not in dlt.current.source().resources and not run.extract.unledgered:
        run.extract.unledgered = True
        logger.warning(
            f"{data_type.name} is run without its source, so nothing tells whether it is complete. Run "
            f"hyperstudy_source().with_resources(\"{data_type.name}\"), or sync_ledger beside it.")
    takes_arrow = (is_extracted() and _file_format(capabilities) == "parquet" and not has_contract
                   and all(isinstance(step, TAKES_ARROW) for step in steps))
    return AsArrow(data_type, schema) if takes_arrow else as_objects


def is_created(data_type: DataType) -> bool:
    """Whether the table of a data type is in the destination already."""
    return has_table_seen_data(dlt.current.source_schema().tables[data_type.name])


def _check_hints(of: DltResource, data_type: DataType) -> None:
    """Rows are to be merged by their key, whatever `apply_hints` or `pipeline.run` say."""
    table = of.compute_table_schema()
    columns = table["columns"].values()
    wrong = {
        "write_disposition": table["write_disposition"] != "merge",
        "merge strategy": table.get("x-merge-strategy", MERGE_STRATEGY) != MERGE_STRATEGY,
        "destination_scope": bool(table.get("x-destination-scope")),
        "table_name": table["name"] != data_type.name,
        "name": of.name != data_type.name,
        "primary_key": {each["name"] for each in columns if each.get("primary_key")} != set(data_type.key_columns),
        "merge_key": any(each.get("merge_key") for each in columns),
    }
    if any(wrong.values()):
        changed = ", ".join(name for name, is_wrong in wrong.items() if is_wrong)
        raise SettingError(
            f"{data_type.name} is run with another {changed}, which would double rows or lose those of other runs. "
            "Nothing was read. Leave it out: rows are merged by their key into the table of their data type. To load "
            "everything anew, run the pipeline with refresh=\"drop_resources\".")


def _prepare_table(
    schema: Schema, data_type: DataType, capabilities: DestinationCapabilitiesContext | None, has_contract: bool
) -> None:
    """Declares the table in the schema of a resource that is run without its source, and says how it is written.

    Of a table that is not there yet, dlt takes the columns of the first rows whatever the contract: so it is of one
    that is only declared.
    """
    names = (data_type.name, *child_tables(data_type))
    if not schema.tables.keys() >= {*names}:
        declare(schema, data_type)
    for name in names:
        table = schema.tables[name]
        if has_contract and not has_table_seen_data(table):
            table["x-normalizer"] = {**(table.get("x-normalizer") or {}), "evolve-columns-once": True}
    root = schema.tables[data_type.name]
    root.pop("file_format", None)
    if file_format := _file_format(capabilities):
        root["file_format"] = file_format


def _capabilities() -> DestinationCapabilitiesContext | None:
    """What the destination of the current run can do."""
    container = Container()
    if DestinationCapabilitiesContext not in container:
        return None
    return container[DestinationCapabilitiesContext]


def _merge_as_a_whole(destination: DestinationCapabilitiesContext) -> None:
    """Lets dlt delete and insert rows in one transaction where it does not know that the database, DuckDB, can.

    Else a table without child tables loses the rows of a merge that fails or is killed between the two.
    """
    factory = dlt.current.pipeline().destination
    if factory and destination.supports_transactions is None and destination.supports_ddl_transactions:
        factory.caps_params["supports_transactions"] = True


def _file_format(destination: DestinationCapabilitiesContext | None) -> TFileFormat | None:
    """`parquet` where the destination would else take rows as SQL text, which is many times slower.

    A destination that chooses by itself, as Postgres does by the drivers that it finds, is left to it.
    """
    if destination is None or destination.loader_file_format_selector:
        return None
    by_statements = destination.preferred_loader_file_format == "insert_values"
    return "parquet" if by_statements and "parquet" in destination.supported_loader_file_formats else None
