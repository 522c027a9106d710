"""Reads a past window of time again, month by month, such as `backfill.py 2024-06 2024-09`.

Cursors are neither read nor moved, rows that are there already are replaced, so it can be repeated at any time.
"""

import sys
from collections.abc import Iterator
from datetime import date

import dlt

from hyperstudy_source import load


def months(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Every month from `first` to `last`, as its first day and that of the month after it."""
    start = first
    while start <= last:
        end = date(start.year + start.month // 12, start.month % 12 + 1, 1)
        yield start, end
        start = end


if __name__ == "__main__":
    pipeline = dlt.pipeline("hyperstudy", destination="duckdb", dataset_name="hyperstudy_data")
    first, last = (date.fromisoformat(f"{month}-01") for month in sys.argv[1:3])
    for start, end in months(first, last):
        report = load(pipeline, ["events", "ratings_continuous"], start_time=str(start), end_time=str(end))
        print(f"{start:%Y-%m}\n{report}\n")
