"""Feeds a Kafka topic with sample clicks: each record once, confirmed by the brokers, a user's clicks in one partition."""

import re
from collections.abc import Iterable
from dataclasses import replace

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from clickstream.io.errors import UserError
from clickstream.io.kafka import KafkaConfig, KafkaConnection, open_consumer, resolve_kafka_config
from clickstream.io.sample.log import Meter, Progress, Stop, live_records, never, sample_records
from clickstream.io.sample.options import SampleOptions

_CONNECT_SECONDS, _PATIENCE_SECONDS = 10, 60
_PRODUCER_SETTINGS: KafkaConfig = {
    "compression.type": "lz4",
    "linger.ms": 50,
    "message.timeout.ms": _PATIENCE_SECONDS * 1000,
    "delivery.report.only.error": True,  # a call back for each record would cost more than the record
}
_UNREACHED = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)  # noqa: SLF001


def feed_topic(
    bootstrap_servers: str,
    topic: str,
    options: SampleOptions,
    rate: float | None = None,
    *,
    create_topic: bool = False,
    config: KafkaConfig | None = None,
    progress: Progress | None = None,
    stop: Stop = never,
) -> int:
    """Sends the sample to a Kafka topic, keyed by user, so that a user's clicks stay in one partition.

    Args:
        bootstrap_servers: `host:port`, several with commas.
        topic: Its name.
        options: What is sent.
        rate: Records a second, stamped with the present time. None: as fast as possible, times as in `sample_records`.
        create_topic: Makes the topic, with four partitions, if there is none.
        config: Further librdkafka settings, secrets by reference.
        progress: Called after each batch with the records and bytes handed over so far.
        stop: Ends it in order, once it returns True: what was handed over is waited for.

    Returns:
        The number of records in the topic, each confirmed by the brokers, once.

    Raises:
        UserError: No broker answers, the topic can't be had, or a record isn't confirmed within a minute.
    """
    connection = KafkaConnection(bootstrap_servers, "generate", config or {})
    _check_topic(connection, topic, create_topic=create_topic)
    feed = _Feed(replace(connection, config={**_PRODUCER_SETTINGS, **connection.config}), topic)
    meter = Meter(progress)
    for batch in sample_records(options) if rate is None else live_records(options, rate, stop):
        feed.send(batch, stop)
        meter.count(batch)
        if stop():
            break
    return feed.finish()


class _Feed:
    """An idempotent producer. Says so as soon as it knows that a record wasn't confirmed."""

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection, self._topic = connection, topic
        self._find_user = re.compile(rb'"user_id":"([^"]+)"').search
        self._failure: KafkaError | None = None
        self._sent = 0
        self._producer = connection.producer(lambda _: None)  # of what passes; what doesn't fails a record

    def send(self, batch: Iterable[bytes], stop: Stop) -> None:
        """Hands records over; waits while the queue is full."""
        for record in batch:
            user = self._find_user(record)
            key = user[1] if user else None
            while not self._accepted(record, key):
                self._poll(0.1)
                if stop():
                    return
        self._poll(0)

    def finish(self) -> int:
        """Waits for the rest. Returns how many were confirmed: all."""
        left = self._producer.flush(_PATIENCE_SECONDS + 5)
        self._failure = self._failure or (KafkaError(KafkaError._TIMED_OUT) if left else None)  # noqa: SLF001
        self._poll(0)
        return self._sent

    def _accepted(self, record: bytes, key: bytes | None) -> bool:
        """Whether there was room in the queue."""
        try:
            self._producer.produce(self._topic, record, key, on_delivery=self._on_failure)
        except BufferError:
            return False
        except KafkaException as error:
            raise self._connection.explain(error.args[0], self._topic) from None
        self._sent += 1
        return True

    def _poll(self, seconds: float) -> None:
        self._producer.poll(seconds)
        if self._failure is not None:
            raise self._connection.explain(self._failure, self._topic)

    def _on_failure(self, error: KafkaError, _: object) -> None:
        away = error.code() == KafkaError._MSG_TIMED_OUT  # noqa: SLF001
        self._failure = self._failure or (KafkaError(KafkaError._TIMED_OUT) if away else error)  # noqa: SLF001


def _check_topic(connection: KafkaConnection, topic: str, *, create_topic: bool) -> None:
    try:
        with open_consumer(connection) as consumer:
            consumer.topic(topic)
    except UserError as error:
        if not create_topic:
            raise
        _create_topic(connection, topic, why=error)


def _create_topic(connection: KafkaConnection, topic: str, *, why: UserError) -> None:
    """Makes it, if it's only that which was wrong."""
    quiet = {"log_level": 0, "bootstrap.servers": connection.bootstrap_servers}
    admin = AdminClient({**quiet, **resolve_kafka_config(connection.config)})
    try:
        admin.create_topics([NewTopic(topic, num_partitions=4)], request_timeout=_CONNECT_SECONDS)[topic].result()
    except KafkaException as error:
        cause = error.args[0]
        raise why if cause.code() in _UNREACHED else connection.explain(cause, topic) from None
