"""A data type as a table of dlt: its hints, its child tables, and its rows with key and place filled in.

What surprises: dlt creates child tables when their first row comes; `declare` puts them into the schema before that,
with dlt's own columns, so that `loading.load` can create them empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from dlt.common.data_types import TDataType
from dlt.common.schema import Schema
from dlt.common.schema.typing import (
    TColumnSchema,
    TLoaderMergeStrategy,
    TTableSchema,
    TTableSchemaColumns,
)
from dlt.common.schema.utils import new_table

from hyperstudy_source.api.redaction import bare_link
from hyperstudy_source.data_types import DATA_TYPES, PLACE_FIELDS, DataType
from hyperstudy_source.sync.scopes import Scope
from hyperstudy_source.tables.fields import Row, column_name, columns
from hyperstudy_source.tables.misfits import Misfit
from hyperstudy_source.tables.rows import ColumnTypes, RowShaper
from hyperstudy_source.tables.values import digest

MERGE_STRATEGY: TLoaderMergeStrategy = "delete-insert"
"""Takes rows that come twice in one load, as pages that shift deliver them; `upsert` inserts them twice."""
_LINKS: TTableSchemaColumns = {
    "_dlt_root_id": {"name": "_dlt_root_id", "data_type": "text", "nullable": False, "root_key": True},
    "_dlt_parent_id": {"name": "_dlt_parent_id", "data_type": "text", "nullable": False, "parent_key": True},
    "_dlt_list_idx": {"name": "_dlt_list_idx", "data_type": "bigint", "nullable": False},
    "_dlt_id": {"name": "_dlt_id", "data_type": "text", "nullable": False, "unique": True, "row_key": True},
}
"""dlt's own columns of a child table whose root is merged."""


TellRoom = Callable[[Row], str | None]
"""Tells the room of a row of a table."""


def hints(data_type: DataType) -> dict[str, Any]:
    """The arguments with which a data type becomes a `dlt.resource`."""
    added = data_type.added_columns
    leading = {name: kind for name, kind in added.items() if name in data_type.key_columns}
    declared = {**leading, **columns(data_type.fields)[()], **added}
    return {
        "name": data_type.name,
        "primary_key": list(data_type.key_columns),
        "write_disposition": {"disposition": "merge", "strategy": MERGE_STRATEGY},
        "columns": {name: _column(name, kind) for name, kind in declared.items()},
        "selected": data_type.selected,
    }


def child_tables(data_type: DataType) -> dict[str, TTableSchema]:
    """The declared child tables of a data type, each after its parent."""
    tables = {}
    for path, declared in sorted(columns(data_type.fields).items(), key=lambda item: len(item[0])):
        if path:
            name, parent = ("__".join((data_type.name, *lists)) for lists in (path, path[:-1]))
            own = [_column(column, kind) for column, kind in declared.items()]
            tables[name] = new_table(name, parent_table_name=parent, columns=[*own, *_LINKS.values()])
    return tables


def declare(schema: Schema, data_type: DataType) -> None:
    """Puts a data type's tables into the schema, and lets no text be guessed at."""
    schema.remove_type_detection("iso_timestamp")
    own = hints(data_type)["columns"] | {
        name: {**hints(data_type)["columns"][name], "nullable": False, "primary_key": True}
        for name in data_type.key_columns}
    schema.update_table(new_table(
        data_type.name, write_disposition="merge", resource=data_type.name, columns=list(own.values())))
    for table in child_tables(data_type).values():
        schema.update_table(table)


def _column(name: str, data_type: str) -> TColumnSchema:
    return {"name": name, "data_type": cast(TDataType, data_type)}


