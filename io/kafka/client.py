"""Connections to Kafka."""

import contextlib
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, TopicMetadata

from clickstream.io.certificates import ask_for_fault
from clickstream.io.errors import UserError
from clickstream.io.kafka.config import KafkaConfig, check_kafka_config, resolve_kafka_config
from clickstream.io.kafka.errors import explain_error, is_certain, may_pass
from clickstream.io.kafka.watermark import NEVER

EARLIEST, LATEST = -2, -1  # what Kafka's offset look-up calls them
_ANSWER_SECONDS = 10.0
# In the metadata of a committed offset, which belongs to whoever commits: other tools write other things there.
_METADATA = re.compile(r"complete_until_ms=(-?\d{1,18})(?: topic_id=(\S{1,64}))?(?: read_until=(\d{1,18}))?")

_LOG = logging.getLogger("clickstream.io.kafka.librdkafka")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False  # librdkafka repeats itself each second while a broker is away; add a handler to see it

_CONSUMER_DEFAULTS: dict[str, str | int | float | bool] = {
    "fetch.queue.backoff.ms": 2,  # the default, 1 s, stalls a reader that empties its queue faster than that
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 65_536,  # the memory that read-ahead may take
    "max.partition.fetch.bytes": 4 << 20,
    "reconnect.backoff.max.ms": 2_000,
}
_CONSUMER_FIXED: dict[str, str | int | float | bool] = {
    "enable.auto.commit": False,
    "auto.offset.reset": "error",  # an offset that has expired is a gap: say so, never jump silently
    "enable.partition.eof": True,
}


@dataclass(frozen=True)
class KafkaConnection:
    """How to reach a cluster. Holds references to secrets, never a secret.

    Attributes:
        bootstrap_servers: `host:port`, several separated by commas.
        group_id: The consumer group whose offsets are read and committed.
        config: Further librdkafka settings, secrets by reference.

    Raises:
        UserError: See `check_kafka_config`.
    """

    bootstrap_servers: str
    group_id: str
    config: KafkaConfig = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_kafka_config(self.config)

    def consumer(self, **settings: str) -> "KafkaConsumer":
        """Opens a consumer; secrets are resolved here, so call it on the worker. `settings` win over all others.

        Raises:
            UserError: librdkafka refuses a setting.
        """
        return KafkaConsumer(self, {name.replace("_", "."): value for name, value in settings.items()})

    def topic_id(self, topic: str, seconds: float = _ANSWER_SECONDS) -> str:
        """What tells a topic from a later one of the same name; empty where the brokers don't say, or not within `seconds`."""
        settings = {"log_level": 4, **resolve_kafka_config(self.config)}
        admin = self.open(AdminClient, settings, lambda _: None)
        try:
            found = admin.describe_topics(TopicCollection([topic]), request_timeout=seconds)[topic].result()
        except KafkaException:
            return ""
        return "" if found.topic_id is None else str(found.topic_id)

    def producer(self, on_error: Callable[[KafkaError], None]) -> Producer:
        """Opens an idempotent producer. Raises as `consumer`."""
        settings = {
            "linger.ms": 20,
            "topic.metadata.propagation.max.ms": 5_000,
            **resolve_kafka_config(self.config),
            "enable.idempotence": True,
        }
        return self.open(Producer, settings, on_error)

    def explain(self, error: KafkaError, topic: str = "") -> UserError:
        """One line on what is wrong and what to do."""
        if error.code() == KafkaError._SSL and "verif" in error.str():  # noqa: SLF001
            fault = self._certificate_fault()
            if fault:
                return UserError(f"Kafka at {self.bootstrap_servers}: no TLS connection ({fault[0]}): {fault[1]}.")
        return explain_error(error, self.bootstrap_servers, self.group_id, topic)

    def _certificate_fault(self) -> tuple[str, str] | None:
        """What librdkafka, which says the same of all, doesn't like in a broker's certificate. Another look, as it doesn't keep it."""
        config = {name: str(value) for name, value in self.config.items()}
        by_name = config.get("ssl.endpoint.identification.algorithm", "https") != "none"
        for server in self.bootstrap_servers.split(","):
            host, _, port = server.strip().rpartition(":")
            if port.isdigit():
                found = ask_for_fault(host.strip("[]"), int(port), config.get("ssl.ca.location"), by_name=by_name)
                if found:
                    return found
        return None

    def open(self, client: Any, settings: dict[str, Any], on_error: Callable[[KafkaError], None]) -> Any:
        """Makes a client of the class given. Raises as `consumer`."""
        try:
            return client({**settings, "bootstrap.servers": self.bootstrap_servers, "error_cb": on_error}, logger=_LOG)
        except KafkaException as error:
            message = f"Kafka's client refuses a setting ({error.args[0].str()}): correct it in --kafka_config."
            raise UserError(message) from None


