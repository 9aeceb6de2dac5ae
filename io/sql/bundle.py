"""What the SQL sinks share: a bundle's tables are collected, written together, and told of in their own windows."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from clickstream.io.errors import UserError
from clickstream.io.sql import tables
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.setup import setup_sql
from clickstream.io.sql.writer import Refused, SqlWriter
from clickstream.io.stored_rows import StoredRows, StoredWindows
from clickstream.transforms.schema import REJECTED_SCHEMA

_BUFFERED_BATCHES, _BUFFERED_BYTES = 10, 32 << 20


def check_options(batch_rows: int, retry_seconds: float) -> None:
    """Refuses options that a sink can't work with, while the graph is built.

    Raises:
        UserError: `batch_rows` is below 1, or `retry_seconds` below 0.
    """
    if batch_rows < 1 or retry_seconds < 0:
        message = f"SQL sink: batch_rows={batch_rows} must be at least 1, retry_seconds={retry_seconds} at least 0."
        raise UserError(message)


class _Buffered(NamedTuple):
    table: pa.Table
    timestamp: Any
    window: Any


class WriteTables(beam.DoFn):
    """Collects a bundle's tables, writes them sorted together, and says so in each table's own window.

    It collects more than a transaction holds: the more rows are sorted together, the fewer pages a transaction touches. With `repeats`,
    rows that it has stored before are left out.
    """

    repeats = False

    def __init__(self, connection: SqlConnection, batch_rows: int, retry_seconds: float, counted: str) -> None:
        self._connection, self._batch_rows, self._retry_seconds = connection, batch_rows, retry_seconds
        self._shared = Shared()
        self._rows_written = Metrics.counter("clickstream.sql", f"{counted}_written")
        self._windows_written = Metrics.counter("clickstream.sql", "windows_written")
        self._rows_refused = Metrics.counter("clickstream.sql", f"{counted}_refused")
        self._batches_written = Metrics.counter("clickstream.sql", "batches_written")
        self._retries = Metrics.counter("clickstream.sql", "retries")

    def setup(self) -> None:
        if self._connection.create_tables:
            setup_sql(self._connection)
        self._stored = StoredRows() if self.repeats else None
        self._windows = self._shared.acquire(StoredWindows)
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
        if self._stored is not None:
            table = self._stored.others(table)
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
            if self._stored is not None:
                for part in buffer:
                    self._stored.add(part.table)
                self._windows_written.inc(self._windows.count_new(part.table for part in buffer))
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
    rows = [common | {"detail": found.detail, "raw": tables.row_json(found.row, connection.kind)} for found in refused]
    return pa.Table.from_pylist(rows, REJECTED_SCHEMA)
