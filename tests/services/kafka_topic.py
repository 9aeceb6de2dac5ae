"""A topic of numbered events: sent, read on the batch runner, and how far a group has committed."""

import json
import time

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from clickstream.io.errors import user_error_in
from clickstream.io.kafka import ReadFromKafka

PARTITIONS = 4


def send(kafka, topic, messages):
    """Sends `(partition, value)` and waits for the broker."""
    producer = Producer({"bootstrap.servers": kafka.address, "linger.ms": 20, "queue.buffering.max.messages": 500_000})
    for partition, value in messages:
        producer.produce(topic, value=value, partition=partition)
        producer.poll(0)
    assert producer.flush(60) == 0


def committed(kafka, topic, group):
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": group})
    try:
        found = _committed(consumer, [TopicPartition(topic, p) for p in range(PARTITIONS)])
    finally:
        consumer.close()
    return [max(0, p.offset) for p in found]


def _committed(consumer, partitions):
    """A group's first question may come before a broker knows who keeps its offsets."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return consumer.committed(partitions, timeout=20)
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def event(number, time_ms):
    return json.dumps({"n": number, "t": time_ms}).encode()


def latest_time(values):
    return max((json.loads(v)["t"] for v in values if v), default=None)


def read_now(kafka, topic, check=None, group="reader", **options):
    """Reads what is there on the batch runner; gives the batches to `check`."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        batches = pipeline | ReadFromKafka(kafka.address, topic, group, until="now", **options)
        if check:
            assert_that(batches, check)


def told(raised):
    error = user_error_in(raised.value)
    assert error, f"no UserError in {raised.value}"
    return str(error)