class Committed(NamedTuple):
    """Where a group stands in a partition.

    Attributes:
        offset: The first offset that isn't done with.
        complete_until: The event time, ms since the epoch, up to which windows were complete when that was committed:
            what they lack of later offsets came too late. NEVER if none was.
        read_until: The offset up to which all is in the rows as well, of windows that were still open; -1 if that isn't known.
        topic_id: Tells the topic from a later one of the same name; empty if that isn't known.
    """

    offset: int
    complete_until: int = NEVER
    read_until: int = -1
    topic_id: str = ""

    @property
    def metadata(self) -> str:
        """What is kept beside the offset."""
        topic = f" topic_id={self.topic_id}" if self.topic_id else ""
        read = f" read_until={self.read_until}" if self.read_until >= 0 else ""
        return f"complete_until_ms={self.complete_until}{topic}{read}"


def with_metadata(offset: int, metadata: str | None) -> Committed:
    """An offset, and what is kept beside it if we wrote that."""
    found = _METADATA.fullmatch(metadata or "")
    if found is None:
        return Committed(offset)
    complete_until, topic_id, read_until = found.groups()
    return Committed(offset, int(complete_until), int(read_until or -1), topic_id or "")


def _complete_until(metadata: str | None) -> int:
    return with_metadata(0, metadata).complete_until


