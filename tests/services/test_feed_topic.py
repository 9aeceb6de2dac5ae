"""The sample feeds a real topic: each record once, a user in one partition; the count is right, also after Ctrl-C."""

import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from itertools import chain
from subprocess import PIPE

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from clickstream.io.errors import UserError
from clickstream.io.sample import SampleOptions, sample_records
from clickstream.io.sample.feed import feed_topic
from clickstream.pipeline.commands.generate import main

OPTIONS = SampleOptions(events=20_000, broken_share=0.02)


@pytest.fixture
def topic():
    return f"feed-{uuid.uuid4().hex}"


def read_topic(address, topic, at_least):
    """All messages of a topic, by partition, once there are that many."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": topic, "enable.auto.commit": False})
    deadline = time.monotonic() + 60
    try:
        while sum((wanted := ends(consumer, topic)).values()) < at_least and time.monotonic() < deadline:
            time.sleep(0.2)
        consumer.assign([TopicPartition(topic, number, 0) for number in wanted])
        messages = {number: [] for number in wanted}
        while sum(map(len, messages.values())) < sum(wanted.values()) and time.monotonic() < deadline:
            for message in consumer.consume(10_000, timeout=0.5):
                messages[message.partition()].append(message)
        return messages
    finally:
        consumer.close()


def ends(consumer, topic):
    """The end of each partition; of none while the topic is being made."""
    with suppress(KafkaException):
        numbers = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10)[1] for n in numbers}
    return {}


def values(messages):
    return [message.value() for message in chain.from_iterable(messages.values())]


def test_each_record_is_sent_once_and_a_user_stays_in_one_partition(kafka, topic):
    assert feed_topic(kafka.address, topic, OPTIONS, create_topic=True) == OPTIONS.events
    messages = read_topic(kafka.address, topic, OPTIONS.events)
    assert sorted(values(messages)) == sorted(chain.from_iterable(sample_records(OPTIONS)))
    assert len(messages) == 4
    homes = defaultdict(set)
    for partition, found in messages.items():
        for message in found:
            user = re.search(rb'"user_id":"([^"]+)"', message.value())
            assert message.key() == (user[1] if user else None)
            homes[message.key()].add(partition)
    del homes[None]
    assert {len(partitions) for partitions in homes.values()} == {1}


def test_the_command_feeds_at_a_rate_with_the_present_time(kafka, topic, capsys):
    begin = datetime.now(timezone.utc) - timedelta(seconds=3)
    arguments = ["--create_topic", "--rate=2000", "--events=2000", "--broken_share=0"]
    assert main([f"--bootstrap_servers={kafka.address}", f"--topic={topic}", *arguments]) == 0
    assert capsys.readouterr().out.startswith("2,000 events, ")
    stamps = [json.loads(value)["click_data"]["timestamp"] for value in values(read_topic(kafka.address, topic, 2_000))]
    times = [datetime.fromisoformat(stamp.replace("Z", "+00:00")) for stamp in stamps]
    assert len(times) == 2_000
    assert begin < min(times)
    assert max(times) <= datetime.now(timezone.utc)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(kafka, topic, number):
    code = "import sys; from clickstream.pipeline.commands.generate import main; sys.exit(main(sys.argv[1:]))"
    arguments = [f"--bootstrap_servers={kafka.address}", f"--topic={topic}", "--create_topic", "--rate=5000"]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=PIPE, stderr=PIPE) as run:
        try:
            assert len(values(read_topic(kafka.address, topic, 5_000))) >= 5_000
            run.send_signal(number)
            out, err = run.communicate(timeout=30)
        finally:
            run.kill()
    assert (run.returncode, err) == (0, b"")
    count = int(out.split()[0].replace(b",", b""))
    assert len(values(read_topic(kafka.address, topic, count))) == count


def test_a_missing_topic_is_one_line_with_the_cure(kafka, topic):
    with pytest.raises(UserError, match=f"{topic} doesn't exist .* create it"):
        feed_topic(kafka.address, topic, OPTIONS)


def test_a_topic_with_an_impossible_name_is_one_line(kafka):
    with pytest.raises(UserError, match="invalid"):
        feed_topic(kafka.address, "a/b", OPTIONS, create_topic=True)
