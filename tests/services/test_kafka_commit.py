"""Offsets are committed behind the sinks, on a real broker: on the batch runner and on Prism, also when killed."""

import time
import uuid

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.services.kafka_job import DISORDER_SECONDS, IDLE_SECONDS, LATENESS_MS, WINDOW_MS, kill, live_job, wire
from tests.services.kafka_topic import committed, event, send
from tests.services.kafka_traffic import (
    Traffic,
    check_nothing_is_committed_ahead,
    fullest,
    lines,
    sunk_by_parity,
    wait_for,
    wait_until_committed,
)


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
