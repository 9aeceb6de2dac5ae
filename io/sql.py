"""The SQL sinks: page metrics and dead letters to SQLite, MySQL or MariaDB, and dead letters read back for replay.

Writes are idempotent, so whatever goes wrong in between, the whole batch is sent again.
"""

import itertools
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pymysql
import sqlalchemy as sa
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue
from pymysql.constants import CR, ER
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from clickstream.io import tables
from clickstream.io.errors import UserError
from clickstream.io.secrets import check_secret_reference, resolve_secret
from clickstream.transforms.schema import REJECTED_SCHEMA

DEAD_LETTER_SCHEMA = pa.schema(
    [
        pa.field("dead_letter_id", pa.binary(), nullable=False),
        *REJECTED_SCHEMA,
        pa.field("code_version", pa.string(), nullable=False),
    ]
)

_BUSY_SECONDS = 60
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 10.0
_SQLITE_ROWS = 50  # rows a statement: a third cheaper than one by one
_STATEMENT, _STATEMENT_ROOM = 1 << 20, 8192  # bytes of a MySQL statement, and of those what its frame takes, generously
_BUFFERED_BATCHES, _BUFFERED_BYTES = 10, 32 << 20


@dataclass(frozen=True)
class SqlConnection:
    """Where the SQL tables are. Holds no secret, and may be pickled and shown.

    Attributes:
        drivername: `sqlite` or `mysql+pymysql` (for MariaDB too).
        database: Name of the database; for SQLite the file's path.
        host: Server's name or address.
        port: Its port.
        username: The account to use.
        password: Reference to its password: `env:NAME` or `file:PATH`; None for none.
        tls_ca: Certificate authority's file, to insist on TLS and check the server; None leaves it to the server.
        metrics_table: Table of the result rows.
        dead_letters_table: Table of the rejected records.
        create_database: Whether `setup_mysql` creates a missing database.
        create_tables: Whether the sinks create missing tables before they write.

    Raises:
        UserError: A name or the driver is of no use.
        SecretError: The password is no reference.
    """

    drivername: str
    database: str
    host: str | None = None
    port: int | None = None
    username: str | None = None
    password: str | None = None
    tls_ca: str | None = None
    metrics_table: str = "page_metrics"
    dead_letters_table: str = "dead_letters"
    create_database: bool = False
    create_tables: bool = False

    def __post_init__(self) -> None:
        if self.drivername not in ("sqlite", "mysql+pymysql"):
            message = f"SQL driver {self.drivername!r} isn't supported: use sqlite or mysql+pymysql."
            raise UserError(message)
        names = [self.metrics_table, self.dead_letters_table, *([] if self.is_sqlite else [self.database])]
        for name in names:
            tables.check_name(name)
        if self.password is not None:
            check_secret_reference(self.password)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is an SQLite file rather than a server."""
        return self.drivername == "sqlite"

    @property
    def place(self) -> str:
        """The database, for people to read."""
        if self.is_sqlite:
            return f"SQLite file {self.database}"
        return f"MySQL at {self.host}:{self.port or 3306}/{self.database}"

    def tables(self) -> list[sa.Table]:
        """The two tables, under their names here."""
        return [tables.page_metrics_table(self.metrics_table), tables.dead_letters_table(self.dead_letters_table)]

    def engine(self, *, with_database: bool = True) -> sa.engine.Engine:
        """An engine that opens a new connection each time. Resolves the password: call it on the worker.

        Raises:
            SecretError: The password's reference leads nowhere.
        """
        password = resolve_secret(self.password) if self.password else None
        place = (self.host, self.port, self.database if with_database else None)
        url = sa.engine.URL.create(self.drivername, self.username, password, *place)
        arguments = _sqlite_arguments() if self.is_sqlite else _mysql_arguments(self.tls_ca)
        engine = sa.create_engine(url, connect_args=arguments, poolclass=NullPool, hide_parameters=True)
        if self.is_sqlite:
            sa.event.listen(engine, "connect", _prepare_sqlite)
        return engine


def _sqlite_arguments() -> dict[str, Any]:
    return {"timeout": _BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    for setting in ("synchronous = NORMAL", "cache_size = -65536", "secure_delete = OFF"):
        connection.execute(f"PRAGMA {setting}")


def _mysql_arguments(tls_ca: str | None) -> dict[str, Any]:
    # Strict: a value that doesn't fit must be refused, never cut, whatever the server's own mode.
    mode = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO"
    arguments = {
        "charset": "utf8mb4",
        "init_command": f"SET SESSION sql_mode = '{mode}', time_zone = '+00:00'",
        "connect_timeout": 10,
        "read_timeout": 120,
        "write_timeout": 120,
    }
    return arguments | ({"ssl": {"ca": tls_ca}} if tls_ca else {})


class Verdict(Enum):
    """What to do about an error: send again, take the row out, or give up."""

    RETRY = "retry"
    REFUSED = "refused"
    FATAL = "fatal"


class Problem(NamedTuple):
    """An error of a driver without what may be secret or data: code and name, and the column if one is known."""

    verdict: Verdict
    code: int
    text: str


_NAMES = {code: name for part in (ER, CR) for name, code in vars(part).items() if isinstance(code, int)} | {
    1927: "CONNECTION_KILLED",
    3159: "SECURE_TRANSPORT_REQUIRED",
    3819: "CHECK_CONSTRAINT_VIOLATED",
    4025: "CONSTRAINT_FAILED",
    4031: "CLIENT_INTERACTION_TIMEOUT",
}
_LOCKED = (1205, 1206, 1213, 3101)
_LOST = (0, 1152, 1158, 1159, 1160, 1161, 1317, 1927, 1969, 2002, 2003, 2006, 2013, 2014, 2055, 3024, 3032, 4031)
_BUSY_OR_STANDBY = (1040, 1053, 1203, 1226, 1290, 1792, 1836)
_DISK_FULL = (1021, 1030, 1114)
_TRANSIENT = frozenset((*_LOCKED, *_LOST, *_BUSY_OR_STANDBY, *_DISK_FULL))
_CONTENT = frozenset((1048, 1153, 1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 1644, 1690, 3140, 3819, 4025))
_CURES = {
    1021: "its disk is full: make room there",
    1030: "its storage fails, most often for want of room: look into its error log",
    1040: "it has no connection to spare: raise max_connections or stop other clients",
    1044: "the account may not use this database: GRANT it the rights on it",
    1045: "user name or password is wrong: correct them",
    1049: "there is no such database: create it, or name another",
    1114: "the table or its disk is full: make room there",
    1142: "the account lacks a right: GRANT it SELECT, INSERT, UPDATE, DELETE, and to set up CREATE and INDEX",
    1143: "the account lacks a right on a column: GRANT it SELECT, INSERT and UPDATE on the whole table",
    1146: "a table is missing: run setup-sinks, or name another database",
    1153: "a row is larger than the server takes: raise its max_allowed_packet",
    1205: "another client holds locks for long: look for long transactions",
    1290: "it is read-only: name the primary server",
    1370: "the account may not alter procedures: GRANT it CREATE ROUTINE and ALTER ROUTINE on the database",
    1698: "the account can't log in this way: give it a password",
    1836: "it is read-only: name the primary server",
    2003: "nothing answers there: start the server, or correct host and port",
    2026: "TLS failed: check the CA file, and that the server talks TLS",
    3159: "it takes TLS connections only: give the CA file (tls_ca)",
}
_SQLITE_CURES = {
    "locked": "another program holds it: close that, or wait",
    "full": "its disk is full: make room there",
    "unable to open": "check that its folder exists and can be written",
    "readonly": "it can't be written: check its permissions",
    "no such table": "run setup-sinks, or name another file",
    "not a database": "name another file",
}


_COLUMN = re.compile(r"column (?:`[^`]*`\.)*[`'](\w+)[`'](?: at row \d+| cannot be null)$", re.IGNORECASE)


def judge(error: BaseException) -> Problem | None:
    """What a driver's error means; None if it is no such error. Never quotes a server: it may repeat values."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy wraps what happens while it connects
    if isinstance(cause, sqlite3.Error):
        return _judge_sqlite(cause)
    if isinstance(cause, pymysql.err.Error):
        return _judge_mysql(cause)
    return Problem(Verdict.RETRY, 2006, "connection lost") if isinstance(cause, OSError) else None


