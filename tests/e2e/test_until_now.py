"""`--until=now` (for cron), running totals, freshness, ends in order, and errors that a person can act on."""

import re
import signal
import statistics
import time
from contextlib import AbstractContextManager
from datetime import datetime, timedelta, timezone

import pytest
from e2e.live_harness import FEW, PATIENCE, Record
from e2e.live_stores import Bench, click_of, oracle, rejects, straggler, sums_of

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.pipeline.__main__ import main

pytestmark = pytest.mark.timeout(900)

GAP = 120  # so that the fifty minutes of a sample are enough to have complete windows


@pytest.fixture
def bench(kafka, mariadb, elasticsearch, prism, tmp_path) -> Bench:
    """Servers, and names of the test's own."""
    return Bench(kafka, mariadb, elasticsearch, prism, tmp_path)


def send(bench: Bench, seed: int, events: int, start: datetime, seconds: float) -> None:
    """Records of so many seconds from `start`, 2 s out of order, 2 % broken."""
    options = SampleOptions(seed=seed, events=events, start=start, duration_seconds=seconds, broken_share=0.02, **FEW)
    for batch in sample_records(options):
        bench.topic.send(batch)
    bench.topic.flush()


def run_until_now(bench: Bench) -> dict[str, int]:
    """A run that ends by itself; returns what it says that it did."""
    options = ("--window_seconds=300", "--allowed_lateness=1m", f"--session_gap={GAP}s")
    job = bench.job("--until=now", *options, "--prism_location=")
    assert job.run() == 0, job.err
    assert job.err == ""
    *_, said = re.finditer(r"read (\d+) = accepted (\d+) \+ rejected (\d+) \+ too late (\d+)", job.out)
    return dict(zip(("read", "accepted", "rejected", "too late"), map(int, said.groups()), strict=True))


def test_until_now_reads_again_only_what_was_unfinished(bench) -> None:
    start = datetime.now(timezone.utc) - timedelta(hours=5)
    send(bench, 1, 60_000, start, 3000)  # more than a batch a partition: whole batches are committed
    first = run_until_now(bench)
    before = bench.topic.records()
    assert first["read"] == len(before) == sum(first.values()) - first["read"]
    assert (first["rejected"], first["too late"]) == (len(rejects(before)), 0)
    # Windows that are still open are written as they stand.
    assert bench.sql_rows() == bench.documents() == oracle(before, 300, GAP)
    committed = sum(bench.topic.committed(bench.group).values())
    assert 0 < committed < len(before)
    # Clicks of open windows and of later ones, within the bound for disorder (10 s).
    latest = max(click.millis for record in before if (click := click_of(record.value)))
    send(bench, 2, 10_000, datetime.fromtimestamp(latest / 1000 - 5, timezone.utc), 1500)
    second = run_until_now(bench)
    records = bench.topic.records()
    assert second["read"] == len(records) - committed
    assert bench.sql_rows() == bench.documents() == oracle(records, 300, GAP)
    assert bench.dead_letters() == rejects(records)
    # Nothing new: what stands, stays.
    run_until_now(bench)
    assert bench.sql_rows() == bench.documents() == oracle(records, 300, GAP)


def test_a_click_that_comes_after_its_window_was_complete_is_too_late_in_the_next_run_too(
    kafka, mysql, elasticsearch, prism, tmp_path
) -> None:
    """That run knows but this one click of the window: a row made of it would be wrong, and might replace a right one."""
    bench = Bench(kafka, mysql, elasticsearch, prism, tmp_path)  # MySQL itself: the other live tests write to MariaDB
    start = datetime.now(timezone.utc) - timedelta(hours=5)
    send(bench, 3, 20_000, start, 3000)
    run_until_now(bench)
    expected = bench.sql_rows()
    single = next(
        key for key, row in expected.items() if row[1:3] == (1, 1) and key[0] < start.timestamp() * 1000 + 600_000
    )
    assert sum(bench.topic.committed(bench.group).values()) > 0
    bench.topic.send([straggler(*single), straggler(single[0], "https://late.example/", "India")])
    bench.topic.flush()
    second = run_until_now(bench)
    assert second["too late"] >= 2
    assert bench.sql_rows() == expected == bench.documents()


def test_where_most_is_rejected_a_run_ends_with_a_status_of_its_own_and_leaves_nothing_behind(bench) -> None:
    start = datetime.now(timezone.utc) - timedelta(hours=5)
    bench.topic.send(
        [
            *(straggler(round(start.timestamp() * 1000), "https://a.example/", "India") for _ in range(400)),
            *[b"{"] * 601,
        ]
    )
    bench.topic.flush()
    job = bench.job("--until=now", "--window_seconds=300", "--prism_location=")
    assert job.run() == 4
    assert job.err == (
        "601 of 1,001 records were rejected, more than 0.5 of them (--max_rejected_share), mostly as invalid_json: "
        "look at the dead letters, and at what writes these records. The others are counted.\n"
    )
    assert len(bench.dead_letters()) == 601
    assert list(job.tmpdir.iterdir()) == []


def steady(bench: Bench, seed: int) -> AbstractContextManager[None]:
    """A feed while the block lasts, 2 s out of order."""
    return bench.topic.fed(SampleOptions(seed=seed, events=10_000_000, **FEW), 1000.0)


def watermark_passes(records: list[Record], end_ms: int, disorder_ms: int) -> float | None:
    """When the topic's last partition got its first click behind the end and the disorder bound, s since the epoch."""
    behind: dict[int, int] = {}
    for record in records:
        click = click_of(record.value)
        if click and click.millis >= end_ms + disorder_ms:
            behind[record.partition] = min(record.millis, behind.get(record.partition, record.millis))
    return max(behind.values()) / 1000 if len(behind) == 4 else None


