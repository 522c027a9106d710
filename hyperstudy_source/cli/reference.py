"""The parts of the README that follow from the code.

`python -m hyperstudy_source.cli.reference README.md` renews them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from hyperstudy_source.cli.plugin import RunCommand, command_parser
from hyperstudy_source.data_types import RECORDING_FILES, TABLES, DataType


def data_types_table() -> str:
    """One row per data type: table, endpoint, key, cursor, permission."""
    lines = ["| table | what it holds | endpoint | key | cursor | permission |", "| ---" * 6 + " |"]
    for data_type in TABLES.values():
        key = ", ".join(f"`{column}`" for column in data_type.key_columns if column != "experiment_id")
        lines.append(
            f"| `{data_type.name}` | {data_type.description}{_note(data_type)} | `{_endpoint(data_type)}` | {key} | "
            f"{_cursor(data_type)} | `{data_type.permission}` |")
    return "\n".join(lines)


def options_table() -> str:
    """One row per option of `dlt pipeline NAME run`."""
    lines = ["| option | what it does |", "| --- | --- |"]
    for action in command_parser(RunCommand)._actions:
        flag = action.option_strings[-1]
        if flag != "--help":
            value = "" if action.nargs == 0 else f" {action.metavar or flag[2:].upper().replace('-', '_')}"
            lines.append(f"| `{flag}{value}` | {action.help} |")
    return "\n".join(lines)


PARTS: Mapping[str, Callable[[], str]] = {"data types": data_types_table, "options": options_table}
"""What stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->`."""


def renewed(text: str) -> str:
    """A document with its generated parts made anew."""
    for name, make in PARTS.items():
        begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->"
        before, after = text.split(begin)[0], text.split(end)[1]
        text = f"{before}{begin}{make()}\n{end}{after}"
    return text


def _note(data_type: DataType) -> str:
    return "" if data_type.selected else " (only where asked for)"


def _endpoint(data_type: DataType) -> str:
    if data_type is RECORDING_FILES:
        return f"{data_type.path}/{{room}}/{{id}}"
    return data_type.path + ("/{scope}/{id}" if data_type.scopes else "")


def _cursor(data_type: DataType) -> str:
    return f"`{data_type.cursor}`" if data_type.cursor else "read whole"


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(renewed(document.read_text(encoding="utf-8")), encoding="utf-8")
