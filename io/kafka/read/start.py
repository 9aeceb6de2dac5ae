"""Where a run begins in each partition, and, if bounded, where it ends."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

import apache_beam as beam

from clickstream.io.errors import UserError
from clickstream.io.kafka.client import EARLIEST, LATEST, Committed, KafkaConnection, KafkaConsumer, open_consumer
from clickstream.io.kafka.read.restriction import GroupState, PartitionState

_LOG = logging.getLogger(__name__)
_NAMED = {"earliest": EARLIEST, "latest": LATEST}


def start_time(start: str) -> int | None:
    """The record time at which to begin, ms since the epoch (or EARLIEST, LATEST); None for `committed`.

    Raises:
        UserError: It is neither committed, earliest, latest nor an ISO 8601 time (without zone: UTC).
    """
    if start == "committed":
        return None
    if start in _NAMED:
        return _NAMED[start]
    try:
        moment = datetime.fromisoformat(start.replace("Z", "+00:00"))
    except ValueError:
        message = (
            f"--start={start} is unknown: write committed, earliest, latest or a time such as 2026-11-01T00:00:00Z."
        )
        raise UserError(message) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() * 1000)


def check_committed(
    topic: str, committed: Mapping[int, Committed | None], first: Mapping[int, int], end: Mapping[int, int]
) -> dict[int, Committed]:
    """What was committed, or the first offset there is: where nothing was, or all that has expired since had been read.

    Raises:
        UserError: A committed offset is no longer, or not yet, in the topic: records would be missed in silence.
    """
    starts = {p: found or Committed(first[p]) for p, found in committed.items()}
    for partition, found in starts.items():
        unread = first[partition] - max(found.offset, found.read_until)
        if unread > 0 or found.offset > end[partition]:
            gone = f"{unread:,} records have expired unread" if unread > 0 else "was the topic created anew?"
            message = (
                f"The committed offset {found.offset} of {topic}/{partition} is outside of what the topic holds "
                f"({first[partition]} to {end[partition]}; {gone}): choose --start=earliest or --start=latest."
            )
            raise UserError(message)
        if found.offset < first[partition]:
            _LOG.info(
                "%s/%s: %s records have expired that had all been read.",
                topic,
                partition,
                first[partition] - found.offset,
            )
            starts[partition] = found._replace(offset=first[partition])
    return starts


def is_anew(committed: Iterable[Committed | None], topic_id: str) -> bool:
    """Whether the offsets are those of an earlier topic of the same name."""
    return bool(topic_id) and any(found is not None and found.topic_id not in ("", topic_id) for found in committed)


@dataclass
class StartPositions(beam.DoFn):
    """Looks up, once a run, where each partition begins and, if bounded, ends. Out: a `GroupState` a group.

    Raises:
        UserError: See `check_kafka` and `check_committed`.
    """

    connection: KafkaConnection
    topic: str
    start: str
    bounded: bool
    one_group: bool
    commit_start: bool

    def process(self, _: object) -> Iterator[GroupState]:
        topic_id = self.connection.topic_id(self.topic)
        with open_consumer(self.connection) as consumer:
            partitions = consumer.partitions(self.topic)
            ends = consumer.offsets_at(self.topic, partitions, LATEST)
            committed = consumer.committed(self.topic, partitions)
            anew = is_anew(committed.values(), topic_id)
            starts = self._starts(consumer, committed, ends, anew=anew)
            if self.commit_start or anew:
                consumer.commit({(self.topic, p): start._replace(topic_id=topic_id) for p, start in starts.items()})
        complete_until = max(start.complete_until for start in starts.values())  # the sinks' watermark was that of all
        states = [self._state(p, starts[p].offset, ends[p], complete_until) for p in partitions]
        yield from [tuple(states)] if self.one_group else [(state,) for state in states]

    def _state(self, partition: int, start: int, end: int, complete_until: int) -> PartitionState:
        stop = max(start, end) if self.bounded else -1
        return PartitionState(partition, start, start, stop, complete_until=complete_until)

    def _starts(
        self, consumer: KafkaConsumer, committed: Mapping[int, Committed | None], ends: Mapping[int, int], *, anew: bool
    ) -> dict[int, Committed]:
        time_ms, partitions = start_time(self.start), list(committed)
        if time_ms is not None:
            offsets = consumer.offsets_at(self.topic, partitions, time_ms)
            return {partition: Committed(offset) for partition, offset in offsets.items()}
        first = consumer.offsets_at(self.topic, partitions, EARLIEST)
        if anew:
            _LOG.warning(
                "Topic %s was made anew since group %s committed: its offsets are of no use, and it is read from its beginning.",
                *(self.topic, self.connection.group_id),
            )
            return {partition: Committed(offset) for partition, offset in first.items()}
        return check_committed(self.topic, committed, first, ends)
