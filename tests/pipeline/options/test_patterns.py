"""The patterns against the options' own readers: what a form lets pass, the job takes, and what the job refuses, no form lets pass."""

import argparse
import re

import apache_beam as beam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.errors import UserError
from clickstream.pipeline.commands.submit_dataflow import DEFAULTS
from clickstream.pipeline.commands.template_metadata import LEFT_OUT, metadata
from clickstream.pipeline.jobs import wire
from clickstream.pipeline.live.job import live_job
from clickstream.pipeline.options import job_parser, read_options
from clickstream.pipeline.options.patterns import numbers, pattern_of
from clickstream.pipeline.raw_store import raw_store_of
from clickstream.pipeline.runners.dataflow import check_dataflow
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.sinks import sinks_of

ACTIONS = {action.dest: action for action in job_parser(command="submit-dataflow")._actions}
REGEXES = {parameter["name"]: parameter["regexes"] for parameter in metadata()["parameters"]}
TYPED = [dest for dest, action in ACTIONS.items() if action.type is not None and dest not in LEFT_OUT]
NEEDED = {
    "project": "shop-analytics",
    "region": "europe-west1",
    "temp_location": "gs://shop-staging/tmp",
    "bootstrap_servers": "kafka:9092",
    "topic": "clicks",
    "mysql": "mysql://app@db/shop",
    "check_servers": "off",
}
# With what else an option's value makes sense.
BESIDE = {
    "time_zone": {"rollups": "1h"},
    "rollups": {"window_seconds": "300"},
    "elasticsearch_user": {
        "elasticsearch": "https://e:9200",
        "elasticsearch_password": "secret:projects/p/secrets/s/versions/1",
    },
    "elasticsearch_password": {"elasticsearch": "https://e:9200", "elasticsearch_user": "u"},
    "elasticsearch_api_key": {"elasticsearch": "https://e:9200"},
    "elasticsearch_index": {"elasticsearch": "https://e:9200"},
    "elasticsearch_ca": {"elasticsearch": "https://e:9200", "sdk_container_image": "r/i:1"},
    "mysql_tls_ca": {"sdk_container_image": "r/i:1"},
    "raw_store": {"cassandra": "c:9042", "hbase": "h:9090"},
    "raw_table": {"raw_store": "mysql"},
    "hbase": {"raw_store": "hbase"},
    "cassandra": {"raw_store": "cassandra"},
    "cassandra_keyspace": {"raw_store": "cassandra", "cassandra": "c:9042"},
    "cassandra_user": {
        "raw_store": "cassandra",
        "cassandra": "c:9042",
        "cassandra_password": "secret:projects/p/secrets/s/versions/1",
    },
    "cassandra_password": {"raw_store": "cassandra", "cassandra": "c:9042", "cassandra_user": "u"},
    "cassandra_ca": {"raw_store": "cassandra", "cassandra": "c:9042", "sdk_container_image": "r/i:1"},
}
GOOD = [
    *(("bootstrap_servers", v) for v in ("kafka:9092", "a.b.c:9092,10.0.0.1:9093")),
    *(("topic", v) for v in ("clicks", "shop.clicks_v2-eu")),
    ("group_id", "shop-clicks"),
    *(("start", v) for v in ("committed", "earliest", "latest", "2026-11-01", "2026-11-30T23:59:59Z")),
    ("start", "2026-01-31T10:00+05:30"),
    *(("disorder", v) for v in ("10", "10s", "1.5m")),
    *(("max_event_age", v) for v in ("off", "7d")),
    *(
        ("event_format", v)
        for v in ("clickstream", "segment", "debezium", "debezium+segment", "w3c,base=https://shop.example/a")
    ),
    *(("url_normalisation", v) for v in ("on", "off")),
    *(("window_seconds", v) for v in ("1", "60", "31622400")),
    *(("time_spent", v) for v in ("dwell", "reported", "fixed:300", "fixed:0.5", "fixed:31622400")),
    *(("sketch_size", v) for v in ("off", "16", "65536")),
    *(("rollups", v) for v in ("1h", "1d", "1h,1d", "1d,1h")),
    *(("time_zone", v) for v in ("UTC", "Asia/Kolkata", "America/Argentina/Buenos_Aires", "Etc/GMT+5")),
    *(("shards", v) for v in ("1", "4096")),
    *(("mysql", v) for v in ("mysql://app@db:3306/shop", "mariadb://db/shop", "mysql://a.b@10.0.0.7/my-shop_1")),
    ("mysql_password", "secret:projects/shop-analytics/secrets/mysql/versions/latest"),
    ("mysql_tls_ca", "certs/my ca.pem"),
    *(("elasticsearch", v) for v in ("https://e:9200", "http://a:9200,https://b:9243/path")),
    ("elasticsearch_index", "clicks.v2-eu"),
    ("elasticsearch_index", "clicks-{month}"),
    ("elasticsearch_api_key", "secret:projects/example.com:shop/secrets/es/versions/12"),
    ("elasticsearch_user", "app"),
    ("elasticsearch_password", "secret:projects/1234567890/secrets/es/versions/3"),
    *(("dead_letters", v) for v in ("mysql", "kafka:dead.clicks")),
    *(("raw_store", v) for v in ("mysql", "cassandra", "hbase", "none")),
    ("raw_table", "clicks_2"),
    *(("cassandra", v) for v in ("c:9042", "c1:9042,c2:9042")),
    ("cassandra_keyspace", "shop"),
    ("cassandra_user", "app"),
    ("cassandra_password", "secret:projects/shop-analytics/secrets/cassandra/versions/1"),
    ("hbase", "h:9090"),
    ("hash_user_ids", "secret:projects/shop-analytics/secrets/key/versions/1"),
    ("check_servers", "off"),
]
BAD = [
    *(("topic", v) for v in ("", "a b", "klicks/ü", "x" * 250)),
    *(("start", v) for v in ("", "soon", "2026-13-01", "2026-02-30", "2026-04-31", "10:00")),
    *(("disorder", v) for v in ("", "soon", "-1s", "1h30m", "5w", "1e3", "10 s")),
    *(("max_event_age", v) for v in ("never", "on")),
    *(
        ("event_format", v)
        for v in ("", "segments", "debezium+w3c", "debezium+debezium", "w3c+segment", "w3c,base=shop", "no/such.yaml")
    ),
    *(("window_seconds", v) for v in ("0", "-1", "31622401", "2.5", "")),
    *(("time_spent", v) for v in ("fixed", "fixed:", "fixed:-1", "fixed:31622400.5", "guess", "dwell:3")),
    *(("sketch_size", v) for v in ("15", "65537", "on")),
    *(("rollups", v) for v in ("1w", "1d,", "")),
    *(("time_zone", v) for v in ("", "/etc/passwd", "../x")),
    *(("shards", v) for v in ("0", "4097", "many")),
    *(("mysql", v) for v in ("postgres://a@b/c", "mysql://a:pw@b/c", "mysql://db", "mysql://db/a b", "db")),
    *(("mysql_password", v) for v in ("hunter2", "env:PW", "file:/pw", "secret:pw", "secret:projects/p/secrets/s")),
    *(("elasticsearch", v) for v in ("e:9200", "https://e", "https://u:p@e:9200", "ftp://e:1")),
    *(("elasticsearch_index", v) for v in ("Clicks", "_clicks", "a*b", "clicks-{year}", "")),
    *(("dead_letters", v) for v in ("kafka:", "file:/tmp/x.db", "elsewhere")),
    *(("raw_store", v) for v in ("sqlite", "redis")),
    *(("raw_table", v) for v in ("a-b", "1x", "x" * 41)),
    *(("cassandra", v) for v in ("c", "c:x", "c1:9042,c2:9043x")),
    *(("hbase", v) for v in ("h", "h:", ":9090")),
    *(("hash_user_ids", v) for v in ("env:KEY", "0123456789abcdef")),
    *((name, "maybe") for name in ("url_normalisation", "deduplicate", "check_servers")),
]


