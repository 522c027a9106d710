"""Brings the recordings' files into a folder or a bucket, and lists those that are missing and why.

Exit status: 0 every file that is ready is there, 3 some are missing, 1 nothing was loaded.
"""

import sys

import dlt

from hyperstudy_source import HyperStudyError, load

# s3://bucket/folder, gs://bucket/folder and az://container/folder work as well, with dlt's own credentials
BUCKET_URL = "recordings"

if __name__ == "__main__":
    pipeline = dlt.pipeline("hyperstudy", destination="duckdb", dataset_name="hyperstudy_data")
    try:
        report = load(pipeline, ["recordings", "recording_files"], bucket_url=BUCKET_URL)
    except HyperStudyError as error:
        sys.exit(f"Error: {error}")
    print(report)
    with pipeline.sql_client() as client:
        missing = "SELECT recording_id, status, error FROM recording_files WHERE file_url IS NULL ORDER BY 1"
        for recording_id, status, why in client.execute_sql(missing) or ():
            print(f"{recording_id}: {status}. {why or 'It is not ready yet.'}")
    sys.exit(report.exit_status)
