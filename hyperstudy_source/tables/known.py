"""What is known of any column that a table may have by now, documented or not.

What the API grows later, or sends inside a field of any shape, has columns and child tables that no documentation
names. They lie in a field that is documented, and whether that tells who somebody is holds for them too.
"""

from __future__ import annotations

from dataclasses import dataclass

from hyperstudy_source.data_types import TABLES
from hyperstudy_source.tables.fields import ANY_SUFFIXES, Documented, Naming, Table
from hyperstudy_source.tables.hints import LINKS, OWN

DLT_COLUMNS = {str(hints["name"]): str(hints.get("description")) for hints in (*LINKS.values(), *OWN)}


@dataclass(frozen=True)
class Known:
    """What is known of a column."""

    description: str
    unit: str = ""
    names: Naming | None = None
    """Whether it tells who somebody is; see `Documented`."""
    api_name: str = ""
    """The API's own field; empty where this source or dlt makes it, or where it is not documented."""
    is_documented: bool = True
    is_of_dlt: bool = False


def known_of(table: str, column: str) -> Known:
    """What is known of a column under the names that it has in the destination."""
    if column in DLT_COLUMNS:
        return Known(DLT_COLUMNS[column], is_of_dlt=True)
    name, declared = _nearest(table)
    if declared is None:
        return Known("Not documented.", is_documented=False)
    if table == name and column in declared.columns:
        own = declared.columns[column]
        told = f"{own.of.says} This column has the {own.form}." if own.form else own.of.says
        return Known(told, own.of.unit, own.of.names, own.api_name)
    place = f"{table.removeprefix(name)}__{column}".removeprefix("__")
    within = _field_of(declared, place)
    if within is None:
        whole = declared.of if "__" in name else Documented()
        return Known("Not documented by the API.", names=whole.names, is_documented=False)
    if any(place == within + suffix for suffix in ANY_SUFFIXES.values()):
        told = f"What of `{within}` does not fit into its column."
    else:
        told = f"Not documented by the API; a part of `{within}`."
    return Known(told, names=declared.fields[within].names, is_documented=False)


def table_description(table: str) -> str:
    """What is known of a table."""
    name, declared = _nearest(table)
    if declared is None:
        return "Not documented."
    if table == name:
        return declared.description
    within = table.removeprefix(f"{name}__")
    return f"Not documented by the API; what lists or maps in `{within}` of `{name}` hold."


def _nearest(table: str) -> tuple[str, Table | None]:
    """The documented table that a table is, or lies in."""
    data_type = TABLES.get(table.split("__")[0])
    named = {} if data_type is None else {
        "__".join((data_type.name, *path)): declared for path, declared in data_type.tables.items()}
    return max(((name, declared) for name, declared in named.items() if f"{table}__".startswith(f"{name}__")),
               key=lambda found: len(found[0]), default=("", None))


def _field_of(table: Table, place: str) -> str | None:
    """The documented field in which something lies, or beside which."""
    beside = {field + suffix: field for field in table.fields for suffix in ANY_SUFFIXES.values()}
    inside = [field for field in table.fields if f"{place}__".startswith(f"{field}__")]
    return max(inside, key=len, default=None) or beside.get(place)
