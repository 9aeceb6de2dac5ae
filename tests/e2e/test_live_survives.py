"""The live job when something dies: itself, at any moment; a store; the broker. Events keep coming meanwhile."""

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.live_harness import FEW, FULL, PATIENCE, LiveJob
from e2e.live_stores import Bench, click_of, oracle, rejects, straggler, sums_of

from clickstream.io.sample import SampleOptions

WINDOW = 3
GAP = 8  # short, so that offsets are committed while a test runs
RATE = 500.0
# No record is more than 5 s out of order, so that none is too late: 7 s are allowed.
TIMING = ("--disorder=3s", "--allowed_lateness=4s", f"--window_seconds={WINDOW}", f"--session_gap={GAP}s", "--idle=10s")
FEED = {"disorder_seconds": 2, "late_by_seconds": 3, "late_share": 0.02, "broken_share": 0.01, **FEW}
KILLS = 20 if FULL else 4
OUTAGE = 60 if FULL else 20

pytestmark = pytest.mark.timeout(2400 if FULL else 900)


def fed(bench: Bench, seed: int) -> AbstractContextManager[None]:
    """A steady feed while the block lasts."""
    return bench.topic.fed(SampleOptions(seed=seed, events=10_000_000, **FEED), RATE)


def assert_exact_in_the_end(bench: Bench, job: LiveJob) -> None:
    """All that was produced in time is in both stores, counted once; each broken record is a dead letter once."""
    records = [record for record in bench.topic.records() if b"straggler" not in record.value]
    expected = oracle(records, WINDOW, GAP)
    sums = sums_of(expected)
    job.wait_until(lambda: bench.sums() == (sums, sums), 120, "all windows")
    job.wait_until(lambda: bench.sql_rows() == expected == bench.documents(), 30, "all times")
    assert bench.sql_rows() == expected
    assert bench.documents() == expected
    assert bench.dead_letters() == rejects(records)