class TableRows:
    """Turns rows of the API into rows of a data type's table, for one resource of one run."""

    def __init__(self, data_type: DataType, schema: Schema, state: dict[str, Any]) -> None:
        self._data_type = data_type
        self.told_by: Sequence[str] | None = state.get("told_by")
        """The fields of which the key of a row without one is the digest; None until the first rows come."""
        self.types = ColumnTypes(_known_types(data_type, schema), partial(_stored, schema))
        self._shaper = RowShaper(
            data_type.name, data_type.fields, data_type.added_columns, self.types, state, schema.naming.max_length)

    def misfits(self) -> Counter[Misfit]:
        """How many values since the last call each column could not take."""
        misfits, self._shaper.misfits = self._shaper.misfits, Counter()
        return misfits

    def remarks(self) -> list[str]:
        """What is odd in the rows since the last call."""
        remarks, self._shaper.remarks = self._shaper.remarks, []
        return remarks

    def shape(
        self, rows: Iterable[Row], scope: Scope | None, twins: Counter[str], tell_room: TellRoom | None = None
    ) -> list[Row]:
        """The rows with their key, experiment, room and `onset_sec`. `twins` counts identical rows of one read.

        `tell_room` tells the room of a row that does not name it.

        What tells rows without a key apart is settled by the first that come, since documentation names few of their
        fields: a field that the API grows later does not make new rows of old ones.
        """
        rows = list(rows)
        if rows and self.told_by is None:
            data_type = self._data_type
            found = set() if data_type.key or data_type.identity else {name for row in rows for name in row}
            self.told_by = sorted({*data_type.told_by, *(found - PLACE_FIELDS)})
        return [self._finished(row, shaped, scope, twins, tell_room)
                for row, shaped in zip(rows, self._shaper.page(rows), strict=True)]

    def _finished(
        self, row: Row, shaped: Row, scope: Scope | None, twins: Counter[str], tell_room: TellRoom | None
    ) -> Row:
        data_type = self._data_type
        shaped = FINISHING.get(data_type.name, _unchanged)(shaped)
        if data_type.of_experiment:
            shaped["experiment_id"] = shaped.get("experiment_id") or (scope.experiment_id if scope else "")
        if scope and scope.room_id and "roomId" in data_type.fields:
            shaped["room_id"] = shaped.get("room_id") or scope.room_id
        elif tell_room and not shaped.get("room_id") and (room := tell_room(shaped)):
            shaped["room_id"] = room
        if isinstance(onset := shaped.get("onset"), float):
            shaped["onset_sec"] = onset / 1000
        return self._with_key(shaped, row, twins)

    def _with_key(self, shaped: Row, row: Row, twins: Counter[str]) -> Row:
        data_type = self._data_type
        for part in data_type.key:
            names = [column_name(name) for name in part]
            found = next((shaped[name] for name in names if shaped.get(name)), None)
            if found is None:
                found = self._missing_room(row, twins) if names[0] == "room_id" else self._row_key(row, shaped, twins)
            shaped[names[0]] = found
        if not data_type.key:
            given = data_type.key_where_present and shaped.get(column_name(data_type.key_where_present))
            shaped["row_key"] = given or self._row_key(row, shaped, twins)
        return shaped

    def _missing_room(self, row: Row, twins: Counter[str]) -> str:
        """Stands for the room of a row that does not say it, different for all rows of the same id."""
        same_id = "room of " + digest(row, [name for part in self._data_type.key for name in part])
        twins[same_id] += 1
        return "" if twins[same_id] == 1 else f"({twins[same_id]})"

    def _row_key(self, row: Row, shaped: Row, twins: Counter[str]) -> str:
        """A digest of what tells the row; rows that it does not tell apart have their number among them behind it."""
        key = digest({**row, "roomId": shaped.get("room_id")}, self.told_by)
        number = twins[key]
        twins[key] += 1
        return f"{key}_{number}" if number else key


def _known_types(data_type: DataType, schema: Schema) -> dict[tuple[str, str], str]:
    """The types of a data type's columns in the schema, and where it has none those of the tables derived from it."""
    derived = [each.name for each in DATA_TYPES.values() if each.derived_from == data_type.name]
    known: dict[tuple[str, str], str] = {}
    for root in (data_type.name, *derived):
        for table, declared in list(schema.tables.items()):
            name, *lists = table.split("__")
            if name == root:
                for column, hints in declared["columns"].items():
                    if hints.get("data_type"):
                        known.setdefault(("__".join((data_type.name, *lists)), column), str(hints["data_type"]))
    return known


def _stored(schema: Schema, name: str) -> str:
    """The name of a table or column as the destination has it: what is too long is shortened by dlt."""
    naming = schema.naming
    if not naming.max_length or len(name) <= naming.max_length:
        return name
    return naming.shorten_fragments(*map(naming.normalize_identifier, name.split("__")))


def _unchanged(shaped: Row) -> Row:
    return shaped


def _experiment(shaped: Row) -> Row:
    return {"experiment_id": shaped.get("id"), **shaped}


def _recording(shaped: Row) -> Row:
    """The place of a recording stands in its `metadata` and in its `downloadPath`; its `url` keeps no query."""
    metadata = shaped.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    steps = str(shaped.get("download_path") or "").strip("/").split("/")
    room_id = steps[-2] if steps[:-2] == ["data", "recordings", "download"] else metadata.get("room_name")
    if shaped.get("url"):
        shaped["url"] = bare_link(shaped["url"])
    place = {"experiment_id": metadata.get("experiment_id"), "room_id": room_id}
    return {**{name: value for name, value in place.items() if value}, **shaped}


def _participant(shaped: Row) -> Row:
    """Where the API names a person by `id` only, `participant_id` says it too, as in every other table."""
    person = shaped.get("participant_id") or shaped.get("id")
    return shaped | {"participant_id": person} if person else shaped


def _message(shaped: Row) -> Row:
    """Who sent a message is its participant, as in every other table."""
    person = shaped.get("participant_id") or shaped.get("sender_id")
    return shaped | {"participant_id": person} if person else shaped


FINISHING: Mapping[str, Callable[[Row], Row]] = {
    "experiments": _experiment, "participants": _participant, "recordings": _recording, "chat": _message,
}
"""What a table does to its rows beyond what its fields say."""
