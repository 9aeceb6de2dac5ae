"""Published result rows of a range, out of SQL or Elasticsearch, as a source: a stretch of time each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

import apache_beam as beam
import pyarrow as pa

from clickstream.io.elasticsearch_setup import ElasticsearchConnection, ask
from clickstream.io.query import RowFilter
from clickstream.io.query_elasticsearch import read_elasticsearch_rows
from clickstream.io.query_sql import read_sql_rows
from clickstream.io.sql_connection import SqlConnection
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA

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
    ask(client, "POST", f"/{index}/_refresh")
    client.close()


@dataclass(eq=False)
class ReadPublishedRows(beam.PTransform):
    """Rows whose windows start in [start_ms, end_ms): tables of PAGE_METRICS_SCHEMA, bounded, any windows in a table.

    Attributes:
        reader: Where from.
        start_ms, end_ms: The range, ms since the epoch, whole seconds.
    """

    reader: Reader
    start_ms: int
    end_ms: int

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        starts = range(self.start_ms, self.end_ms, _STRETCH_MS)
        stretches = [(start, min(start + _STRETCH_MS, self.end_ms)) for start in starts]
        return (
            root
            | "Stretches" >> beam.Create(stretches)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(_read, self.reader).with_output_types(pa.Table)
        )


def _read(stretch: tuple[int, int], reader: Reader) -> Iterator[pa.Table]:
    start, end = (datetime.fromtimestamp(edge // 1000, timezone.utc) for edge in stretch)
    for page in reader(RowFilter(start=start, end=end), PAGE_METRICS_SCHEMA.names):
        if page.num_rows:
            yield page
