"""The live job with Beam's Java reader, on Prism: the same rows as a recomputation, and refused where it would lose events."""

import signal
import sqlite3
import textwrap
import uuid
import zipfile
from datetime import datetime, timedelta, timezone

import apache_beam as beam
import pytest
from confluent_kafka import Producer
from e2e.live_harness import LiveJob
from e2e.live_stores import click_of
from oracle import Row, expected_rows, read_time

from clickstream.io.kafka.java import ReadFromKafkaByJava
from clickstream.io.sample import SampleOptions, sample_records
from tests.services import expansion

pytestmark = pytest.mark.timeout(900)

WINDOW = 60
ROWS = "SELECT window_start, url, country, window_end, clicks, unique_users, time_spent_seconds, timed_clicks, version FROM page_metrics"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The address of an expansion service, whose transforms run as a process."""
    with expansion.expansion_service(tmp_path_factory.mktemp("expansion")) as address:
        yield address


def job(kafka, prism, folder, topic, *options):
    place = [f"--bootstrap_servers={kafka.address}", f"--topic={topic}", f"--group_id={topic}"]
    return LiveJob(
        [*place, f"--prism_location={prism}", "--kafka_reader=java", "--output_dir=results", *options], folder
    )


def send(kafka, topic, values):
    """Sends clicks as they are clicked: a record's time, which this reader goes by, is its click's."""
    producer, millis = Producer({"bootstrap.servers": kafka.address, "log_level": 0}), 0
    for value in values:
        click = click_of(value)
        millis = click.millis if click else millis
        producer.produce(topic, value, timestamp=millis)
        producer.poll(0)
    assert producer.flush(60) == 0


def ask(folder, statement):
    try:
        return sqlite3.connect(folder / "results" / "clickstream.db", timeout=30).execute(statement).fetchall()
    except sqlite3.OperationalError:  # not there yet
        return []


def rows(folder):
    found = {}
    for start, url, country, end, clicks, users, seconds, timed, version in ask(folder, ROWS):
        key = read_time(start), url, country
        found[key] = Row(read_time(end), clicks, users, round(seconds * 1000), timed, version)
    return found


def sample(seed, minutes_ago):
    start = datetime.now(timezone.utc) - timedelta(minutes=minutes_ago)
    options = SampleOptions(seed=seed, events=10_000, start=start, duration_seconds=600, broken_share=0.02)
    return [value for batch in sample_records(options) for value in batch]


def test_rows_are_those_of_a_recomputation_and_it_ends_in_order(kafka, prism, service, tmp_path) -> None:
    topic = kafka.create_topic(f"java-{uuid.uuid4().hex}", 1)
    values = [*sample(1, 150), *sample(2, 60)]
    send(kafka, topic, values)
    clicks = [click for value in values if (click := click_of(value))]
    expected = expected_rows(clicks, window_seconds=WINDOW)
    options = (f"--kafka_expansion_service={service}", f"--window_seconds={WINDOW}", "--time_spent=reported")
    live = job(kafka, prism, tmp_path, topic, *options)
    live.start()
    try:
        live.wait_until(lambda: rows(tmp_path) == expected, 120, "all rows")
        letters = ask(tmp_path, "SELECT source, position, raw FROM dead_letters ORDER BY position")
        broken = [(f"kafka:{topic}/0", n, v) for n, v in enumerate(values) if click_of(v) is None]
        assert letters == broken
        status, seconds = live.stop(signal.SIGINT)
    finally:
        live.kill()
    assert (status, live.err) == (0, "Stopped. What wasn't written yet is read again next time.\n")
    assert seconds < 15
    said = f"read {len(values)} = accepted {len(clicks)} + rejected {len(broken)} + too late 0"
    assert said in live.out


def test_a_jar_is_started_by_beam(tmp_path) -> None:
    """The graph is built with a jar of the service, as it is with the one that Beam downloads."""
    jars, jar = expansion.install(), tmp_path / "service.jar"
    places = " ".join(path.as_uri() for path in sorted(jars.glob("*.jar")))
    manifest = [f"Main-Class: {expansion.SERVICE}", *textwrap.wrap(f"Class-Path: {places}", 60, drop_whitespace=False)]
    with zipfile.ZipFile(jar, "w") as file:  # a manifest's lines are short; those that go on begin with a blank
        text = "\n".join(["Manifest-Version: 1.0", manifest[0], "\n ".join(manifest[1:]), ""])
        file.writestr("META-INF/MANIFEST.MF", text)
    pipeline = beam.Pipeline()
    batches = pipeline | ReadFromKafkaByJava("127.0.0.1:1", "clicks", "group", expansion_service=str(jar))
    assert not batches.is_bounded
    assert len(pipeline.to_runner_api().components.environments) == 2  # Python's and Java's


@pytest.mark.parametrize(
    ("partitions", "options", "says"),
    [
        (2, [], "loses events of TOPIC on Prism, which keeps one watermark for its 2 partitions"),
        (1, ["--until=now"], "--until=now needs --kafka_reader=native"),
        (1, ["--kafka_expansion_service=127.0.0.1:1"], "No expansion service at --kafka_expansion_service=127.0.0.1:1"),
    ],
)
def test_where_it_cannot_be_used_it_says_so(kafka, prism, tmp_path, partitions, options, says) -> None:
    topic = kafka.create_topic(f"java-{uuid.uuid4().hex}", partitions)
    live = job(kafka, prism, tmp_path, topic, *options)
    assert live.run(60) == 2
    assert (live.out, live.err.count("\n")) == ("", 1), live.err
    assert says.replace("TOPIC", topic) in live.err
