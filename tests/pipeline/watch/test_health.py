"""Whether a job is well, from figures; what its supervisor tells of it; and how that is served."""

import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families

from clickstream.io.errors import UserError
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.watch import LiveFigures, SinkFigures
from clickstream.pipeline.watch.health import LastError, Limits, classify, default_limits, report
from clickstream.pipeline.watch.health_server import HealthServer, is_own, metrics_text
from clickstream.pipeline.watch.job_status import JobStatus, note_end, note_status

NOW = 1_800_000_000_000
LIMITS = Limits(400)


def ago(seconds: float) -> int:
    return NOW - int(seconds * 1000)


def figures(*, behind: float | None = 12, lag: int = 0, answered: float | None = 1, **failing: float) -> LiveFigures:
    """Lengths in seconds before now."""
    return LiveFigures(
        lag={"0": lag, "1": 0},
        watermark_ms=None if behind is None else ago(behind),
        answered_ms=None if answered is None else ago(answered),
        sinks={name: SinkFigures(failing_since_ms=ago(since) if since else 0) for name, since in failing.items()},
    )


@pytest.mark.parametrize(
    "well",
    [
        figures(),
        figures(behind=None, answered=None),  # nothing is told yet
        figures(behind=None),  # a topic without any record
        figures(behind=400, lag=100_000),
        figures(behind=86_400),  # all is read: the events are old
        figures(elasticsearch=0, sql=0),
        figures(elasticsearch=4),  # it may go well the next time
    ],
)
def test_a_job_is_well(well) -> None:
    assert classify(well, LIMITS, NOW) == ("ok", "")


@pytest.mark.parametrize(
    ("ill", "state", "reason"),
    [
        (
            figures(behind=401, lag=1234),
            "behind",
            "The watermark is 401 s behind, more than 400 s (--max_watermark_age), with 1,234 records to read.",
        ),
        (
            figures(behind=500, answered=90),
            "behind",
            "The watermark is 500 s behind, more than 400 s (--max_watermark_age), with 0 records to read; "
            "Kafka has not answered for 90 s.",
        ),
        (
            figures(behind=None, answered=401),
            "behind",
            "Kafka has not answered for 401 s, or the job is too busy to ask.",
        ),
        (figures(elasticsearch=61, sql=0), "failing", "Elasticsearch: writes have failed for 61 s."),
        (
            figures(behind=None, answered=401)._replace(sinks={"sql": SinkFigures(waiting_since_ms=ago(34))}),
            "failing",
            "The database has not answered a write for 34 s: it hangs, or somebody holds locks.",
        ),
        (
            figures(behind=999, lag=1, sql=61, raw_store=7),
            "failing",
            "The database: writes have failed for 61 s. The raw store: writes have failed for 7 s.",
        ),
    ],
)
def test_a_job_is_not_well_and_why(ill, state, reason) -> None:
    assert classify(ill, LIMITS, NOW) == (state, reason)


def test_the_bound_is_a_window_beyond_what_is_usual() -> None:
    assert default_limits(window_seconds=300, disorder_seconds=10, idle_seconds=30).max_watermark_age == 400


FIGURES = LiveFigures(
    read=18,
    accepted=6,
    too_late=1,
    not_clicks=8,
    rejected={"invalid_json": 2, 'odd "reason"\n': 1},
    sinks={
        "sql": SinkFigures(4, 3, 1, 0),
        "elasticsearch": SinkFigures(3, 2, 5, ago(60), refused=1234),
        "raw_store": SinkFigures(6),
    },
    lag={"0": 7, "1": 0},
    watermark_ms=ago(12),
    answered_ms=ago(1),
)


def test_the_report_is_plain_json_with_all_that_the_page_reads() -> None:
    found = json.loads(json.dumps(report("clicks", FIGURES, 12.34, LIMITS, LastError("gone", ago(3)), NOW)))
    expected = {
        "state": "failing",
        "reason": "Elasticsearch: writes have failed for 60 s.",
        "events_per_second": 12.3,
        "lag": 7,
        "lag_by_partition": {"0": 7, "1": 0},
        "watermark_ms": ago(12),
        "windows_written": 2,
        "rows_written": 4,
        "rejected": 3,
        "too_late": 1,
        "sink_retries": 6,
        "rows_refused": 1234,
        "last_error": "gone",
        "last_error_at_ms": ago(3),
        "at_ms": NOW,
    }
    assert {name: found[name] for name in expected} == expected


