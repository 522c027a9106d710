"""What a row of the table of data types says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from hyperstudy_source.data_types.place_and_time import ADDED, PLACE_FIELDS
from hyperstudy_source.tables.fields import Column, Fields, Object, Path, Table, column_name, tables

ScopeKind = Literal["experiment", "room", "participant"]

EVERY_SCOPE: tuple[ScopeKind, ...] = ("experiment", "room", "participant")

Alternatives = tuple[str, ...]
"""API fields of which the first that is present counts."""


@dataclass(frozen=True)
class DataType:
    """One table: where it is read, what identifies a row, which time moves its cursor, which fields it has.

    Raises `ValueError` where a row of the table contradicts itself.
    """

    name: str
    description: str
    path: str
    """Below the base URL; data endpoints end in `/{scope}/{scope id}`."""
    permission: str
    """The scope that the API key needs."""
    fields: Fields
    scopes: tuple[ScopeKind, ...] = ()
    """Which scopes the endpoint serves; empty for endpoints outside `/data`."""
    key: tuple[Alternatives, ...] = ()
    """What identifies a row within its experiment. Empty: the API gives no key, see `identity`."""
    identity: Alternatives = ()
    """Without a key: the fields that tell a row from others while the rest changes. Empty: all documented ones."""
    key_where_present: str | None = None
    """Without a guaranteed key: the field that is the key in the rows that have it."""
    most_rows: int | None = None
    """How many rows the API gives of one scope at most, whatever there are."""
    cursor: str | None = None
    """The time that `startTime` and `endTime` filter on and that orders the rows. None: always read whole."""
    before_room_hours: float = 1.0
    """How many h before its room began a row may be from: it is served only once there is a room."""
    derived_from: str | None = None
    """The data type whose rows this one is a part of; it costs no request."""
    selected: bool = True
    """False: loaded only where it is asked for."""
    of_experiment: bool = True
    """Whether a row belongs to one experiment and so has `experiment_id`."""
    is_served: bool = True
    """False: this source writes the rows, which no endpoint serves."""
    timeout: float | None = None
    """How long an answer may take, in s; None: as long as most."""

    def __post_init__(self) -> None:
        if self.cursor and self.cursor not in self.fields:
            raise ValueError(f"{self.name}: the cursor {self.cursor!r} is not one of its fields")
        if self.key and (self.identity or self.key_where_present):
            raise ValueError(f"{self.name}: a row with a key needs no identity")
        named = [name for part in self.key for name in part] + list(self.identity)
        for name in [*named, *filter(None, [self.key_where_present])]:
            if name not in self.fields:
                raise ValueError(f"{self.name}: the key field {name!r} is not one of its fields")

    @property
    def told_by(self) -> Alternatives:
        """Without a key: the documented fields of which `row_key` is the digest.

        Not those that say where the row is from: whether a row holds them may differ from one scope to another.
        """
        return self.identity or tuple(name for name in self.fields if name not in PLACE_FIELDS)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The primary key of the table."""
        scope = ("experiment_id",) if self.of_experiment else ()
        if self.key:
            return (*scope, *(column_name(part[0]) for part in self.key))
        room = ("room_id",) if self.scopes == ("room",) else ()
        return (*scope, *room, "row_key")

    @property
    def added_columns(self) -> dict[str, str]:
        """The columns that no field of the API fills, with their dlt data types."""
        names = [*(["experiment_id"] if self.of_experiment else []), *([] if self.key else ["row_key"]),
                 *(["onset_sec"] if "onset" in self.fields else [])]
        return {name: ADDED[name].data_type for name in names}

    @cached_property
    def tables(self) -> dict[Path, Table]:
        """The table, under `()`, and its child tables, with what is known of every column; added keys come first."""
        found = tables(self.fields)
        root = found[()].columns
        added = {name: Column(name, data_type, ADDED[name]) for name, data_type in self.added_columns.items()}
        leading = {name: column for name, column in added.items() if name in self.key_columns}
        last = {name: column for name, column in added.items() if name not in root}
        if not self.is_served:
            root = {name: column._replace(api_name="") for name, column in root.items()}
        origin = f"{self.description}. API endpoint: {self.path}." if self.is_served else f"{self.description}."
        found[()] = replace(found[()], of=Object(self.fields, says=origin), columns={**leading, **root, **last})
        return found
