"""A transaction that is open holds the watermark: what waits behind it comes in time, whatever becomes of it. On a real broker, and Prism."""

import time
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from clickstream.io.kafka.client import KafkaConnection
from clickstream.io.kafka.read.poll import PartitionPoller
from clickstream.io.kafka.watermark import NEVER, is_idle
from tests.services.kafka_job import DISORDER_SECONDS, IDLE_SECONDS, LATENESS_MS, WINDOW_MS, live_job
from tests.services.kafka_topic import PARTITIONS, event, read_now, send
from tests.services.kafka_traffic import Traffic, fullest, lines, sunk_by_parity, wait_for

WAITING = 3  # the partition in which nothing comes but by a transaction: `Traffic` sends to the others
IDLE_MS = 1_000


def begin(kafka, topic, partition, values, timeout_ms=60_000):
    """A producer that has sent these in a transaction that is open. Its broker has them: they can't be read yet."""
    settings = {"bootstrap.servers": kafka.address, "transactional.id": topic, "transaction.timeout.ms": timeout_ms}
    producer = Producer(settings)
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value=value, partition=partition)
    assert producer.flush(30) == 0
    return producer


@contextmanager
def poller_of(kafka, topic):
    poller = PartitionPoller(KafkaConnection(kafka.address, topic, {}), topic)
    try:
        poller.seek({0: 0}, {0: NEVER})
        yield poller
    finally:
        poller.close()


def read_for(poller, seconds):
    """What comes, and whether the partition is idle then."""
    found, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        found += [value for polled in poller.poll(100, 0.2).values() for value in polled.values]
        poller.confirm_quiet({0: len(found)})
    return found, is_idle(poller.view(0, None), IDLE_MS)


def test_a_partition_is_idle_only_if_nothing_waits_behind_a_transaction(kafka, topic):
    with poller_of(kafka, topic) as poller:
        assert read_for(poller, 3) == ([], True)  # the control: nothing has come
        producer = begin(kafka, topic, 0, [b"a", b"b"])
        assert read_for(poller, 4) == ([], False)
        producer.commit_transaction(30)
        found, _ = read_for(poller, 4)
        assert found == [b"a", b"b"]


def test_a_partition_is_idle_when_its_transaction_was_aborted(kafka, topic):
    with poller_of(kafka, topic) as poller:
        producer = begin(kafka, topic, 0, [b"a", b"b"])
        assert read_for(poller, 3) == ([], False)
        producer.abort_transaction(30)
        assert read_for(poller, 4) == ([], True)


def test_a_partition_is_idle_when_the_broker_ends_the_transaction_of_a_producer_that_died(kafka, topic):
    with poller_of(kafka, topic) as poller:
        producer = begin(kafka, topic, 0, [b"a", b"b"], timeout_ms=2_000)
        assert read_for(poller, 2) == ([], False)
        del producer  # without a word
        wait_for(lambda: read_for(poller, 1) == ([], True), 60, "the broker didn't end the transaction")


@pytest.mark.parametrize("ends", ["none was begun", "committed", "aborted", "died"])
def test_what_waits_behind_a_transaction_is_in_time(kafka, topic, prism, tmp_path, ends):
    """It is open for longer than a silent partition holds the watermark, a window and its lateness together."""
    traffic, open_seconds = (
        Traffic(kafka, topic),
        IDLE_SECONDS + DISORDER_SECONDS + (WINDOW_MS + LATENESS_MS) / 1000 + 2,
    )
    with live_job(prism, kafka, topic, tmp_path):
        while not lines(tmp_path / "sunk"):
            traffic.send(1)
        now, producer = int(time.time() * 1000), None
        if ends != "none was begun":
            values = [event(n, now + n) for n in range(50)]
            producer = begin(kafka, topic, WAITING, values, 2_000 if ends == "died" else 60_000)
        traffic.send(open_seconds)
        if producer and ends != "died":
            (producer.commit_transaction if ends == "committed" else producer.abort_transaction)(30)
        del producer
        if ends == "committed":
            for n in range(50):
                traffic.windows[(now + n) // WINDOW_MS].add((WAITING, n))
        last = max(traffic.windows)
        traffic.send(2)
        wait_for(lambda: last in fullest(tmp_path), 90, "the windows before the transaction's end weren't written")
        wait_for(lambda: max(traffic.windows) in fullest(tmp_path), 90, "the last window wasn't written")
    assert lines(tmp_path / "late") == []
    assert fullest(tmp_path) == sunk_by_parity(traffic)


def test_a_bounded_run_is_not_complete_beyond_what_waits_behind_a_transaction(kafka, topic):
    """The clock would have gone on from the latest event, as all had been quiet for long."""
    now = int(time.time() * 1000)
    send(kafka, topic, [(p, event(p, now)) for p in range(PARTITIONS)])
    options = {"disorder_seconds": 0, "idle_seconds": 1, "event_time": lambda values: now if values else None}
    producer = begin(kafka, topic, 0, [event(9, now)])
    time.sleep(3)
    read_now(kafka, topic, lambda batches: check_complete(batches, now), **options)
    producer.commit_transaction(30)
    time.sleep(2)
    read_now(kafka, topic, lambda batches: check_goes_on(batches, now), **options)


def complete(batches):
    return max(batch.watermark for batch in batches if not batch.values)


def check_complete(batches, now):
    assert complete(batches) == now


def check_goes_on(batches, now):
    assert complete(batches) > now + 1_000
