"""The Kafka source on a real broker, on the batch runner: each record once, from where it is told, and who takes over reads on."""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from types import SimpleNamespace

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from clickstream.io.errors import UserError
from clickstream.io.kafka.client import Committed, KafkaConnection
from clickstream.io.kafka.read.poll import PartitionPoller
from clickstream.io.kafka.read.reader import ReadSettings, ReadUntilStopped
from clickstream.io.kafka.read.restriction import PartitionState
from clickstream.io.kafka.watermark import NEVER, is_idle
from clickstream.transforms.schema import Around
from tests.services.kafka_topic import PARTITIONS, event, latest_time, read_now, send, told
from tests.services.kafka_traffic import wait_for


def expect(records):
    """A check that exactly these values came, by source, in order, each where its offset says, and that spans tile."""

    def check(batches):
        values, spans = defaultdict(list), defaultdict(list)
        for batch in batches:
            assert len(batch.values) == len(batch.positions) == len(batch.record_timestamps)
            values[batch.source] += zip(batch.positions, batch.values, strict=True)
            spans[batch.source].append(batch.span)
            assert all(batch.span.start <= position < batch.span.end for position in batch.positions)
        assert {source: [v for _, v in sorted(found)] for source, found in values.items()} == records
        for found in spans.values():
            tiles = sorted(found, key=lambda span: (span.start, span.end))
            assert tiles[0].start == tiles[0].run_start
            assert all(a.end == b.start for a, b in pairwise(tiles))

    return check


@pytest.mark.parametrize("splits", ["one", "per_partition"])
@pytest.mark.parametrize("batch_records", [7, 10_000])
def test_what_is_there_is_read_exactly_once(kafka, topic, splits, batch_records):
    messages = [(n % 3, b"%d" % n) for n in range(2_000)] + [(1, b""), (1, None), (2, b"\xff\x00" * 100_000)]
    send(kafka, topic, messages)
    records = {f"kafka:{topic}/{p}": [v for q, v in messages if q == p and v is not None] for p in range(PARTITIONS)}
    read_now(kafka, topic, expect(records), splits=splits, batch_records=batch_records)


def test_transaction_markers_and_aborted_records_leave_no_gap_and_no_hang(kafka, topic):
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": topic})
    producer.init_transactions(30)
    for turn in range(4):
        producer.begin_transaction()
        for n in range(10):
            producer.produce(topic, value=b"%d-%d" % (turn, n), partition=0)
        (producer.abort_transaction if turn % 2 else producer.commit_transaction)(30)
    kept = [b"%d-%d" % (turn, n) for turn in (0, 2) for n in range(10)]
    read_now(kafka, topic, expect({f"kafka:{topic}/{p}": kept if p == 0 else [] for p in range(PARTITIONS)}))


@pytest.mark.parametrize("batch_records", [1, 10_000])
def test_tombstones_are_passed_over_and_leave_no_gap(kafka, topic, batch_records):
    values = [None, b"a", None, None, b"", b"b", None]
    send(kafka, topic, [(0, value) for value in values] + [(1, None)])
    records = {f"kafka:{topic}/{p}": [b"a", b"", b"b"] if p == 0 else [] for p in range(PARTITIONS)}
    read_now(kafka, topic, expect(records), batch_records=batch_records)


def test_key_and_headers_come_with_the_value_where_they_are_asked_for(kafka, topic):
    producer = Producer({"bootstrap.servers": kafka.address})
    producer.produce(topic, b'{"a":1}', key=b"k", partition=0, headers=[("h", b"1"), ("h", b"2"), ("other", b"3")])
    producer.produce(topic, None, key=b"k", partition=0)
    producer.produce(topic, b"no JSON", key=b"k", partition=0)
    producer.produce(topic, b"{}", partition=0)
    assert producer.flush(60) == 0
    values = [
        b'{"value":{"a":1},"key":"k","headers":{"h": "2"}}',
        b"no JSON",
        b'{"value":{},"key":null,"headers":{"h": null}}',
    ]
    records = {f"kafka:{topic}/{p}": values if p == 0 else [] for p in range(PARTITIONS)}
    read_now(kafka, topic, expect(records), around=Around(key=True, headers=("h",)))


