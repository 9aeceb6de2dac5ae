"""Writing rows into a real MySQL or MariaDB, and reading what is stored."""

from rows import table_of

from clickstream.io import sql
from clickstream.io.sql import tables

PASSWORD = "env:CLICKSTREAM_TEST_PASSWORD"


def write(connection, rows, **options):
    writer = sql.metrics_writer(connection, **options)
    try:
        return writer.write(tables.metric_columns(table_of(rows)))
    finally:
        writer.close()


def stored(ask):
    columns = ", ".join(
        f"DATE_FORMAT({name}, '%%Y-%%m-%%d %%H:%%i:%%s')" if name.startswith("window") else name
        for name in tables.METRICS_COLUMNS
    )
    return ask(f"SELECT {columns} FROM page_metrics ORDER BY window_start, url_hash, country")  # noqa: S608
