"""The raw store behind the live job: complete whatever dies, and windows computed from it again as they should be."""

import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from e2e.live_harness import FULL, LiveJob, Record
from e2e.live_stores import Bench, click_of, oracle, straggler, sums_of
from oracle import Click, Key, Row

from clickstream.io.errors import UserError
from clickstream.io.sample import SampleOptions, sample_records
from clickstream.pipeline.options import read_options
from clickstream.pipeline.raw import needed_raw_store

EVENTS = 1_000_000 if FULL else 40_000
WINDOW, GAP = 300, 120
SPAN = 3000.0  # seconds of event time
TIMING = (
    f"--window_seconds={WINDOW}",
    f"--session_gap={GAP}s",
    "--allowed_lateness=30s",
    "--idle=8s",
    "--late_results=20s",
)
pytestmark = pytest.mark.timeout(2400 if FULL else 400)


@pytest.fixture
def bench(kafka, mysql, elasticsearch, prism, tmp_path) -> Bench:
    """Servers, and names of the test's own."""
    return Bench(kafka, mysql, elasticsearch, prism, tmp_path)


@pytest.fixture(params=["mysql", "cassandra", "hbase"])
def store(request, bench) -> list[str]:
    """The options of a raw store."""
    if request.param == "mysql":
        return ["--raw_store=mysql"]
    server = request.getfixturevalue(f"{request.param}_server")
    place = {"cassandra": [f"--cassandra_keyspace={bench.database}"], "hbase": [f"--raw_table={bench.database}"]}
    return [f"--raw_store={request.param}", f"--{request.param}={server.address}", *place[request.param]]


def send(bench: Bench, start: datetime) -> None:
    options = SampleOptions(seed=31, events=EVENTS, start=start, duration_seconds=SPAN, broken_share=0.01)
    for batch in sample_records(options):
        bench.topic.send(batch)
    bench.topic.flush()


def command(bench: Bench, name: str, store: list[str], *options: str) -> LiveJob:
    """A command over the same stores and range."""
    job = bench.job(
        *store, *options, *(f"--{name}=" for name in ("bootstrap_servers", "topic", "group_id", "prism_location"))
    )
    measured = [option for option in TIMING if option.startswith(("--window", "--session"))]
    return replace(job, arguments=[name, *job.arguments, *measured])


def run(job: LiveJob, status: int = 0) -> str:
    """Runs a command to its end; returns what it said."""
    before = len(job.out) if (job.folder / "out").exists() else 0
    assert job.run() == status, job.err
    return job.out[before:]


def bare(rows: dict[Key, Row]) -> dict[Key, Row]:
    """Without versions, which tell how a row came to be; and without rows that nobody is left of."""
    return {key: row._replace(version=0) for key, row in rows.items() if row.clicks}


def published(bench: Bench) -> dict[Key, Row]:
    """The rows of both stores, which must be the same."""
    in_sql, in_index = bare(bench.sql_rows()), bare(bench.documents())
    assert in_sql == in_index
    return in_sql


def expected(records: list[Record]) -> dict[Key, Row]:
    return bare(oracle(records, WINDOW, GAP))


def user_times(bench: Bench, store: list[str], user: str) -> list[int]:
    """When the raw store says that a user clicked."""
    opened = needed_raw_store(read_options(bench.job(*store).arguments)).open()
    try:
        return sorted(time for bucket in opened.buckets() for time in opened.user_times(user, bucket.start_ms))
    finally:
        opened.close()


def test_live_in_then_computed_again_and_a_user_forgotten(bench, store, monkeypatch) -> None:
    monkeypatch.setenv("TEST_SQL_PASSWORD", bench.sql_server.password)
    start = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(hours=3)
    edges = start - timedelta(hours=1), start + timedelta(hours=2)
    within = [f"--{name}={edge:%Y-%m-%dT%H:%M:%SZ}" for name, edge in zip(("from", "to"), edges, strict=True)]
    send(bench, start)
    _live_with_kills(bench, store, within)
    _too_late_clicks_are_counted(bench, store, within)
    _a_user_is_forgotten(bench, store)
    assert run(command(bench, "verify", store, *within)) == "Nothing differs.\n"


def _live_with_kills(bench: Bench, store: list[str], within: list[str]) -> None:
    """Killed while it writes, it goes on; then all is published, and two clicks come when their window is closed for good."""
    job = bench.job(*TIMING, *store)
    records = bench.topic.records()
    rows, sums = expected(records), sums_of(oracle(records, WINDOW, GAP))
    key = min(rows)
    try:
        for clicks in (1, 2):
            job.start()
            job.wait_until(lambda: bool(_stored(bench, store)), 60, "the first clicks")
            time.sleep(clicks)
            job.kill()
        job.start()
        job.wait_until(lambda: bench.sums() == (sums, sums), 600 if FULL else 120, "all windows")
        job.wait_until(lambda: bare(bench.sql_rows()) == bare(bench.documents()) == rows, 300, "all times")
        assert run(command(bench, "verify", store, *within)) == "Nothing differs.\n"
        bench.topic.send([straggler(*key), straggler(key[0], "https://late.example/", "India")])
        bench.topic.flush()
        job.wait_until(lambda: len(user_times(bench, store, "straggler")) == 2, 60, "the clicks that are too late")
        assert job.stop(signal.SIGTERM)[0] == 0
    finally:
        job.kill()
    assert published(bench) == rows


def _stored(bench: Bench, store: list[str]) -> int:
    """How many buckets there are."""
    opened = needed_raw_store(read_options(bench.job(*store).arguments)).open()
    try:
        return len(opened.buckets())
    except UserError:  # no table yet
        return 0
    finally:
        opened.close()


def _too_late_clicks_are_counted(bench: Bench, store: list[str], within: list[str]) -> None:
    before = published(bench)
    assert "rows: 1 missing, 1 differing" in run(command(bench, "verify", store, *within), status=1)
    said = run(command(bench, "reprocess", store, *within, "--dry_run"))
    assert "2 windows to restate, by store." in said
    assert published(bench) == before
    for seconds in (6, 9):  # killed on the way
        job = command(bench, "reprocess", store, *within)
        job.start()
        time.sleep(seconds)
        job.kill()
    run(command(bench, "reprocess", store, *within))
    assert published(bench) == expected(bench.topic.records()) != before
    assert run(command(bench, "verify", store, *within)) == "Nothing differs.\n"


def _a_user_is_forgotten(bench: Bench, store: list[str]) -> None:
    """The one who clicked most; all that is smaller for it is smaller in both stores."""
    records = bench.topic.records()
    clicks = {record: click for record in records if (click := click_of(record.value))}
    user, count = Counter(click.user_id for click in clicks.values()).most_common(1)[0]
    said = run(command(bench, "forget", store, f"--user={user}"))
    assert f"{len(set(user_times_of(clicks.values(), user)))} clicks of " in said
    assert count > 1
    assert user_times(bench, store, user) == []
    assert published(bench) == expected([record for record, click in clicks.items() if click.user_id != user])


def user_times_of(clicks: Iterable[Click], user: str) -> list[Click]:
    """A user's clicks."""
    return [click for click in clicks if click.user_id == user]
