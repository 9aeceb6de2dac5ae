"""Batches of columns into an SQL table: the statements, the transactions, the retries, the rows that are refused.

Writes are idempotent, so whatever goes wrong in between, the whole batch is sent again.
"""

import logging
import random
import re
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate, repeat
from math import nan
from typing import Any, NamedTuple

import pymysql
import sqlalchemy as sa
from pymysql.constants import ER
from sqlalchemy.dialects import mysql, sqlite

from clickstream.io.outage import OutageLog
from clickstream.io.sql import tables
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.errors import ErrorKind, Problem, classify, explain

_OUTAGE = OutageLog(
    *(logging.getLogger(__name__), "The database", "clickstream.sql"),
    silence="it hangs, or somebody holds its tables locked (SHOW FULL PROCESSLIST says who)",
)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 10.0
_BLIP_SECONDS = 5.0  # two writers in each other's way for less aren't worth a word
_STALE_SECONDS = (
    30.0  # a connection idle for longer may have been dropped on the way without a word; another costs some ms
)
_SQLITE_ROWS = 50  # rows a statement: a third cheaper than one by one
_STATEMENT, _STATEMENT_ROOM = 1 << 20, 8192  # bytes of a MySQL statement, and of those what its frame takes, generously


def metrics_insert(table: sa.Table, rows: int = 1, *, is_sqlite: bool) -> str:
    """The statement that writes result rows, each unless the stored one has a higher version."""
    key = [column.name for column in table.primary_key]
    others = [column.name for column in table.columns if column.name not in (*key, "version")]
    names = [*others, "version"]  # last: MySQL assigns from left to right, and the guard reads it
    if is_sqlite:
        insert = _sqlite_rows(table, rows)
        new_values = {name: insert.excluded[name] for name in names}
        guard = insert.excluded.version >= table.c.version
        insert = insert.on_conflict_do_update(index_elements=key, set_=new_values, where=guard)
        return str(insert.compile(dialect=sqlite.dialect()))
    insert = mysql.insert(table)
    new = insert.inserted
    guarded = [(name, sa.func.IF(new.version >= table.c.version, new[name], table.c[name])) for name in names]
    return str(insert.on_duplicate_key_update(guarded).compile(dialect=mysql.dialect(paramstyle="format")))


def absent_insert(table: sa.Table, rows: int = 1, *, is_sqlite: bool) -> str:
    """The statement that adds rows whose primary keys aren't there yet."""
    key = [column.name for column in table.primary_key]
    if is_sqlite:
        insert = _sqlite_rows(table, rows).on_conflict_do_nothing(index_elements=key)
        return str(insert.compile(dialect=sqlite.dialect()))
    # Not INSERT IGNORE: that would cut what doesn't fit.
    insert = mysql.insert(table).on_duplicate_key_update({key[0]: table.c[key[0]]})
    return str(insert.compile(dialect=mysql.dialect(paramstyle="format")))


def _sqlite_rows(table: sa.Table, rows: int) -> Any:
    return sqlite.insert(table).values([dict.fromkeys(table.columns.keys())] * rows)


def _quickly_bound(column: list[Any]) -> Iterable[Any]:
    """What sqlite3 binds to the same end in a quarter of the time: a bytearray for bytes, NaN for None.

    To SQLite, NaN is NULL. For types that it doesn't know by heart, sqlite3 looks for an adapter, cell by cell.
    """
    if isinstance(column[0], bytes):
        return map(bytearray, column)
    nulls = column.count(None)
    if not nulls:
        return column
    return repeat(nan, nulls) if nulls == len(column) else [nan if cell is None else cell for cell in column]


def _cut(rows: list[bytes], room: int) -> Iterator[list[bytes]]:
    """The rows in order, as many together as there is room for with commas between, and at least one."""
    ends = list(accumulate((len(row) + 1 for row in rows), initial=0))
    start = 0
    while start < len(rows):
        stop = max(start + 1, bisect_right(ends, ends[start] + room) - 1)
        yield rows[start:stop]
        start = stop


class Refused(NamedTuple):
    """A row that the database refuses for its content, and why (no values in it)."""

    row: tuple[Any, ...]
    detail: str


