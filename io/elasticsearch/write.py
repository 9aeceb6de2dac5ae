"""Writes result rows to Elasticsearch: in bulk, retried item by item, never a better document replaced by a lesser.

`WriteBulkFile` writes what would be sent to a file, for a run without a server.
"""

import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue
from elasticsearch import Elasticsearch

from clickstream.io.elasticsearch import actions as bulk
from clickstream.io.elasticsearch.index import (
    DEFAULT_INDEX,
    BodyTooLargeError,
    ElasticsearchConnection,
    ElasticsearchUnavailableError,
    check_index_name,
    send_bulk,
)
from clickstream.io.outage import OutageLog
from clickstream.io.retry import Patience
from clickstream.io.stored_rows import StoredRows, StoredWindows
from clickstream.transforms.schema import REJECTED_SCHEMA

_OUTAGE = OutageLog(logging.getLogger(__name__), "Elasticsearch", "clickstream.elasticsearch")


def patience_of(seconds: float, **clock: Any) -> Patience:
    """Patience with Elasticsearch; `clock` as for `Patience`."""
    return Patience(seconds, _OUTAGE, ElasticsearchUnavailableError, on_retry=lambda: _count("retries"), **clock)


@dataclass
class BulkSender:
    """Sends actions until each is stored, found to be superseded, or refused for its content.

    Attributes:
        client: Retries nothing by itself.
        new_patience: Makes the patience of one `send`.
    """

    client: Elasticsearch
    new_patience: Callable[[], Patience]

    def send(self, actions: pa.StringArray) -> dict[int, str]:
        """Returns the refused actions' places, and why; all others are in the index then. Twice is as good as once.

        Raises:
            ElasticsearchError: Not all are stored: the time is over, or somebody has to do something first.
        """
        patience, refused = self.new_patience(), dict[int, str]()
        todo = [np.arange(len(actions))]
        while todo:
            rows = todo.pop()
            try:
                answer = self._try(actions if len(rows) == len(actions) else actions.take(pa.array(rows)))
            except BodyTooLargeError as error:
                if len(rows) == 1:
                    refused[int(rows[0])] = str(error)
                    _count("documents_refused")
                else:
                    todo += np.array_split(rows, 2)
            except ElasticsearchUnavailableError as error:
                patience.wait(str(error))
                todo.append(rows)
            else:
                refused |= {int(rows[place]): why for place, why in answer.refused.items()}
                if not answer.again:
                    _OUTAGE.worked()
                else:
                    patience.wait(answer.cause)
                    todo.append(rows[answer.again])
        return refused

    def _try(self, actions: pa.StringArray) -> bulk.BulkAnswer:
        _count("bulk_requests")
        answer = bulk.read_answer(send_bulk(self.client, bulk.action_bytes(actions)), actions)
        _count("documents_written", answer.written)
        _count("documents_already_newer", answer.already_newer)
        _count("documents_refused", len(answer.refused))
        return answer


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
        if self.max_bytes < 1 or self.max_actions < 1 or self.retry_seconds < 0:
            message = "WriteToElasticsearch: max_bytes and max_actions must be at least 1, retry_seconds at least 0."
            raise ValueError(message)

    def expand(self, tables: beam.PCollection[pa.Table]) -> Any:
        write = beam.ParDo(_WriteDocuments(self, repeats=not tables.is_bounded)).with_output_types(
            int, rejected=pa.Table
        )
        return tables | "Write documents" >> write.with_outputs("rejected", main="written")

    def display_data(self) -> dict[str, Any]:
        return {"hosts": self.connection.hosts, "index": self.index}


class _Part(NamedTuple):
    """Actions of one table that wait to be sent."""

    actions: pa.StringArray
    timestamp: Any
    window: Any


class _WriteDocuments(beam.DoFn):
    """Collects actions over a bundle, up to a request's limits, and sends them."""

    def __init__(self, sink: WriteToElasticsearch, *, repeats: bool) -> None:
        self._sink, self._repeats, self._shared = sink, repeats, Shared()

    def setup(self) -> None:
        sink = self._sink
        self._client = sink.connection.connect()
        self._sender = BulkSender(self._client, lambda: patience_of(sink.retry_seconds))
        self._stored = StoredRows() if self._repeats else None
        self._windows = self._shared.acquire(StoredWindows)

    def start_bundle(self) -> None:
        self._tables: list[pa.Table] = []
        self._forget_sent()

    def _forget_sent(self) -> None:
        self._parts: list[_Part] = []
        self._bytes = self._actions = 0

    def process(
        self, table: pa.Table, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        sink = self._sink
        if self._stored is not None:
            table = self._stored.others(table)
            self._tables.append(table)
        for actions in bulk.action_batches(table, sink.index):
            for rows in bulk.cut(actions, sink.max_bytes, sink.max_actions):
                part = actions[rows.start : rows.stop]
                size = bulk.size_of(part)
                if self._bytes + size > sink.max_bytes or self._actions + len(part) > sink.max_actions:
                    yield from self._flush()
                self._parts.append(_Part(part, timestamp, window))
                self._bytes += size
                self._actions += len(part)

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._flush()
        if self._stored is not None:
            for table in self._tables:
                self._stored.add(table)
            _count("windows_written", self._windows.count_new(self._tables))

    def teardown(self) -> None:
        self._client.close()

    def _flush(self) -> Iterator[Any]:
        if not self._parts:
            return
        parts = self._parts
        refused = self._sender.send(pa.concat_arrays([part.actions for part in parts]))
        self._forget_sent()
        first = 0
        for actions, timestamp, window in parts:
            own = {row - first: why for row, why in refused.items() if first <= row < first + len(actions)}
            yield WindowedValue(len(actions) - len(own), timestamp, (window,))
            if own:
                rejected = WindowedValue(_rejected(actions, own, self._sink.index), timestamp, (window,))
                yield beam.pvalue.TaggedOutput("rejected", rejected)
            first += len(actions)


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
            _count("documents_written", len(actions))

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


def _rejected(actions: pa.StringArray, refused: dict[int, str], index: str) -> pa.Table:
    columns = {
        "source": [f"elasticsearch:{index}"] * len(refused),
        "position": [-1] * len(refused),
        "record_timestamp": [None] * len(refused),
        "reason": ["sink_refused"] * len(refused),
        "detail": list(refused.values()),
        "raw": [bulk.action_document(actions[row].as_py()) for row in refused],
    }
    return pa.table(columns, schema=REJECTED_SCHEMA)


def _count(name: str, by: int = 1) -> None:
    Metrics.counter("clickstream.elasticsearch", name).inc(by)
