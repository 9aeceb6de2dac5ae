"""The live job on Flink, to the row: workers and task manager killed, stopped with a savepoint, gone on from it; embedded and on a cluster."""

import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from e2e.live_harness import FEW, FULL, PARTITIONS, LiveJob
from e2e.live_stores import Bench, click_of, oracle, rejects, straggler, sums_of
from oracle import Key, Row, read_time

from clickstream.io.flink import FlinkCluster
from clickstream.io.sample import SampleOptions, sample_records
from tests.services.flink import Flink, WorkerPool
from tests.services.run import Run

EVENTS = 1_000_000 if FULL else 24_000
KILLS = 10 if FULL else 2
WINDOW = 20
# Within a partition no record comes more than 35 s after a later one; 40 s would still be in time.
IN_TIME = {"disorder_seconds": 5, "late_by_seconds": 30, "late_share": 0.02, "broken_share": 0.01, **FEW}
COUNTING = (f"--window_seconds={WINDOW}",)
TIMING = ("--disorder=10s", "--allowed_lateness=30s", *COUNTING, "--idle=30m", f"--late_results={60 if FULL else 5}s")
SECONDS = 2400  # of event time

pytestmark = [pytest.mark.timeout(3600 if FULL else 1200), pytest.mark.xdist_group("flink")]


