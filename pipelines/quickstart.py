"""Loads everything that your key can read into a DuckDB file, and says what is in it."""

import dlt

from hyperstudy_source import load

if __name__ == "__main__":
    pipeline = dlt.pipeline("hyperstudy", destination="duckdb", dataset_name="hyperstudy_data")
    print(load(pipeline))
