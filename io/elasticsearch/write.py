"""Writes result rows to Elasticsearch: in bulk, retried item by item, never a better document replaced by a lesser."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.utils.shared import Shared

from clickstream.io.elasticsearch import actions as bulk
from clickstream.io.elasticsearch.bundle import Limits, WriteActions, count
from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.names import DEFAULT_INDEX, check_index_name
from clickstream.io.stored_rows import StoredRows, StoredWindows
from clickstream.transforms.outputs import named_outputs


@dataclass(eq=False)
class WriteToElasticsearch(beam.PTransform):
    """Tables of result rows (PAGE_METRICS_SCHEMA, any windows, bounded or not) into an index.

    Gives `.written`: how many rows of a table are in the index now, in the table's window; what is grouped downstream
    in that window fires after all its documents are stored. And `.rejected` (REJECTED_SCHEMA): what the server refuses
    for its content, `raw` being the document. Each row is in one of them, or the bundle fails. On unbounded input rows that this
    worker has stored before, equal in every field, are left out.

    Attributes:
        connection: Where to and who asks.
        index: Made by `setup_elasticsearch` beforehand.
        max_bytes, max_actions: Limits of one bulk request. A single document may be larger.
        retry_seconds: How long to repeat what may pass by itself (outage, overload) before the bundle fails.
    """

    connection: ElasticsearchConnection
    index: str = DEFAULT_INDEX
    max_bytes: int = bulk.MAX_BODY_BYTES
    max_actions: int = bulk.MAX_BODY_ACTIONS
    retry_seconds: float = 180.0

    def __post_init__(self) -> None:
        check_index_name(self.index)
        Limits(self.max_bytes, self.max_actions, self.retry_seconds).check("WriteToElasticsearch")

    def expand(self, tables: beam.PCollection[pa.Table]) -> Any:
        write = _WriteRows(self, repeats=not tables.is_bounded)
        return named_outputs(tables, "Write documents", write, written=int, rejected=pa.Table)

    def display_data(self) -> dict[str, Any]:
        return {"hosts": self.connection.hosts, "index": self.index}


class _WriteRows(WriteActions):
    """Leaves out rows that it has stored before, if there are repeats."""

    def __init__(self, sink: WriteToElasticsearch, *, repeats: bool) -> None:
        super().__init__(sink.connection, sink.index, Limits(sink.max_bytes, sink.max_actions, sink.retry_seconds))
        self._repeats, self._shared = repeats, Shared()

    def setup(self) -> None:
        super().setup()
        self._stored = StoredRows() if self._repeats else None
        self._windows = self._shared.acquire(StoredWindows)

    def start_bundle(self) -> None:
        super().start_bundle()
        self._tables: list[pa.Table] = []

    def process(
        self, table: pa.Table, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        if self._stored is not None:
            table = self._stored.others(table)
            self._tables.append(table)
        for actions in bulk.action_batches(table, self.index):
            yield from self.add(actions, timestamp, window)

    def finish_bundle(self) -> Iterator[Any]:
        yield from super().finish_bundle()
        if self._stored is not None:
            for table in self._tables:
                self._stored.add(table)
            count("windows_written", self._windows.count_new(self._tables))
