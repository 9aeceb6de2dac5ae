"""A bundle's actions, collected up to a request's limits and sent until each is stored, superseded or refused for its content.

Whatever else refuses them, be it the server's state or something between, is waited out: rows aren't given up for what isn't their fault.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue
from elasticsearch import Elasticsearch

from clickstream.io.elasticsearch import actions as bulk
from clickstream.io.elasticsearch.connection import ElasticsearchConnection, send_bulk
from clickstream.io.elasticsearch.errors import BodyTooLargeError, ElasticsearchUnavailableError
from clickstream.io.elasticsearch.names import check_index_name
from clickstream.io.outage import OutageLog
from clickstream.io.retry import Patience
from clickstream.transforms.schema import REJECTED_SCHEMA

_OUTAGE = OutageLog(
    logging.getLogger(__name__), "Elasticsearch", "clickstream.elasticsearch", "it hangs, or the network between"
)


def patience_of(seconds: float, **clock: Any) -> Patience:
    """Patience with Elasticsearch; `clock` as for `Patience`."""
    return Patience(seconds, _OUTAGE, ElasticsearchUnavailableError, on_retry=lambda: count("retries"), **clock)


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
                if len(rows) > 1:
                    todo += reversed(np.array_split(rows, 2))
                elif _is_large(actions, int(rows[0])):
                    refused[int(rows[0])] = str(error)
                    count("documents_refused")
                else:  # no size at all is taken, as by a proxy that is out of order: the document is as good as any
                    patience.wait(str(error))
                    todo.append(rows)
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
        count("bulk_requests")
        with _OUTAGE.attempt():
            found = send_bulk(self.client, bulk.action_bytes(actions))
        answer = bulk.read_answer(found, actions)
        count("documents_written", answer.written)
        count("documents_already_newer", answer.already_newer)
        count("documents_refused", len(answer.refused))
        return answer


def _is_large(actions: pa.StringArray, row: int) -> bool:
    """Whether an action is larger than requests usually are, so that others may pass where it doesn't."""
    return bulk.size_of(actions[row : row + 1]) > bulk.MAX_BODY_BYTES


class Limits(NamedTuple):
    """Of one bulk request (a single document may be larger), and how long to repeat what may pass by itself."""

    max_bytes: int = bulk.MAX_BODY_BYTES
    max_actions: int = bulk.MAX_BODY_ACTIONS
    retry_seconds: float = 180.0

    def check(self, step: str) -> None:
        """Refuses what can't be, in the step's name.

        Raises:
            ValueError: A limit is too low.
        """
        if self.max_bytes < 1 or self.max_actions < 1 or self.retry_seconds < 0:
            message = f"{step}: max_bytes and max_actions must be at least 1, retry_seconds at least 0."
            raise ValueError(message)


class _Part(NamedTuple):
    """Actions of one time and window that wait to be sent."""

    actions: pa.StringArray
    timestamp: Any
    window: Any


class WriteActions(beam.DoFn):
    """What both writers share: `add` collects actions and sends them once a request is full; the rest goes when the bundle ends.

    Gives the numbers of stored documents, and as `rejected` tables of what the server refuses, each in its own time and window.
    """

    def __init__(self, connection: ElasticsearchConnection, index: str, limits: Limits) -> None:
        self.index, self._connection, self._limits = check_index_name(index), connection, limits

    def setup(self) -> None:
        self._client = self._connection.connect()
        self._sender = BulkSender(self._client, lambda: patience_of(self._limits.retry_seconds))

    def start_bundle(self) -> None:
        self._forget_sent()

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._flush()

    def teardown(self) -> None:
        self._client.close()

    def add(self, actions: pa.StringArray, timestamp: Any, window: Any) -> Iterator[Any]:
        """Takes actions of one time and window in; gives what became of those that had to be sent first."""
        limits = self._limits
        for rows in bulk.cut(actions, limits.max_bytes, limits.max_actions):
            part = actions[rows.start : rows.stop]
            size = bulk.size_of(part)
            if self._bytes + size > limits.max_bytes or self._actions + len(part) > limits.max_actions:
                yield from self._flush()
            self._parts.append(_Part(part, timestamp, window))
            self._bytes += size
            self._actions += len(part)

    def _forget_sent(self) -> None:
        self._parts: list[_Part] = []
        self._bytes = self._actions = 0

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
                documents = [(bulk.action_document(actions[row].as_py()), why) for row, why in own.items()]
                yield rejection(documents, self.index, timestamp, window)
            first += len(actions)


def rejection(documents: Iterable[tuple[bytes, str]], index: str, timestamp: Any, window: Any) -> Any:
    """Documents that aren't stored, and why, as a table for the output `rejected`."""
    found = list(documents)
    columns = {
        "source": [f"elasticsearch:{index}"] * len(found),
        "position": [-1] * len(found),
        "record_timestamp": [None] * len(found),
        "reason": ["sink_refused"] * len(found),
        "detail": [why for _, why in found],
        "raw": [raw for raw, _ in found],
    }
    table = WindowedValue(pa.table(columns, schema=REJECTED_SCHEMA), timestamp, (window,))
    return beam.pvalue.TaggedOutput("rejected", table)


def count(name: str, by: int = 1) -> None:
    """Counts for the job's metrics."""
    Metrics.counter("clickstream.elasticsearch", name).inc(by)