def test_the_last_batch_says_how_far_the_run_is_complete(kafka, topic):
    now = int(time.time() * 1000)
    send(kafka, topic, [(0, event(1, now - 50_000)), (0, event(2, now - 60_000)), (1, event(3, now - 40_000))])

    def check(batches):
        for batch in batches:
            if not batch.values:
                assert batch.watermark == now - 60_000
                assert batch.span.start == batch.span.end
            else:
                assert batch.watermark == NEVER
        assert sum(not batch.values for batch in batches) == PARTITIONS

    read_now(kafka, topic, check, event_time=latest_time, disorder_seconds=10)


@pytest.mark.parametrize(("start", "expected"), [("earliest", 3), ("latest", 0), ("2100-01-01", 0), ("2020-01-01", 3)])
def test_it_starts_where_it_is_told(kafka, topic, start, expected):
    send(kafka, topic, [(0, b"a"), (1, b"b"), (1, b"c")])

    def check(batches):
        assert sum(len(batch.values) for batch in batches) == expected

    read_now(kafka, topic, check, start=start)


def test_it_starts_at_the_committed_offsets(kafka, topic):
    send(kafka, topic, [(0, b"%d" % n) for n in range(5)])
    with consumer_of(kafka, topic) as consumer:
        consumer.commit({(topic, 0): Committed(3)})
    records = {f"kafka:{topic}/{p}": [b"3", b"4"] if p == 0 else [] for p in range(PARTITIONS)}
    read_now(kafka, topic, expect(records), group=topic)


@contextmanager
def consumer_of(kafka, group, **config):
    consumer = KafkaConnection(kafka.address, group, config).consumer()
    try:
        yield consumer
    finally:
        consumer.close()


def test_a_committed_offset_that_has_expired_is_told(kafka, topic):
    send(kafka, topic, [(0, b"%d" % n) for n in range(5)])
    with consumer_of(kafka, topic) as consumer:
        consumer.commit({(topic, 0): Committed(1)})
    expire(kafka, topic, 4)
    with pytest.raises(Exception, match="expired") as raised:
        read_now(kafka, topic, group=topic)
    assert "3 records have expired unread): choose --start=earliest" in told(raised)


def test_records_that_have_expired_and_had_been_read_are_no_gap(kafka, topic):
    """Of a quiet topic most are read again each time, as their windows are open: until retention takes them."""
    send(kafka, topic, [(0, b"%d" % n) for n in range(5)])
    with consumer_of(kafka, topic) as consumer:
        consumer.commit({(topic, 0): Committed(1, read_until=4)})
    expire(kafka, topic, 3)
    left = {f"kafka:{topic}/{p}": [b"3", b"4"] if p == 0 else [] for p in range(PARTITIONS)}
    read_now(kafka, topic, expect(left), group=topic)
    expire(kafka, topic, 5)
    with pytest.raises(Exception, match="expired") as raised:
        read_now(kafka, topic, group=topic)
    assert "1 records have expired unread" in told(raised)


def expire(kafka, topic, offset):
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.delete_records([TopicPartition(topic, 0, offset)])[TopicPartition(topic, 0)].result(30)