def test_metrics_are_what_a_parser_of_prometheus_reads() -> None:
    told = report("clicks", FIGURES, 12.34, LIMITS, None, NOW) | {"restarts": 2}
    families = text_string_to_metric_families(metrics_text(told).decode())
    assert {(s.name, *s.labels.items()): s.value for family in families for s in family.samples} == {
        ("clickstream_healthy",): 0,
        ("clickstream_restarts_total",): 2,
        ("clickstream_records_read_total",): 18,
        ("clickstream_clicks_accepted_total",): 6,
        ("clickstream_clicks_too_late_total",): 1,
        ("clickstream_not_a_click_total",): 8,
        ("clickstream_rejected_total", ("reason", "invalid_json")): 2,
        ("clickstream_rejected_total", ("reason", 'odd "reason"\n')): 1,
        ("clickstream_kafka_lag", ("partition", "0"), ("topic", "clicks")): 7,
        ("clickstream_kafka_lag", ("partition", "1"), ("topic", "clicks")): 0,
        ("clickstream_watermark_timestamp_seconds",): ago(12) / 1000,
        ("clickstream_rows_written_total", ("sink", "sql")): 4,
        ("clickstream_rows_written_total", ("sink", "elasticsearch")): 3,
        ("clickstream_rows_written_total", ("sink", "raw_store")): 6,
        ("clickstream_windows_written_total", ("sink", "sql")): 3,
        ("clickstream_windows_written_total", ("sink", "elasticsearch")): 2,
        ("clickstream_windows_written_total", ("sink", "raw_store")): 0,
        ("clickstream_sink_retries_total", ("sink", "sql")): 1,
        ("clickstream_sink_retries_total", ("sink", "elasticsearch")): 5,
        ("clickstream_sink_retries_total", ("sink", "raw_store")): 0,
        ("clickstream_rows_refused_total", ("sink", "sql")): 0,
        ("clickstream_rows_refused_total", ("sink", "elasticsearch")): 1234,
        ("clickstream_rows_refused_total", ("sink", "raw_store")): 0,
        ("clickstream_sink_failing_since_timestamp_seconds", ("sink", "sql")): 0,
        ("clickstream_sink_failing_since_timestamp_seconds", ("sink", "elasticsearch")): ago(60) / 1000,
        ("clickstream_sink_failing_since_timestamp_seconds", ("sink", "raw_store")): 0,
    }


def test_a_job_that_is_down_is_told_of(tmp_path, monkeypatch) -> None:
    job = JobStatus(tmp_path / "status.json")
    (name, value), *_ = job.begin().items()
    monkeypatch.setenv(name, value)
    assert (job.report()["state"], job.report()["restarts"]) == ("starting", 0)
    now = int(time.time() * 1000)
    told = report("clicks", FIGURES._replace(sinks={"sql": SinkFigures(4, 2, 1, 0)}), 5, Limits(1e10), None, now)
    note_status(told)
    assert job.report() == {**told, "restarts": 0}
    note_end("Elasticsearch: gave up.")
    assert job.ended(3)
    job.begin()
    down = job.report()
    assert (down["state"], down["reason"]) == ("restarting", "Restarting, because: Elasticsearch: gave up.")
    assert (down["rows_written"], down["events_per_second"], down["restarts"]) == (4, 0, 1)
    assert "clickstream_healthy 0.0" in metrics_text(down).decode()
    note_status(told | {"rows_written": 0})
    up = job.report()
    assert (up["state"], up["rows_written"], up["last_error"]) == ("restarting", 0, "Elasticsearch: gave up.")
    assert up["reason"] == "Started again, and nothing is written yet. It had ended because: Elasticsearch: gave up."
    note_status(told | {"rows_written": 0, "state": "failing", "reason": "why"})
    assert (job.report()["state"], job.report()["reason"]) == ("failing", "why")
    note_status(told | {"rows_written": 1})
    up = job.report()
    assert (up["state"], up["reason"]) == ("ok", "")
    assert now <= up["last_error_at_ms"] <= now + 60_000
    note_status(told | {"at_ms": now - 40_000})
    silent = job.report()
    assert (silent["state"], silent["reason"][:38]) == ("silent", "The job has not said anything for 40 s")
    assert job.ended(-9)
    assert job.report()["reason"] == "Restarting, because: The job ended with exit status -9."


def test_after_a_restart_with_nothing_to_write_a_job_is_well_again(tmp_path, monkeypatch) -> None:
    job = JobStatus(tmp_path / "status.json")
    monkeypatch.setenv(*next(iter(job.begin().items())))
    job.ended(3)
    job.begin()
    idle = report("clicks", LiveFigures(), 0, Limits(1e10), None, int(time.time() * 1000))
    note_status(idle)
    assert job.report()["state"] == "restarting"
    monkeypatch.setattr("clickstream.pipeline.watch.job_status._QUIET_SECONDS", -1)
    assert job.report()["state"] == "ok"
    note_status(idle | {"accepted": 1})
    assert job.report()["state"] == "restarting"


