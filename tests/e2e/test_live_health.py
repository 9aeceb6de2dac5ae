"""What a live job says of its health over HTTP, on real servers that go away and come back, and when its runner dies."""

import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.live_harness import FULL, PATIENCE, LiveJob
from e2e.live_stores import Bench, oracle, rejects
from e2e.test_live_survives import GAP, TIMING, WINDOW, assert_exact_in_the_end, fed
from prometheus_client.parser import text_string_to_metric_families

BOUND = 15
KEYS = {
    *(
        "state",
        "reason",
        "events_per_second",
        "lag",
        "lag_by_partition",
        "watermark_ms",
        "windows_written",
        "rows_written",
    ),
    *("rejected", "too_late", "sink_retries", "last_error", "last_error_at_ms", "at_ms"),
}

pytestmark = pytest.mark.timeout(900)


class Health:
    """Asks a job how it is."""

    def __init__(self, job: LiveJob) -> None:
        self._job = job
        job.wait_until(lambda: "Health: " in job.err, 20, "the address")
        self.url = re.findall(r"^Health: (http://127\.0\.0\.1:\d+)/healthz ", job.err, re.MULTILINE)[0]

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{self.url}/{path}", timeout=10) as answer:  # noqa: S310 (an address of our own)
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self) -> dict:
        return json.loads(self.ask("status.json")[1])

    def metrics(self) -> dict[tuple, float]:
        """All samples, by name and the values of their labels."""
        families = text_string_to_metric_families(self.ask("metrics")[1])
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}

    def wait(self, status: int, says: str, seconds: float) -> float:
        """Waits for an answer; returns after how many seconds it came."""
        began = time.monotonic()
        try:
            self._job.wait_until(lambda: self._says(status, says), seconds, f"{status} {says}")
        except AssertionError as error:
            raise AssertionError(self.ask("status.json")) from error
        return time.monotonic() - began

    def _says(self, status: int, says: str) -> bool:
        found, text = self.ask("healthz")
        return found == status and says in text


def away(server, health: Health, says: str, then: Callable[[], None] = lambda: None, *, frozen: bool = False) -> str:
    """Stops a server, or only lets it not answer, until the job says so; then starts it again, and waits until the job is well."""
    try:
        if frozen:
            os.killpg(server.pid, signal.SIGSTOP)
        else:
            server.stop()
        noticed = health.wait(503, says, 90)
        then()
    finally:
        if frozen:
            os.killpg(server.pid, signal.SIGCONT)
        else:
            server.start()
    return f"{says} 503 after {noticed:.0f} s, 200 again {health.wait(200, 'ok', 60):.0f} s after it was back"


def test_health_of_a_job_whose_servers_go_and_come(kafka, mariadb, elasticsearch, prism, tmp_path) -> None:
    bench = Bench(kafka, mariadb, elasticsearch, prism, tmp_path)
    job = bench.job(*TIMING, "--health_port=0", f"--max_watermark_age={BOUND}")
    job.start()
    try:
        health = Health(job)
        assert health.ask("healthz") == (503, "starting: Starting: nothing is read yet.\n")
        with fed(bench, seed=31):
            health.wait(200, "ok", 60)
            job.wait_until(lambda: health.status()["windows_written"] > 1, 60, "the first windows")
            job.wait_until(lambda: health.status()["events_per_second"] > 100, 20, "the rate")
            print(away(elasticsearch, health, "Elasticsearch: writes have failed", lambda: while_it_fails(health)))
            if FULL:
                print("not answering:", away(elasticsearch, health, "Elasticsearch: writes have failed", frozen=True))
        assert_exact_in_the_end(bench, job)
        job.wait_until(lambda: health.status()["lag"] == 0, 30, "all to be read")
        assert_figures_are_right(bench, health)
        idle_until = time.monotonic() + BOUND + 5
        job.wait_until(lambda: not health._says(200, "ok") or time.monotonic() > idle_until, 60, "idle time")
        assert health.ask("healthz") == (200, "ok\n")
        print(away(kafka, health, "Kafka has not answered"))
        its_runner_dies_while_a_store_is_away(job, health, elasticsearch)
    finally:
        job.kill()
    assert "Traceback" not in job.err


def its_runner_dies_while_a_store_is_away(job: LiveJob, health: Health, elasticsearch) -> None:
    """Then starting again fails too, until the store is back."""
    elasticsearch.stop()
    try:
        os.kill(next(pid for pid in job.processes() if Path(f"/proc/{pid}/comm").read_text() == "prism\n"), 9)
        health.wait(503, "restarting: Restarting, because: The runner has gone.", 30)
        health.wait(503, "restarting: Restarting, because: Elasticsearch can't be reached", 60)
        assert health.status()["rows_written"] > 0
    finally:
        elasticsearch.start()
    health.wait(200, "ok", 90)
    status = health.status()
    assert status["last_error"].startswith("Elasticsearch can't be reached")
    assert health.metrics()["clickstream_restarts_total",] >= 2
    assert abs(status["last_error_at_ms"] / 1000 - time.time()) < 90 * PATIENCE


def while_it_fails(health: Health) -> None:
    status, samples = health.status(), health.metrics()
    assert status["state"] == "failing"
    assert re.match(r"Elasticsearch: trying again.* Elasticsearch can't be reached \(", status["last_error"])
    assert samples["clickstream_healthy",] == 0
    since = samples["clickstream_sink_failing_since_timestamp_seconds", "elasticsearch"]
    assert 5 < time.time() - since < 60 * PATIENCE
    assert samples["clickstream_sink_failing_since_timestamp_seconds", "sql"] == 0


def assert_figures_are_right(bench: Bench, health: Health) -> None:
    """Nothing has been restarted so far: so all counts are of the whole topic."""
    records = bench.topic.records()
    rejected, rows = rejects(records), oracle(records, WINDOW, GAP)
    status, samples = health.status(), health.metrics()
    assert status.keys() >= KEYS
    assert (status["state"], status["reason"], status["rejected"]) == ("ok", "", len(rejected))
    assert status["windows_written"] == len({key[0] for key in rows})
    assert status["lag_by_partition"] == {"0": 0, "1": 0, "2": 0, "3": 0}
    assert samples["clickstream_records_read_total",] == len(records)
    assert samples["clickstream_clicks_accepted_total",] == len(records) - len(rejected)
    by_reason = {
        tuple(labels): value for (name, *labels), value in samples.items() if name == "clickstream_rejected_total"
    }
    assert sum(by_reason.values()) == len(rejected)
    assert len(by_reason) > 1
    for sink in ("sql", "elasticsearch"):
        assert samples["clickstream_rows_written_total", sink] >= len(rows)
        assert samples["clickstream_windows_written_total", sink] == status["windows_written"]
    assert samples["clickstream_kafka_lag", "0", bench.topic.name] == 0
    assert abs(samples["clickstream_watermark_timestamp_seconds",] - time.time()) < BOUND
    assert status["sink_retries"] == samples["clickstream_sink_retries_total", "elasticsearch"] > 0
