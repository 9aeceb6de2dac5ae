"""The live job on real servers, to the row: what both stores hold is what the topic's records come to."""

import re
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from e2e.live_harness import FEW, FULL
from e2e.live_stores import Bench, click_of, oracle, rejects, sums_of
from oracle import Key, Row

from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.write import WriteToElasticsearch
from clickstream.io.sample import SampleOptions, sample_records
from clickstream.io.sql import WriteToSql
from clickstream.io.sql.mysql import connect_by_url
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA

EVENTS = 1_000_000 if FULL else 100_000
WINDOW = 60
# Within a partition no record comes more than 35 s after a later one; 40 s would still be in time, hours are not.
IN_TIME = {"disorder_seconds": 5, "late_by_seconds": 30, "late_share": 0.02, "broken_share": 0.01}
TIMING = (
    *("--disorder=10s", "--allowed_lateness=30s", f"--window_seconds={WINDOW}", "--idle=15s"),
    f"--late_results={60 if FULL else 5}s",  # each time windows are summed up anew, and what has changed is written
)
TOO_LATE = 500
TRANSACTION, OPEN_SECONDS = 300, 20  # clicks of one transaction, which is open for longer than --idle


def sample(seed: int, events: int, start: datetime, seconds: float, **options) -> list[bytes]:
    """Records of so many seconds from `start`, in order of arrival."""
    chosen = SampleOptions(
        seed=seed, events=events, start=start, duration_seconds=seconds, **({} if FULL else FEW), **options
    )
    return [record for batch in sample_records(chosen) for record in batch]


class Finished:
    """A job that has read a backlog, then more and too late records, and was stopped when the last window was written.

    Of what comes later, some is in a transaction that stays open while the rest is read; another one is aborted.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench, topic = bench, bench.topic
        start = datetime.now(timezone.utc) - timedelta(hours=4)
        topic.send(sample(1, EVENTS * 9 // 10, start, 3000, **IN_TIME))
        topic.flush()
        self.job = bench.job(*TIMING)
        self.job.start()
        try:
            # A window is written: the watermark is hours beyond what comes too late, in this run for sure.
            self.job.wait_until(lambda: bool(bench.sums()[0]), 60, "the first window")
            late = sample(2, TOO_LATE, start - timedelta(hours=3), 600, broken_share=0)
            more = sample(3, EVENTS // 10 - TOO_LATE, start + timedelta(hours=2), 600, **IN_TIME)
            others = more[TRANSACTION:]
            with topic.transaction(sample(4, TRANSACTION, start + timedelta(hours=2), 600), commit=False):
                pass
            with topic.transaction(more[:TRANSACTION]):
                topic.send(record for place, pair in enumerate(others) for record in (pair, *late[place : place + 1]))
                topic.flush()
                time.sleep(OPEN_SECONDS)
            self.records, self.late = topic.records(), set(late)
            self.kept = [record for record in self.records if record.value not in self.late]
            self.expected = oracle(self.kept, WINDOW)
            sums = sums_of(self.expected)
            began = time.monotonic()
            self.job.wait_until(lambda: bench.sums() == (sums, sums), 600 if FULL else 120, "all windows")
            print(
                f"{EVENTS:,} events, {len(self.expected):,} rows; the last window {time.monotonic() - began:.0f} s on"
            )
            # Behind the rows: the watermark must pass through both sinks.
            self.job.wait_until(lambda: sum(topic.committed(bench.group).values()) > EVENTS * 0.8, 120, "commits")
            stores = bench.sql_rows, bench.documents
            self.job.wait_until(
                lambda: all(rows() == self.expected for rows in stores), 300 if FULL else 60, "all times"
            )
            self.status, self.seconds = self.job.stop(signal.SIGTERM)
        finally:
            self.job.kill()

    def counts(self) -> dict[str, int]:
        """What the job says that became of the records."""
        said = re.search(r"read (\d+) = accepted (\d+) \+ rejected (\d+) \+ too late (\d+)", self.job.out)
        assert said, self.job.out
        return dict(zip(("read", "accepted", "rejected", "too late"), map(int, said.groups()), strict=True))


@pytest.fixture(scope="module")
def finished(kafka, mariadb, elasticsearch, prism, tmp_path_factory) -> Iterator[Finished]:
    """One run for the tests of this module."""
    return Finished(Bench(kafka, mariadb, elasticsearch, prism, tmp_path_factory.mktemp("exact")))


pytestmark = pytest.mark.timeout(1800 if FULL else 900)


def test_both_stores_equal_the_oracle_row_for_row(finished) -> None:
    assert len(finished.records) == EVENTS
    assert finished.bench.sql_rows() == finished.expected
    assert finished.bench.documents() == finished.expected


def test_each_broken_record_is_a_dead_letter_once_with_its_bytes(finished) -> None:
    broken = rejects(finished.records)
    assert EVENTS * 0.008 < len(broken) < EVENTS * 0.012
    assert finished.bench.dead_letters() == broken


def test_read_is_accepted_and_rejected_and_too_late(finished) -> None:
    """Each count by itself, not only the sum."""
    late = [record for record in finished.records if record.value in finished.late]
    accepted = sum(click_of(record.value) is not None for record in finished.kept)
    assert len(late) == TOO_LATE
    assert finished.counts() == {
        "read": EVENTS,
        "accepted": accepted,
        "rejected": len(rejects(finished.records)),
        "too late": TOO_LATE,
    }


def test_it_ended_in_order(finished) -> None:
    assert (finished.status, finished.job.processes()) == (0, [])
    assert finished.seconds < 15
    assert finished.job.err == "Stopped. What wasn't written yet is read again next time.\n"


def test_committed_offsets_are_behind_the_records_of_unwritten_windows_only(finished) -> None:
    """All windows are written; but the last hour's still took late clicks, or times, so that their records are read again."""
    committed = finished.bench.topic.committed(finished.bench.group)
    left = [record for record in finished.records if record.offset >= committed[record.partition]]
    assert all(committed.values())
    assert len(left) < EVENTS * 0.11  # a tenth was sent for that hour


