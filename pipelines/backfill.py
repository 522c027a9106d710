"""Reads a past window of time again, month by month, such as `backfill.py 2024-06 2024-09`.

Cursors are neither read nor moved, rows that are there already are replaced, so it can be repeated at any time.
"""

import argparse
import sys
from collections.abc import Iterator
from datetime import date

import dlt

from hyperstudy_source import HyperStudyError, load


def months(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Every month from `first` to `last`, as its first day and that of the month after it."""
    start = first
    while start <= last:
        end = date(start.year + start.month // 12, start.month % 12 + 1, 1)
        yield start, end
        start = end


def month(text: str) -> date:
    """The first day of a month that is written as 2024-06."""
    return date.fromisoformat(f"{text}-01")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=month, help="such as 2024-06")
    parser.add_argument("last", type=month, help="such as 2024-09; included")
    asked = parser.parse_args()
    pipeline = dlt.pipeline("hyperstudy", destination="duckdb", dataset_name="hyperstudy_data")
    for start, end in months(asked.first, asked.last):
        try:
            report = load(pipeline, start_time=str(start), end_time=str(end))
        except HyperStudyError as error:
            sys.exit(f"Error in {start:%Y-%m}: {error}")
        print(f"{start:%Y-%m}\n{report}\n")