@pytest.mark.alone
def test_rows_are_in_both_stores_within_five_seconds_of_the_watermark(bench) -> None:
    window, disorder = 3, 3
    job = bench.job(f"--window_seconds={window}", f"--disorder={disorder}s")
    seen: dict[int, list[tuple[float, int]]] = {}
    job.start()
    try:
        with steady(bench, seed=21):
            job.wait_until(lambda: min(map(len, bench.sums())) > 1, 60, "the first windows")
            deadline = time.monotonic() + 8 * window
            while time.monotonic() < deadline:
                asked = time.time()
                in_sql, in_index = bench.sums()
                for start in in_sql.keys() & in_index.keys():
                    seen.setdefault(start, []).append((asked, min(in_sql[start], in_index[start])))
                time.sleep(0.1)
        status, seconds = job.stop(signal.SIGINT)
    finally:
        job.kill()
    delays = _delays(bench.topic.records(), seen, window * 1000, disorder * 1000)
    print(f"rows in both stores after the watermark: {', '.join(f'{delay:.1f}' for delay in delays)} s")
    assert len(delays) >= 5
    assert statistics.median(delays) < 5  # of a single window a neighbour of this machine may say more than the job
    assert max(delays) < 5 * PATIENCE
    assert (status, job.processes(), job.err) == (0, [], "Stopped. What wasn't written yet is read again next time.\n")
    assert seconds < 15


def _delays(records: list[Record], seen: dict[int, list[tuple[float, int]]], length: int, disorder: int) -> list[float]:
    """Of each window that appeared while it was watched: how long after the watermark it was whole in both stores."""
    sums, delays = sums_of(oracle(records, length // 1000)), []
    first_look, *_, last_look = sorted(asked for looks in seen.values() for asked, _ in looks)
    for start, looks in sorted(seen.items()):
        whole = next((asked for asked, clicks in looks if clicks == sums[start]), None)
        passed = watermark_passes(records, start + length, disorder)
        cut_off = whole is None and looks[0][0] > last_look - 5 * PATIENCE  # half written when the watch ended
        if passed and passed > first_look and not cut_off:
            delays.append((whole or float("inf")) - passed)
    return delays


def test_running_totals_come_before_the_window_ends_and_the_final_ones_are_right(bench) -> None:
    window = 20
    job = bench.job(
        f"--window_seconds={window}", "--disorder=3s", "--early_results=2s", "--late_results=2s", "--idle=10s"
    )
    early: set[int] = set()

    def has_early_totals() -> bool:
        now, (in_sql, in_index) = time.time() * 1000, bench.sums()
        early.update(start for start in in_sql.keys() & in_index.keys() if start + window * 1000 > now)
        return bool(early)

    job.start()
    try:
        with steady(bench, seed=22):
            job.wait_until(has_early_totals, 60, "totals of a window that goes on")
        records = bench.topic.records()
        expected = oracle(records, window)
        sums = sums_of(expected)
        job.wait_until(lambda: bench.sums() == (sums, sums), 90, "all windows")
        job.wait_until(lambda: bench.sql_rows() == expected == bench.documents(), 30, "all times")
        assert bench.sql_rows() == expected == bench.documents()
    finally:
        job.kill()


OTHER_MAPPING = "an index with another mapping"
MISTAKES = {
    OTHER_MAPPING: ((), "field @timestamp: found none, needed date: reindex it"),
    "no broker": (("--bootstrap_servers=127.0.0.1:1",), "127.0.0.1:1"),
    "no topic named": (("--topic=",), "--topic is missing: name the topic that holds the clicks."),
    "unknown topic": (("--topic=nowhere",), "nowhere"),
    "wrong password": (("--mysql_password=env:USER_OF_NOTHING",), "USER_OF_NOTHING"),
    "refused password": (("--mysql_password=env:PATH",), "password"),
    "no database server": (("--mysql=mysql://app@127.0.0.1:1/clicks",), "127.0.0.1:1"),
    "no index server": (("--elasticsearch=http://127.0.0.1:1",), "check that it runs, and its address"),
    "no Prism": (("--prism_location=/nonexistent",), "--prism_location=/nonexistent is no file"),
    "bad dead letters": (("--dead_letters=nowhere",), "--dead_letters=nowhere: write mysql"),
    "splits on Prism": (("--kafka_splits=per_partition",), "--kafka_splits=per_partition loses events on Prism"),
    "unknown option": (("--windw_seconds=5",), "Unknown option --windw_seconds=5"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_its_cure(bench, name, monkeypatch, capfd) -> None:
    options, says = MISTAKES[name]
    if name == OTHER_MAPPING:
        bench.ask(bench.index, {"mappings": {"properties": {"clicks": {"type": "keyword"}}}}, method="PUT")
    monkeypatch.setenv("CLICKSTREAM_SUPERVISED", "1")  # here, not in a process
    monkeypatch.setenv("TEST_SQL_PASSWORD", bench.sql_server.password)
    assert main(bench.job(*options).arguments) == 2
    said = capfd.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1), said.err
    assert says in said.err
    assert len(said.err) < 400


def test_a_mistake_ends_the_supervisor_too(bench) -> None:
    job = bench.job("--topic=nowhere")
    assert job.run() == 2
    assert (job.out, job.err.count("\n")) == ("", 1), job.err