def fits(name: str, value: str) -> bool:
    return all(re.search(regex, value) for regex in REGEXES[name])


def accepted(name: str, value: str) -> bool:
    """Whether the job would be submitted with this option."""
    given = {**NEEDED, **BESIDE.get(name, {}), name: value}
    argv = [f"--{option}={text}" for option, text in given.items()]
    try:
        options = read_options([*DEFAULTS, *argv])
        check_dataflow(options, argv)
        wire(
            beam.Pipeline(runner="DirectRunner"),
            live_job(options, Settings.from_options(options, live=True), sinks_of(options), raw_store_of(options)),
        )
    except UserError:
        return False
    return True


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_what_is_documented_passes_and_is_taken(name, value) -> None:
    assert fits(name, value)
    assert accepted(name, value)


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_the_job_refuses_does_not_pass(name, value) -> None:
    assert not accepted(name, value)
    assert not fits(name, value)


@pytest.mark.parametrize("value", ["a\nb", "a ", "", " "])
@pytest.mark.parametrize("name", ["bootstrap_servers", "group_id", "kafka_config", "sdk_container_image"])
def test_what_no_reader_looks_at_is_no_two_lines(name, value) -> None:
    assert not fits(name, value)


@pytest.mark.parametrize("name", TYPED)
def test_whatever_passes_is_read(name) -> None:
    action = ACTIONS[name]

    @given(st.from_regex(re.compile(pattern_of(action)), fullmatch=True))
    def check(value: str) -> None:
        action.type(value)

    check()


@pytest.mark.parametrize("name", TYPED)
def test_what_is_read_of_like_texts_passes(name) -> None:
    action = ACTIONS[name]
    texts = st.text("0123456789.smhd:fixedo,", max_size=8).filter(lambda text: not re.match(r"(fixed:)?0\d", text))

    @given(texts)
    def check(value: str) -> None:
        try:
            action.type(value)
        except argparse.ArgumentTypeError:
            assert not re.fullmatch(pattern_of(action), value)

    check()


@given(st.integers(0, 10**8), st.integers(0, 10**8), st.integers(0, 10**8))
def test_numbers_are_those_between(least, more, number) -> None:
    most = least + more
    found = re.compile(numbers(least, most))
    assert bool(found.fullmatch(str(number))) == (least <= number <= most)
    assert [bool(found.fullmatch(str(n))) for n in (least, most, most + 1)] == [True, True, False]
    assert least == 0 or not found.fullmatch(str(least - 1))
