"""The raw store behind the live job: complete whatever dies, and windows computed from it again as they should be."""

import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

import pytest
from e2e import test_live_survives as survives
from e2e.live_harness import FEW, FULL, Record
from e2e.live_stores import Bench, click_of, oracle, straggler, sums_of
from oracle import Click, Key, Row

from clickstream.io.errors import UserError
from clickstream.io.raw.store import RawStore
from clickstream.io.sample import SampleOptions, sample_records
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.options import read_options, serves
from clickstream.pipeline.raw_store import needed_raw_store, opened

# Each store with each test in the long form; what all of them share is in tests/services/test_raw_stores.py and e2e/test_reprocess.py.
EVENTS = 1_000_000 if FULL else 20_000
WINDOW, GAP = 20, 20  # short: the last window closes, and the last session ends, at the pace of the clock
SPAN = 3000.0 if FULL else 1200.0  # seconds of event time
TIMING = (
    f"--window_seconds={WINDOW}",
    f"--session_gap={GAP}s",
    "--allowed_lateness=10s",
    "--idle=8s",
    "--late_results=60s" if FULL else "--late_results=10s",
)
# Beside the other live tests: all of these mostly wait.
pytestmark = [pytest.mark.timeout(2400 if FULL else 1200), pytest.mark.xdist_group("raw_store")]


@pytest.fixture
def bench(kafka, mysql, elasticsearch, prism, tmp_path) -> Bench:
    """Servers, and names of the test's own."""
    return Bench(kafka, mysql, elasticsearch, prism, tmp_path)


@pytest.fixture(params=["mysql", "cassandra", "hbase"] if FULL else ["cassandra"])
def store(request, bench) -> list[str]:
    """The options of a raw store."""
    if request.param == "mysql":
        return ["--raw_store=mysql"]
    server = request.getfixturevalue(request.param)
    place = {"cassandra": [f"--cassandra_keyspace={bench.database}"], "hbase": [f"--raw_table={bench.database}"]}
    return [f"--raw_store={request.param}", f"--{request.param}={server.address}", *place[request.param]]


def send(bench: Bench, start: datetime) -> None:
    options = SampleOptions(seed=31, events=EVENTS, start=start, duration_seconds=SPAN, broken_share=0.01, **FEW)
    for batch in sample_records(options):
        bench.topic.send(batch)
    bench.topic.flush()


@dataclass
class Commands:
    """The commands over the stores of a bench and a raw store; most in this process, which has loaded Beam already."""

    bench: Bench
    store: list[str]
    capsys: pytest.CaptureFixture[str]

    def arguments(self, name: str, *options: str) -> list[str]:
        measured = [option for option in TIMING if option.startswith(("--window", "--session"))]
        whole = self.bench.job(*self.store, *measured, *options).arguments
        without = ("--bootstrap_servers=", "--prism_location=")
        return [name, *(o for o in whole if serves(o[2:].partition("=")[0], name) and not o.startswith(without))]

    def run(self, name: str, *options: str, status: int = 0) -> str:
        """Runs a command to its end; returns what it said."""
        self.capsys.readouterr()
        found = main(self.arguments(name, *options))
        said = self.capsys.readouterr()
        assert found == status, said.err or said.out
        return said.out

    def wait_for_the_lease(self) -> None:
        """The dead one's ends a minute after its last renewal."""
        deadline = time.monotonic() + 90
        while "another job reprocesses" in self._refusal():
            assert time.monotonic() < deadline
            time.sleep(2)

    def _refusal(self) -> str:
        try:
            with leased_store(self.bench, self.store):
                return ""
        except UserError as error:
            return str(error)

    def run_and_kill(self, seconds: float, name: str, *options: str) -> None:
        job = replace(self.bench.job(), arguments=self.arguments(name, *options))
        job.start()
        time.sleep(seconds)
        job.kill()


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


@contextmanager
def raw_store(bench: Bench, store: list[str]) -> Iterator[RawStore]:
    """The store, open."""
    with opened(needed_raw_store(read_options(bench.job(*store).arguments))) as found:
        yield found


@contextmanager
def leased_store(bench: Bench, store: list[str]) -> Iterator[None]:
    """The store in the hands of the test."""
    with raw_store(bench, store) as found, found.lease():
        yield


def user_times(bench: Bench, store: list[str], user: str) -> list[int]:
    """When the raw store says that a user clicked."""
    with raw_store(bench, store) as found:
        return sorted(time for bucket in found.buckets() for time in found.user_times(user, bucket.start_ms))


