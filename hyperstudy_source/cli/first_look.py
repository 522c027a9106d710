"""What to type after a load to see rows: quoted for SQL, for Python and for the shell."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import dlt

from hyperstudy_source.destination.whereabouts import command_line, database_file
from hyperstudy_source.load import LoadReport

SHOWN_FIRST = "rooms"
NEEDS_QUOTES_IN_SHELL = re.compile(r"""["$`\\!]""")


def first_look(pipeline: dlt.Pipeline, report: LoadReport) -> str:
    """A command that shows rows and opens the file for reading only; without a file, one that tells of the load."""
    file = database_file(pipeline)
    names = [table.name for table in report.tables]
    if file is None or not report.destination.startswith("duckdb:") or not names:
        return command_line(pipeline, "info")
    shown = file.name if file.parent == Path.cwd() else file.as_posix()
    table = SHOWN_FIRST if SHOWN_FIRST in names else names[0]
    query = f"from {_identifier(report.dataset_name)}.{_identifier(table)}"
    code = f"import duckdb; print(duckdb.connect({shown!r}, read_only=True).sql({query!r}))"
    return f"python -c {shlex.quote(code) if NEEDS_QUOTES_IN_SHELL.search(code) else f'{chr(34)}{code}{chr(34)}'}"


def _identifier(name: str) -> str:
    """A name as DuckDB's SQL takes it: in quotes where it is no plain word or has a meaning of its own."""
    import duckdb

    with duckdb.connect() as connection:
        reserved = connection.execute(
            "SELECT count(*) FROM duckdb_keywords() WHERE keyword_name = ? AND keyword_category <> 'unreserved'",
            [name.lower()]).fetchall() != [(0,)]
    plain = re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) and not reserved
    return name if plain else '"{}"'.format(name.replace('"', '""'))
