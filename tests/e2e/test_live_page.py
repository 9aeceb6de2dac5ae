"""The page beside a live job, by one command: its numbers while the job runs, its health, and its end."""

import csv
import io
import re
import signal
import sqlite3
from contextlib import suppress

import httpx
import pytest
from e2e.live_harness import FEW, LiveJob, Topic

from clickstream.io.sample import SampleOptions

pytestmark = pytest.mark.timeout(600)
UNKNOWN = re.compile(r"<dt>(Events a second|Windows written|Watermark age)</dt><dd>\N{EN DASH}")
FEED = {"disorder_seconds": 1, "late_by_seconds": 1, "broken_share": 0.02, **FEW}


def test_the_page_stands_beside_the_job_and_ends_with_it(kafka, prism, tmp_path) -> None:
    topic = Topic(kafka.address, kafka.create_topic("live-page", 4))
    timing = ("--window_seconds=3", "--time_spent=fixed:10", "--disorder=2s", "--allowed_lateness=2s", "--idle=5s")
    where = (
        f"--bootstrap_servers={kafka.address}",
        f"--topic={topic.name}",
        "--output_dir=results",
        f"--prism_location={prism}",
    )
    job = LiveJob([*where, *timing, "--page", "--page_port=0"], tmp_path)
    job.start()
    try:
        with topic.fed(SampleOptions(seed=3, events=10_000_000, **FEED), 200.0):
            job.wait_until(lambda: "Page: " in job.err, 60, "the page's address")
            [address] = re.findall(r"^Page: (\S+/)  \(Ctrl-C ends it\)$", job.err, re.MULTILINE)
            with httpx.Client(base_url=address, trust_env=False, timeout=60) as page:
                job.wait_until(lambda: clicks_on(page) > 1000, 60, "clicks on the page")
                job.wait_until(lambda: "running well" in page.get("/health").text, 60, "the job's health")
                # The runner tells its figures one after the other.
                job.wait_until(lambda: not UNKNOWN.search(page.get("/health").text), 60, "the job's figures")
                job.wait_until(lambda: "Reason" in page.get("/rejected").text, 60, "rejected records")
                assert "Counted by the live job since its start." in page.get("/rejected").text
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as page:
            job.wait_until(lambda: clicks_on(page) == stored(tmp_path) > 1000, 60, "all clicks on the page")
        assert job.stop(signal.SIGTERM)[0] == 0
        assert job.processes() == []
        assert list(job.tmpdir.iterdir()) == []
    finally:
        job.kill()


def clicks_on(page) -> int:
    answer = page.get("/over-time.csv?range=1h")
    if answer.status_code != 200:  # before the job has made its tables
        return 0
    return sum(int(row["clicks"]) for row in csv.DictReader(io.StringIO(answer.text)))


def stored(folder) -> int:
    with (
        suppress(sqlite3.OperationalError),
        sqlite3.connect(f"file:{folder}/results/clickstream.db?mode=ro", uri=True) as opened,
    ):
        return opened.execute("SELECT SUM(clicks) FROM page_metrics").fetchone()[0] or 0
    return -1
