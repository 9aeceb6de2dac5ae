"""The splittable DoFn behind `ReadFromKafka`: groups of partitions, read poll by poll."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Duration, Timestamp

from clickstream.io.kafka.client import KafkaConnection
from clickstream.io.kafka.read.poll import PartitionPoller, Polled
from clickstream.io.kafka.read.restriction import GroupRestrictions, GroupState, PartitionState
from clickstream.io.kafka.watermark import NEVER, PartitionView, next_watermark, sample
from clickstream.transforms.schema import RawBatch, Span

EventTime = Callable[[Sequence[bytes]], "int | None"]
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 10.0
# Groups of one worker take turns: one without records doesn't keep the others waiting.
_TURN_SECONDS, _REST = 0.02, Duration(seconds=0.2)


@dataclass(frozen=True)
class ReadSettings:
    """What the reader must know; times in ms, lengths in seconds. See `ReadFromKafka`."""

    connection: KafkaConnection
    topic: str
    event_time: EventTime | None
    disorder_ms: int
    idle_ms: int
    batch_records: int
    bundle_seconds: float
    one_group: bool


_STATE = beam.DoFn.RestrictionParam(GroupRestrictions())
_WATERMARK = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


class _ReadGroup(beam.DoFn):
    """What the endless and the bounded reader share. Consumers stay open from bundle to bundle."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings

    def setup(self) -> None:
        self._pollers: dict[int, PartitionPoller] = {}
        self._read = Metrics.counter("clickstream.kafka", "records_read")
        self._bytes = Metrics.counter("clickstream.kafka", "bytes_read")

    def teardown(self) -> None:
        while self._pollers:
            self._pollers.popitem()[1].close()

    def _poller(self, group: GroupState) -> PartitionPoller:
        first = group[0].partition
        if first not in self._pollers:
            self._pollers[first] = PartitionPoller(self._settings.connection, self._settings.topic)
        return self._pollers[first]

    def _batches(self, before: GroupState, polled: dict[int, Polled], watermark: int) -> Iterator[Any]:
        for state in before:
            if found := polled.get(state.partition):
                self._read.inc(len(found.values))
                self._bytes.inc(sum(map(len, found.values)))
                yield self._batch(state, found, watermark)

    def _batch(self, state: PartitionState, found: Polled, watermark: int) -> TimestampedValue:
        """A batch at the watermark's time: it isn't late, and its events can't become so while it's on its way."""
        source = f"kafka:{self._settings.topic}/{state.partition}"
        span = Span(state.run_start, state.next, found.next)
        batch = RawBatch(found.values, source, found.positions, found.timestamps, watermark, span, state.complete_until)
        return TimestampedValue(batch, Timestamp(micros=watermark * 1000))

    def _after(self, group: GroupState, polled: dict[int, Polled]) -> GroupState:
        return tuple(
            state._replace(next=found.next, latest=max(state.latest, self._latest(found)))
            if (found := polled.get(state.partition))
            else state
            for state in group
        )

    def _latest(self, found: Polled) -> int:
        if self._settings.event_time is None:
            return max(found.timestamps, default=NEVER)
        # A maximum over a sample is never larger than the true one: the watermark is at worst late, never wrong.
        latest = self._settings.event_time(sample(found.values))
        return NEVER if latest is None else latest

    def _gauges(self, poller: PartitionPoller, group: GroupState, watermark: int) -> None:
        for partition, lag in poller.lags(_unread(group)).items():
            Metrics.gauge("clickstream.kafka", f"lag_{partition}").set(lag)
        answered = time.time() - poller.silent_seconds(_unread(group))
        Metrics.gauge("clickstream.kafka", f"answered_ms_{group[0].partition}").set(int(answered * 1000))
        if watermark > NEVER:
            Metrics.gauge("clickstream.kafka", f"watermark_ms_{group[0].partition}").set(watermark)


def _unread(group: GroupState) -> dict[int, int]:
    return {state.partition: state.next for state in group}


def _complete_until(group: GroupState) -> int:
    return max(state.complete_until for state in group)


def _known(latest: int) -> int | None:
    return None if latest == NEVER else latest


