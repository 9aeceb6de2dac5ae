"""Where a run begins in each partition, and, if bounded, where it ends."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import apache_beam as beam

from clickstream.io.errors import UserError
from clickstream.io.kafka.client import EARLIEST, LATEST, Committed, KafkaConnection, KafkaConsumer, open_consumer
from clickstream.io.kafka.read.restriction import GroupState, PartitionState

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
    """What was committed, or the first offset there is where nothing was.

    Raises:
        UserError: A committed offset is no longer, or not yet, in the topic: records would be missed in silence.
    """
    for partition, found in committed.items():
        offset = first[partition] if found is None else found.offset
        if not first[partition] <= offset <= end[partition]:
            gone = (
                f"{first[partition] - offset:,} records have expired unread"
                if offset < first[partition]
                else "was the topic created anew?"
            )
            message = (
                f"The committed offset {offset} of {topic}/{partition} is outside of what the topic holds "
                f"({first[partition]} to {end[partition]}; {gone}): choose --start=earliest or --start=latest."
            )
            raise UserError(message)
    return {p: found or Committed(first[p]) for p, found in committed.items()}


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
        with open_consumer(self.connection) as consumer:
            partitions = consumer.partitions(self.topic)
            ends = consumer.offsets_at(self.topic, partitions, LATEST)
            starts = self._starts(consumer, partitions, ends)
            if self.commit_start:
                consumer.commit({(self.topic, p): start for p, start in starts.items()})
        complete_until = max(start.complete_until for start in starts.values())  # the sinks' watermark was that of all
        states = [self._state(p, starts[p].offset, ends[p], complete_until) for p in partitions]
        yield from [tuple(states)] if self.one_group else [(state,) for state in states]

    def _state(self, partition: int, start: int, end: int, complete_until: int) -> PartitionState:
        stop = max(start, end) if self.bounded else -1
        return PartitionState(partition, start, start, stop, complete_until=complete_until)

    def _starts(
        self, consumer: KafkaConsumer, partitions: Sequence[int], ends: Mapping[int, int]
    ) -> dict[int, Committed]:
        time_ms = start_time(self.start)
        if time_ms is not None:
            offsets = consumer.offsets_at(self.topic, partitions, time_ms)
            return {partition: Committed(offset) for partition, offset in offsets.items()}
        first = consumer.offsets_at(self.topic, partitions, EARLIEST)
        return check_committed(self.topic, consumer.committed(self.topic, partitions), first, ends)
