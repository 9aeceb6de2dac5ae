"""The splittable DoFn behind `ReadFromKafka`: groups of partitions, read poll by poll."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Duration, Timestamp

from clickstream.io.kafka.around import wrapped
from clickstream.io.kafka.client import KafkaConnection
from clickstream.io.kafka.read.poll import PartitionPoller, Polled
from clickstream.io.kafka.read.restriction import GroupRestrictions, GroupState, PartitionState
from clickstream.io.kafka.watermark import NEVER, PartitionView, next_watermark, sample
from clickstream.io.schemas import RegistryError, SchemaRegistry, ValueDecoder
from clickstream.transforms.schema import Around, RawBatch, Span

EventTime = Callable[[Sequence[bytes]], "int | None"]


@runtime_checkable
class ClockedEventTime(Protocol):
    """An event time that knows of clocks: a click ahead of the clock when it was written has no say in the watermark."""

    def latest_by_clock(self, values: Sequence[bytes], clocks: Sequence[int]) -> int | None:
        """The latest time of those that aren't ahead of their record's clock (ms since the epoch); None if all are."""


_AHEAD_MS = (
    1_000  # by so much clocks differ, and some write whole seconds: what is further ahead of the clock has no say
)
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 10.0
# Groups of one worker take turns: one without records doesn't keep the others waiting.
_TURN_SECONDS, _REST = 0.02, Duration(seconds=0.2)
_HOLD_SECONDS = 2.0  # until a registry that doesn't answer is asked again
_HOLD = Duration(seconds=_HOLD_SECONDS)


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
    registry: SchemaRegistry | None = None
    around: Around | None = None


_STATE = beam.DoFn.RestrictionParam(GroupRestrictions())
_WATERMARK = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


class _ReadGroup(beam.DoFn):
    """What the endless and the bounded reader share. Consumers stay open from bundle to bundle."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings

    def setup(self) -> None:
        self._pollers: dict[int, PartitionPoller] = {}
        self._closed = False
        self._decoder = ValueDecoder(self._settings.registry)
        self._read = Metrics.counter("clickstream.kafka", "records_read")
        self._bytes = Metrics.counter("clickstream.kafka", "bytes_read")

    def teardown(self) -> None:
        self._closed = True
        while self._pollers:
            self._pollers.popitem()[1].close()

    def _poller(self, group: GroupState) -> PartitionPoller:
        first = group[0].partition
        if first not in self._pollers:
            self._pollers[first] = PartitionPoller(
                self._settings.connection, self._settings.topic, self._settings.around
            )
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
        batch = RawBatch(
            found.values,
            source,
            found.positions,
            found.timestamps,
            watermark,
            span,
            state.complete_until,
            found.undecoded,
        )
        return TimestampedValue[RawBatch](batch, Timestamp(micros=watermark * 1000))

    def _decoded(self, polled: dict[int, Polled]) -> dict[int, Polled]:
        """With records for values. Raises a RegistryError while their schemas aren't to be had: nothing of them is claimed then."""
        records = {partition: self._decoder.decode(found.values) for partition, found in polled.items()}
        return {
            partition: found._replace(
                values=_with_around(records[partition].values, found), undecoded=records[partition].undecoded
            )
            for partition, found in polled.items()
        }

    def _after(self, poller: PartitionPoller, group: GroupState, polled: dict[int, Polled]) -> GroupState:
        return tuple(
            self._read_on(poller, state, found) if (found := polled.get(state.partition)) else state for state in group
        )

    def _read_on(self, poller: PartitionPoller, state: PartitionState, found: Polled) -> PartitionState:
        latest = self._latest(found)
        poller.note_times(state.partition, found, count=latest > NEVER)
        return state._replace(next=found.next, latest=max(state.latest, latest))

    def _latest(self, found: Polled) -> int:
        """The latest time that counts; NEVER if none does.

        A maximum over a sample is never larger than the true one: the watermark is at worst late, never wrong.
        """
        event_time, now = self._settings.event_time, int(time.time() * 1000)
        if event_time is None:
            return max((min(stamp, now) for stamp in found.timestamps if stamp <= now + _AHEAD_MS), default=NEVER)
        values = sample(found.values)
        if isinstance(event_time, ClockedEventTime):
            clocks = [min(stamp, now) if stamp > 0 else now for stamp in sample(found.timestamps)]
            latest = event_time.latest_by_clock(values, clocks)
        else:
            latest = event_time(values)
        return NEVER if latest is None else latest

    def _gauges(self, poller: PartitionPoller, group: GroupState, watermark: int) -> None:
        for partition, lag in poller.lags(_unread(group)).items():
            Metrics.gauge("clickstream.kafka", f"lag_{partition}").set(lag)
        last_answer_at = time.time() - poller.silent_seconds(_unread(group))
        Metrics.gauge("clickstream.kafka", f"answered_ms_{group[0].partition}").set(int(last_answer_at * 1000))
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
        try:
            yield from self._read_on_for_a_while(tracker, estimator)
        except RegistryError:  # what was polled is polled again
            self._poller(tracker.current_restriction()).forget()
            tracker.defer_remainder(_HOLD)
        except RuntimeError:
            # A worker that loses its runner tears down what still reads. Nobody takes this bundle any more, and the cause is told elsewhere.
            if not self._closed:
                raise
            tracker.defer_remainder()

    def _read_on_for_a_while(self, tracker: Any, estimator: Any) -> Iterator[Any]:
        deadline = time.monotonic() + self._settings.bundle_seconds
        poller = self._poller(tracker.current_restriction())
        group = self._with_new_partitions(poller, tracker.current_restriction())
        poller.seek(_unread(group), {state.partition: state.last_record_at for state in group})
        if poller.due("topic", _LOOK_SECONDS):
            poller.check_topic()
        stamp = estimator.current_watermark()
        watermark = _complete_until(group) if stamp is None else max(stamp.micros // 1000, _complete_until(group))
        polled = None
        while (left := deadline - time.monotonic()) > 0 and polled != {}:
            polled = poller.poll(self._settings.batch_records, left if self._settings.one_group else _TURN_SECONDS)
            polled = self._decoded(polled)
            before, group = group, self._after(poller, group, polled)
            group = tuple(state._replace(last_record_at=poller.last_record_at(state.partition)) for state in group)
            if not tracker.try_claim(group):
                poller.forget()
                return
            yield from self._batches(before, polled, watermark)
            watermark = self._watermark(poller, group, watermark)
            if watermark > NEVER:
                estimator.set_watermark(Timestamp(micros=watermark * 1000))
        self._gauges(poller, group, watermark)
        tracker.defer_remainder(None if polled or self._settings.one_group else _REST)

    def _watermark(self, poller: PartitionPoller, group: GroupState, previous: int) -> int:
        poller.confirm_quiet(_unread(group))
        settings = self._settings
        views = [poller.view(state.partition, _known(state.latest)) for state in group]
        by_clock = not settings.one_group or any(view.mute for view in views)
        return next_watermark(
            previous,
            views,
            disorder_ms=settings.disorder_ms,
            idle_ms=settings.idle_ms,
            clock_ms=int(time.time() * 1000) if by_clock else None,
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
        while left := sum(_left(state, poller) for state in group):
            polled = poller.poll(min(self._settings.batch_records, left), _POLL_SECONDS)
            polled = {s.partition: polled[s.partition].until(s.end) for s in group if s.partition in polled}
            polled = self._decoded_at_last(polled)
            before, group = group, self._after(poller, group, polled)
            if not tracker.try_claim(group):
                poller.forget()
                return
            yield from self._batches(before, polled, _complete_until(group))
        if tracker.try_claim(tuple(state._replace(next=state.end) for state in group)):
            yield from self._ends(poller, group)
        poller.forget()

    def _decoded_at_last(self, polled: dict[int, Polled]) -> dict[int, Polled]:
        while True:
            try:
                return self._decoded(polled)
            except RegistryError:  # noqa: PERF203 (it's waited for)
                time.sleep(_HOLD_SECONDS)

    def _ends(self, poller: PartitionPoller, group: GroupState) -> Iterator[Any]:
        """What lies behind the last record (transaction markers), and the empty batch that tells what is complete.

        A partition where more has come meanwhile, or waits behind an open transaction, isn't silent.
        """
        now = int(time.time() * 1000)
        at_end = poller.at_end({state.partition: state.end for state in group})
        views = [
            PartitionView(_known(s.latest), s.partition in at_end, max(0, now - poller.written(s.partition)))
            for s in group
        ]
        complete = _complete_until(group)
        final = next_watermark(complete, views, disorder_ms=self._settings.disorder_ms, idle_ms=self._settings.idle_ms)
        for state in group:
            nothing = Polled([], [], [], state.end)
            if state.next < state.end:
                yield self._batch(state, nothing, complete)
            yield TimestampedValue[RawBatch](
                self._batch(state._replace(next=state.end), nothing, final).value, MIN_TIMESTAMP
            )


def _left(state: PartitionState, poller: PartitionPoller) -> int:
    """The most records that may still come; the end may have been run into early, behind transaction markers."""
    return max(0, state.end - max(state.next, poller.reached(state.partition)))


def _with_around(values: list[bytes], found: Polled) -> list[bytes]:
    return values if found.around is None else wrapped(values, found.around)