class SqlWriter:
    """Writes columns to one table, a batch a transaction, again and again until it is in or time is up.

    Args:
        connection: The database.
        statement: `metrics_insert` or `absent_insert`, for any number of rows.
        retry_seconds: How long one batch is tried before the error is raised.
        on_retry: Called before each further attempt.
    """

    def __init__(
        self,
        connection: SqlConnection,
        statement: Callable[[int], str],
        *,
        retry_seconds: float = 300,
        on_retry: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection, self._retry_seconds, self._on_retry = connection, retry_seconds, on_retry
        self._one, self._many = statement(1), statement(_SQLITE_ROWS)
        self._engine = connection.engine()
        self._open: Any = None
        self._packet = 0
        self._used = 0.0

    def write(self, columns: tables.Columns) -> list[Refused]:
        """Writes one batch; returns the rows refused for their content, while the others stand.

        Raises:
            UserError: Retrying didn't help within `retry_seconds`, or can't help.
        """
        deadline = time.monotonic() + self._retry_seconds
        ceiling, began = _FIRST_PAUSE, time.monotonic()
        while problem := self._try(columns):
            if problem.kind is ErrorKind.REFUSED:
                return self._halve(columns, problem)
            pause = random.uniform(0, ceiling)  # noqa: S311 (full jitter, so that writers don't meet again)
            if problem.kind is ErrorKind.FATAL or time.monotonic() + pause > deadline:
                raise explain(self._connection, problem)
            self._on_retry()
            if ceiling > _FIRST_PAUSE or time.monotonic() - began > _BLIP_SECONDS:
                _OUTAGE.failed(str(explain(self._connection, problem)))
            time.sleep(pause)
            ceiling = min(_LONGEST_PAUSE, 2 * ceiling)
        _OUTAGE.worked()
        return []

    def close(self) -> None:
        """Closes the connection, which undoes what isn't committed; the next write opens another."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.invalidate()

    def _try(self, columns: tables.Columns) -> Problem | None:
        try:
            with _OUTAGE.attempt():
                self._send(columns)
            self._used = time.monotonic()
        except Exception as error:
            self.close()
            problem = classify(error)
            if problem is None:
                raise
            return problem
        return None

    def _send(self, columns: tables.Columns) -> None:
        if time.monotonic() - self._used > _STALE_SECONDS and not self._connection.is_sqlite:
            self.close()
        if self._open is None:
            self._connect()
        cursor = self._open.cursor()
        if self._connection.is_sqlite:
            self._send_to_sqlite(cursor, columns)
        else:
            self._send_to_mysql(cursor, columns)
        cursor.close()

    def _connect(self) -> None:
        self._open = self._engine.raw_connection()
        if not self._connection.is_sqlite:
            cursor = self._open.cursor()
            cursor.execute("SELECT @@max_allowed_packet")
            self._packet = cursor.fetchone()[0]

    def _send_to_mysql(self, cursor: Any, columns: tables.Columns) -> None:
        rows = [row.encode() for row in tables.mysql_literals(columns)]
        if max(map(len, rows)) >= self._packet - _STATEMENT_ROOM:
            # Must not be sent: the server hangs up on it, which looks like a lost connection.
            raise pymysql.err.DataError(ER.NET_PACKET_TOO_LARGE, "")
        before, after = re.split(r"\(%s.*?\)", self._one, maxsplit=1)
        for part in _cut(rows, min(_STATEMENT, self._packet) - _STATEMENT_ROOM):
            cursor.execute(before.encode() + b",".join(part) + after.encode())
        self._open.commit()

    def _send_to_sqlite(self, cursor: sqlite3.Cursor, columns: tables.Columns) -> None:
        width, rows = len(columns), len(columns[0])
        cells: list[Any] = [None] * (width * rows)
        for index, column in enumerate(columns):
            cells[index::width] = _quickly_bound(column)
        step = width * _SQLITE_ROWS
        whole = len(cells) - len(cells) % step
        cursor.execute("BEGIN IMMEDIATE")
        cursor.executemany(self._many, (cells[i : i + step] for i in range(0, whole, step)))
        cursor.executemany(self._one, (cells[i : i + width] for i in range(whole, len(cells), width)))
        cursor.execute("COMMIT")

    def _halve(self, columns: tables.Columns, problem: Problem) -> list[Refused]:
        """Finds the refused rows by bisection; each part is a transaction of its own."""
        rows = len(columns[0])
        if rows == 1:
            return [Refused(tuple(column[0] for column in columns), problem.text)]
        parts = (slice(0, rows // 2), slice(rows // 2, rows))
        return [refused for part in parts for refused in self.write([column[part] for column in columns])]


def metrics_writer(connection: SqlConnection, **options: Any) -> SqlWriter:
    """A writer of `tables.metric_columns`; options as for `SqlWriter`."""
    table = tables.page_metrics_table(connection.metrics_table, connection.kind)
    return SqlWriter(connection, partial(metrics_insert, table, is_sqlite=connection.is_sqlite), **options)


def dead_letters_writer(connection: SqlConnection, **options: Any) -> SqlWriter:
    """A writer of `tables.dead_letter_columns`; options as for `SqlWriter`."""
    table = tables.dead_letters_table(connection.dead_letters_table)
    return SqlWriter(connection, partial(absent_insert, table, is_sqlite=connection.is_sqlite), **options)
