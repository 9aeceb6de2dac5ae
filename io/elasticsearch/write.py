"""Writes result rows to Elasticsearch: in bulk, retried item by item, never a better document replaced by a lesser.

`WriteBulkFile` writes what would be sent to a file, for a run without a server.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from clickstream.io.elasticsearch import actions as bulk
from clickstream.io.elasticsearch.bundle import Limits, WriteActions, count
from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.names import DEFAULT_INDEX, check_index_name
from clickstream.io.stored_rows import StoredRows, StoredWindows


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
        write = beam.ParDo(_WriteRows(self, repeats=not tables.is_bounded)).with_output_types(int, rejected=pa.Table)
        return tables | "Write documents" >> write.with_outputs("rejected", main="written")

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


@dataclass(eq=False)
class WriteBulkFile(beam.PTransform):
    """Tables of result rows (PAGE_METRICS_SCHEMA, any windows, bounded) into one local file: what `_bulk` would get.

    The file is there, whole, once the pipeline has ended, and replaces an earlier one; until then, or if the pipeline
    fails, the earlier one stands. Gives the file's path, when it is there.

    Attributes:
        path: The file. Its folder must exist and be shared by all workers.
        index: The index that the actions name.
    """

    path: str
    index: str = DEFAULT_INDEX

    def __post_init__(self) -> None:
        check_index_name(self.index)

    def expand(self, tables: beam.PCollection[pa.Table]) -> beam.PCollection[str]:
        path = Path(self.path)
        folder = path.with_name(f".{path.name}.{uuid.uuid4().hex}.pieces")
        pieces = (
            tables
            | "Forget windows" >> beam.WindowInto(GlobalWindows())
            | "Write pieces" >> beam.ParDo(_WritePieces(str(folder), self.index)).with_output_types(str)
        )
        start = tables.pipeline | "Once" >> beam.Create([self.path])
        return start | "Join pieces" >> beam.Map(_join_pieces, str(folder), beam.pvalue.AsList(pieces))


class _WritePieces(beam.DoFn):
    """Writes a bundle's actions to a file of its own, and gives its name once it is closed."""

    def __init__(self, folder: str, index: str) -> None:
        self._folder, self._index = folder, index

    def start_bundle(self) -> None:
        self._piece: IO[bytes] | None = None

    def process(self, table: pa.Table) -> None:
        if self._piece is None:
            Path(self._folder).mkdir(exist_ok=True)
            self._piece = Path(self._folder, uuid.uuid4().hex).open("xb")  # noqa: SIM115 - closed with the bundle
        for actions in bulk.action_batches(table, self._index):
            self._piece.write(bulk.action_bytes(actions))
            count("documents_written", len(actions))

    def finish_bundle(self) -> Iterator[Any]:
        if self._piece is not None:
            self._piece.close()
            yield WindowedValue(self._piece.name, MIN_TIMESTAMP, (GlobalWindow(),))


def _join_pieces(path: str, folder: str, pieces: list[str]) -> str:
    target = Path(path)
    os.replace(pieces[0] if len(pieces) == 1 else _joined(folder, pieces), target)
    for left in target.parent.iterdir():  # this run's, and those of runs that died
        if left.name.startswith(f".{target.name}.") and left.name.endswith(".pieces"):
            shutil.rmtree(left, ignore_errors=True)
    return path


def _joined(folder: str, pieces: list[str]) -> Path:
    Path(folder).mkdir(exist_ok=True)
    joined = Path(folder, "joined")
    with joined.open("wb") as out:
        for piece in pieces:
            with Path(piece).open("rb") as part:
                shutil.copyfileobj(part, out, 1 << 20)
    return joined
