"""Dead letters of a live job go back into its topic: confirmed first, gone from their store after that, and no sooner."""

import json
import time
import uuid
from collections import Counter
from datetime import datetime, timezone
from types import SimpleNamespace

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from clickstream.io.kafka.client import Committed, KafkaConnection, open_consumer
from clickstream.io.kafka.dead_letters import dead_letter_messages
from clickstream.io.sql import dead_letters_writer, read_dead_letters, tables
from clickstream.io.sql.mysql import connect_by_url, setup_mysql
from clickstream.pipeline.__main__ import main
from clickstream.transforms.schema import REJECTED_SCHEMA

PARTITIONS = 3
BROKEN = [b"{", b"\xff\x00", b'{"user_id": 7}']


def click(number, seconds_ago=0.0, **more):
    at = int((time.time() - seconds_ago) * 1000)
    return json.dumps(
        {"user_id": f"u{number}", "timestamp": at, "url": "https://a.example/", "country": "India", **more}
    ).encode()


def rejected(raws, source):
    """As a live job rejected them once: `raws` at offsets 0, 1 … of a partition."""
    count = len(raws)
    columns = [
        [source] * count,
        list(range(count)),
        [None] * count,
        ["event_from_the_future"] * count,
        ["?"] * count,
        raws,
    ]
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, REJECTED_SCHEMA, strict=True)], schema=REJECTED_SCHEMA
    )


def read(kafka, topic):
    """All values of a topic, with their partitions."""
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": uuid.uuid4().hex, "log_level": 0})
    numbers = list(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
    ends = {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=20)[1] for n in numbers}
    consumer.assign([TopicPartition(topic, n, 0) for n in numbers])
    found = []
    while len(found) < sum(ends.values()):
        found += [(m.partition(), m.value()) for m in consumer.consume(1000, 1)]
    consumer.close()
    return found


@pytest.fixture
def live(kafka, mariadb, monkeypatch):
    """A topic, and a database with the live job's tables."""
    monkeypatch.setenv("REPLAY_PASSWORD", mariadb.password)
    name = mariadb.create_database()
    topic = kafka.create_topic(name, PARTITIONS)
    database = connect_by_url(mariadb.url(name), password="env:REPLAY_PASSWORD")
    setup_mysql(database)

    def reject(raws, partition=1):
        columns = tables.dead_letter_columns(
            rejected(raws, f"kafka:{topic}/{partition}"), code_version="0", rejected_at=datetime.now(timezone.utc)
        )
        assert dead_letters_writer(database).write(columns) == []

    def stored():
        return sorted(raw for page in read_dead_letters(database) for raw in page["raw"].to_pylist())

    place = [f"--bootstrap_servers={kafka.address}", f"--topic={topic}", f"--group_id={name}"]
    sql = [f"--mysql={mariadb.url(name)}", "--mysql_password=env:REPLAY_PASSWORD"]
    return SimpleNamespace(name=name, topic=topic, place=place, sql=sql, reject=reject, stored=stored)


def replay(capsys, *arguments):
    status = main(["replay-dead-letters", *arguments])
    said = capsys.readouterr()
    assert (status, said.err) == (0, "")
    return said.out.partition(": ")[2].strip()


def test_what_is_a_click_now_goes_to_its_partition_and_the_rest_stays(kafka, live, capsys) -> None:
    clicks = [click(number) for number in range(2500)]
    live.reject([*clicks[:2000], *BROKEN], partition=1)
    live.reject(clicks[2000:], partition=2)
    assert replay(capsys, *live.place, *live.sql) == f"2500; {len(BROKEN)} still refused"
    assert sorted(read(kafka, live.topic)) == sorted((1 if n < 2000 else 2, value) for n, value in enumerate(clicks))
    assert live.stored() == sorted(BROKEN)
    assert replay(capsys, *live.place, *live.sql) == f"0; {len(BROKEN)} still refused"
    assert len(read(kafka, live.topic)) == len(clicks)


def test_what_came_from_elsewhere_goes_to_any_partition(kafka, live, capsys) -> None:
    letters = kafka.create_topic(f"{live.name}-rejected", 1)
    sources = [
        "logs/clicks",
        f"{live.topic}/clicks",
        "kafka:other/1",
        f"kafka:{live.topic}/{PARTITIONS}",
        "mysql:page_metrics",
    ]
    for number, source in enumerate(sources):
        produce(kafka, letters, dead_letter_messages(rejected([click(number)], source), code_version="1"))
    assert replay(capsys, *live.place, f"--dead_letters=kafka:{letters}") == str(len(sources))
    assert len(read(kafka, live.topic)) == len(sources)


def test_other_options_accept_what_was_refused(kafka, live, capsys) -> None:
    old = click(1, seconds_ago=30 * 86_400)
    live.reject([old])
    assert replay(capsys, *live.place, *live.sql) == "0; 1 still refused"
    assert replay(capsys, *live.place, *live.sql, "--max_event_age=60d") == "1"
    assert (read(kafka, live.topic), live.stored()) == ([(1, old)], [])


