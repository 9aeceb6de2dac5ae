"""The raw store in SQLite, MySQL and MariaDB: one table of clicks whose columns bear their family's name, and one of buckets."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from pymysql.cursors import SSCursor

from clickstream.io.raw import clicks as raw_clicks
from clickstream.io.raw.lease import sql_lease
from clickstream.io.raw.sql import rows as rows_of
from clickstream.io.raw.store import Bucket, Split
from clickstream.io.sql import (
    SqlConnection,
    SqlWriter,
    absent_insert,
    check_name,
    check_tables,
    one_line_errors,
    setup_tables,
)
from clickstream.transforms.arrays import millis_of

_BATCH_ROWS, _PAGE_ROWS = 5_000, 10_000


@dataclass(frozen=True)
class SqlRawStoreConnection:
    """A raw store in a database.

    Attributes:
        connection: The database.
        table: The table of clicks; that of the buckets is named `TABLE_buckets`.
        retry_seconds: How long a write is tried again before the error is raised.

    Raises:
        UserError: The name is of no use.
    """

    connection: SqlConnection
    table: str = "clickstream_data"
    retry_seconds: float = 300

    def __post_init__(self) -> None:
        for name in (self.table, f"{self.table}_buckets"):
            check_name(name)

    @property
    def place(self) -> str:
        """The store, for people to read."""
        return f"{self.connection.place}, table {self.table}"

    def open(self) -> "SqlRawStore":
        """Connects at the first use."""
        return SqlRawStore(self)


class SqlRawStore:
    """An open raw store in a database (see `RawStore`). Retries writes by itself."""

    def __init__(self, where: SqlRawStoreConnection) -> None:
        self.place = where.place
        self._where, self._connection = where, where.connection
        self._clicks, self._buckets = rows_of.clicks_table(where.table), rows_of.buckets_table(f"{where.table}_buckets")
        self._writer = self._writer_of(absent_insert, self._clicks)
        self._marker = self._writer_of(rows_of.mark_insert, self._buckets)
        self._engine = self._connection.engine()
        self._reader: Any = None

    def _writer_of(self, statement: Any, table: sa.Table) -> SqlWriter:
        insert = partial(statement, table, is_sqlite=self._connection.is_sqlite)
        return SqlWriter(self._connection, insert, retry_seconds=self._where.retry_seconds)

    def set_up(self) -> None:
        """Creates the tables that are missing."""
        setup_tables(self._connection, [self._clicks, self._buckets])

    def check(self) -> None:
        """Compares the tables with what is written."""
        check_tables(self._connection, [self._clicks, self._buckets])

    def write(self, clicks: pa.Table) -> dict[int, str]:
        """Adds those that aren't there yet."""
        refused: dict[int, str] = {}
        numbered = clicks.append_column("row", pa.array(np.arange(clicks.num_rows)))
        numbered = numbered.sort_by(
            [("timestamp", "ascending"), ("click_id", "ascending")]
        )  # as the key: all writers lock in one order
        for start in range(0, clicks.num_rows, _BATCH_ROWS):
            part = numbered.slice(start, _BATCH_ROWS)
            found = {each.row[1]: each.detail for each in self._writer.write(rows_of.to_columns(part))}
            ids = zip(part["click_id"].to_pylist(), part["row"].to_pylist(), strict=True) if found else ()
            refused |= {row: found[click_id] for click_id, row in ids if click_id in found}
        return refused

    def mark(self, buckets: Collection[int]) -> None:
        """Gives buckets a new mark."""
        if buckets:
            self._marker.write([sorted(buckets), [os.urandom(16)] * len(buckets), [None] * len(buckets)])

    def buckets(self) -> list[Bucket]:
        """All buckets, by time."""
        with one_line_errors(self._connection), self._engine.connect() as opened:
            rows = opened.execute(sa.select(self._buckets).order_by("bucket")).all()
        return [Bucket(*row) for row in rows]

    def mark_reprocessed(self, marks: Mapping[int, bytes]) -> None:
        """Notes the marks that were read before the buckets were reprocessed."""
        update = self._buckets.update().where(self._buckets.c.bucket == sa.bindparam("at"))
        update = update.values(reprocessed=sa.bindparam("mark"))
        if marks:
            with one_line_errors(self._connection), self._engine.begin() as opened:
                opened.execute(update, [{"at": at, "mark": mark} for at, mark in marks.items()])

    def splits(self, buckets: Sequence[int]) -> list[Split]:
        """A bucket each: a range of the primary key."""
        return [Split(bucket) for bucket in buckets]

    def read(self, split: Split, start_ms: int, end_ms: int) -> Iterator[pa.Table]:
        """Yields the clicks in pages."""
        first, end = max(start_ms, split.bucket_ms), min(end_ms, split.bucket_ms + raw_clicks.BUCKET_MS)
        question = sa.select(*rows_of.selected(self._clicks)).where(self._within(first, end))
        text = str(question.compile(self._engine, compile_kwargs={"literal_binds": True}))
        with one_line_errors(self._connection), closing(self._cursor()) as cursor:
            cursor.execute(text)
            while rows := cursor.fetchmany(_PAGE_ROWS):
                yield rows_of.from_rows(rows)

    def _cursor(self) -> Any:
        """One connection for all reading: with TLS, each costs 50 ms. What was written since the last reading is seen."""
        if self._reader is None:
            self._reader = self._engine.raw_connection()
        self._reader.rollback()
        return self._reader.cursor(*([] if self._connection.is_sqlite else [SSCursor]))

    def user_times(self, user_id: str, bucket_ms: int) -> list[int]:
        """Times of the user's clicks, by the range of the primary key: there is no index by user."""
        time = rows_of.selected(self._clicks, ["timestamp"])
        question = sa.select(*time).where(self._within(bucket_ms), self._of_user(user_id))
        with one_line_errors(self._connection), self._engine.connect() as opened:
            rows = [tuple(row) for row in opened.execute(question)]
        return millis_of(rows_of.from_rows(rows, ["timestamp"])).tolist()

    def delete_user(self, user_id: str, bucket_ms: int) -> None:
        """Removes the user's clicks of a bucket."""
        self._delete(self._clicks, self._within(bucket_ms), self._of_user(user_id))

    def drop_bucket(self, bucket_ms: int) -> None:
        """Removes a bucket, a minute a transaction."""
        for minute in range(bucket_ms, bucket_ms + raw_clicks.BUCKET_MS, 60_000):
            self._delete(self._clicks, self._within(minute, minute + 60_000))
        self._delete(self._buckets, self._buckets.c.bucket == bucket_ms)

    def _delete(self, table: sa.Table, *conditions: Any) -> None:
        with one_line_errors(self._connection), self._engine.begin() as opened:
            opened.execute(table.delete().where(*conditions))

    def _within(self, start_ms: int, end_ms: int | None = None) -> Any:
        """In [start, end); without an end, in the bucket that starts there."""
        end_ms = start_ms + raw_clicks.BUCKET_MS if end_ms is None else end_ms
        time = sa.column(rows_of.TIME)
        return sa.and_(time >= rows_of.time_text(start_ms), time < rows_of.time_text(end_ms))

    def _of_user(self, user_id: str) -> Any:
        user = self._clicks.c[rows_of.COLUMNS["user_id"]]
        return sa.cast(user, sa.LargeBinary) == user_id.encode()  # blanks at its end count

    def lease(self) -> AbstractContextManager[None]:
        """Held as long as the process and its connection live."""
        return sql_lease(self._connection, self._clicks.name)

    def close(self) -> None:
        """Ends the connections."""
        self._writer.close()
        self._marker.close()
        if self._reader is not None:
            self._reader.close()
