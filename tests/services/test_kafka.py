"""The Kafka source and the offset commit on a real broker: exact on the batch runner and on Prism, also when killed."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that
from apache_beam.transforms.trigger import AccumulationMode, AfterProcessingTime, AfterWatermark
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from clickstream.io.errors import UserError, user_error_in
from clickstream.io.kafka import CommitOffsets, KafkaConnection, ReadFromKafka, check_kafka
from clickstream.io.kafka_client import Committed
from clickstream.io.kafka_dead_letters import WriteDeadLettersToKafka
from clickstream.io.kafka_poll import PartitionPoller
from clickstream.io.kafka_watermark import NEVER, is_idle
from clickstream.pipeline.prism import NO_SPLITS
from clickstream.transforms.schema import REJECTED_SCHEMA, BatchProgress

WINDOW_MS, LATENESS_MS = 2_000, 1_000
DISORDER_SECONDS, IDLE_SECONDS = 2.0, 3.0
PARTITIONS = 4


@pytest.fixture
def topic(kafka):
    return kafka.create_topic(f"clicks-{uuid.uuid4().hex}", PARTITIONS)


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
        found = consumer.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=20)
    finally:
        consumer.close()
    return [max(0, p.offset) for p in found]


def event(number, time_ms):
    return json.dumps({"n": number, "t": time_ms}).encode()


def latest_time(values):
    return max((json.loads(v)["t"] for v in values if v), default=None)


# --- bounded: on the batch runner ---


def read_now(kafka, topic, check=None, group="reader", **options):
    """Reads what is there on the batch runner; gives the batches to `check`."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        batches = pipeline | ReadFromKafka(kafka.address, topic, group, until="now", **options)
        if check:
            assert_that(batches, check)


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
    records = {f"kafka:{topic}/{p}": [v or b"" for q, v in messages if q == p] for p in range(PARTITIONS)}
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


def told(raised):
    error = user_error_in(raised.value)
    assert error, f"no UserError in {raised.value}"
    return str(error)


def test_a_committed_offset_that_has_expired_is_told(kafka, topic):
    send(kafka, topic, [(0, b"%d" % n) for n in range(5)])
    with consumer_of(kafka, topic) as consumer:
        consumer.commit({(topic, 0): Committed(1)})
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.delete_records([TopicPartition(topic, 0, 4)])[TopicPartition(topic, 0)].result(30)
    with pytest.raises(Exception, match="expired") as raised:
        read_now(kafka, topic, group=topic)
    assert "3 records have expired unread): choose --start=earliest" in told(raised)


# --- commit: bounded ---


class Parse(beam.DoFn):
    """A stand-in for the real parse: events by window, and the batch's progress."""

    def process(self, batch):
        windows = defaultdict(list)
        needed_until = batch.watermark
        partition = int(batch.source.rpartition("/")[2])
        for offset, value in zip(batch.positions, batch.values, strict=True):
            window = json.loads(value)["t"] // WINDOW_MS
            expiry = (window + 1) * WINDOW_MS + LATENESS_MS
            if expiry <= batch.watermark:
                yield beam.pvalue.TaggedOutput("late", [partition, offset])
            else:
                windows[window].append([partition, offset])
                needed_until = max(needed_until, expiry)
        for window, found in windows.items():
            yield TimestampedValue((window % 2, (window, found)), window * WINDOW_MS / 1000)
        yield beam.pvalue.TaggedOutput("progress", BatchProgress(batch.source, batch.span, needed_until))


class Sink(beam.DoFn):
    """Appends each pane to a file, after a while; fails if a file tells it to."""

    def __init__(self, folder, seconds):
        self._folder, self._seconds = Path(folder), seconds

    def process(self, pane):
        time.sleep(self._seconds)
        if (self._folder / "broken").exists():
            message = "The store is down."
            raise ConnectionError(message)
        windows = defaultdict(list)
        for window, found in pane[1]:
            windows[window] += found
        with (self._folder / "sunk").open("a") as file:
            for item in windows.items():
                file.write(json.dumps(item) + "\n")
        yield len(windows)


def note_late(place, folder):
    with (Path(folder) / "late").open("a") as file:
        file.write(json.dumps([None, [place]]) + "\n")


