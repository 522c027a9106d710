"""Brings the tables up to date once a day, and tells the scheduler how it went.

Exit status: 0 complete, 3 loaded but something is incomplete, 75 stopped since the hour's requests are used up (run it
again), 1 nothing was loaded; the text says why.
"""

import sys

import dlt

from hyperstudy_source import HyperStudyError, load

# s; a whole day, so that what a tablet sends once it is back online is still found
LOOKBACK = 25 * 3600

if __name__ == "__main__":
    pipeline = dlt.pipeline("hyperstudy", destination="duckdb", dataset_name="hyperstudy_data")
    try:
        report = load(pipeline, stop_on_quota=True, lookback=LOOKBACK)
    except HyperStudyError as error:
        sys.exit(f"Error: {error}")
    print(report)
    sys.exit(report.exit_status)
