"""Values that could not be read as what their column holds: how many there were, by column, in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

NAMES: Mapping[str, tuple[str, str]] = {
    "text": ("no text", "no texts"), "double": ("no number", "no numbers"),
    "bigint": ("no whole number", "no whole numbers"), "bool": ("no truth value", "no truth values"),
    "timestamp": ("no time", "no times"), "json": ("no configuration", "no configuration"),
}
"""What one value is, and what several are, that a column of each type cannot take."""
OTHERS = ("of another type", "of another type")


class Misfit(NamedTuple):
    """A column that could not take a value, and the column beside it that did."""

    table: str
    column: str
    data_type: str
    beside: str


def remarks(misfits: Mapping[Misfit, int]) -> list[str]:
    """A sentence for every column that could not take values, without any of them."""
    counts = Counter[tuple[str, str, str]]()
    places = defaultdict[tuple[str, str, str], list[str]](list)
    for misfit, number in sorted(misfits.items()):
        counts[misfit[:3]] += number
        places[misfit[:3]].append(misfit.beside)
    return [_sentence(*column, number, " and ".join(places[column])) for column, number in counts.items()]


def _sentence(table: str, column: str, data_type: str, number: int, places: str) -> str:
    one, several = NAMES.get(data_type, OTHERS)
    if number == 1:
        return f"1 value of {table}.{column} is {one}; it is in {places}."
    return f"{number:,} values of {table}.{column} are {several}; they are in {places}."