def wire(pipeline, address, topic, folder, sink_seconds, **options):
    """Source, windows, two sinks (a slow one and a fast one) and the commit."""
    parsed = (
        pipeline
        | ReadFromKafka(
            address,
            topic,
            topic,
            event_time=latest_time,
            disorder_seconds=DISORDER_SECONDS,
            idle_seconds=IDLE_SECONDS,
            **options,
        )
        | beam.ParDo(Parse()).with_outputs("late", "progress", main="clicks")
    )
    _ = parsed.late | beam.Map(note_late, folder)
    pairs = parsed.clicks | beam.Map(lambda pair: pair).with_output_types(tuple[int, tuple])
    windows = pairs | beam.WindowInto(
        FixedWindows(WINDOW_MS // 1000),
        trigger=AfterWatermark(late=AfterProcessingTime(1)),
        accumulation_mode=AccumulationMode.ACCUMULATING,
        allowed_lateness=LATENESS_MS // 1000,
    )
    panes = windows | beam.GroupByKey()
    slow = panes | "Slow" >> beam.ParDo(Sink(folder, sink_seconds))
    fast = panes | "Fast" >> beam.Map(len)
    _ = {"progress": parsed.progress, "after": [slow, fast]} | CommitOffsets(address, topic)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("]")] if path.exists() else []


def run_now(kafka, topic, folder, **options):
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        wire(pipeline, kafka.address, topic, folder, 0, until="now", **options)


def test_a_bounded_run_commits_finished_windows_and_reads_open_ones_again(kafka, topic, tmp_path):
    now = int(time.time() * 1000) // WINDOW_MS * WINDOW_MS
    old = [(n % 2, event(n, now - 60_000 + n)) for n in range(100)]
    new = [(n % 2, event(n, now + n)) for n in range(100, 120)]
    send(kafka, topic, old + new)
    run_now(kafka, topic, tmp_path, batch_records=5)
    offsets = committed(kafka, topic, topic)
    assert offsets[2:] == [0, 0]
    assert all(40 < offset <= 50 for offset in offsets[:2])
    assert sum(len(found) for _, found in lines(tmp_path / "sunk")) == 120
    run_now(kafka, topic, tmp_path)
    # A batch may lie across the edge: its older events are read again, and known to stand in a window that's written.
    again = [*lines(tmp_path / "sunk"), *lines(tmp_path / "late")]
    assert sum(len(found) for _, found in again) == 120 + (120 - sum(offsets))
    assert all(offset >= 45 for _, found in lines(tmp_path / "late") for _, offset in found)


def test_a_bounded_run_commits_all_when_traffic_has_stopped(kafka, topic, tmp_path):
    now = int(time.time() * 1000)
    send(kafka, topic, [(n % 2, event(n, now - n)) for n in range(20)])
    time.sleep(IDLE_SECONDS + DISORDER_SECONDS + (WINDOW_MS + LATENESS_MS) / 1000)
    run_now(kafka, topic, tmp_path)
    assert committed(kafka, topic, topic) == [10, 10, 0, 0]


def test_a_bounded_run_whose_sink_fails_commits_nothing(kafka, topic, tmp_path):
    send(kafka, topic, [(0, event(n, 1_000 * n)) for n in range(100)])
    (tmp_path / "broken").touch()
    with pytest.raises(Exception, match="store is down"):
        run_now(kafka, topic, tmp_path)
    assert committed(kafka, topic, topic) == [0, 0, 0, 0]


# --- continuous: on Prism, in a process of its own ---


