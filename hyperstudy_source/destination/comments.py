"""What is known of tables and columns, as comments in the databases whose comments dlt does not write.

In BigQuery and Databricks dlt writes the descriptions of the schema by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dlt.common import logger
from dlt.common.destination.client import JobClientBase
from dlt.common.schema import Schema
from dlt.destinations.job_client_impl import SqlJobClientBase

STORED: Mapping[str, str] = {
    "duckdb": """
        SELECT table_name, NULL, comment FROM duckdb_tables()
        WHERE schema_name = %s AND database_name = current_database()
        UNION ALL SELECT table_name, column_name, comment FROM duckdb_columns()
        WHERE schema_name = %s AND database_name = current_database()""",
    "postgres": """
        SELECT relname, NULL, obj_description(pg_class.oid, 'pg_class') FROM pg_class
        WHERE relkind = 'r' AND relnamespace = to_regnamespace(quote_ident(%s))
        UNION ALL SELECT relname, attname, col_description(pg_class.oid, attnum)
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        WHERE relkind = 'r' AND relnamespace = to_regnamespace(quote_ident(%s))""",
}
"""By destination: the tables and columns of a dataset with their comments."""


def write_comments(client: JobClientBase, schema: Schema) -> None:
    """Makes the comments say what the schema does, where the destination has comments. Never fails a load."""
    kind = client.config.destination_type.rsplit(".", 1)[-1]
    if isinstance(client, SqlJobClientBase) and kind in STORED:
        try:
            if statements := list(_outdated(client, schema, STORED[kind])):
                with client.sql_client.begin_transaction():  # else each waits for the disk
                    client.sql_client.execute_many(statements)
        except Exception as failure:  # the rows are loaded, whatever becomes of the comments
            logger.warning(f"The tables were not described by comments: {' '.join(str(failure).split())[:200]}")


def _outdated(client: SqlJobClientBase, schema: Schema, stored: str) -> Iterator[str]:
    """The statements that mend the comments which differ."""
    sql, capabilities = client.sql_client, client.capabilities
    tables = {table["name"]: table for table in schema.data_tables()}
    for table, column, comment in sql.execute_sql(stored, sql.dataset_name, sql.dataset_name) or ():
        described = tables.get(table) if column is None else tables.get(table, {}).get("columns", {}).get(column)
        wanted = (described or {}).get("description")
        if wanted and wanted != comment:
            place = sql.make_qualified_table_name(table)
            what = f"TABLE {place}" if column is None else f"COLUMN {place}.{capabilities.escape_identifier(column)}"
            yield f"COMMENT ON {what} IS {capabilities.escape_literal(wanted)}"
