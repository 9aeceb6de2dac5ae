"""The SQL sink of page metrics, for SQLite, MySQL and MariaDB.

Writes are idempotent, so whatever goes wrong in between, the whole batch is sent again.
"""

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa

from clickstream.io.sql import tables
from clickstream.io.sql.bundle import WriteTables, check_options
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.writer import Refused, SqlWriter, metrics_writer
from clickstream.transforms.outputs import named_outputs


class _WriteMetrics(WriteTables):
    def open_writer(self, **options: Any) -> SqlWriter:
        self._hashes = tables.UrlHashes()
        return metrics_writer(self._connection, **options)

    def write(self, table: pa.Table) -> list[Refused]:
        keyable, unkeyable = tables.split_unkeyable(table)
        blank = f"trailing blank, column {self._connection.kind.key[1]}"
        refused = [Refused(row, blank) for row in tables.metric_rows(unkeyable)]
        self._rows_refused.inc(len(refused))
        return refused + self.write_batches(tables.metric_columns(keyable, self._hashes))


@dataclass(eq=False)
class WriteToSql(beam.PTransform):
    """Writes result rows to `page_metrics`; a row is replaced only by one of the same or a higher version.

    In: tables of PAGE_METRICS_SCHEMA, or of the connection's other kind, one window each, in any windowing, bounded or not. Out, by name: `written`
    (numbers of rows, each in its tables' window and only once those are stored: what is grouped downstream in that
    window comes after it) and `rejected` (tables of REJECTED_SCHEMA: rows refused for their content; the others stand). On unbounded input
    rows that this worker has stored before, equal in every field, are left out.

    Attributes:
        connection: The database.
        batch_rows: Rows a transaction.
        retry_seconds: How long a batch is tried again after deadlocks, lost connections and the like; then it fails.
    """

    connection: SqlConnection
    batch_rows: int = 5000
    retry_seconds: float = 300

    def __post_init__(self) -> None:
        check_options(self.batch_rows, self.retry_seconds)

    def expand(self, metrics: beam.PCollection) -> Any:
        do = _WriteMetrics(self.connection, self.batch_rows, self.retry_seconds, "rows")
        do.repeats = not metrics.is_bounded
        return named_outputs(metrics, "Upserts", do, written=int, rejected=pa.Table)
