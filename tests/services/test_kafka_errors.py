"""What is wrong with a broker is told in a line, and dead letters are in their topic."""

import json

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from clickstream.io.errors import UserError
from clickstream.io.kafka.client import KafkaConnection, check_kafka
from clickstream.io.kafka.dead_letters import WriteDeadLettersToKafka
from clickstream.transforms.schema import REJECTED_SCHEMA
from tests.services.kafka_topic import read_now, told


def check(address, topic, **config):
    check_kafka(KafkaConnection(address, "group", {name.replace("_", "."): v for name, v in config.items()}), topic)


def test_all_is_well(kafka, topic):
    check(kafka.address, topic)


def test_no_broker_is_told():
    with pytest.raises(UserError, match=r"No Kafka broker answers at 127\.0\.0\.1:9: is it running"):
        check("127.0.0.1:9", "clicks")


def test_an_unknown_host_is_told():
    with pytest.raises(UserError, match=r"nowhere\.invalid:9092.*check --bootstrap_servers|No Kafka broker answers"):
        check("nowhere.invalid:9092", "clicks")


def test_an_unknown_topic_is_told(kafka):
    with pytest.raises(UserError, match=r"Topic no-such doesn't exist at .*: check --topic, or create it"):
        check(kafka.address, "no-such")


def test_tls_on_a_plain_port_is_told(kafka, topic):
    with pytest.raises(UserError, match=r"don't agree on TLS: check the port, and security.protocol"):
        check(kafka.address, topic, security_protocol="SSL")


def test_a_login_where_none_is_wanted_is_told(kafka, topic, monkeypatch):
    monkeypatch.setenv("KAFKA_PW", "canary-5c1e")
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "me"}
    with pytest.raises(UserError) as raised:
        check(kafka.address, topic, **login, sasl_password="env:KAFKA_PW")
    assert "sasl" in str(raised.value).lower() or "security.protocol" in str(raised.value)
    assert "canary" not in str(raised.value)


def test_nothing_of_librdkafka_reaches_the_terminal(capfd):
    with pytest.raises(UserError):
        check("127.0.0.1:9", "clicks")
    assert capfd.readouterr().err == ""


def test_dead_letters_are_in_the_topic_when_the_bundle_ends(kafka, topic):
    raws = [b"{", b"\xff\xfe", b"", b"x" * 1_500_000]
    table = pa.table(
        [["kafka:t/0"] * 4, [1, 2, 3, 4], [None] * 4, ["malformed_json"] * 4, ["?"] * 4, raws], schema=REJECTED_SCHEMA
    )
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        tables = pipeline | beam.Create([table])
        written = tables | WriteDeadLettersToKafka(kafka.address, topic)
        assert_that(written, lambda counts: counts == [4] or pytest.fail(str(counts)))

    def holds(batches):
        letters = [json.loads(value) for batch in batches for value in batch.values]
        assert sorted((letter["position"], letter["part"]) for letter in letters) == [
            *((1, 1), (2, 1), (3, 1)),
            *((4, 1), (4, 2), (4, 3)),
        ]

    read_now(kafka, topic, holds)


def test_a_dead_letter_topic_that_is_not_there_is_told(kafka):
    table = pa.table([["s"], [1], [None], ["r"], ["d"], [b""]], schema=REJECTED_SCHEMA)
    with pytest.raises(Exception, match="no-such") as raised, beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create([table]) | WriteDeadLettersToKafka(kafka.address, "no-such")
    assert "Topic no-such doesn't exist" in told(raised)
