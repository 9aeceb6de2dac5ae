"""Polls of a group of partitions: records as columns, and what is known of each partition's end."""

import contextlib
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from clickstream.io.errors import UserError
from clickstream.io.kafka.around import around
from clickstream.io.kafka.client import EARLIEST, LATEST, KafkaConnection, KafkaConsumer
from clickstream.io.kafka.errors import may_pass
from clickstream.io.kafka.watermark import NEVER, PartitionView
from clickstream.transforms.schema import Around

_SLICE = 500  # records taken at a time, so that records of 1 MiB can't pile up
_POLL_BYTES = 64 << 20
_CONFIRM_SECONDS = 1.0
_NOW_SECONDS, _MUTE_SECONDS = 10.0, 5.0


class Polled(NamedTuple):
    """One partition's records of one poll, as columns; `next` is the offset behind the last, `undecoded` as in `RawBatch`."""

    values: list[bytes]
    positions: list[int]
    timestamps: list[int]
    next: int
    undecoded: tuple[tuple[int, str, str], ...] = ()
    around: list[bytes] | None = None  # what stands around each value, if that is asked for

    def until(self, end: int) -> "Polled":
        """Only what lies before `end`."""
        if self.next <= end:
            return self
        count = bisect_left(self.positions, end)
        around = None if self.around is None else self.around[:count]
        return Polled(self.values[:count], self.positions[:count], self.timestamps[:count], end, around=around)


@dataclass
class Columns:
    """One partition's records as they are gathered; `next` is the offset behind the last, a tombstone's too."""

    asked: Around | None = None
    values: list[bytes] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    next: int = 0
    around: list[bytes] = field(default_factory=list)

    def add(self, messages: list[Message]) -> None:
        """Takes messages apart, all but tombstones: they say that a key is gone, and are no records."""
        self.next = messages[-1].offset() + 1
        found = list(map(Message.value, messages))
        if None in found:
            messages = [message for message, value in zip(messages, found, strict=True) if value is not None]
            found = [value for value in found if value is not None]
        self.values += found
        self.positions += map(Message.offset, messages)
        self.timestamps += [stamp for _, stamp in map(Message.timestamp, messages)]
        if self.asked:
            self.around += around(messages, self.asked)


def add_columns(columns: dict[int, Columns], messages: list[Message], asked: Around | None = None) -> None:
    """Adds messages to their partitions.

    Called on a few hundred at a time, while they are in the processor's cache: twice as fast as on ten thousand.
    """
    owners = list(map(Message.partition, messages))
    for partition in set(owners):
        own = messages if owners.count(partition) == len(owners) else _of(partition, owners, messages)
        columns.setdefault(partition, Columns(asked)).add(own)


def _of(partition: int, owners: list[int], messages: list[Message]) -> list[Message]:
    return [m for m, owner in zip(messages, owners, strict=True) if owner == partition]


