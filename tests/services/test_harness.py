"""Each server answers its real client, keeps data and ports over a stop, and leaves nothing behind."""

import socket
import uuid
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Consumer, Producer
from elasticsearch import Elasticsearch as Client

from tests.services.keeper import running
from tests.services.places import PORTS


def fresh(kind: str) -> str:
    return f"harness-{kind}-{uuid.uuid4().hex}"


def produce(address: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": address})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def consumed(address: str, topic: str) -> list[bytes]:
    settings = {"group.id": fresh("group"), "auto.offset.reset": "earliest", "enable.partition.eof": True}
    consumer = Consumer({"bootstrap.servers": address, **settings})
    consumer.subscribe([topic])
    values: list[bytes] = []
    while not (message := consumer.poll(30)) or not message.error():
        assert message, "no answer from the broker"
        values.append(message.value())
    consumer.close()
    return values


def open_port(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def outage(server, port: int, end: str):
    """The server is down, with no process left, and then up again at the same port."""
    leader = server.pid
    getattr(server, end)()
    try:
        assert server.pid is None
        assert not open_port(port)
        assert not running(leader)
        yield
    finally:
        server.start()
    assert server.pid != leader
    assert open_port(port)


def test_kafka_answers_and_keeps_its_data(kafka):
    port = urlsplit(f"//{kafka.address}").port
    assert port in PORTS
    topic = kafka.create_topic(fresh("topic"), 1, retention_ms=3_600_000)
    produce(kafka.address, topic, b"before")
    assert consumed(kafka.address, topic) == [b"before"]
    with outage(kafka, port, "stop"):
        pass
    produce(kafka.address, topic, b"after")
    assert consumed(kafka.address, topic) == [b"before", b"after"]


def test_kafka_topics_have_their_partitions_and_settings(kafka):
    topic = kafka.create_topic(fresh("topic"), 3, max_message_bytes=2_000_000)
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": fresh("group")})
    assert len(consumer.list_topics(topic, 30).topics[topic].partitions) == 3
    consumer.close()
    produce_settings = {"bootstrap.servers": kafka.address, "message.max.bytes": 2_500_000}
    outcomes = []
    producer = Producer(produce_settings)
    for size in (1_900_000, 2_100_000):
        producer.produce(topic, b"v" * size, on_delivery=lambda error, _: outcomes.append(error and error.name()))
        producer.flush(30)
    assert outcomes == [None, "MSG_SIZE_TOO_LARGE"]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_sql_server_answers_and_keeps_its_data(sql_server, end):
    assert sql_server.port in PORTS
    database = sql_server.create_database()
    url = urlsplit(sql_server.url(database))
    assert (url.scheme, url.username, url.password, url.hostname, url.port, url.path) == (
        ("mysql", "app", None, "127.0.0.1", sql_server.port, f"/{database}")
    )
    with sql_server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1, @@time_zone, @@character_set_server")
        assert cursor.fetchall() == ((1, "+00:00", "utf8mb4"),)
        cursor.execute("CREATE TABLE kept (number INT)")
        cursor.execute("INSERT INTO kept VALUES (21)")
        cursor.execute("CREATE PROCEDURE twice() BEGIN SELECT 2 * number FROM kept; END")
    with outage(sql_server, sql_server.port, end):
        pass
    with sql_server.connect(database) as connection, connection.cursor() as cursor:
        cursor.callproc("twice")
        assert cursor.fetchall() == ((42,),)


def test_databases_are_empty_and_different(sql_server):
    first, second = sql_server.create_database(), sql_server.create_database()
    assert first != second
    with sql_server.connect(second) as connection, connection.cursor() as cursor:
        assert cursor.execute("SHOW TABLES") == 0


def test_each_sql_server_is_what_its_name_says(mariadb, mysql):
    for server, expected in ((mariadb, True), (mysql, False)):
        with server.connect() as connection:
            assert ("MariaDB" in connection.get_server_info()) == expected


def test_elasticsearch_answers_and_keeps_its_data(elasticsearch):
    port = urlsplit(elasticsearch.address).port
    assert port in PORTS
    client = Client(elasticsearch.address)
    assert client.ping()
    assert client.info()["version"]["number"].startswith("9.")
    index = fresh("index")

    def write(version: int) -> int:
        action = {"index": {"_index": index, "_id": "1", "version": version, "version_type": "external_gte"}}
        return client.bulk(operations=[action, {"clicks": version}], refresh=True)["items"][0]["index"]["status"]

    assert [write(2), write(2), write(1), write(3)] == [201, 200, 409, 200]
    with outage(elasticsearch, port, "stop"):
        pass
    assert client.get(index=index, id="1")["_source"] == {"clicks": 3}