def assert_both_have_what_is_committed(bench: Bench) -> int:
    """What is committed, both sinks have. Returns how many records are, stragglers too.

    A record is committed when its window is closed for good, and by the feed's bound for disorder no more records of
    that window can follow. So each row with a committed record must be there already as it will be in the end: not
    only some row that is large enough, but the one of all the window's records.
    """
    committed = bench.topic.committed(bench.group)
    records = [record for record in bench.topic.records() if b"straggler" not in record.value]
    done = [record for record in records if record.offset < committed[record.partition]]
    length = WINDOW * 1000
    windows = {click.millis // length * length for r in done if (click := click_of(r.value))}
    expected = {key: row for key, row in oracle(records, WINDOW, GAP).items() if key[0] in windows}
    for stored in (bench.sql_rows(), bench.documents()) if windows else ():
        assert {key: row for key, row in stored.items() if key[0] in windows} == expected
    assert rejects(done).items() <= bench.dead_letters().items()
    return sum(committed.values())


def test_kills_at_random_moments_lose_and_double_nothing(kafka, mariadb, elasticsearch, prism, tmp_path) -> None:
    bench = Bench(kafka, mariadb, elasticsearch, prism, tmp_path)
    job, moments = bench.job(*TIMING), random.Random(20)
    committed = [0]
    try:
        with fed(bench, seed=11):
            for number in range(KILLS):
                job.start()
                if number % 2:  # every other one lives to commit something, so that the check below has a case
                    reached = committed[-1]
                    job.wait_until(lambda: sum(bench.topic.committed(bench.group).values()) > reached, 60, "a commit")  # noqa: B023
                time.sleep(moments.uniform(0, 12))
                job.kill()
                committed.append(assert_both_have_what_is_committed(bench))
                if committed[-1]:  # too late for rows that the next run knows nothing of
                    key = min(bench.sql_rows())
                    bench.topic.send([straggler(*key), straggler(key[0], "https://late.example/", "India")])
            job.start()
        assert_exact_in_the_end(bench, job)
    finally:
        job.kill()
    assert committed == sorted(committed)
    assert len(set(committed)) > KILLS // 2
    print(f"{KILLS} kills; {len(bench.topic.records()):,} records, committed at each kill: {committed[1:]}")


def restart(stop: Callable[[], None], start: Callable[[], None], seconds: float) -> None:
    stop()
    try:
        time.sleep(seconds)
    finally:
        start()


def test_outages_of_each_server_lose_and_double_nothing(kafka, mariadb, elasticsearch, prism, tmp_path) -> None:
    """The job is started once, and gets over each outage by itself."""
    bench = Bench(kafka, mariadb, elasticsearch, prism, tmp_path)
    # On a busy machine the feed may need more than ten seconds to find the broker again: longer than it may be silent elsewhere.
    job = bench.job(*TIMING, "--idle=40s")
    job.start()
    try:
        with fed(bench, seed=12):
            job.wait_until(lambda: min(map(len, bench.sums())) > 0, 60, "the first window")
            for server, seconds in ((elasticsearch, OUTAGE), (mariadb, OUTAGE), (kafka, 5)):
                restart(server.stop, server.start, seconds)
                time.sleep(5)
        assert_exact_in_the_end(bench, job)
        assert job.process.poll() is None
    finally:
        job.kill()
    restarts = len(re.findall("it restarts in", job.err))
    print(
        f"outages: {len(bench.topic.records()):,} records; the supervisor restarted the job {restarts} times\n{job.err}"
    )
    assert "Traceback" not in job.err


@contextmanager
def full_disk(bench: Bench) -> Iterator[None]:
    """Elasticsearch takes its disk for full while the block lasts: it then blocks all indices, and afterwards frees them, by itself."""
    prefix = "cluster.routing.allocation.disk"
    least = [f"{prefix}.watermark.{name}" for name in ("low", "high", "flood_stage")]
    watch = {f"{prefix}.threshold_enabled": True, "cluster.info.update.interval": "10s"}  # no oftener

    def set_to(settings: dict[str, Any]) -> None:
        bench.ask("_cluster/settings", {"persistent": settings}, "PUT")

    set_to({**dict.fromkeys(least, "1000000tb"), **watch})
    try:
        yield
    finally:
        set_to(dict.fromkeys(least, "0b"))
        deadline = time.monotonic() + 60 * PATIENCE
        while bench.ask("_settings/index.blocks.read_only_allow_delete", method="GET"):
            assert time.monotonic() < deadline
            time.sleep(1)
        set_to(dict.fromkeys((*least, *watch)))


def test_a_full_disk_holds_the_job_until_there_is_room(kafka, mariadb, elasticsearch, prism, tmp_path) -> None:
    bench = Bench(kafka, mariadb, elasticsearch, prism, tmp_path)
    job = bench.job(*TIMING)
    job.start()
    try:
        with fed(bench, seed=15):
            job.wait_until(lambda: min(map(len, bench.sums())) > 0, 60, "the first window")
            with full_disk(bench):
                job.wait_until(lambda: "as when the disk is full; free space" in job.err, 60, "word of the full disk")
            job.wait_until(lambda: "Elasticsearch: back after" in job.err, 60, "the index")
        assert_exact_in_the_end(bench, job)
        assert job.process.poll() is None
    finally:
        job.kill()
    assert "Traceback" not in job.err


def test_a_runner_that_dies_is_started_again(kafka, mariadb, elasticsearch, prism, tmp_path) -> None:
    """Job and supervisor say so in a line each, and nothing is lost."""
    bench = Bench(kafka, mariadb, elasticsearch, prism, tmp_path)
    job = bench.job(*TIMING)
    job.start()
    try:
        with fed(bench, seed=13):
            job.wait_until(lambda: min(map(len, bench.sums())) > 1, 60, "the first windows")
            os.kill(next(pid for pid in job.processes() if Path(f"/proc/{pid}/comm").read_text() == "prism\n"), 9)
            job.wait_until(lambda: "it restarts in" in job.err, 30, "the supervisor")
        assert_exact_in_the_end(bench, job)
    finally:
        job.kill()
    assert "Traceback" not in job.err
    assert "The runner has gone.\n" in job.err
