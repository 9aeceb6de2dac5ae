"""Dead letters to a Kafka topic: JSON with the exact bytes, so that they can be parsed again."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import apache_beam as beam
import orjson
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from clickstream.io.errors import UserError
from clickstream.io.kafka.client import KafkaConnection
from clickstream.io.kafka.config import KafkaConfig

_FLUSH_SECONDS = 60.0
_DETAIL_LENGTH = 2000
_PART_BYTES = 512 << 10


def dead_letter_messages(rejected: pa.Table, *, code_version: str) -> list[tuple[bytes, bytes]]:
    """Turns rejected records (REJECTED_SCHEMA) into the keys and values of messages.

    A record of more than half a MiB is cut into several messages: with base64 it might be too large for the broker.

    Returns:
        Key: `source:position`, the same whenever the record is rejected again. Value: JSON with source, position,
        record_timestamp (ISO 8601, UTC, or null), reason, detail (at most 2,000 characters), raw (base64), part (from
        1), parts, code_version.
    """
    return [
        (
            f"{row['source']}:{row['position']}".encode(),
            orjson.dumps({**_plain(row), **part, "code_version": code_version}),
        )
        for row in rejected.to_pylist()
        for part in _parts(row["raw"])
    ]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "record_timestamp": _iso(row["record_timestamp"]), "detail": row["detail"][:_DETAIL_LENGTH]}


def _parts(raw: bytes) -> Iterator[dict[str, Any]]:
    starts = range(0, len(raw) or 1, _PART_BYTES)
    for number, start in enumerate(starts, 1):
        piece = b64encode(raw[start : start + _PART_BYTES]).decode()
        yield {"raw": piece, "part": number, "parts": len(starts)}


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(eq=False)
class WriteDeadLettersToKafka(beam.PTransform):
    """Writes rejected records to a topic, at least once each; a bundle that ends has all of its records there.

    In: tables of REJECTED_SCHEMA, in any windowing, bounded or not. Out: numbers of records, in their table's window.

    Attributes:
        bootstrap_servers: `host:port`, several separated by commas.
        topic: Where to; it must exist.
        kafka_config: As for `ReadFromKafka`.
    """

    bootstrap_servers: str
    topic: str
    kafka_config: KafkaConfig = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._connection = KafkaConnection(self.bootstrap_servers, "", self.kafka_config)

    def expand(self, rejected: beam.PCollection) -> beam.PCollection:
        return rejected | "Messages" >> beam.ParDo(_Produce(self._connection, self.topic)).with_output_types(int)


class _Produce(beam.DoFn):
    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection, self._topic = connection, topic
        self._version = version("clickstream-beam")

    def setup(self) -> None:
        self._producer: Producer = self._connection.producer(self._complained)
        self._written = Metrics.counter("clickstream.kafka", "dead_letters_written")

    def start_bundle(self) -> None:
        self._refused: KafkaError | None = None
        self._complaint: KafkaError | None = None
        self._sent: list[WindowedValue] = []

    def process(
        self, rejected: pa.Table, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> None:
        with self._explained():
            for key, value in dead_letter_messages(rejected, code_version=self._version):
                self._send(key, value)
        self._sent.append(WindowedValue(rejected.num_rows, timestamp, [window]))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        with self._explained():
            if self._sent and (self._producer.flush(_FLUSH_SECONDS) or self._refused):
                raise self._failed()
        for count in self._sent:
            self._written.inc(count.value)
            yield count

    def _send(self, key: bytes, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value=value, key=key, on_delivery=self._delivered)
                self._producer.poll(0)
                return
            except BufferError:  # noqa: PERF203 - full: wait until some are sent
                self._producer.poll(0.1)

    def _complained(self, error: KafkaError) -> None:
        self._complaint = error

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._refused = self._refused or error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (KafkaException, KafkaError, SystemError) as error:
            # What is fatal to an idempotent producer comes bare, or behind SystemErrors, when it meets a callback.
            found: BaseException | None = error
            while isinstance(found, SystemError):
                found = found.__cause__
            if found is None:
                raise
            known = found.args[0] if isinstance(found, KafkaException) else found
            raise self._connection.explain(known, self._topic) from None

    def _failed(self) -> UserError:
        cause = self._refused or self._complaint
        if cause:
            return self._connection.explain(cause, self._topic)
        where = f"topic {self._topic} at {self._connection.bootstrap_servers}"
        return UserError(f"Dead letters don't get into {where} within {_FLUSH_SECONDS:.0f} s: is the broker well?")
