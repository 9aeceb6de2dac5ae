"""Writes any dicts to Elasticsearch by the same machinery as result rows: bulk requests, retries item by item, versions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import apache_beam as beam
import pyarrow as pa

from clickstream.io.elasticsearch import actions as bulk
from clickstream.io.elasticsearch.bundle import Limits, WriteActions, count, rejection
from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.document_actions import document_actions
from clickstream.io.elasticsearch.names import check_index_name, is_by_time
from clickstream.transforms.outputs import named_outputs

_TOGETHER = 1_000  # documents made into actions at a time


@dataclass(eq=False)
class WriteDocumentsToElasticsearch(beam.PTransform):
    """Dicts of JSON values, dates and times (any windows, bounded or not) into an index, one document each.

    Gives `.written`: numbers of documents that are in the index now, in their window, as `WriteToElasticsearch` does; and `.rejected`
    (REJECTED_SCHEMA): what the server refuses for its content, and what is no document. Each dict is in one of them, or the bundle
    fails. A document's `_id` is made of its `key`, so that a retry, or the same dict again, changes nothing.

    Attributes:
        connection: Where to and who asks.
        index: Where to write. Make it beforehand if its mapping matters; the server makes one otherwise, if it's allowed to.
        key: The fields that tell documents apart. None: all of them, so that equal dicts are one document.
        version: A field that holds a whole number: a document gives way only to one of the same or a higher. None: the last to come stands.
        max_bytes, max_actions: Limits of one bulk request. A single document may be larger.
        retry_seconds: How long to repeat what may pass by itself (outage, overload) before the bundle fails.
    """

    connection: ElasticsearchConnection
    index: str
    key: Sequence[str] = ()
    version: str | None = None
    max_bytes: int = bulk.MAX_BODY_BYTES
    max_actions: int = bulk.MAX_BODY_ACTIONS
    retry_seconds: float = 180.0

    def __post_init__(self) -> None:
        check_index_name(self.index)
        Limits(self.max_bytes, self.max_actions, self.retry_seconds).check("WriteDocumentsToElasticsearch")
        if is_by_time(self.index):
            message = f"WriteDocumentsToElasticsearch: index is {self.index!r}; indices by time are for result rows: name one index."
            raise ValueError(message)
        if isinstance(self.key, str):
            message = f"WriteDocumentsToElasticsearch: key is {self.key!r}; write a list of fields: [{self.key!r}]."
            raise ValueError(message)

    def expand(self, documents: beam.PCollection[dict[str, Any]]) -> Any:
        return named_outputs(documents, "Write documents", _WriteDocuments(self), written=int, rejected=pa.Table)

    def display_data(self) -> dict[str, Any]:
        return {"hosts": self.connection.hosts, "index": self.index}


class _WriteDocuments(WriteActions):
    def __init__(self, sink: WriteDocumentsToElasticsearch) -> None:
        super().__init__(sink.connection, sink.index, Limits(sink.max_bytes, sink.max_actions, sink.retry_seconds))
        self._key, self._version = tuple(sink.key), sink.version

    def start_bundle(self) -> None:
        super().start_bundle()
        self._documents: list[Any] = []
        self._places: list[tuple[Any, Any]] = []  # time and window of each

    def process(
        self, document: Any, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        self._documents.append(document)
        self._places.append((timestamp, window))
        if len(self._documents) >= _TOGETHER:
            yield from self._add_up()

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._add_up()
        yield from super().finish_bundle()

    def _add_up(self) -> Iterator[Any]:
        documents, places = self._documents, self._places
        self._documents, self._places = [], []
        actions, refused = document_actions(documents, self.index, self._key, self._version)
        for place, why in refused.items():
            count("documents_refused")
            yield rejection(
                [(repr(documents[place]).encode(errors="backslashreplace"), why)], self.index, *places[place]
            )
        first = 0
        accepted = [where for place, where in enumerate(places) if place not in refused]
        for (timestamp, window), own in groupby(accepted):
            number = len(list(own))
            yield from self.add(actions[first : first + number], timestamp, window)
            first += number