def test_live_in_then_computed_again_and_a_user_forgotten(bench, store, monkeypatch, capsys) -> None:
    commands = Commands(bench, store, capsys)
    monkeypatch.setenv("TEST_SQL_PASSWORD", bench.sql_server.password)
    start = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(hours=3)
    edges = start - timedelta(hours=1), start + timedelta(hours=2)
    within = [f"--{name}={edge:%Y-%m-%dT%H:%M:%SZ}" for name, edge in zip(("from", "to"), edges, strict=True)]
    send(bench, start)
    _live_with_kills(commands, within)
    _too_late_clicks_are_counted(commands, within)
    _a_user_is_forgotten(commands)
    assert commands.run("verify", *within) == "Nothing differs.\n"


def _live_with_kills(commands: Commands, within: list[str]) -> None:
    """Killed while it writes, it goes on; then all is published, and two clicks come when their window is closed for good."""
    bench, store = commands.bench, commands.store
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
        job.wait_until(lambda: bare(bench.sql_rows()) == rows == bare(bench.documents()), 300, "all times")
        assert commands.run("verify", *within) == "Nothing differs.\n"
        bench.topic.send([straggler(*key), straggler(key[0], "https://late.example/", "India")])
        bench.topic.flush()
        job.wait_until(lambda: len(user_times(bench, store, "straggler")) == 2, 60, "the clicks that are too late")
        assert job.stop(signal.SIGTERM)[0] == 0
    finally:
        job.kill()
    assert published(bench) == rows
    assert "Downgrading" not in job.err  # Cassandra's driver, when it asks for the newest protocol first


def _stored(bench: Bench, store: list[str]) -> int:
    """How many buckets there are."""
    try:
        with raw_store(bench, store) as found:
            return len(found.buckets())
    except UserError:  # no table yet
        return 0


def _too_late_clicks_are_counted(commands: Commands, within: list[str]) -> None:
    bench = commands.bench
    before = published(bench)
    assert "rows: 1 missing, 1 differing" in commands.run("verify", *within, status=1)
    said = commands.run("reprocess", *within, "--dry_run")
    assert "2 windows to restate, by store." in said
    assert published(bench) == before
    commands.run_and_kill(10, "reprocess", *within)
    commands.wait_for_the_lease()
    commands.run("reprocess", *within)
    assert published(bench) == expected(bench.topic.records()) != before
    assert commands.run("verify", *within) == "Nothing differs.\n"


def _a_user_is_forgotten(commands: Commands) -> None:
    """The one who clicked most; all that is smaller for it is smaller in both stores."""
    bench = commands.bench
    records = bench.topic.records()
    clicks = {record: click for record in records if (click := click_of(record.value))}
    user, count = Counter(click.user_id for click in clicks.values()).most_common(1)[0]
    said = commands.run("forget", f"--user={user}")
    assert f"{len(set(user_times_of(clicks.values(), user)))} clicks of " in said
    assert count > 1
    assert user_times(bench, commands.store, user) == []
    assert published(bench) == expected([record for record, click in clicks.items() if click.user_id != user])


def user_times_of(clicks: Iterable[Click], user: str) -> list[Click]:
    """A user's clicks."""
    return [click for click in clicks if click.user_id == user]


@pytest.mark.parametrize("store", ["cassandra", "hbase"] if FULL else ["hbase"], indirect=True)
def test_a_store_that_is_away_holds_the_job(bench, store, request) -> None:
    """Nothing is published that it doesn't have; the job says so, and goes on by itself when it is back."""
    server = request.getfixturevalue(store[0].partition("=")[2])
    job = bench.job(*survives.TIMING, *store)
    job.start()
    try:
        with survives.fed(bench, seed=14):
            job.wait_until(lambda: min(map(len, bench.sums())) > 1, 90, "the first windows")
            server.stop()
            try:
                job.wait_until(lambda: "The raw store: trying again" in job.err, 60, "word of the outage")
                time.sleep(6)
                held = bench.sums()
                time.sleep(survives.OUTAGE / 2)
                assert bench.sums() == held
            finally:
                server.start()
            job.wait_until(lambda: "The raw store: back after" in job.err, 90, "the store")
        survives.assert_exact_in_the_end(bench, job)
        assert job.process.poll() is None
    finally:
        job.kill()
    assert "Traceback" not in job.err
    assert "it restarts in" not in job.err