def test_nothing_is_noted_where_nobody_supervises(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("CLICKSTREAM_STATUS_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    note_status({"rows_written": 1})
    note_end("gone")
    assert list(tmp_path.iterdir()) == []


@contextmanager
def served(told: dict):
    server = HealthServer("127.0.0.1", 0, lambda: told)
    try:
        yield server.url
    finally:
        server.close()


def ask(url: str, method: str = "GET") -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:  # noqa: S310
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read().decode()


def test_health_is_served() -> None:
    told = report("clicks", FIGURES._replace(sinks={}), 12.34, LIMITS, None, NOW) | {"restarts": 0}
    with served(told) as url:
        assert ask(f"{url}/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
        assert ask(f"{url}/healthz?x=1", "HEAD") == (200, "text/plain; charset=utf-8", "")
        assert json.loads(ask(f"{url}/status.json")[2]) == told
        assert ask(f"{url}/metrics") == (
            200,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics_text(told).decode(),
        )
        assert ask(f"{url}/")[0] == 404
        assert ask(f"{url}/healthz", "POST")[0] == 501
        told |= {"sinks": {"sql": {"refused": 0}, "elasticsearch": {"refused": 1234}}}
        refused = "Elasticsearch refuses 1,234 rows for their content: dead letters, for replay-dead-letters\n"
        assert ask(f"{url}/healthz")[::2] == (200, f"ok\n{refused}")
        told |= {"sinks": {}, "state": "failing", "reason": "Elasticsearch: writes have failed for 9 s."}
        assert ask(f"{url}/healthz")[::2] == (503, "failing: Elasticsearch: writes have failed for 9 s.\n")


OWN = ("127.0.0.1:8080", "localhost", "LOCALHOST:80", "[::1]:8080", "")
FOREIGN = ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example:1", "[evil]")
NETWORK = ("10.1.2.3", "10.1.2.3:8080", "[fd00::1]:8080", "clickstream", "job:8080", "job.prod.svc.cluster.local:8080")


@pytest.mark.parametrize("host", [*OWN, *NETWORK, *FOREIGN])
def test_only_a_name_of_ones_own_is_answered_to(host) -> None:
    assert is_own(host, "127.0.0.1") == (host in OWN)
    assert is_own(host, "0.0.0.0") == (host in (*OWN, *NETWORK) or host == "[evil]")  # noqa: S104 (nothing listens)
    assert is_own("metrics.example:8080", "metrics.example")


def test_a_page_of_another_site_is_told_nothing() -> None:
    with served(report("clicks", LiveFigures(), 0, LIMITS, None, NOW) | {"restarts": 0}) as url:
        for path in ("healthz", "metrics", "status.json"):
            asked = HTTPConnection(url.rpartition("/")[2], timeout=30)
            asked.request("GET", f"/{path}", headers={"host": "evil.example"})
            answer = asked.getresponse()
            assert (answer.status, b"only" in answer.read()) == (421, True)
            asked.close()


def test_a_client_that_says_nothing_holds_nobody_up() -> None:
    told = report("clicks", LiveFigures(), 0, LIMITS, None, NOW) | {"restarts": 0}
    with served(told) as url:
        port = int(url.rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        assert ask(f"{url}/healthz")[0] == 200
        for each in silent:
            each.close()
    assert not [t for t in threading.enumerate() if "serve_forever" in t.name and t.is_alive()]


def test_an_address_of_no_use_is_told_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--health_port={port} .*in use: choose another port, 0 for a free one"):
            HealthServer("127.0.0.1", port, dict)
    with pytest.raises(UserError, match=r"--health_host=203\.0\.113\.1: .*, or an address of this machine"):
        HealthServer("203.0.113.1", 0, dict)


@pytest.mark.parametrize("others", [["--input=x"], ["--bootstrap_servers=127.0.0.1:1", "--topic=t", "--until=now"]])
def test_jobs_that_end_have_no_health(others, capsys) -> None:
    assert main(["--health_port=0", *others]) == 2
    told = (
        r"--health_port isn't for (the job over logs|--until=now): leave it out; it is for the live job and Flink\.\n"
    )
    assert re.fullmatch(told, capsys.readouterr().err)


@pytest.mark.parametrize(("read", "rejected", "state"), [(999, 999, "ok"), (1000, 500, "ok"), (1000, 501, "rejecting")])
def test_a_job_that_rejects_most_records_is_not_well(read, rejected, state) -> None:
    figures = LiveFigures(read=read, rejected={"invalid_json": rejected - 1, "invalid_url": 1})
    found, why = classify(figures, Limits(400, 0.5), NOW)
    assert found == state
    assert why == "" or why.startswith(
        "501 of 1,000 records were rejected, more than 0.5 of them (--max_rejected_share), mostly as invalid_json"
    )
    assert classify(figures, Limits(400, 1.0), NOW)[0] == "ok"
