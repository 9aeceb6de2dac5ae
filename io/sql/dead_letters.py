"""Dead letters in SQL: rejected records written once each, read back for replay, and deleted."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

import apache_beam as beam
import pyarrow as pa
import sqlalchemy as sa

from clickstream.io.sql import tables
from clickstream.io.sql.bundle import WriteTables, check_options
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.errors import ErrorKind, Problem, explain, one_line_errors
from clickstream.io.sql.writer import Refused, SqlWriter, dead_letters_writer
from clickstream.transforms.schema import REJECTED_SCHEMA

DEAD_LETTER_SCHEMA = pa.schema(
    [
        pa.field("dead_letter_id", pa.binary(), nullable=False),
        *REJECTED_SCHEMA,
        pa.field("code_version", pa.string(), nullable=False),
    ]
)


class _WriteDeadLetters(WriteTables):
    def open_writer(self, **options: Any) -> SqlWriter:
        self._version = version("clickstream-beam")
        return dead_letters_writer(self._connection, **options)

    def write(self, table: pa.Table) -> list[Refused]:
        now = datetime.now(timezone.utc)
        refused = self.write_batches(tables.dead_letter_columns(table, code_version=self._version, rejected_at=now))
        if refused:  # there is nowhere else to put them, and dropping them is no way out
            detail = refused[0].detail
            code = int(detail[:4]) if detail[:4].isdigit() else 0
            problem = Problem(ErrorKind.FATAL, code, f"{len(refused)} dead letters refused, the first with {detail}")
            raise explain(self._connection, problem)
        return []


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
        check_options(self.batch_rows, self.retry_seconds)

    def expand(self, rejected: beam.PCollection) -> beam.PCollection:
        write = beam.ParDo(_WriteDeadLetters(self.connection, self.batch_rows, self.retry_seconds, "dead_letters"))
        return rejected | "Inserts" >> write.with_output_types(int)


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
