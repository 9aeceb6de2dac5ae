"""Hours and days of a live job, which is killed while both are open: to the row, in both stores."""

import time
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
from e2e.live_harness import FEW
from e2e.live_stores import Bench, click_of, oracle
from local_time import local_period

from clickstream.io.sample import SampleOptions, sample_records

EVENTS = 30_000
WINDOW, LATENESS, GAP, DISORDER = 1800, 60, 300, 10
ZONE = "Asia/Kolkata"
TIMING = (
    *(f"--window_seconds={WINDOW}", f"--allowed_lateness={LATENESS}", f"--session_gap={GAP}", f"--disorder={DISORDER}"),
    *("--idle=15s", "--late_results=2s", "--rollups=1h,1d", f"--time_zone={ZONE}"),
)
SETTLED_MS = 1000 * (WINDOW + LATENESS + 2 * GAP + DISORDER)

pytestmark = pytest.mark.timeout(900)


def sample(seed: int, start: datetime, hours: float) -> list[bytes]:
    options = SampleOptions(
        **FEW,
        seed=seed,
        events=EVENTS,
        start=start,
        duration_seconds=3600 * hours,
        disorder_seconds=5,
        late_by_seconds=20,
        late_share=0.02,
        broken_share=0.01,
    )
    return [record for batch in sample_records(options) for record in batch]


def over(rows: dict, until: int) -> dict:
    """The rows of periods that are settled by then."""
    return {key: row for key, row in rows.items() if row.window_end + SETTLED_MS < until}


def test_a_kill_in_the_middle_of_a_day_changes_no_day(kafka, mariadb, elasticsearch, prism, tmp_path) -> None:
    bench = Bench(kafka, mariadb, elasticsearch, prism, tmp_path)
    start = datetime.now(timezone.utc) - timedelta(hours=60)
    bench.topic.send(sample(1, start, 30))
    bench.topic.flush()
    job = bench.job(*TIMING)

    def both_hold(rows: dict, rollup: str, until: int) -> bool:
        return all(over(stored(rollup), until) == rows for stored in (bench.sql_rows, bench.documents))

    def expected(rollup: str) -> dict:
        period_of = partial(local_period, name=rollup[1:], zone=ZONE) if rollup else None
        return oracle(bench.topic.records(), WINDOW, GAP, period_of=period_of)

    def assert_exact(seconds: float) -> int:
        """Until both stores hold what is over; returns up to what time that is."""
        last = max(click.millis for record in bench.topic.records() if (click := click_of(record.value)))
        for rollup in ("", "_1h", "_1d"):
            rows = over(expected(rollup), last)
            assert rows
            job.wait_until(lambda: both_hold(rows, rollup, last), seconds, f"page_metrics{rollup}")  # noqa: B023
        return last

    try:
        job.start()
        last = assert_exact(90)
        time.sleep(3)
        job.kill()
        day = local_period(last - SETTLED_MS, "1d", ZONE)[0]
        committed = bench.topic.committed(bench.group)
        needed = [r for r in bench.topic.records() if (c := click_of(r.value)) and c.millis >= day]
        assert sum(committed.values()) > 0
        assert all(record.offset >= committed[record.partition] for record in needed)  # the day is read again, whole
        bench.topic.send(sample(2, start + timedelta(hours=30), 25))
        bench.topic.flush()
        job.start()
        assert assert_exact(90) > last
        days = expected("_1d")
        assert len({row.window_end for row in over(days, last).values()}) >= 1
        assert {(row.window_end - key[0]) / 3_600_000 for key, row in days.items()} == {24}
        assert {key[0] // 60_000 % 60 for key in days} == {30}  # Kolkata's midnight, in UTC
    finally:
        job.kill()