def test_a_click_that_the_job_would_drop_as_too_late_stays(kafka, live, capsys) -> None:
    with open_consumer(KafkaConnection(kafka.address, live.name)) as consumer:
        consumer.commit({(live.topic, 0): Committed(0, int((time.time() - 3600) * 1000))})
    late, timely = click(1, seconds_ago=3 * 3600), click(2)
    live.reject([late, *BROKEN, timely])
    assert replay(capsys, *live.place, *live.sql) == f"1; {len(BROKEN)} still refused; 1 too late for the job"
    assert (read(kafka, live.topic), live.stored()) == ([(1, timely)], sorted([late, *BROKEN]))


def test_nothing_is_deleted_that_the_brokers_refuse(kafka, live, capsys) -> None:
    narrow = kafka.create_topic(f"{live.name}-narrow", 1, max_message_bytes=300)
    raws = [click(1), click(2, more="x" * 1000)]
    live.reject(raws)
    place = [argument.replace(f"--topic={live.topic}", f"--topic={narrow}") for argument in live.place]
    assert main(["replay-dead-letters", *place, *live.sql]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert live.stored() == sorted(raws)


def test_a_click_that_was_sent_and_could_not_be_deleted_is_sent_again(kafka, mariadb, live, capsys) -> None:
    raw = click(1)
    live.reject([raw])
    with mariadb.connect(live.name) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER 'reader_{live.name}'@'%%' IDENTIFIED BY %s", (mariadb.password,))
        cursor.execute(f"GRANT SELECT ON `{live.name}`.* TO 'reader_{live.name}'@'%'")
    reader = [live.sql[0].replace("//app@", f"//reader_{live.name}@"), live.sql[1]]
    assert main(["replay-dead-letters", *live.place, *reader]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert live.stored() == [raw]
    assert replay(capsys, *live.place, *live.sql) == "1"
    assert (read(kafka, live.topic), live.stored()) == ([(1, raw)] * 2, [])


def produce(kafka, topic, messages):
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
    for key, value in messages:
        producer.produce(topic, value=value, key=key)
    assert producer.flush(30) == 0


def test_a_topic_of_dead_letters_is_read_once_and_what_still_fails_stays_in_it(kafka, live, capsys) -> None:
    letters = kafka.create_topic(f"{live.name}-rejected", 2)
    clicks = [*map(click, range(50)), click(50, pad="x" * 700_000)]  # the last in two messages
    messages = dead_letter_messages(rejected([*clicks, *BROKEN], f"kafka:{live.topic}/2"), code_version="1")
    assert len(messages) == len(clicks) + len(BROKEN) + 1
    produce(kafka, letters, [*messages, *messages[:10], (b"k", b"no dead letter")])  # some twice, as after a restart
    before = read(kafka, letters)
    place = [*live.place, f"--dead_letters=kafka:{letters}"]
    said = f"{len(clicks)}; {len(BROKEN)} still refused; 1 messages were no dead letters"
    assert replay(capsys, *place) == said
    assert sorted(read(kafka, live.topic)) == sorted((2, value) for value in clicks)
    for _ in range(2):  # neither sent again nor lost
        assert replay(capsys, *place) == f"0; {len(BROKEN)} still refused"
    assert len(read(kafka, live.topic)) == len(clicks)
    added = Counter(value for _, value in read(kafka, letters)) - Counter(value for _, value in before)
    assert added == Counter({value: 3 for _, value in messages[-len(BROKEN) :]})  # by each replay


def test_a_record_whose_parts_are_not_all_there_waits_for_them(kafka, live, capsys) -> None:
    letters = kafka.create_topic(f"{live.name}-rejected", 1)
    long = click(1, pad="x" * 700_000)
    first, second = dead_letter_messages(rejected([long], f"kafka:{live.topic}/0"), code_version="1")
    place = [*live.place, f"--dead_letters=kafka:{letters}"]
    produce(kafka, letters, [first])
    assert replay(capsys, *place) == "0; 1 incomplete"
    produce(kafka, letters, [second])
    assert replay(capsys, *place) == "1"
    assert (read(kafka, live.topic), replay(capsys, *place)) == ([(0, long)], "0")


def test_a_topic_that_refuses_leaves_the_offsets_where_they_were(kafka, live, capsys) -> None:
    letters = kafka.create_topic(f"{live.name}-rejected", 1)
    narrow = kafka.create_topic(f"{live.name}-narrow", 1, max_message_bytes=300)
    raw = click(1, pad="x" * 1000)
    produce(kafka, letters, dead_letter_messages(rejected([raw], "kafka:old/0"), code_version="1"))
    dead = f"--dead_letters=kafka:{letters}"
    place = [argument.replace(f"--topic={live.topic}", f"--topic={narrow}") for argument in live.place]
    assert main(["replay-dead-letters", *place, dead]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert replay(capsys, *live.place, dead) == "1"
    assert [value for _, value in read(kafka, live.topic)] == [raw]


def test_the_topic_of_the_clicks_is_no_place_of_dead_letters(live, capsys) -> None:
    assert main(["replay-dead-letters", *live.place, f"--dead_letters=kafka:{live.topic}"]) == 2
    assert "is the topic of the clicks" in capsys.readouterr().err