def test_a_stale_writer_cannot_lower_a_number(finished, monkeypatch) -> None:
    """What an older job that saw less would still write, through the real sinks, changes nothing in either store."""
    bench = finished.bench
    monkeypatch.setenv("TEST_SQL_PASSWORD", bench.sql_server.password)
    seen = [record for record in finished.kept if record.offset % 2]  # half of it
    stale = sorted((_result(key, row) for key, row in oracle(seen, WINDOW).items()), key=_window_start)
    tables = [pa.Table.from_pylist(list(rows), PAGE_METRICS_SCHEMA) for _, rows in groupby(stale, _window_start)]
    sql = connect_by_url(bench.sql_server.url(bench.database), password="env:TEST_SQL_PASSWORD")
    with beam.Pipeline("FnApiRunner") as pipeline:
        metrics = pipeline | beam.Create(tables)
        _ = metrics | WriteToSql(sql)
        _ = metrics | WriteToElasticsearch(ElasticsearchConnection(bench.elasticsearch.address), bench.index)
    assert len(stale) > EVENTS / 8
    assert bench.sql_rows() == finished.expected
    assert bench.documents() == finished.expected


def _result(key: Key, row: Row) -> dict[str, Any]:
    start, url, country = key
    seconds = row.time_spent_ms / 1000
    found = {"window_start": start, "window_end": row.window_end, "url": url, "country": country}
    mean = seconds / row.timed_clicks if row.timed_clicks else None
    counts = {"clicks": row.clicks, "unique_users": row.unique_users, "timed_clicks": row.timed_clicks}
    visits = {"sessions": row.sessions, "bounces": row.bounces}
    return {**found, **counts, **visits, "time_spent_seconds": seconds, "avg_time_spent": mean, "version": row.version}


def _window_start(row: dict[str, Any]) -> int:
    return row["window_start"]
