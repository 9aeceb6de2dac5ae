"""Published result rows of a range, out of SQL or Elasticsearch, as a source: a stretch of time each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.io.elasticsearch import ElasticsearchConnection, ask, searched
from clickstream.io.errors import UserError
from clickstream.io.results.elasticsearch_rows import read_elasticsearch_rows
from clickstream.io.results.row_filter import RowFilter
from clickstream.io.results.sql_rows import read_sql_rows
from clickstream.io.sql import SqlConnection
from clickstream.transforms.schema import PAGES, RowKind

Reader = Callable[[RowFilter, Sequence[str]], Iterator[pa.Table]]
_STRETCH_MS = 3_600_000


def sql_reader(connection: SqlConnection) -> Reader:
    """Reads the rows of a database's `metrics_table`."""
    return partial(read_sql_rows, connection)


def elasticsearch_reader(connection: ElasticsearchConnection, index: str) -> Reader:
    """Reads the documents of an index."""
    return partial(read_elasticsearch_rows, connection, index)


def refresh(connection: ElasticsearchConnection, index: str) -> None:
    """Lets an index show all that was written to it."""
    client = connection.connect()
    ask(client, "POST", f"/{searched(index)}/_refresh")
    client.close()


@dataclass(eq=False)
class ReadPublishedRows(beam.PTransform):
    """Rows whose windows start in [start_ms, end_ms): tables of their kind's schema, bounded, any windows in a table.

    Attributes:
        reader: Where from.
        start_ms, end_ms: The range, ms since the epoch, whole seconds.
        window_seconds: How long the windows are; None: of any length.
        kind: Of the rows.

    Raises:
        UserError: The rows are of other windows: they would be taken for wrong.
    """

    reader: Reader
    start_ms: int
    end_ms: int
    window_seconds: int | None = None
    kind: RowKind = PAGES

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        starts = range(self.start_ms, self.end_ms, _STRETCH_MS)
        stretches = [(start, min(start + _STRETCH_MS, self.end_ms)) for start in starts]
        return (
            root
            | "Stretches" >> beam.Create(stretches)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(self._read).with_output_types(pa.Table)
        )

    def _read(self, stretch: tuple[int, int]) -> Iterator[pa.Table]:
        start, end = (datetime.fromtimestamp(edge // 1000, timezone.utc) for edge in stretch)
        for page in self.reader(RowFilter(start=start, end=end), self.kind.schema.names):
            if page.num_rows:
                _check_length(page, self.window_seconds)
                yield page


def _check_length(page: pa.Table, window_seconds: int | None) -> None:
    page = page.filter(pc.greater(page["clicks"], 0))  # others are taken for none
    lengths = pc.unique(pc.subtract(page["window_end"].cast(pa.int64()), page["window_start"].cast(pa.int64())))
    other = [length / 1000 for length in lengths.to_pylist() if length != (window_seconds or 0) * 1000]
    if window_seconds is not None and other:
        message = f"Windows of {other[0]:g} s are published in this range, not of {window_seconds} s: give --window_seconds={other[0]:g}."
        raise UserError(message)
