"""Dead letters from a Kafka topic, read for replay: once each, up to the topic's end."""

import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import orjson
from confluent_kafka import KafkaException

from clickstream.io.dead_letter_key import dead_letter_key
from clickstream.io.errors import UserError
from clickstream.io.kafka.client import EARLIEST, LATEST, Committed, KafkaConnection, KafkaConsumer, open_consumer
from clickstream.io.kafka.produce import Record
from clickstream.io.kafka.read import PartitionPoller, Polled

_MOST, _POLL_SECONDS, _PATIENCE_SECONDS = 5_000, 0.5, 60.0
_TRIES = 5


class KafkaLetter(NamedTuple):
    """A dead letter of a topic.

    Attributes:
        raw: The rejected record's exact bytes; None if some of its parts weren't there yet.
        source: Where that record was: `kafka:TOPIC/PARTITION`, or a sink.
        messages: What it is made of, as written to the dead-letter topic.
        first: Partition and offset of the first of these messages.
        position: The record's offset there.
    """

    raw: bytes | None
    source: str
    messages: list[Record]
    first: tuple[int, int]
    position: int

    @property
    def key(self) -> bytes:
        """What is the same whenever the record is rejected again."""
        return dead_letter_key(self.source, self.position, self.raw or b"")


class _Part(NamedTuple):
    source: str
    position: int
    part: int
    parts: int
    raw: bytes

    @property
    def message_key(self) -> bytes:
        return f"{self.source}:{self.position}".encode()


def _part(value: bytes) -> _Part | None:
    """A message of `dead_letter_messages`; None if it is no such message."""
    try:
        told = orjson.loads(value)
        return _Part(
            str(told["source"]), int(told["position"]), int(told["part"]), int(told["parts"]), b64decode(told["raw"])
        )
    except (ValueError, KeyError, TypeError):
        return None


class Assembly:
    """Puts the parts of long records together again, in whatever order and however often they come.

    Attributes:
        foreign: How many messages were no dead letters.
    """

    def __init__(self) -> None:
        self.foreign = 0
        self._waiting: dict[bytes, tuple[dict[int, _Part], KafkaLetter]] = {}

    def add(self, value: bytes, partition: int, offset: int) -> KafkaLetter | None:
        """Takes the next message; returns the letter that it completes."""
        part = _part(value)
        if part is None:
            self.foreign += 1
            return None
        record = Record(value, part.message_key)
        if part.parts <= 1:
            return KafkaLetter(part.raw, part.source, [record], (partition, offset), part.position)
        new: dict[int, _Part] = {}
        none_yet = KafkaLetter(None, part.source, [], (partition, offset), part.position)
        found, letter = self._waiting.setdefault(part.message_key, (new, none_yet))
        if part.part not in found:
            found[part.part] = part
            letter.messages.append(record)
        if len(found) < part.parts:
            return None
        del self._waiting[part.message_key]
        return letter._replace(raw=b"".join(found[number].raw for number in sorted(found)))

    def waiting(self) -> list[KafkaLetter]:
        """The letters of which parts are missing."""
        return [letter for _, letter in self._waiting.values()]


class DeadLetterReader:
    """Reads a dead-letter topic from its group's committed offsets (else the earliest) to its end as of now.

    Attributes:
        expired: How many messages the topic had dropped before they were read.
        foreign: How many messages that aren't dead letters were passed over.
    """

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection, self._topic = connection, topic
        self._assembly = Assembly()
        self._seen: set[bytes] = set()  # a job that is started again writes again what it rejects again
        self.expired = 0

    @property
    def foreign(self) -> int:
        return self._assembly.foreign

    def batches(self) -> Iterator[list[KafkaLetter]]:
        """Yields letters, some thousands at a time: whole ones, each once, and at last those of which parts are missing.

        Asking for the next batch says that this one is dealt with: only then are its offsets committed.

        Raises:
            UserError: Topic or group can't be used, or no broker has answered for a minute.
        """
        with open_consumer(self._connection) as offsets:
            start, end = self._range(offsets)
            poller = PartitionPoller(self._connection, self._topic)
            try:
                for done, letters in self._read(poller, start, end):
                    yield letters
                    self._commit(offsets, start, done)
            finally:
                poller.close()
            yield self._assembly.waiting()
            self._commit(offsets, start, end)

    def _range(self, consumer: KafkaConsumer) -> tuple[dict[int, int], dict[int, int]]:
        partitions = consumer.partitions(self._topic)
        committed = consumer.committed(self._topic, partitions)
        first, end = (consumer.offsets_at(self._topic, partitions, at) for at in (EARLIEST, LATEST))
        start = {}
        for partition in partitions:
            previous = committed[partition]
            known = previous is not None and previous.offset <= end[partition]  # else the topic was created anew
            start[partition] = previous.offset if previous and known else first[partition]
        self.expired = sum(max(0, first[p] - start[p]) for p in partitions)
        return {p: max(start[p], first[p]) for p in partitions}, end

    def _read(
        self, poller: PartitionPoller, start: Mapping[int, int], end: Mapping[int, int]
    ) -> Iterator[tuple[dict[int, int], list[KafkaLetter]]]:
        """Yields letters and what is read by then: a partition's offset waits for the letters that lack parts."""
        read = dict(start)
        poller.seek(read, {})
        patience = time.monotonic() + _PATIENCE_SECONDS
        while any(max(read[p], poller.reached(p)) < end[p] for p in read):
            polled = {p: found.until(end[p]) for p, found in poller.poll(_MOST, _POLL_SECONDS).items()}
            polled = {p: found for p, found in polled.items() if found.next > read[p]}
            if not polled and time.monotonic() > patience:
                message = (
                    f"No broker at {self._connection.bootstrap_servers} gives what is in {self._topic}: is it well?"
                )
                raise UserError(message)
            if polled:
                patience = time.monotonic() + _PATIENCE_SECONDS
                letters = [letter for p, found in polled.items() for letter in self._assembled(p, found)]
                read.update((p, found.next) for p, found in polled.items())
                yield self._dealt_with(read), letters

    def _assembled(self, partition: int, found: Polled) -> Iterator[KafkaLetter]:
        for value, offset in zip(found.values, found.positions, strict=True):
            letter = self._assembly.add(value, partition, offset)
            if letter is not None and letter.key not in self._seen:
                self._seen.add(letter.key)
                yield letter

    def _dealt_with(self, read: Mapping[int, int]) -> dict[int, int]:
        first = [letter.first for letter in self._assembly.waiting()]
        return {p: min([at, *(offset for partition, offset in first if partition == p)]) for p, at in read.items()}

    def _commit(self, consumer: KafkaConsumer, start: dict[int, int], done: Mapping[int, int]) -> None:
        further = {(self._topic, p): Committed(at) for p, at in done.items() if at > start[p]}
        for last in (*[False] * (_TRIES - 1), True):
            try:
                if further:
                    consumer.commit(further)
                break
            except KafkaException as error:
                if last:
                    raise self._connection.explain(error.args[0], self._topic) from None
                time.sleep(0.5)
        start.update(done)