def _judge_mysql(error: pymysql.err.Error) -> Problem:
    code = error.args[0] if error.args else 0
    if not isinstance(code, int):
        return Problem(Verdict.FATAL, 0, "driver error")
    verdict = Verdict.RETRY if code in _TRANSIENT else Verdict.REFUSED if code in _CONTENT else Verdict.FATAL
    column = _COLUMN.search(str(error.args[-1])) if code in _CONTENT else None
    text = f"{code} {_NAMES.get(code, 'error')}" + (f", column {column[1]}" if column else "")
    return Problem(verdict, code, text)


def _judge_sqlite(error: sqlite3.Error) -> Problem:
    text = str(error)
    if isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError)):
        return Problem(Verdict.REFUSED, 0, text)
    transient = re.search("locked|busy|full|disk I/O", text)
    return Problem(Verdict.RETRY if transient else Verdict.FATAL, 0, text)


def explain(connection: SqlConnection, problem: Problem) -> UserError:
    """One line for a person: where, what, and what to do."""
    sqlite_cure = next(
        (cure for part, cure in _SQLITE_CURES.items() if part in problem.text), "move it away, or name another"
    )
    cure = sqlite_cure if connection.is_sqlite else _CURES.get(problem.code, "look into the server's error log")
    return UserError(f"{connection.place}: {problem.text}: {cure}.")