class Parts:
    """Clicks of several hours ago in order of arrival, a part after the other."""

    def __init__(self, bench: Bench, parts: int) -> None:
        start = datetime.now(timezone.utc) - timedelta(hours=5)
        options = SampleOptions(seed=7, events=EVENTS, start=start, duration_seconds=SECONDS, **IN_TIME)
        records = [record for batch in sample_records(options) for record in batch]
        each = -(-len(records) // parts)
        self._bench, self._left = bench, [records[at : at + each] for at in range(0, len(records), each)]
        # Behind all others a click in each partition: so their windows end, without silence, which a recovery may be taken for.
        last = max(click.millis for record in records if (click := click_of(record)))
        self._left[-1] += [straggler(last + 7_200_000, f"https://end.example/{n}", "India") for n in range(PARTITIONS)]

    def send(self) -> int:
        """Sends the next part; returns the time of its first click, ms."""
        part = self._left.pop(0)
        self._bench.topic.send(part)
        self._bench.topic.flush()
        return next(click.millis for record in part if (click := click_of(record)))

    def part_begun(self, millis: int) -> bool:
        """Whether windows of the part that begins there are in both stores."""
        return all(any(start > millis for start in sums) for sums in self._bench.sums())


def assert_exact_in_the_end(bench: Bench, job: LiveJob) -> dict[Key, Row]:
    """Both stores hold what the topic comes to, and each broken record is a dead letter once. The window of the last clicks is open."""
    records = [record for record in bench.topic.records() if b"straggler" not in record.value]
    expected = oracle(records, WINDOW)
    sums = sums_of(expected)
    job.wait_until(lambda: bench.sums() == (sums, sums), 900 if FULL else 180, "all windows")
    job.wait_until(lambda: bench.sql_rows() == expected == bench.documents(), 600 if FULL else 90, "all times")
    assert bench.sql_rows() == expected
    assert bench.documents() == expected
    assert bench.dead_letters() == rejects(records)
    return expected


def stopped(job: LiveJob) -> str:
    """Stops it; returns the savepoint that it names."""
    began = len(job.err)
    job.process.send_signal(signal.SIGTERM)
    assert job.process.wait(200) == 0, job.err
    said = job.err[began:]
    found = re.search(r"Stopped\. With --savepoint_path=(\S+) it goes on", said)
    assert found, said
    assert job.processes() == []
    return found[1]


def on_flink(bench: Bench, job_server: str, *options: str) -> LiveJob:
    job = bench.job("--prism_location=", f"--flink_job_server={job_server}", "--output_dir=results", *TIMING, *options)
    job.arguments.insert(0, "flink")
    return job


def test_embedded_killed_stopped_and_gone_on_as_batch_computes_it(
    kafka, mariadb, elasticsearch, job_server, tmp_path
) -> None:
    """Killed whole, it begins at the committed offsets; stopped, it goes on from the savepoint. Batch gives the same rows."""
    bench = Bench(kafka, mariadb, elasticsearch, "", tmp_path)
    job = on_flink(bench, job_server, "--flink_master=[local]")
    parts = Parts(bench, 3)
    try:
        begun = parts.send()
        job.start()
        job.wait_until(lambda: parts.part_begun(begun), 120, "the first windows")
        job.kill()
        begun = parts.send()
        job.start()
        job.wait_until(lambda: parts.part_begun(begun), 120, "windows after the kill")
        savepoint = stopped(job)
        assert "Traceback" not in job.err
        again = on_flink(bench, job_server, "--flink_master=[local]", f"--savepoint_path={savepoint}")
        parts.send()
        again.start()
        try:
            expected = assert_exact_in_the_end(bench, again)
            assert again.process.poll() is None
            status, _ = again.stop(signal.SIGINT)
        finally:
            again.kill()
    finally:
        job.kill()
    assert status == 0
    assert batch_rows(bench, tmp_path) == expected


def batch_rows(bench: Bench, folder: Path) -> dict[Key, Row]:
    """The rows that the batch job makes of the same events, in SQLite."""
    values = [record.value for record in bench.topic.records() if b"straggler" not in record.value]
    (folder / "clicks.ndjson").write_bytes(b"\n".join(value for value in values if b"\n" not in value) + b"\n")
    command = [sys.executable, "-m", "clickstream.pipeline", "--input=clicks.ndjson", "--output_dir=batch", *COUNTING]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    columns = "window_start, url, country, window_end, clicks, unique_users, time_spent_seconds, timed_clicks, version, sessions, bounces"
    with closing(sqlite3.connect(folder / "batch" / "clickstream.db")) as database:
        rows = {}
        query = f"SELECT {columns} FROM page_metrics"  # noqa: S608
        for start, url, country, end, clicks, users, seconds, *others in database.execute(query):
            rows[read_time(start), url, country] = Row(read_time(end), clicks, users, round(seconds * 1000), *others)
    return rows


@contextmanager
def worker_pool(folder: Path, password: str) -> Iterator[WorkerPool]:
    with closing(Run()) as run:
        pool = WorkerPool(run, folder, {"TEST_SQL_PASSWORD": password, "POLARS_MAX_THREADS": "1"})
        pool.start()
        try:
            yield pool
        finally:
            pool.stop()


def goes_on_alone(job: LiveJob, flink: Flink) -> None:
    """With --detach what has submitted it ends, and the job runs until Flink is told to stop it."""
    job.arguments.append("--detach")
    begun = len(job.err)
    assert job.run(300) == 0, job.err
    found = re.search(rf"Job (\w+) runs on {flink.address}; this ends, and the job goes on\.", job.err[begun:])
    assert found, job.err
    cluster = FlinkCluster(flink.address)
    deadline = time.monotonic() + 120
    while cluster.state(found[1]) != "RUNNING":
        assert time.monotonic() < deadline, cluster.state(found[1])
        time.sleep(0.5)
    assert cluster.restarts(found[1]) == 0
    cluster.cancel(found[1])


def kill_task_manager(flink: Flink) -> None:
    flink.task_manager.kill()
    flink.task_manager.start()


def test_on_a_cluster_workers_and_task_manager_killed_then_stopped_and_gone_on(
    kafka, mariadb, elasticsearch, flink, job_server, tmp_path
) -> None:
    bench = Bench(kafka, mariadb, elasticsearch, "", tmp_path)
    with worker_pool(tmp_path, bench.sql_server.password) as pool:
        where = (
            f"--flink_master={flink.address}",
            "--environment_type=EXTERNAL",
            f"--environment_config={pool.address}",
        )
        job = on_flink(bench, job_server, *where, "--parallelism=2", "--checkpoint_interval=3s")
        parts = Parts(bench, KILLS + 2)
        kills: list[Callable[[], object]] = [pool.kill_worker, lambda: kill_task_manager(flink)]
        try:
            begun = parts.send()
            job.start()
            for number in range(KILLS):
                job.wait_until(lambda: parts.part_begun(begun), 240, "windows of this part")  # noqa: B023
                kills[number % 2]()
                begun = parts.send()
            job.wait_until(lambda: parts.part_begun(begun), 240, "windows after the last kill")
            assert len(re.findall("Flink restarts the job", job.err)) >= KILLS // 2, job.err
            savepoint = stopped(job)
            parts.send()
            other = on_flink(bench, job_server, *where, "--parallelism=1", f"--savepoint_path={savepoint}")
            assert other.run(300) == 2
            assert f"--savepoint_path={savepoint} doesn't fit" in other.err
            again = on_flink(bench, job_server, *where, "--parallelism=2", f"--savepoint_path={savepoint}")
            began = time.monotonic()
            again.start()
            try:
                expected = assert_exact_in_the_end(bench, again)
                savepoint = stopped(again)
            finally:
                again.kill()
            goes_on_alone(
                on_flink(bench, job_server, *where, "--parallelism=2", f"--savepoint_path={savepoint}"), flink
            )
        finally:
            job.kill()
    print(
        f"{EVENTS:,} events, {KILLS} kills, {len(expected):,} rows; after the savepoint {time.monotonic() - began:.0f} s"
    )
