"""Records to a Kafka topic, each confirmed by the brokers before anything else is done about it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException

from clickstream.io.errors import UserError
from clickstream.io.kafka.client import KafkaConnection
from clickstream.io.kafka.config import KafkaConfig

ANY_PARTITION = -1  # what librdkafka calls it
_PATIENCE_SECONDS = 60
_SETTINGS: KafkaConfig = {
    "message.timeout.ms": _PATIENCE_SECONDS * 1000,
    "message.max.bytes": 64 << 20,  # what the broker took once it takes again; the client's own bound is 1 MB
}
_AWAY = (KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT)  # noqa: SLF001


class Record(NamedTuple):
    """What is written: bytes, the key if there is one, the partition unless any will do, and headers."""

    value: bytes
    key: bytes | None = None
    partition: int = ANY_PARTITION
    headers: tuple[tuple[str, bytes], ...] = ()


class ConfirmedWriter:
    """Writes to one topic by an idempotent producer (acks=all).

    Attributes:
        topic: Where to; it must exist.
    """

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self.topic = topic
        self._connection = connection
        self._refused: KafkaError | None = None
        self._complaint: KafkaError | None = None  # of what may pass: told only if it didn't
        settings = replace(connection, config={**_SETTINGS, **connection.config})
        self._producer = settings.producer(self._complained)

    def send(self, records: Iterable[Record]) -> int:
        """Sends records; returns their number once all in-sync replicas have every one of them.

        Raises:
            UserError: One wasn't confirmed within a minute, or was refused. Others may be in the topic.
        """
        count = 0
        for record in records:
            self._produce(record)
            count += 1
        left = self._producer.flush(_PATIENCE_SECONDS + 5)
        if left or self._refused:
            raise self._failed()
        return count

    def _produce(self, record: Record) -> None:
        while self._refused is None:
            try:
                value, key, partition, headers = record
                self._producer.produce(
                    self.topic, value, key, partition, on_delivery=self._delivered, headers=list(headers) or None
                )
                self._producer.poll(0)
                return
            except BufferError:  # noqa: PERF203 - full: wait until some are sent
                self._producer.poll(0.1)
            except KafkaException as error:
                raise self._connection.explain(error.args[0], self.topic) from None

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        self._refused = self._refused or error

    def _complained(self, error: KafkaError) -> None:
        self._complaint = error

    def _failed(self) -> UserError:
        cause = self._refused
        if cause is None or cause.code() in _AWAY:
            cause = self._complaint or KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001
        return self._connection.explain(cause, self.topic)