class KafkaConsumer:
    """A consumer that isn't a member of its group: it reads the partitions that it's told to, and the group's offsets.

    Methods raise `UserError` for what a person must put right, and `KafkaException` for what may pass.
    """

    def __init__(self, connection: KafkaConnection, more: Mapping[str, str] | None = None) -> None:
        self.connection = connection
        self._complaints: deque[KafkaError] = deque(maxlen=100)  # an outage brings many a second
        settings = {**_CONSUMER_DEFAULTS, **resolve_kafka_config(connection.config), **_CONSUMER_FIXED, **(more or {})}
        self._answers: list[KafkaError | dict[tuple[str, int], int]] = []  # to commits
        named = {**settings, "group.id": connection.group_id, "on_commit": self._committed}
        self.client: Consumer = connection.open(Consumer, named, self._complaints.append)

    def close(self) -> None:
        """Closes the connections."""
        self.client.close()

    def topic(self, topic: str) -> TopicMetadata:
        """Describes a topic, waiting up to 10 s for a broker.

        Raises:
            UserError: No broker, refused login, TLS mismatch, unknown topic, no permission.
        """
        found = self._answer(lambda seconds: self.client.list_topics(topic, timeout=seconds)).topics[topic]
        if found.error is not None:
            raise self.connection.explain(found.error, topic)
        return found

    def partitions(self, topic: str) -> list[int]:
        """The numbers of a topic's partitions, in order. Raises as `topic`."""
        return sorted(self.topic(topic).partitions)

    def committed(self, topic: str, partitions: Sequence[int]) -> dict[int, Committed | None]:
        """What the group committed for each partition, None where there is nothing.

        Raises:
            UserError: No broker, or no permission to use the group or the topic.
        """
        wanted = [TopicPartition(topic, p) for p in partitions]
        found = self._answer(lambda seconds: self.client.committed(wanted, timeout=seconds))
        return {
            p.partition: with_metadata(p.offset, p.metadata) if p.offset >= 0 else None
            for p in self._checked(found, topic)
        }

    def offsets_at(self, topic: str, partitions: Sequence[int], time_ms: int) -> dict[int, int]:
        """The first offset of each partition at or after a time, the end where there is none; in one request a broker.

        Args:
            topic: The topic.
            partitions: Its partitions to look up.
            time_ms: Record time in ms since the epoch; or EARLIEST, or LATEST (the end).

        Raises:
            UserError: No broker, or no permission to read the topic.
        """
        wanted = [TopicPartition(topic, p, time_ms) for p in partitions]
        found = self._answer(lambda seconds: self.client.offsets_for_times(wanted, timeout=seconds))
        offsets = {p.partition: p.offset for p in self._checked(found, topic)}
        behind = [p for p, offset in offsets.items() if offset < 0]
        return {**offsets, **self.offsets_at(topic, behind, LATEST)} if behind and time_ms >= 0 else offsets

    def offsets_now(self, topic: str, partitions: Sequence[int], time_ms: int) -> dict[int, int] | None:
        """As `offsets_at` if all the brokers answer within a second, else None."""
        wanted = [TopicPartition(topic, p, time_ms) for p in partitions]
        with contextlib.suppress(KafkaException):
            found = self.client.offsets_for_times(wanted, timeout=1.0)
            if any(
                p.error is not None for p in found
            ):  # a partition that is new: this connection may know the topic without it
                self.client.list_topics(topic, timeout=1.0)
                found = self.client.offsets_for_times(wanted, timeout=1.0)
            if all(p.error is None and p.offset >= 0 for p in found):
                return {p.partition: p.offset for p in found}
        return None

    def commit(self, offsets: Mapping[tuple[str, int], Committed]) -> None:
        """Commits the group's offsets, by topic and partition; the event time goes into the offset's metadata.

        Raises:
            UserError: No permission, or the group is in use.
            KafkaException: What may pass.
        """
        wanted = [
            TopicPartition(topic, partition, committed.offset, committed.metadata)
            for (topic, partition), committed in offsets.items()
        ]
        expected = {(p.topic, p.partition): p.offset for p in wanted}
        self._answers.clear()
        self._complaints.clear()
        self.client.commit(offsets=wanted)
        deadline = time.monotonic() + _ANSWER_SECONDS
        while expected not in self._answers:  # to wait in librdkafka would be for ever if the group is forbidden
            self._listen(0.1)
            refused = [a for a in self._answers if isinstance(a, KafkaError) and not may_pass(a)]
            refusal = next(iter(refused), None) or next(filter(is_certain, self._complaints), None)
            if refusal:
                raise self.connection.explain(refusal, wanted[0].topic)
            if time.monotonic() > deadline or any(isinstance(a, KafkaError) for a in self._answers):
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        errors = [e for e in (error, *(p.error for p in partitions)) if e is not None]
        self._answers += errors or [{(p.topic, p.partition): p.offset for p in partitions}]

    def _listen(self, seconds: float) -> None:
        """Takes what the background threads have to say. Not for a consumer that reads: a record would be lost."""
        message = self.client.poll(seconds)
        if message is not None and message.error() is not None:
            self._complaints.append(message.error())

    def _checked(self, found: list[TopicPartition], topic: str) -> list[TopicPartition]:
        for partition in found:
            if partition.error is not None:
                raise self.connection.explain(partition.error, topic)
        return found

    def _answer(self, ask: Callable[[float], Any]) -> Any:
        """Asks in short turns, so that a refused login is told at once and not after the whole time out."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            try:
                return ask(1.0)
            except KafkaException as error:  # noqa: PERF203 - trying again is what it's for
                self._listen(0)
                told = next(filter(is_certain, self._complaints), None)
                if told or not may_pass(error.args[0]):
                    raise self.connection.explain(told or error.args[0]) from None
                if time.monotonic() > deadline:
                    raise self.connection.explain(next(iter(self._complaints), error.args[0])) from None


def explain(error: KafkaError, connection: KafkaConnection, topic: str = "") -> UserError:
    """Turns a client's error into one line: what is wrong and what to do."""
    return connection.explain(error, topic)


@contextlib.contextmanager
def open_consumer(connection: KafkaConnection) -> Iterator[KafkaConsumer]:
    """A consumer for the length of a `with` block."""
    consumer = connection.consumer()
    try:
        yield consumer
    finally:
        consumer.close()


def check_kafka(connection: KafkaConnection, topic: str) -> None:
    """Connects once and looks at topic and group, so that a mistake is told before the first event.

    Raises:
        UserError: No broker, unknown topic, refused login, TLS mismatch, no permission; one line each, with what to do.
    """
    with open_consumer(connection) as consumer:
        consumer.committed(topic, consumer.partitions(topic))