@contextmanager
def live_job(prism, kafka, topic, folder, sink_seconds=0.0):
    """Runs the job of this file until the block ends, or is killed before; gives the process."""
    command = [sys.executable, __file__, prism, kafka.address, topic, str(folder), str(sink_seconds)]
    with (Path(folder) / "log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        kill(process)


def kill(process):
    """Ends the job and its Prism at once; Prism outlives a job that has ended by itself."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)


def main(prism, address, topic, folder, sink_seconds):
    options = PipelineOptions(
        [f"--prism_location={prism}", "--environment_type=LOOPBACK", "--streaming", f"--experiments={NO_SPLITS}"]
    )
    pipeline = beam.Pipeline("PrismRunner", options=options)
    wire(pipeline, address, topic, folder, float(sink_seconds))
    result = pipeline.run()
    while result.state not in ("FAILED", "DONE", "CANCELLED"):
        time.sleep(0.2)
    os._exit(1)


class Traffic:
    """Sends events of the present, a little out of order, unevenly over three of the four partitions."""

    def __init__(self, kafka, topic):
        self.windows = defaultdict(set)
        self._kafka, self._topic, self._ends = kafka, topic, [0] * PARTITIONS

    def send(self, seconds, rate=400):
        until, number = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            now = int(time.time() * 1000)
            batch = []
            for _ in range(rate // 10):
                number += 1
                partition = (0, 0, 1, 0, 0, 2)[number % 6]
                moment = now - number * 7919 % 1500
                batch.append((partition, event(number, moment)))
                self.windows[moment // WINDOW_MS].add((partition, self._ends[partition]))
                self._ends[partition] += 1
            send(self._kafka, self._topic, batch)
            time.sleep(0.1)

    @property
    def ends(self):
        return list(self._ends)


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def check_nothing_is_committed_ahead(kafka, topic, folder):
    """What is committed has been sunk, or was too late. Offsets are read first: the sink may only be further."""
    offsets = committed(kafka, topic, topic)
    done = {tuple(place) for name in ("sunk", "late") for _, found in lines(folder / name) for place in found}
    missing = [(p, o) for p, end in enumerate(offsets) for o in range(end) if (p, o) not in done]
    assert not missing
    return offsets


def fullest(folder):
    """The fullest pane of each window: what a sink that keeps the highest version holds."""
    best = defaultdict(set)
    for window, found in lines(folder / "sunk"):
        places = {tuple(place) for place in found}
        best[window] = max(best[window], places, key=len)
    return best


def wait_until_committed(kafka, topic, traffic, folder, seconds=90):
    def reached():
        return check_nothing_is_committed_ahead(kafka, topic, folder) == traffic.ends

    wait_for(reached, seconds, f"{committed(kafka, topic, topic)} instead of {traffic.ends}")


def sunk_by_parity(traffic):
    return {window: places for window, places in traffic.windows.items() if places}


def test_live_windows_are_whole_and_offsets_follow_the_sinks(kafka, topic, prism, tmp_path):
    """Disorder, an empty partition, a slow sink; the traffic stops, and the last windows close all the same."""
    traffic = Traffic(kafka, topic)
    with live_job(prism, kafka, topic, tmp_path, sink_seconds=0.4):
        for _ in range(5):
            traffic.send(2)
            check_nothing_is_committed_ahead(kafka, topic, tmp_path)
        wait_until_committed(kafka, topic, traffic, tmp_path)
    assert fullest(tmp_path) == sunk_by_parity(traffic)
    assert lines(tmp_path / "late") == []


def test_killed_again_and_again_no_window_ends_up_short(kafka, topic, prism, tmp_path):
    traffic = Traffic(kafka, topic)
    for seconds in (9, 6, 8):
        with live_job(prism, kafka, topic, tmp_path, sink_seconds=0.2) as job:
            traffic.send(seconds)
            kill(job)
        check_nothing_is_committed_ahead(kafka, topic, tmp_path)
    with live_job(prism, kafka, topic, tmp_path):
        wait_until_committed(kafka, topic, traffic, tmp_path)
    assert fullest(tmp_path) == sunk_by_parity(traffic)


def test_a_sink_that_fails_holds_the_offsets(kafka, topic, prism, tmp_path):
    traffic = Traffic(kafka, topic)
    (tmp_path / "broken").touch()
    with live_job(prism, kafka, topic, tmp_path) as job:
        traffic.send(8)
        assert job.wait(60) == 1
    assert committed(kafka, topic, topic) == [0, 0, 0, 0]
    (tmp_path / "broken").unlink()
    with live_job(prism, kafka, topic, tmp_path):
        wait_until_committed(kafka, topic, traffic, tmp_path)
    assert fullest(tmp_path) == sunk_by_parity(traffic)


def test_late_and_too_late_records_do_not_stall_the_commit(kafka, topic, prism, tmp_path):
    """Batches of nothing but too late records, and records late by less than the lateness."""
    traffic = Traffic(kafka, topic)
    with live_job(prism, kafka, topic, tmp_path):
        while not lines(tmp_path / "sunk"):  # it reads: on a loaded machine it may begin late
            traffic.send(1)
        traffic.send(10)
        send(kafka, topic, [(3, event(n, int(time.time() * 1000) - 60_000)) for n in range(50)])
        traffic.send(5)
        send(kafka, topic, [(2, event(n, int(time.time() * 1000) - 2_500)) for n in range(50)])
        traffic.send(2)
        ends = [traffic.ends[0], traffic.ends[1], traffic.ends[2] + 50, 50]

        def reached():
            return check_nothing_is_committed_ahead(kafka, topic, tmp_path) == ends

        wait_for(reached, 90, "the commit stalled")
    assert len(lines(tmp_path / "late")) >= 50


def test_new_partitions_are_found_and_read_from_their_start(kafka, prism, tmp_path):
    topic = kafka.create_topic(f"growing-{uuid.uuid4().hex}", 1)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    with live_job(prism, kafka, topic, tmp_path):
        send(kafka, topic, [(0, event(n, int(time.time() * 1000))) for n in range(10)])
        wait_for(lambda: committed(kafka, topic, topic)[0] == 10, 60, "the first partition isn't committed")
        admin.create_partitions([NewPartitions(topic, 2)])[topic].result(30)
        time.sleep(1)
        send(kafka, topic, [(1, event(n, int(time.time() * 1000))) for n in range(10)])
        wait_for(lambda: committed(kafka, topic, topic)[1] == 10, 60, "the new partition isn't committed")


def test_a_broker_that_is_away_is_no_idleness(kafka, topic, prism, tmp_path):
    """During an outage longer than the idle bound the watermark stands; afterwards nothing is too late or lost."""
    traffic = Traffic(kafka, topic)
    with live_job(prism, kafka, topic, tmp_path):
        while not lines(tmp_path / "sunk"):
            traffic.send(1)
        stamps = int(time.time() * 1000)
        kafka.stop()
        time.sleep(IDLE_SECONDS * 3)
        kafka.start()
        # records of the time before the outage, that producers had kept back
        places = [(0, traffic.ends[0] + n) for n in range(50)]
        send(kafka, topic, [(0, event(n, stamps)) for n in range(50)])
        traffic.windows[stamps // WINDOW_MS].update(places)
        traffic._ends[0] += 50
        traffic.send(3)
        wait_until_committed(kafka, topic, traffic, tmp_path, 120)
    assert fullest(tmp_path) == sunk_by_parity(traffic)


# --- errors that a person can act on ---


def check(address, topic, **config):
    check_kafka(KafkaConnection(address, "group", {name.replace("_", "."): v for name, v in config.items()}), topic)


def test_all_is_well(kafka, topic):
    check(kafka.address, topic)


def test_no_broker_is_told():
    with pytest.raises(UserError, match=r"No Kafka broker answers at 127\.0\.0\.1:9: is it running"):
        check("127.0.0.1:9", "clicks")


def test_an_unknown_host_is_told():
    with pytest.raises(UserError, match=r"nowhere\.invalid:9092.*check --bootstrap_servers|No Kafka broker answers"):
        check("nowhere.invalid:9092", "clicks")


def test_an_unknown_topic_is_told(kafka):
    with pytest.raises(UserError, match=r"Topic no-such doesn't exist at .*: check --topic, or create it"):
        check(kafka.address, "no-such")


def test_tls_on_a_plain_port_is_told(kafka, topic):
    with pytest.raises(UserError, match=r"don't agree on TLS: check the port, and security.protocol"):
        check(kafka.address, topic, security_protocol="SSL")


def test_a_login_where_none_is_wanted_is_told(kafka, topic, monkeypatch):
    monkeypatch.setenv("KAFKA_PW", "canary-5c1e")
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "me"}
    with pytest.raises(UserError) as raised:
        check(kafka.address, topic, **login, sasl_password="env:KAFKA_PW")
    assert "sasl" in str(raised.value).lower() or "security.protocol" in str(raised.value)
    assert "canary" not in str(raised.value)


def test_nothing_of_librdkafka_reaches_the_terminal(capfd):
    with pytest.raises(UserError):
        check("127.0.0.1:9", "clicks")
    assert capfd.readouterr().err == ""


# --- dead letters ---


def test_dead_letters_are_in_the_topic_when_the_bundle_ends(kafka, topic):
    raws = [b"{", b"\xff\xfe", b"", b"x" * 1_500_000]
    table = pa.table(
        [["kafka:t/0"] * 4, [1, 2, 3, 4], [None] * 4, ["malformed_json"] * 4, ["?"] * 4, raws], schema=REJECTED_SCHEMA
    )
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        tables = pipeline | beam.Create([table])
        written = tables | WriteDeadLettersToKafka(kafka.address, topic)
        assert_that(written, lambda counts: counts == [4] or pytest.fail(str(counts)))

    def holds(batches):
        letters = [json.loads(value) for batch in batches for value in batch.values]
        assert sorted((letter["position"], letter["part"]) for letter in letters) == [
            *((1, 1), (2, 1), (3, 1)),
            *((4, 1), (4, 2), (4, 3)),
        ]

    read_now(kafka, topic, holds)


def test_a_dead_letter_topic_that_is_not_there_is_told(kafka):
    table = pa.table([["s"], [1], [None], ["r"], ["d"], [b""]], schema=REJECTED_SCHEMA)
    with pytest.raises(Exception, match="no-such") as raised, beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create([table]) | WriteDeadLettersToKafka(kafka.address, "no-such")
    assert "Topic no-such doesn't exist" in told(raised)


if __name__ == "__main__":
    main(*sys.argv[1:])


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
        assert abs(poller.heard(0) / 1000 + 3600 - time.time()) < 60
    finally:
        poller.close()