@contextmanager
def one_line_errors(connection: SqlConnection) -> Iterator[None]:
    """Turns a driver's error into a `UserError` that shows no statement, row or secret."""
    problem = None
    try:
        yield
    except Exception as error:
        problem = judge(error)
        if problem is None:
            raise
    if problem:
        raise explain(connection, problem)


def metrics_insert(table: sa.Table, rows: int = 1, *, is_sqlite: bool) -> str:
    """The statement that writes result rows, each unless the stored one has a higher version."""
    others = [column.name for column in table.columns if column.name not in (*tables.METRICS_KEY, "version")]
    names = [*others, "version"]  # last: MySQL assigns from left to right, and the guard reads it
    if is_sqlite:
        insert = _sqlite_rows(table, rows)
        new_values = {name: insert.excluded[name] for name in names}
        guard = insert.excluded.version >= table.c.version
        insert = insert.on_conflict_do_update(index_elements=tables.METRICS_KEY, set_=new_values, where=guard)
        return str(insert.compile(dialect=sqlite.dialect()))
    insert = mysql.insert(table)
    new = insert.inserted
    guarded = [(name, sa.func.IF(new.version >= table.c.version, new[name], table.c[name])) for name in names]
    return str(insert.on_duplicate_key_update(guarded).compile(dialect=mysql.dialect(paramstyle="format")))


def dead_letters_insert(table: sa.Table, rows: int = 1, *, is_sqlite: bool) -> str:
    """The statement that adds dead letters that aren't there yet."""
    if is_sqlite:
        insert = _sqlite_rows(table, rows).on_conflict_do_nothing(index_elements=["dead_letter_id"])
        return str(insert.compile(dialect=sqlite.dialect()))
    # Not INSERT IGNORE: that would cut what doesn't fit.
    insert = mysql.insert(table).on_duplicate_key_update(dead_letter_id=table.c.dead_letter_id)
    return str(insert.compile(dialect=mysql.dialect(paramstyle="format")))


def _sqlite_rows(table: sa.Table, rows: int) -> Any:
    return sqlite.insert(table).values([dict.fromkeys(table.columns.keys())] * rows)


class Refused(NamedTuple):
    """A row that the database refuses for its content, and why (no values in it)."""

    row: tuple[Any, ...]
    detail: str


