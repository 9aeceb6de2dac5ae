from types import SimpleNamespace

import apache_beam as beam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.errors import UserError
from clickstream.io.kafka.java import BatchRecords, ReadFromKafkaByJava


def row(partition, offset, value):
    return SimpleNamespace(topic="clicks", partition=partition, offset=offset, timestamp=1_000 + offset, value=value)


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=5)), max_size=60), st.integers(1, 10))
def test_each_record_is_in_one_batch_of_its_partition_in_order(records, most):
    rows = [row(partition, offset, value) for offset, (partition, value) in enumerate(records)]
    batching = BatchRecords(most)
    batching.start_bundle()
    batches = [batch for each in rows for batch in batching.process(each)]
    batches += list(batching.finish_bundle())
    found = {}
    for windowed in batches:
        batch = windowed.value
        assert 0 < len(batch.values) <= most
        assert windowed.timestamp.micros == min(batch.record_timestamps) * 1000
        assert (batch.span, batch.watermark) == (None, None)
        zipped = zip(batch.positions, batch.values, batch.record_timestamps, strict=True)
        found.setdefault(batch.source, []).extend(zipped)
    expected = {}
    for each in rows:
        expected.setdefault(f"kafka:clicks/{each.partition}", []).append((each.offset, each.value, each.timestamp))
    assert found == expected


def test_a_tombstone_is_passed_over():
    batching = BatchRecords(1)
    batching.start_bundle()
    assert list(batching.process(row(0, 7, None))) == []
    [windowed] = batching.process(row(0, 8, b""))
    assert (windowed.value.values, windowed.value.positions) == ([b""], [8])


def reader(**options):
    return ReadFromKafkaByJava("b:9092", "clicks", "group", **options)


@pytest.mark.parametrize(
    ("start", "reset", "group", "millis"),
    [
        ("committed", "earliest", "group", None),
        ("earliest", "earliest", None, None),
        ("latest", "latest", None, None),
        ("2026-11-01T00:00:00Z", "earliest", None, 1_793_491_200_000),
    ],
)
def test_the_start_is_told_in_javas_terms(start, reset, group, millis):
    config = reader(start=start, kafka_config={"security.protocol": "SSL"}).consumer_config()
    assert (config["auto.offset.reset"], config.get("group.id")) == (reset, group)
    assert (config["enable.auto.commit"], config["security.protocol"]) == ("false", "SSL")
    assert reader(start=start)._start_ms() == millis


@pytest.mark.parametrize("reference", ["env:SECRET", "file:secret"])
def test_a_secret_is_refused_as_it_would_travel(reference):
    with pytest.raises(UserError, match="would travel in the job in clear"):
        reader(kafka_config={"ssl.key.password": reference})


def build(where):
    beam.Pipeline() | reader(expansion_service=where)


def test_without_java_there_are_two_ways_out(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"needs Java, .*--kafka_expansion_service=HOST:PORT.*--kafka_reader=native"):
        build(None)
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is none on PATH"):
        build(None)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("127.0.0.1:1", r"No expansion service at --kafka_expansion_service=127\.0\.0\.1:1"),
        ("127.0.0.1:no", "No expansion service at"),
        ("nowhere.jar", "nowhere.jar is no jar"),
    ],
)
def test_a_service_that_is_not_there_is_one_line(where, says, capfd):
    with pytest.raises(UserError, match=says) as raised:
        build(where)
    assert "\n" not in str(raised.value)
    assert "--kafka_reader=native" in str(raised.value)
    assert capfd.readouterr().err == ""


def test_a_file_that_is_no_jar_is_one_line(tmp_path):
    jar = tmp_path / "service.jar"
    jar.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"service\.jar is no jar: .*--kafka_reader=native"):
        build(str(jar))