class ReadUntilStopped(_ReadGroup):
    """Reads a group of partitions for a second or so at a time, for ever."""

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(self, element: GroupState, tracker: Any = _STATE, estimator: Any = _WATERMARK) -> Iterator[Any]:
        deadline = time.monotonic() + self._settings.bundle_seconds
        poller = self._poller(tracker.current_restriction())
        group = self._with_new_partitions(poller, tracker.current_restriction())
        poller.seek(_unread(group), {state.partition: state.heard for state in group})
        stamp = estimator.current_watermark()
        watermark = _complete_until(group) if stamp is None else max(stamp.micros // 1000, _complete_until(group))
        polled = None
        while (left := deadline - time.monotonic()) > 0 and polled != {}:
            polled = poller.poll(self._settings.batch_records, left if self._settings.one_group else _TURN_SECONDS)
            before, group = group, self._after(group, polled)
            group = tuple(state._replace(heard=poller.heard(state.partition)) for state in group)
            if not tracker.try_claim(group):
                poller.forget()
                return
            yield from self._batches(before, polled, watermark)
            watermark = self._watermark(poller, group, watermark)
            if watermark > NEVER:
                estimator.set_watermark(Timestamp(micros=watermark * 1000))
        self._gauges(poller, group, watermark)
        tracker.defer_remainder(None if polled or self._settings.one_group else _REST)

    def _watermark(self, poller: PartitionPoller, group: GroupState, stood: int) -> int:
        poller.confirm_quiet(_unread(group))
        settings = self._settings
        return next_watermark(
            stood,
            [poller.view(state.partition, _known(state.latest)) for state in group],
            disorder_ms=settings.disorder_ms,
            idle_ms=settings.idle_ms,
            clock_ms=None if settings.one_group else int(time.time() * 1000),
        )

    def _with_new_partitions(self, poller: PartitionPoller, group: GroupState) -> GroupState:
        if not self._settings.one_group or not poller.due("partitions", _LOOK_SECONDS):
            return group
        new = poller.new_partitions(_unread(group))
        complete = _complete_until(group)
        return (*group, *(PartitionState(p, at, at, complete_until=complete) for p, at in sorted(new.items())))


class ReadUntilEnd(_ReadGroup):
    """Reads a group of partitions to the ends that were set when the run started.

    The last batch of each partition is empty. Its watermark is the event time up to which the group is complete.
    """

    def process(self, element: GroupState, tracker: Any = _STATE) -> Iterator[Any]:
        group: GroupState = tracker.current_restriction()
        poller = self._poller(group)
        poller.seek(_unread(group), {})
        written: dict[int, int] = {}
        while left := sum(_left(state, poller) for state in group):
            polled = poller.poll(min(self._settings.batch_records, left), _POLL_SECONDS)
            polled = {s.partition: polled[s.partition].until(s.end) for s in group if s.partition in polled}
            written.update((p, found.timestamps[-1]) for p, found in polled.items() if found.timestamps)
            before, group = group, self._after(group, polled)
            if not tracker.try_claim(group):
                poller.forget()
                return
            yield from self._batches(before, polled, _complete_until(group))
        if tracker.try_claim(tuple(state._replace(next=state.end) for state in group)):
            yield from self._ends(group, written)
        poller.forget()

    def _ends(self, group: GroupState, written: dict[int, int]) -> Iterator[Any]:
        """What lies behind the last record (transaction markers), and the empty batch that tells what is complete."""
        now = int(time.time() * 1000)
        views = [PartitionView(_known(s.latest), True, max(0, now - written.get(s.partition, 0))) for s in group]
        complete = _complete_until(group)
        final = next_watermark(complete, views, disorder_ms=self._settings.disorder_ms, idle_ms=self._settings.idle_ms)
        for state in group:
            nothing = Polled([], [], [], state.end)
            if state.next < state.end:
                yield self._batch(state, nothing, complete)
            yield TimestampedValue(self._batch(state._replace(next=state.end), nothing, final).value, MIN_TIMESTAMP)


def _left(state: PartitionState, poller: PartitionPoller) -> int:
    """The most records that may still come; the end may have been run into early, behind transaction markers."""
    return max(0, state.end - max(state.next, poller.reached(state.partition)))