class SqlWriter:
    """Writes columns to one table, a batch a transaction, again and again until it is in or time is up.

    Args:
        connection: The database.
        statement: `metrics_insert` or `dead_letters_insert`, for any number of rows.
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

    def write(self, columns: tables.Columns) -> list[Refused]:
        """Writes one batch; returns the rows refused for their content, while the others stand.

        Raises:
            UserError: Retrying didn't help within `retry_seconds`, or can't help.
        """
        deadline = time.monotonic() + self._retry_seconds
        ceiling = _FIRST_PAUSE
        while problem := self._try(columns):
            if problem.verdict is Verdict.REFUSED:
                return self._halve(columns, problem)
            pause = random.uniform(0, ceiling)  # noqa: S311 (full jitter, so that writers don't meet again)
            if problem.verdict is Verdict.FATAL or time.monotonic() + pause > deadline:
                raise explain(self._connection, problem)
            self._on_retry()
            time.sleep(pause)
            ceiling = min(_LONGEST_PAUSE, 2 * ceiling)
        return []

    def close(self) -> None:
        """Closes the connection, which undoes what isn't committed; the next write opens another."""
        opened, self._open = self._open, None
        if opened is not None:
            opened.invalidate()

    def _try(self, columns: tables.Columns) -> Problem | None:
        try:
            self._send(columns)
        except Exception as error:
            self.close()
            problem = judge(error)
            if problem is None:
                raise
            return problem
        return None

    def _send(self, columns: tables.Columns) -> None:
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
        room, longest = min(_STATEMENT, self._packet) - _STATEMENT_ROOM, max(map(len, rows)) + 1
        if longest > self._packet - _STATEMENT_ROOM:
            # Must not be sent: the server hangs up on it, which looks like a lost connection.
            raise pymysql.err.DataError(ER.NET_PACKET_TOO_LARGE, "")
        before, after = re.split(r"\(%s.*?\)", self._one, maxsplit=1)
        step = max(1, room // longest)
        for start in range(0, len(rows), step):
            cursor.execute(before.encode() + b",".join(rows[start : start + step]) + after.encode())
        self._open.commit()

    def _send_to_sqlite(self, cursor: sqlite3.Cursor, columns: tables.Columns) -> None:
        width, rows = len(columns), len(columns[0])
        cells: list[Any] = [None] * (width * rows)
        for index, column in enumerate(columns):
            # sqlite3 binds a bytearray four times as fast as bytes.
            cells[index::width] = map(bytearray, column) if isinstance(column[0], bytes) else column
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
    table = tables.page_metrics_table(connection.metrics_table)
    return SqlWriter(connection, partial(metrics_insert, table, is_sqlite=connection.is_sqlite), **options)


def dead_letters_writer(connection: SqlConnection, **options: Any) -> SqlWriter:
    """A writer of `tables.dead_letter_columns`; options as for `SqlWriter`."""
    table = tables.dead_letters_table(connection.dead_letters_table)
    return SqlWriter(connection, partial(dead_letters_insert, table, is_sqlite=connection.is_sqlite), **options)


class _Buffered(NamedTuple):
    table: pa.Table
    timestamp: Any
    window: Any


class _WriteTables(beam.DoFn):
    """Collects a bundle's tables, writes them sorted together, and says so in each table's own window.

    It collects more than a transaction holds: the more rows are sorted together, the fewer pages a transaction touches.
    """

    def __init__(self, connection: SqlConnection, batch_rows: int, retry_seconds: float, counted: str) -> None:
        self._connection, self._batch_rows, self._retry_seconds = connection, batch_rows, retry_seconds
        self._rows_written = Metrics.counter("clickstream.sql", f"{counted}_written")
        self._rows_refused = Metrics.counter("clickstream.sql", f"{counted}_refused")
        self._batches_written = Metrics.counter("clickstream.sql", "batches_written")
        self._retries = Metrics.counter("clickstream.sql", "retries")

    def setup(self) -> None:
        if self._connection.create_tables:
            setup_sql(self._connection)
        self._writer = self.open_writer(retry_seconds=self._retry_seconds, on_retry=self._retries.inc)

    def open_writer(self, **options: Any) -> SqlWriter:
        raise NotImplementedError

    def write(self, table: pa.Table) -> list[Refused]:
        raise NotImplementedError

    def start_bundle(self) -> None:
        self._buffer: list[_Buffered] = []
        self._rows = self._bytes = 0

    def process(
        self, table: pa.Table, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        if table.num_rows:
            self._buffer.append(_Buffered(table, timestamp, window))
            self._rows, self._bytes = self._rows + table.num_rows, self._bytes + table.nbytes
        if self._rows >= self._batch_rows * _BUFFERED_BATCHES or self._bytes >= _BUFFERED_BYTES:
            yield from self.finish_bundle()

    def finish_bundle(self) -> Iterator[Any]:
        buffer = self._buffer
        self.start_bundle()
        if buffer:
            refused = self.write(pa.concat_tables(part.table for part in buffer))
            yield from _in_their_windows(buffer, refused, self._connection)

    def write_batches(self, columns: tables.Columns) -> list[Refused]:
        """Writes sorted columns, `batch_rows` a transaction."""
        refused: list[Refused] = []
        for start in range(0, len(columns[0]), self._batch_rows):
            batch = [column[start : start + self._batch_rows] for column in columns]
            found = self._writer.write(batch)
            self._batches_written.inc()
            self._rows_written.inc(len(batch[0]) - len(found))
            refused += found
        self._rows_refused.inc(len(refused))
        return refused

    def teardown(self) -> None:
        self._writer.close()


def _in_their_windows(buffer: list[_Buffered], refused: list[Refused], connection: SqlConnection) -> Iterator[Any]:
    """The refused rows, each in the window of its table, and the numbers of rows done with, a window each."""
    if refused:
        homes = {tables.metric_rows(part.table.slice(0, 1))[0][0]: part for part in buffer}
        by_window = itertools.groupby(sorted(refused, key=_window_start), key=_window_start)
        for start, found in by_window:
            rejected = rejected_table(connection, list(found))
            at = (homes[start].timestamp, [homes[start].window])
            yield beam.pvalue.TaggedOutput("rejected", WindowedValue(rejected, *at))
    by_place = {part.window: part.timestamp for part in buffer}
    for window, timestamp in by_place.items():
        rows = sum(part.table.num_rows for part in buffer if part.window == window)
        yield WindowedValue(rows, timestamp, [window])


def _window_start(refused: Refused) -> Any:
    return refused.row[0]


def rejected_table(connection: SqlConnection, refused: list[Refused]) -> pa.Table:
    """Refused result rows as rejected records (REJECTED_SCHEMA): reason `sink_refused`, `raw` the row as JSON."""
    source = f"{'sqlite' if connection.is_sqlite else 'mysql'}:{connection.metrics_table}"
    common = {"source": source, "position": -1, "record_timestamp": None, "reason": "sink_refused"}
    rows = [common | {"detail": found.detail, "raw": tables.row_json(found.row)} for found in refused]
    return pa.Table.from_pylist(rows, REJECTED_SCHEMA)


class _WriteMetrics(_WriteTables):
    def open_writer(self, **options: Any) -> SqlWriter:
        self._hashes = tables.UrlHashes()
        return metrics_writer(self._connection, **options)

    def write(self, table: pa.Table) -> list[Refused]:
        keyable, unkeyable = tables.split_unkeyable(table)
        refused = [Refused(row, "trailing blank, column country") for row in tables.metric_rows(unkeyable)]
        self._rows_refused.inc(len(refused))
        return refused + self.write_batches(tables.metric_columns(keyable, self._hashes))


class _WriteDeadLetters(_WriteTables):
    def open_writer(self, **options: Any) -> SqlWriter:
        self._version = version("clickstream-beam")
        return dead_letters_writer(self._connection, **options)

    def write(self, table: pa.Table) -> list[Refused]:
        now = datetime.now(timezone.utc)
        refused = self.write_batches(tables.dead_letter_columns(table, code_version=self._version, rejected_at=now))
        if refused:  # there is nowhere else to put them, and dropping them is no way out
            detail = refused[0].detail
            code = int(detail[:4]) if detail[:4].isdigit() else 0
            problem = Problem(Verdict.FATAL, code, f"{len(refused)} dead letters refused, the first with {detail}")
            raise explain(self._connection, problem)
        return []


@dataclass(eq=False)
class WriteToSql(beam.PTransform):
    """Writes result rows to `page_metrics`; a row is replaced only by one of the same or a higher version.

    In: tables of PAGE_METRICS_SCHEMA, one window each, in any windowing, bounded or not. Out, by name: `written`
    (numbers of rows, each in its tables' window and only once those are stored: what is grouped downstream in that
    window comes after it) and `rejected` (tables of REJECTED_SCHEMA: rows refused for their content; the others stand).

    Attributes:
        connection: The database.
        batch_rows: Rows a transaction.
        retry_seconds: How long a batch is tried again after deadlocks, lost connections and the like; then it fails.
    """

    connection: SqlConnection
    batch_rows: int = 5000
    retry_seconds: float = 300

    def __post_init__(self) -> None:
        _check_options(self.batch_rows, self.retry_seconds)

    def expand(self, metrics: beam.PCollection) -> Any:
        write = beam.ParDo(_WriteMetrics(self.connection, self.batch_rows, self.retry_seconds, "rows"))
        typed = write.with_output_types(int, rejected=pa.Table)
        return metrics | "Upserts" >> typed.with_outputs("rejected", main="written")


@dataclass(eq=False)
class WriteDeadLettersToSql(beam.PTransform):
    """Writes rejected records to `dead_letters`, each once, however often it is rejected.

    In: tables of REJECTED_SCHEMA, in any windowing, bounded or not. Out: numbers of records, like `WriteToSql.written`.

    Attributes:
        connection: The database.
        batch_rows: Records a transaction.
        retry_seconds: How long a batch is tried again before the bundle fails.
    """

    connection: SqlConnection
    batch_rows: int = 2000
    retry_seconds: float = 300

    def __post_init__(self) -> None:
        _check_options(self.batch_rows, self.retry_seconds)

    def expand(self, rejected: beam.PCollection) -> beam.PCollection:
        write = beam.ParDo(_WriteDeadLetters(self.connection, self.batch_rows, self.retry_seconds, "dead_letters"))
        return rejected | "Inserts" >> write.with_output_types(int)


def _check_options(batch_rows: int, retry_seconds: float) -> None:
    if batch_rows < 1 or retry_seconds < 0:
        message = f"SQL sink: batch_rows={batch_rows} must be at least 1, retry_seconds={retry_seconds} at least 0."
        raise UserError(message)


@dataclass(eq=False)
class ReadDeadLettersFromSql(beam.PTransform):
    """Reads the stored dead letters: a bounded PCollection of tables of DEAD_LETTER_SCHEMA, by `read_dead_letters`."""

    connection: SqlConnection

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        start = root | "Once" >> beam.Create([self.connection])
        return start | "Pages" >> beam.FlatMap(read_dead_letters).with_output_types(pa.Table)


def read_dead_letters(
    connection: SqlConnection, *, page_rows: int = 1000, page_bytes: int = 8 << 20
) -> Iterator[pa.Table]:
    """Yields the dead letters by key: tables of DEAD_LETTER_SCHEMA of at most so many rows and about so many raw bytes.

    A record that is deleted or added while this runs may or may not be seen; no other is missed or seen twice.

    Raises:
        UserError: The database can't be read.
    """
    table, engine, last = tables.dead_letters_table(connection.dead_letters_table), connection.engine(), b""
    key = table.c.dead_letter_id
    sizes = sa.select(key, sa.func.length(table.c.raw)).order_by(key).limit(page_rows)
    while True:
        with one_line_errors(connection), engine.connect() as opened:
            page = opened.execute(sizes.where(key > last)).all()
            if not page:
                return
            filled = itertools.accumulate(size for _, size in page)
            after, last = last, page[max(0, sum(total <= page_bytes for total in filled) - 1)][0]
            rows = opened.execute(sa.select(table).where(key > after, key <= last).order_by(key)).mappings().all()
        records = [dict(row) | {"record_timestamp": _utc(row["record_timestamp"])} for row in rows]
        yield pa.Table.from_pylist(records, DEAD_LETTER_SCHEMA)


def _utc(stored: str | datetime | None) -> datetime | None:
    if stored is None:
        return None
    return (datetime.fromisoformat(stored) if isinstance(stored, str) else stored).replace(tzinfo=timezone.utc)


def delete_dead_letters(connection: SqlConnection, keys: Iterable[bytes]) -> int:
    """Deletes the dead letters of these `dead_letter_id`s; returns how many there were.

    Raises:
        UserError: The database can't be written.
    """
    table, wanted = tables.dead_letters_table(connection.dead_letters_table), sorted(keys)
    deleted = 0
    with one_line_errors(connection), connection.engine().begin() as opened:
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            deleted += opened.execute(sa.delete(table).where(table.c.dead_letter_id.in_(some))).rowcount
    return deleted


def setup_sql(connection: SqlConnection) -> None:
    """Creates the tables that are missing; leaves the others as they are. Several workers may do it at once.

    Raises:
        UserError: The database can't be reached, or the account may not.
    """
    with one_line_errors(connection), connection.engine().begin() as opened:
        if connection.is_sqlite:
            opened.exec_driver_sql("PRAGMA journal_mode = WAL")
        else:
            take_turn(opened)
        for table in connection.tables():
            opened.execute(CreateTable(table, if_not_exists=True))
            if not connection.is_sqlite:
                _create_indexes(opened, table)


def take_turn(opened: sa.engine.Connection) -> None:
    """Waits until no other client sets up the same MySQL database; the turn ends with the connection."""
    opened.exec_driver_sql("SELECT GET_LOCK(CONCAT(DATABASE(), '.clickstream'), 60)")


def _create_indexes(opened: sa.engine.Connection, table: sa.Table) -> None:
    """The index that the procedures look pages up by. SQLite has no procedures; there it would double a row's cost."""
    present = {index["name"] for index in sa.inspect(opened).get_indexes(table.name)}
    for index in table.indexes:
        if index.name not in present:
            opened.execute(CreateIndex(index))


def check_sql(connection: SqlConnection) -> None:
    """Compares the tables with what the sinks write: columns, types, primary key and, in MySQL, collations.

    Raises:
        UserError: The first difference: table, column, what was found, what is needed, how to mend it.
    """
    with one_line_errors(connection), connection.engine().connect() as opened:
        for table in connection.tables():
            difference = _difference(opened, table)
            if difference:
                message = f"{connection.place}, table {table.name}{difference}"
                raise UserError(message)


def _difference(opened: sa.engine.Connection, table: sa.Table) -> str | None:
    inspector = sa.inspect(opened)
    if not inspector.has_table(table.name):
        return " is missing: run setup-sinks."
    aside = f"ALTER TABLE {table.name} RENAME TO {table.name}_old, then run setup-sinks"
    found = {column["name"]: column for column in inspector.get_columns(table.name)}
    collations = _collations(opened, table)
    for column in table.columns:
        if difference := _column_difference(opened, column, found.get(column.name), collations):
            mended = f"ALTER TABLE {table.name} {_mended(opened, column, found)}, or "
            cure = aside if opened.dialect.name == "sqlite" else mended + aside
            return f", column {column.name}: {difference}. Cure: {cure}."
    for name, column in found.items():
        if name not in table.columns and not column["nullable"] and column["default"] is None:
            return f", column {name}: found NOT NULL, needed a default, as it isn't written. Cure: give it one."
    key = inspector.get_pk_constraint(table.name)["constrained_columns"]
    needed = [column.name for column in table.primary_key]
    if set(key) == set(needed):
        return None
    return f": found primary key ({', '.join(key)}), needed ({', '.join(needed)}). Cure: {aside}."


def _mended(opened: sa.engine.Connection, column: Any, found: dict[str, Any]) -> str:
    return f"{'MODIFY' if column.name in found else 'ADD'} {CreateColumn(column).compile(dialect=opened.dialect)}"


def _collations(opened: sa.engine.Connection, table: sa.Table) -> dict[str, str]:
    if opened.dialect.name == "sqlite":
        return {}
    known = sa.text(
        "SELECT column_name, collation_name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = :name AND collation_name IS NOT NULL"
    )
    return dict(tuple(row) for row in opened.execute(known, {"name": table.name}))


def _column_difference(opened: sa.engine.Connection, column: Any, found: Any, collations: dict[str, str]) -> str | None:
    if found is None:
        return "found none of this name"
    kind, needed = (_kind(of.compile(dialect=opened.dialect)) for of in (found["type"], column.type))
    if not _fits(kind, needed, is_sqlite=opened.dialect.name == "sqlite"):
        return f"found type {kind}, needed {needed}"
    if column.nullable and not found["nullable"]:
        return "found NOT NULL, needed NULL allowed"
    collation = collations.get(column.name, "utf8mb4_bin")
    return None if collation == "utf8mb4_bin" else f"found collation {collation}, needed utf8mb4_bin"


def _kind(declared: str) -> str:
    """A type without collation and, for whole numbers, without the width that MariaDB shows them with."""
    return re.sub(r"(INT|INTEGER)\(\d+\)", r"\1", declared.partition(" ")[0])


_LARGER = {"TEXT": ("MEDIUMTEXT", "LONGTEXT"), "DATETIME": ("DATETIME(3)", "DATETIME(6)")}
_SQLITE_SAME = {"BIGINT": ("INTEGER", "INT"), "FLOAT": ("REAL", "DOUBLE")}


def _fits(kind: str, needed: str, *, is_sqlite: bool) -> bool:
    if kind == needed or kind in (_SQLITE_SAME if is_sqlite else _LARGER).get(needed, ()):
        return True
    lengths = [re.fullmatch(r"VARCHAR\((\d+)\)", declared) for declared in (kind, needed)]
    return bool(lengths[0] and lengths[1] and int(lengths[0][1]) >= int(lengths[1][1]))
