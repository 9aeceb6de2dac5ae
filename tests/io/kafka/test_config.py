"""Settings that would lose events or leak a secret are refused while the graph is built."""

import pickle

import apache_beam as beam
import pytest

from clickstream.io.errors import UserError
from clickstream.io.kafka import ReadFromKafka
from clickstream.io.kafka.client import KafkaConnection
from clickstream.io.kafka.commit import CommitOffsets
from clickstream.io.kafka.config import check_kafka_config, load_kafka_config, resolve_kafka_config
from clickstream.io.kafka.dead_letters import WriteDeadLettersToKafka

CANARY = "canary-5c1e"
SECRETS = (
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "sasl.oauthbearer.client.secret",
)


def test_a_properties_file_and_json_give_the_same(tmp_path):
    lines, document = tmp_path / "lines", tmp_path / "json"
    lines.write_text("# how we log in\n\nsecurity.protocol = SASL_SSL\nsasl.username=a=b\nsasl.password=env:PW\n")
    document.write_text('{"security.protocol": "SASL_SSL", "sasl.username": "a=b", "sasl.password": "env:PW"}')
    expected = {"security.protocol": "SASL_SSL", "sasl.username": "a=b", "sasl.password": "env:PW"}
    assert load_kafka_config(str(lines)) == load_kafka_config(str(document)) == expected


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("security.protocol", "line 1: write name=value"),
        ("{", "no valid JSON"),
        ('{"a": {"b": 1}}', "a is no text, number or boolean"),
        ("enable.auto.commit=true", "would lose events"),
        (f"sasl.password={CANARY}", "write sasl.password=env:NAME"),
    ],
)
def test_a_file_that_cannot_be_is_told_in_one_line_without_the_secret(tmp_path, content, told):
    (tmp_path / "kafka").write_text(content)
    with pytest.raises(UserError, match=told) as raised:
        load_kafka_config(str(tmp_path / "kafka"))
    assert CANARY not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"can't be read \(No such file"):
        load_kafka_config(str(tmp_path / "none"))


@pytest.mark.parametrize("name", SECRETS)
def test_literal_secrets_are_refused(name):
    with pytest.raises(UserError, match="is a secret") as raised:
        check_kafka_config({name: CANARY})
    assert CANARY not in str(raised.value)
    check_kafka_config({name: "env:NAME"})


@pytest.mark.parametrize("name", ["group.id", "bootstrap.servers", "auto.offset.reset", "enable.partition.eof"])
def test_settings_with_an_option_of_their_own_are_refused(name):
    with pytest.raises(UserError, match=f"{name} can't be in"):
        check_kafka_config({name: "x"})


def test_auto_commit_may_be_named_if_it_is_off():
    check_kafka_config({"enable.auto.commit": False, "ssl.ca.pem": "a certificate is no secret"})


def test_secrets_are_resolved_from_their_references_only_when_asked(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("k\n")
    monkeypatch.setenv("KAFKA_PW", CANARY)
    config = {"sasl.password": "env:KAFKA_PW", "ssl.key.password": f"file:{tmp_path}/key", "sasl.username": "u"}
    resolved = resolve_kafka_config(config)
    assert resolved == {"sasl.password": CANARY, "ssl.key.password": "k", "sasl.username": "u"}
    monkeypatch.delenv("KAFKA_PW")
    with pytest.raises(UserError, match="KAFKA_PW is not set"):
        resolve_kafka_config(config)


def test_no_transform_holds_a_secret(monkeypatch):
    monkeypatch.setenv("KAFKA_PW", CANARY)
    config = {"sasl.password": "env:KAFKA_PW"}
    pipeline = beam.Pipeline()
    _ = pipeline | ReadFromKafka("localhost:1", "clicks", "group", kafka_config=config)
    assert CANARY.encode() not in pipeline.to_runner_api().SerializeToString()
    for held in (CommitOffsets("localhost:1", "g", config), WriteDeadLettersToKafka("localhost:1", "t", config)):
        assert CANARY.encode() not in pickle.dumps(held)


def test_an_unknown_setting_is_told():
    with pytest.raises(UserError, match=r"no\.such\.setting"):
        KafkaConnection("localhost:1", "g", {"no.such.setting": "1"}).consumer()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"topic": "a/b"}, "no topic's name"),
        ({"start": "yesterday"}, "write committed, earliest, latest or a time"),
        ({"splits": "two"}, "splits='two' is unknown"),
        ({"until": "tomorrow"}, "until='tomorrow' is unknown"),
        ({"kafka_config": {"enable.auto.commit": True}}, "would lose events"),
    ],
)
def test_options_that_cannot_be_are_told_while_the_graph_is_built(wrong, told):
    with pytest.raises(UserError, match=told):
        ReadFromKafka(**{"bootstrap_servers": "localhost:1", "topic": "clicks", "group_id": "g", **wrong})
