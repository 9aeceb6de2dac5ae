"""Result rows out of SQLite, MySQL and MariaDB."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from clickstream.io.results.row_filter import FIRST_PAGE_ROWS, RowFilter, next_page_rows, page_schema
from clickstream.io.sql import SqlConnection, UrlHashes, column_types, one_line_errors, page_metrics_table

_TIMES = ("window_start", "window_end")


def read_sql_rows(connection: SqlConnection, wanted: RowFilter, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yields the chosen rows of `page_metrics` in pages, all as of one moment: these columns of its kind's schema.

    Raises:
        UserError: The database can't be read.
    """
    schema, size = page_schema(columns), FIRST_PAGE_ROWS
    question = _question(page_metrics_table(connection.metrics_table, connection.kind), wanted, columns)
    with one_line_errors(connection), connection.engine().connect() as opened:
        answer = opened.execution_options(stream_results=True).execute(question)
        while rows := answer.fetchmany(size):
            cells = zip(zip(*rows, strict=True), schema, strict=True)
            page = pa.table([_array(column, field.type) for column, field in cells], schema)
            size = next_page_rows(page)
            yield page


def _question(table: sa.Table, wanted: RowFilter, columns: Sequence[str]) -> Any:
    # Of no type: the driver's own values, where MySQL's DOUBLE would become a Decimal.
    plain = (column_types.time_as_text(sa.column(name)) if name in _TIMES else sa.column(name) for name in columns)
    return sa.select(*plain).select_from(table).where(*conditions_of(table, wanted))


def conditions_of(table: sa.Table, wanted: RowFilter) -> list[Any]:
    """What a row of the table must fulfil."""
    conditions: list[Any] = []
    if wanted.url is not None:
        conditions.append(table.c.url_hash == UrlHashes()[wanted.url])
    if wanted.country is not None:
        conditions.append(
            sa.cast(table.c.country, sa.LargeBinary) == wanted.country.encode()
        )  # blanks at its end count
    if wanted.start is not None:
        conditions.append(table.c.window_start >= _text(wanted.start))
    if wanted.end is not None:
        conditions.append(table.c.window_start < _text(wanted.end))
    return conditions


def _array(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    return column_types.times_from_text(cells, kind) if pa.types.is_timestamp(kind) else pa.array(cells, kind)


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", "seconds")