class PartitionPoller:
    """Reads a group of partitions of a topic over one connection that outlives a bundle; another one asks for their ends."""

    def __init__(self, connection: KafkaConnection, topic: str, asked: Around | None = None) -> None:
        self._asked = asked
        self._consumer = connection.consumer()
        self._ends: KafkaConsumer | None = None  # one that sees what waits behind transactions too
        self._connection = connection
        self._topic, self._topic_id = topic, ""
        self._at: dict[int, int] = {}  # what the next poll delivers
        self._forgotten = False
        self._reached: dict[
            int, int
        ] = {}  # the end of each partition that was run into, behind transaction markers too
        self._last_record_at: dict[
            int, float
        ] = {}  # when each partition last had a record whose time counts, or the brokers didn't answer
        # Since when, and until when, each partition has had records of now at least every second, but none whose time counts.
        self._mute: dict[int, tuple[float, float]] = {}
        self._answered: dict[
            int, float
        ] = {}  # when the brokers last had a word for each partition: a record, or its end
        self._written: dict[int, int] = {}  # when the last of each partition's records with such a time was written
        self._caught_up: set[int] = set()
        self._confirmed = 0.0  # when the brokers last told the ends
        self._came = 0.0  # when records last came
        self._last: dict[str, float] = {"partitions": time.monotonic()}

    def close(self) -> None:
        """Closes the connections."""
        self._consumer.close()
        if self._ends is not None:
            self._ends.close()

    def seek(self, wanted: Mapping[int, int], last_record_at: Mapping[int, int]) -> None:
        """Goes to these offsets, unless it stands there: what was read ahead is kept.

        Args:
            wanted: The first unread offset of each partition.
            last_record_at: As `last_record_at` gave it out after the last poll, here or in another worker; NEVER: not yet.
        """
        now, wall = time.monotonic(), time.time()
        for partition, millis in last_record_at.items():
            self._last_record_at[partition] = now - max(0.0, wall - millis / 1000) if millis > NEVER else now
        if wanted == self._at and not self._forgotten:
            return
        self._at, self._forgotten = dict(wanted), False
        self._consumer.client.assign([TopicPartition(self._topic, p, offset) for p, offset in wanted.items()])
        self._reached.clear()
        self._answered = dict.fromkeys(wanted, now)

    def last_record_at(self, partition: int) -> int:
        """When it last had a record whose time counts, or the brokers didn't answer; ms since the epoch."""
        now = time.monotonic()
        return int((time.time() - (now - self._last_record_at.get(partition, now))) * 1000)

    def written(self, partition: int) -> int:
        """When the last record whose time counts was written, by its own timestamp; 0 if there was none."""
        return self._written.get(partition, 0)

    def forget(self) -> None:
        """What was polled last was not taken: the next `seek` goes back."""
        self._forgotten = True

    def poll(self, most: int, seconds: float) -> dict[int, Polled]:
        """Waits for up to `most` records, or `seconds`, and returns what came, by partition.

        Raises:
            UserError: An offset has expired, or the permission is gone.
        """
        columns: dict[int, Columns] = {}
        deadline = time.monotonic() + seconds
        left, size = most, 0
        while left > 0 and size < _POLL_BYTES:
            messages = self._consumer.client.consume(min(left, _SLICE), max(0.0, deadline - time.monotonic()))
            left -= len(messages)
            if any(map(Message.error, messages)):
                messages = [m for m in messages if not self._is_sign(m)]
            size += sum(map(len, messages))
            add_columns(columns, messages, self._asked)
            if time.monotonic() >= deadline:
                break
        found = {
            p: Polled(c.values, c.positions, c.timestamps, c.next, around=c.around if self._asked else None)
            for p, c in columns.items()
        }
        return self._noted(found)

    def _noted(self, polled: dict[int, Polled]) -> dict[int, Polled]:
        now = time.monotonic()
        self._came = now if polled else self._came
        for partition, found in polled.items():
            self._at[partition] = found.next
            self._answered[partition] = now
        return polled

    def note_times(self, partition: int, polled: Polled, *, count: bool) -> None:
        """Whether one of the records' times counts: a partition without such is silent, whatever else comes.

        Where what comes is of now, its reader isn't behind, though new records never let it reach the end: that is noted too.
        """
        now = time.monotonic()
        if count:
            self._last_record_at[partition], self._written[partition] = now, polled.timestamps[-1]
            self._mute.pop(partition, None)
        elif polled.timestamps and max(polled.timestamps) >= (time.time() - _NOW_SECONDS) * 1000:
            began, last = self._mute.get(partition, (now, now))
            self._mute[partition] = (began if now - last < _CONFIRM_SECONDS else now), now

    def _is_sign(self, message: Message) -> bool:
        """Whether it's no record; notes the end of a partition, raises for what waiting doesn't cure."""
        error = message.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._reached[message.partition()] = message.offset()
        elif error is not None and not may_pass(error):
            self.check_topic()
            raise self._connection.explain(error, self._topic)
        return error is not None

    def due(self, what: str, seconds: float) -> bool:
        """Whether something that is done every so often is due; it then counts as done."""
        now = time.monotonic()
        is_due = now - self._last.get(what, 0.0) >= seconds
        if is_due:
            self._last[what] = now
        return is_due

    def reached(self, partition: int) -> int:
        """The end that was run into when reading, behind transaction markers too; -1 if none was."""
        return self._reached.get(partition, -1)

    def confirm_quiet(self, read: Mapping[int, int]) -> None:
        """Asks the brokers, once a second, if silent partitions are at their end. No answer: not silent.

        Args:
            read: The first unread offset of each partition.
        """
        quiet = [p for p in read if time.monotonic() - self._last_record_at.get(p, 0.0) >= _CONFIRM_SECONDS]
        if not quiet or not self.due("confirm", _CONFIRM_SECONDS):
            return
        ends = self._high_watermarks(quiet)
        now = self._confirmed = time.monotonic()
        if ends is None:
            self._last_record_at.update(dict.fromkeys(quiet, now))
        else:
            self._answered.update(dict.fromkeys(ends, now))
            self._caught_up = {p for p, end in ends.items() if max(read[p], self.reached(p)) >= end}

    def at_end(self, ends: Mapping[int, int]) -> set[int]:
        """The partitions that have nothing behind these offsets; none if the brokers don't answer."""
        return {p for p, end in (self._high_watermarks(list(ends)) or {}).items() if ends[p] >= end}

    def _high_watermarks(self, partitions: list[int]) -> dict[int, int] | None:
        """The partitions' ends. An open transaction's records lie before them, which a reader of committed records isn't told."""
        if self._ends is None:
            self._ends = self._connection.consumer(isolation_level="read_uncommitted")
        return self._ends.offsets_now(self._topic, partitions, LATEST)

    def view(self, partition: int, latest: int | None) -> PartitionView:
        """What the watermark depends on.

        That a partition is caught up counts only if it was told since records came last: with them, others may have come
        to it, and older ones, when a backlog arrives everywhere at once.
        """
        quiet = max(0.0, self._confirmed - self._last_record_at.get(partition, self._confirmed))
        told = partition in self._caught_up and self._confirmed >= self._came
        began, last = self._mute.get(partition, (0.0, float("-inf")))
        mute = last - began >= _MUTE_SECONDS and time.monotonic() - last < _CONFIRM_SECONDS
        return PartitionView(latest, told, int(quiet * 1000), mute)

    def silent_seconds(self, partitions: Iterable[int]) -> float:
        """For how long the brokers have had no word for one of these."""
        return time.monotonic() - min(self._answered[p] for p in partitions)

    def new_partitions(self, known: Iterable[int]) -> dict[int, int]:
        """Partitions that the topic has got, with their first offset; none while the brokers don't answer."""
        with contextlib.suppress(KafkaException):
            found = self._consumer.client.list_topics(self._topic, timeout=1.0).topics[self._topic].partitions
            new = sorted(set(found) - set(known))
            return (self._consumer.offsets_now(self._topic, new, EARLIEST) or {}) if new else {}
        return {}

    def check_topic(self) -> None:
        """Looks whether the topic is the one that is being read. No answer says nothing.

        Raises:
            UserError: It was made anew: the offsets are those of another.
        """
        found = self._connection.topic_id(self._topic, 1.0)
        if found and found != (self._topic_id or found):
            message = f"Topic {self._topic} was made anew: the job must begin anew too, at its earliest record."
            raise UserError(message)
        self._topic_id = found or self._topic_id

    def lags(self, read: Mapping[int, int]) -> dict[int, int]:
        """How many offsets each partition is behind its end, as of the last fetch."""
        ends = {
            p: self._consumer.client.get_watermark_offsets(TopicPartition(self._topic, p), cached=True)[1] for p in read
        }
        return {p: max(0, end - read[p]) for p, end in ends.items() if end >= 0}
