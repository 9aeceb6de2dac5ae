"""The command lines of `deploy/`, run as they stand there but for addresses and folders, on real servers: rows in both stores, health, page, end."""

import signal
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from deploy.place import Place, new_place
from e2e.live_harness import FEW, PARTITIONS, LiveJob
from e2e.live_stores import Bench, click_of, oracle, straggler, sums_of

from clickstream.io.sample import SampleOptions, sample_records

pytestmark = pytest.mark.timeout(900)
WINDOW = 300


@pytest.fixture
def place(kafka, mysql, elasticsearch, prism, tmp_path, monkeypatch, own_python_first) -> Iterator[Place]:
    monkeypatch.setenv("PATH", str(Path(prism).parent), prepend=":")
    with new_place(Bench(kafka, mysql, elasticsearch, prism, tmp_path)) as found:
        yield found


def test_compose(place) -> None:
    """Feed, which makes the topic, job and page beside each other."""
    place.bench.topic.name += "-fed"
    kafka, mysql = place.kafka("kafka:9092"), place.mysql("mysql://app@mysql:3306/clickstream", "/run/secrets")
    jobs = [place.start("compose.yaml: feed", kafka)]
    try:
        jobs[0].wait_until(place.has_topic, 30, "the feed's topic")
        jobs.append(place.start("compose.yaml: job", {**kafka, **mysql, **elasticsearch_of(place), **health_of(place)}))
        jobs[1].wait_until(place.is_healthy, 60, "health")
        jobs.append(place.start("compose.yaml: page", {**mysql, **page_of(place, "job:8080")}))
        jobs[2].wait_until(lambda: "Page: " in jobs[2].err, 60, "the page")
        jobs[1].wait_until(lambda: all(place.bench.sums()), 60, "running totals in both stores")
        jobs[1].wait_until(place.has_the_metrics_of_alerts, 60, "the metrics that alerts look at")
        jobs[2].wait_until(lambda: place.page_shows("/health", "running well"), 60, "the job's health on the page")
        assert ended(jobs) == [0, 0, 0]
        assert not place.is_healthy()
    finally:
        for job in jobs:
            job.kill()


def test_kubernetes(place) -> None:
    mysql = place.mysql("mysql://app@mysql:3306/clickstream", "/run/secrets/clickstream")
    config = {"/etc/clickstream": str(place.bench.folder)}
    job = {**place.kafka("kafka:9092"), **config, **mysql, **elasticsearch_of(place), **health_of(place)}
    page = {**mysql, **page_of(place, "clickstream:8080")}
    exact_and_shown(place, ("pod clickstream: job", job), ("pod clickstream-page: page", page))


def test_systemd(place) -> None:
    mysql = place.mysql("mysql://app@localhost:3306/clickstream", "%d")
    elasticsearch = {"http://localhost:9200": place.bench.elasticsearch.address}
    job = {**place.kafka("localhost:9092"), **mysql, **elasticsearch, "port=8080": f"port={place.health}"}
    page = {**mysql, "127.0.0.1:8080": f"127.0.0.1:{place.health}", "port=8350": f"port={place.page}"}
    exact_and_shown(place, ("clickstream.service", job), ("clickstream-page.service", page))


def exact_and_shown(place: Place, job: tuple[str, dict[str, str]], page: tuple[str, dict[str, str]]) -> None:
    """Clicks of some hours ago are in both stores to the click, and on the page."""
    expected = send_clicks(place.bench)
    jobs = [place.start(*job)]
    try:
        jobs[0].wait_until(lambda: place.bench.sums() == (expected, expected), 90, "all windows in both stores")
        jobs[0].wait_until(place.is_healthy, 60, "health")
        assert '"state": "ok"' in place.ask_health("status.json")
        jobs.append(place.start(*page))
        jobs[1].wait_until(lambda: "Page: " in jobs[1].err, 60, "the page")
        jobs[1].wait_until(lambda: place.page_shows("/health", "running well"), 60, "the job's health on the page")
        assert ended(jobs) == [0, 0]
    finally:
        for each in jobs:
            each.kill()


def send_clicks(bench: Bench) -> dict[int, int]:
    """Fills the topic; returns the clicks of each window. Behind all of them comes a click in each partition, so the windows end."""
    start = datetime.now(timezone.utc) - timedelta(hours=5)
    options = SampleOptions(seed=11, events=5_000, start=start, duration_seconds=2_400, broken_share=0.01, **FEW)
    records = [record for batch in sample_records(options) for record in batch]
    last = max(click.millis for record in records if (click := click_of(record)))
    ends = [straggler(last + 7_200_000, f"https://end.example/{n}", "India") for n in range(PARTITIONS)]
    bench.topic.send([*records, *ends])
    bench.topic.flush()
    return sums_of(oracle([each for each in bench.topic.records() if each.value not in ends], WINDOW))


def elasticsearch_of(place: Place) -> dict[str, str]:
    return {"http://elasticsearch:9200": place.bench.elasticsearch.address}


def health_of(place: Place) -> dict[str, str]:
    return {"=0.0.0.0": "=127.0.0.1", "--health_port=8080": f"--health_port={place.health}"}


def page_of(place: Place, health: str) -> dict[str, str]:
    here = {health: f"127.0.0.1:{place.health}", "=0.0.0.0": "=127.0.0.1"}
    return {**here, "--page_port=8350": f"--page_port={place.page}"}


def ended(jobs: Sequence[LiveJob]) -> list[int]:
    """Their exit statuses when they are told to stop, as service managers do; nothing of them is left."""
    for job in jobs:
        job.process.send_signal(signal.SIGTERM)
    found = [job.process.wait(60) for job in jobs]
    assert [job.processes() for job in jobs] == [[] for _ in jobs]
    return found
