"""Segment's calls through real Kafka to both stores: their rows are those of the same clicks in the built-in shape."""

import json
import re
from datetime import datetime, timedelta, timezone

import pytest
from e2e.live_stores import Bench, first_open, oracle
from oracles import segment

from tests.services.kafka_topic import committed

pytestmark = pytest.mark.timeout(900)

EVENTS, PAGES, USERS = 3_000, 7, 50


@pytest.fixture
def bench(kafka, mariadb, elasticsearch, prism, tmp_path) -> Bench:
    """Servers, and names of the test's own."""
    return Bench(kafka, mariadb, elasticsearch, prism, tmp_path)


def call(number: int, time: datetime) -> bytes:
    """Every tenth is a track call; every hundredth page call has no URL."""
    page = {} if number % 100 == 5 else {"url": f"https://shop.example/p{number % PAGES}"}
    return json.dumps(
        {
            "type": "track" if number % 10 == 0 else "page",
            "userId": number % USERS if number % 3 else None,
            "anonymousId": f"a{number % USERS}",
            "messageId": f"m{number}",
            "timestamp": time.isoformat(timespec="milliseconds"),
            "properties": page,
            "context": {"location": {"country": "India" if number % 2 else "Peru"}},
        }
    ).encode()


def flat(value: bytes) -> bytes:
    """The same click in the built-in shape; no click for what is none."""
    found = segment(value.decode())
    if not isinstance(found, tuple):
        return b"{}"
    key = json.loads(value)["messageId"]
    return json.dumps(
        dict(zip(("user_id", "timestamp", "url", "country", "row_key"), (*found, key), strict=True))
    ).encode()


def test_segment_through_kafka_to_both_stores(bench) -> None:
    start = datetime.now(timezone.utc) - timedelta(hours=3)
    bench.topic.send([call(number, start + timedelta(seconds=number * 2)) for number in range(EVENTS)])
    bench.topic.flush()
    job = bench.job(
        "--until=now", "--event_format=segment", "--window_seconds=300", "--session_gap=120s", "--prism_location="
    )
    assert job.run() == 0, job.err
    records = bench.topic.records()
    outcomes = [segment(record.value.decode()) for record in records]
    said = re.search(r"read (\d+) = accepted (\d+) \+ rejected (\d+) \+ too late 0 \+ not clicks (\d+)", job.out)
    assert said is not None, job.out
    accepted = sum(isinstance(outcome, tuple) for outcome in outcomes)
    assert tuple(map(int, said.groups())) == (EVENTS, accepted, outcomes.count("refused"), outcomes.count(None))
    expected = oracle([record._replace(value=flat(record.value)) for record in records], 300, 120)
    assert bench.sql_rows() == bench.documents() == expected
    settled = [
        first_open([int((start + timedelta(seconds=n * 2)).timestamp() * 1000) for n in range(p, EVENTS, 4)], 300, 120)
        for p in range(4)
    ]
    offsets = committed(bench.kafka, bench.topic.name, bench.group)
    assert all(0 < offset <= most for offset, most in zip(offsets, settled, strict=True)), (offsets, settled)
    letters = bench.sql("SELECT reason, detail, COUNT(*) FROM dead_letters GROUP BY 1, 2")
    detail = "properties.url, context.page.url: missing"
    assert letters == [("missing_field", detail, outcomes.count("refused"))]