def test_offsets_of_an_earlier_topic_of_that_name_are_of_no_use(kafka, topic, caplog):
    """It may have more records than were committed: to go on there would be to leave out what comes before."""
    send(kafka, topic, [(0, b"%d" % n) for n in range(5)])
    connection = KafkaConnection(kafka.address, topic, {})
    assert connection.topic_id(topic)
    everything = {f"kafka:{topic}/{p}": [b"%d" % n for n in range(5)] if p == 0 else [] for p in range(PARTITIONS)}
    with consumer_of(kafka, topic) as consumer:
        consumer.commit({(topic, 0): Committed(3, 10**12, topic_id="another")})
        read_now(kafka, topic, expect(everything), group=topic)
        assert f"Topic {topic} was made anew" in caplog.text
        committed = consumer.committed(topic, range(PARTITIONS))
    assert committed == {p: Committed(0, topic_id=connection.topic_id(topic)) for p in range(PARTITIONS)}


def test_a_topic_that_is_made_anew_has_another_id(kafka, topic):
    connection, admin = KafkaConnection(kafka.address, topic, {}), AdminClient({"bootstrap.servers": kafka.address})
    before = connection.topic_id(topic)
    poller = PartitionPoller(connection, topic)
    try:
        poller.check_topic()
        admin.delete_topics([topic])[topic].result(30)
        wait_for(lambda: not connection.topic_id(topic), 30, "it isn't gone")
        poller.check_topic()  # no answer is no other topic
        kafka.create_topic(topic, PARTITIONS)
        wait_for(lambda: connection.topic_id(topic), 30, "it isn't there")
        assert connection.topic_id(topic) != before
        with pytest.raises(UserError, match="was made anew"):
            poller.check_topic()
    finally:
        poller.close()


def test_a_reader_that_comes_back_does_not_take_its_absence_for_quiet(kafka, topic):
    """Of several workers each may read on where another stopped: what it didn't read itself was no silence."""
    send(kafka, topic, [(0, b"a"), (0, b"b")])
    poller = PartitionPoller(KafkaConnection(kafka.address, topic, {}), topic)
    try:
        poller.seek({0: 0}, {0: NEVER})
        assert len(poller.poll(2, 20)[0].values) == 2
        send(kafka, topic, [(0, b"c")])
        time.sleep(1.5)
        poller.seek({0: 3}, {0: int(time.time() * 1000)})  # another one has just read it, to the end
        poller.confirm_quiet({0: 3})
        assert not is_idle(poller.view(0, 1), 1000)
        time.sleep(1.2)
        poller.confirm_quiet({0: 3})
        assert is_idle(poller.view(0, 1), 1000)
    finally:
        poller.close()


def test_silence_is_remembered_by_who_takes_over(kafka, topic):
    """After a restart from a checkpoint a silent partition doesn't hold the watermark for as long once more."""
    send(kafka, topic, [(0, b"a")])
    poller = PartitionPoller(KafkaConnection(kafka.address, topic, {}), topic)
    try:
        poller.seek({0: 1}, {0: int(time.time() * 1000) - 3_600_000})
        poller.confirm_quiet({0: 1})
        assert poller.view(0, 1).caught_up
        assert 3_599_000 < poller.view(0, 1).quiet_ms < 3_700_000
        assert abs(poller.last_record_at(0) / 1000 + 3600 - time.time()) < 60
    finally:
        poller.close()


def test_a_reader_that_is_torn_down_while_it_reads_ends_without_an_error(kafka, topic):
    """As a worker does that has lost its runner: the error would be a traceback beside the cause."""
    settings = ReadSettings(KafkaConnection(kafka.address, topic), topic, None, 0, 10_000, 100, 20.0, one_group=True)
    reader, left = ReadUntilStopped(settings), []
    tracker = SimpleNamespace(
        current_restriction=lambda: (PartitionState(0, 0, 0),),
        try_claim=lambda _: True,
        defer_remainder=lambda *_: left.append("deferred"),
    )
    estimator = SimpleNamespace(current_watermark=lambda: None, set_watermark=lambda _: None)
    reader.setup()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(reader.process((), tracker, estimator)))
        wait_for(lambda: reader._pollers, 10, "the reader hasn't begun")
        reader.teardown()
        assert reading.result(60) == []
    assert left == ["deferred"]
