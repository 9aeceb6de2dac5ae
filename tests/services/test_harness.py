"""The harness itself: each server answers its real client, keeps data and ports over a stop, and leaves nothing behind."""

import uuid

import pymysql
import pytest
from confluent_kafka import Consumer, Producer
from elasticsearch import Elasticsearch as Client


def consume_all(address: str, topic: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest", "enable.partition.eof": True})
    consumer.subscribe([topic])
    values: list[bytes] = []
    while not (message := consumer.poll(30)) or not message.error():
        assert message, "no answer from the broker"
        values.append(message.value())
    consumer.close()
    return values


def produce(address: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": address})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def test_kafka(kafka):
    topic = kafka.create_topic(f"harness-{uuid.uuid4().hex}", 1, retention_ms=3_600_000)
    produce(kafka.address, topic, b"one")
    assert consume_all(kafka.address, topic) == [b"one"]


def test_sql(sql_server):
    database = sql_server.create_database()
    with sql_server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)
        cursor.execute("CREATE PROCEDURE twice(IN number INT) BEGIN SELECT 2 * number; END")
        cursor.callproc("twice", [21])
        assert cursor.fetchall() == ((42,),)


def test_elasticsearch(elasticsearch):
    client = Client(elasticsearch.address)
    assert client.info()["version"]["number"].startswith("9.")
    assert client.ping()
    index = f"harness-{uuid.uuid4().hex}"

    def write(version: int) -> int:
        action = {"index": {"_index": index, "_id": "1", "version": version, "version_type": "external_gte"}}
        return client.bulk(operations=[action, {"clicks": version}], refresh=True)["items"][0]["index"]["status"]

    assert [write(2), write(2), write(1), write(3)] == [201, 200, 409, 200]
    assert client.get(index=index, id="1")["_source"] == {"clicks": 3}
