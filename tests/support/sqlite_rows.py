"""Writing rows into SQLite, and asking what is stored."""

import sqlite3

import pyarrow as pa
from rows import START, table_of

from clickstream.io import sql
from clickstream.io.sql import tables
from clickstream.transforms.schema import REJECTED_SCHEMA


def rejected_of(count, raw=b"{"):
    row = {"source": "a.ndjson", "record_timestamp": START, "reason": "invalid_json", "detail": "no end", "raw": raw}
    return pa.Table.from_pylist([row | {"position": n} for n in range(count)], REJECTED_SCHEMA)


def ask(connection, question, *values):
    opened = sqlite3.connect(connection.database)
    try:
        return opened.execute(question, values).fetchall()
    finally:
        opened.close()


def stored(connection):
    return ask(connection, "SELECT * FROM page_metrics ORDER BY window_start, url_hash, country")


def write(connection, rows, **options):
    writer = sql.metrics_writer(connection, **options)
    try:
        return writer.write(tables.metric_columns(table_of(rows)))
    finally:
        writer.close()
