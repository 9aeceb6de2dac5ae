"""Offsets are committed behind the sinks: no offset passes an event that one of them may still need."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.coders import ListCoder, VarIntCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.trigger import AccumulationMode, DefaultTrigger
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec
from apache_beam.transforms.window import FixedWindows, GlobalWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp
from confluent_kafka import KafkaException

from clickstream.io.kafka.client import Committed, KafkaConnection, KafkaConsumer
from clickstream.io.kafka.config import KafkaConfig
from clickstream.io.kafka.watermark import NEVER
from clickstream.transforms.runner import keep_state_whole
from clickstream.transforms.schema import BatchProgress

_LOG = logging.getLogger(__name__)
_PAUSES = (0.2, 1.0, 3.0)
_LAST_MS = 253_402_300_799_000  # the end of the year 9999: later than this nothing is waited for
Stretch = tuple[int, int]
Run = tuple[str, int]  # a partition's source, and the offset at which the run began there


class Merged(NamedTuple):
    """What is done with: everything before `next`, and the stretches beyond it, apart and in order."""

    next: int
    beyond: list[Stretch]


def merge_spans(done: Merged, spans: Iterable[Stretch]) -> Merged:
    """Adds stretches of offsets `[start, end)`, in any order, overlapping or not; `next` grows up to the first gap."""
    reached, beyond = done.next, list[Stretch]()
    for start, end in sorted([*done.beyond, *spans]):
        if start <= reached:
            reached = max(reached, end)
        elif beyond and start <= beyond[-1][1]:
            beyond[-1] = (beyond[-1][0], max(beyond[-1][1], end))
        elif start < end:
            beyond.append((start, end))
    return Merged(reached, beyond)


def finished_offsets(
    progress: Iterable[BatchProgress], *, restart_at: Callable[[int], int] = int
) -> dict[str, Committed]:
    """The offset up to which each partition of a bounded run is done with.

    A bounded run ends each partition with an empty span that tells up to what event time the run is complete. Windows
    that end later are written as they stand, and their events are read again next time, so that they're then counted
    whole: a part would lose against what stands.

    Returns:
        By source; only partitions that got ahead.
    """
    found = list(progress)
    complete_until = complete_in(found)
    offsets = {}
    for source in {p.source for p in found}:
        own = [p for p in found if p.source == source]
        spans = [(p.span.start, p.span.end) for p in own if p.needed_until <= complete_until]
        start = own[0].span.run_start
        reached = merge_spans(Merged(start, []), spans).next
        if reached > start:
            offsets[source] = Committed(reached, restart_at(complete_until))
    return offsets


def complete_in(progress: Iterable[BatchProgress]) -> int:
    """The event time up to which a bounded run is complete, as the empty spans at its ends tell; NEVER if none does."""
    ends = [p.needed_until for p in progress if p.span.start == p.span.end and p.needed_until > NEVER]
    return min(ends, default=NEVER)


def read_offsets(progress: Iterable[BatchProgress]) -> dict[str, int]:
    """The offset up to which a bounded run has read each partition: the rows have all before it, also of windows that are open."""
    offsets: dict[str, int] = {}
    for each in progress:
        offsets[each.source] = max(each.span.end, offsets.get(each.source, 0))
    return offsets


@dataclass(eq=False)
class CommitOffsets(beam.PTransform):
    """Commits Kafka offsets once every sink has all windows that hold their events.

    In: `{"progress": PCollection of BatchProgress, "after": [what each sink gives out]}`; of the latter only the
    watermark counts. Out: the offsets, as `((topic, partition), offset)`, after they were committed.

    A batch's offsets wait until the watermark of all of `after` has passed its `needed_until`: then the sinks are done
    with its windows. What is committed is the stretch without gaps from the start of the run; it never goes back
    within a run. That watermark is committed beside it, because the next run begins to read in the middle of windows
    that were complete by then: a click that was too late for one of them must not become a new, partial row. A commit that
    fails is left to the next one; only a missing permission ends the job.

    Attributes:
        bootstrap_servers: `host:port`, several separated by commas.
        group_id: The consumer group.
        kafka_config: As for `ReadFromKafka`.
        every_seconds: Event time that is committed together.
        restart_at: From that watermark to the one at which the next run begins, both ms since the epoch: earlier where windows may
            still change when they are closed for late clicks (see `RestartTime`).
    """

    bootstrap_servers: str
    group_id: str
    kafka_config: KafkaConfig = field(default_factory=dict)
    every_seconds: int = 1
    restart_at: Callable[[int], int] = int

    def __post_init__(self) -> None:
        self._connection = KafkaConnection(self.bootstrap_servers, self.group_id, self.kafka_config)

    def __ror__(self, inputs: Any, label: str | None = None) -> Any:
        # Beam would make a list of PCollections one PCollection of constants, a tuple not.
        return super().__ror__({**inputs, "after": tuple(inputs["after"])}, label)

    def expand(self, inputs: Any) -> beam.PCollection:
        progress: beam.PCollection = inputs["progress"]
        keep_state_whole(progress.pipeline)
        waiting, commit = self._bounded(progress) if progress.is_bounded else self._unbounded(progress)
        signals = [
            sink | f"Sink{number}" >> beam.FlatMap(_nothing).with_output_types(waiting.element_type)
            for number, sink in enumerate(inputs["after"])
        ]
        return (
            [self._in_step(part, number, progress.is_bounded) for number, part in enumerate((waiting, *signals))]
            | "SinksAreDone" >> beam.Flatten()
            | "Finished" >> beam.GroupByKey()
            | "AnyTime" >> beam.WindowInto(GlobalWindows())
            | "Commit" >> beam.ParDo(commit)
        )

    def _bounded(self, progress: beam.PCollection) -> tuple[beam.PCollection, beam.DoFn]:
        by_topic = progress | "ByTopic" >> beam.Map(_by_topic).with_output_types(tuple[str, BatchProgress])
        return by_topic, _CommitAtEnd(self._connection, self.restart_at)

    def _unbounded(self, progress: beam.PCollection) -> tuple[beam.PCollection, beam.DoFn]:
        when_done = progress | "WhenDone" >> beam.Map(_when_done).with_output_types(tuple[Run, Stretch])
        return when_done, _CommitAhead(self._connection, self.restart_at)

    def _in_step(self, part: beam.PCollection, number: int, bounded: bool) -> beam.PCollection:
        return part | f"InStep{number}" >> beam.WindowInto(
            GlobalWindows() if bounded else FixedWindows(self.every_seconds),
            trigger=DefaultTrigger(),
            accumulation_mode=AccumulationMode.DISCARDING,
            allowed_lateness=0,
        )


def _when_done(progress: BatchProgress) -> TimestampedValue:
    """A batch's span at the time when it's needed no more.

    It's never late there: `needed_until` is not before the batch's watermark, which the runner's can't have passed
    while the batch is on its way, and a window ends after the times in it. A time before 1970 (no watermark yet, no
    click) is moved there: later is always safe.
    """
    span = progress.span
    at = min(max(progress.needed_until, 0), _LAST_MS)
    return TimestampedValue[tuple[Run, Stretch]](
        ((progress.source, span.run_start), (span.start, span.end)), Timestamp(micros=at * 1000)
    )


def _by_topic(progress: BatchProgress) -> tuple[str, BatchProgress]:
    return _partition(progress.source)[0], progress


def _partition(source: str) -> tuple[str, int]:
    topic, _, partition = source.removeprefix("kafka:").rpartition("/")
    return topic, int(partition)


def _nothing(_: object) -> Iterator[Any]:
    return iter(())


class _Committer(beam.DoFn):
    """Gathers offsets while a bundle lasts and commits them together at its end."""

    def __init__(self, connection: KafkaConnection, restart_at: Callable[[int], int]) -> None:
        self._connection, self._restart_at = connection, restart_at

    def setup(self) -> None:
        self._consumer: KafkaConsumer | None = None
        self._before: dict[tuple[str, int], Committed] = {}  # what the start, or an earlier run, has committed

    def start_bundle(self) -> None:
        self._ready: dict[tuple[str, int], Committed] = {}

    def finish_bundle(self) -> None:
        if self._ready:
            self._commit(self._ready)

    def teardown(self) -> None:
        if self._consumer is not None:
            self._consumer.close()

    def _commit(self, offsets: Mapping[tuple[str, int], Committed]) -> None:
        if self._consumer is None:
            self._consumer = self._connection.consumer()
        for pause in (*_PAUSES, None):
            try:
                self._look_up_before(self._consumer, offsets)
                self._consumer.commit({place: self._since_before(place, c) for place, c in offsets.items()})
                break
            except KafkaException as error:
                if pause is None:
                    _LOG.warning("Offsets were not committed (%s): the next commit has them.", error.args[0].name())
                    return
                time.sleep(pause)
        for (_, partition), committed in offsets.items():
            Metrics.gauge("clickstream.kafka", f"committed_offset_{partition}").set(committed.offset)

    def _look_up_before(self, consumer: KafkaConsumer, places: Iterable[tuple[str, int]]) -> None:
        new = [place for place in places if place not in self._before]
        for topic in {topic for topic, _ in new}:
            found = consumer.committed(topic, [partition for name, partition in new if name == topic])
            # The id that the start has committed: since then, the topic may have been made anew.
            topic_id = next((c.topic_id for c in found.values() if c and c.topic_id), "")
            none = Committed(0, topic_id=topic_id or self._connection.topic_id(topic))
            self._before |= {
                (topic, p): c._replace(topic_id=c.topic_id or none.topic_id) if c else none for p, c in found.items()
            }

    def _since_before(self, place: tuple[str, int], committed: Committed) -> Committed:
        """With the topic's id. What was complete stays so, though a run begins to commit at a time that is earlier."""
        before = self._before[place]
        complete_until = max(before.complete_until, committed.complete_until)
        return committed._replace(complete_until=complete_until, topic_id=before.topic_id)


_STATE = beam.DoFn.StateParam(ReadModifyWriteStateSpec("spans", ListCoder(VarIntCoder())))


class _CommitAhead(_Committer):
    def process(
        self, finished: tuple[Run, Iterable[Stretch]], spans: Any = _STATE, fired: Any = beam.DoFn.TimestampParam
    ) -> None:
        (source, run_start), stretches = finished
        next_offset, previous, *flat = spans.read() or [run_start, NEVER]
        complete_until = max(
            previous, fired.micros // 1000
        )  # the end of a window that all sinks' watermarks have passed
        done = merge_spans(Merged(next_offset, list(zip(flat[::2], flat[1::2], strict=True))), stretches)
        spans.write([done.next, complete_until, *(offset for stretch in done.beyond for offset in stretch)])
        if done.next > next_offset:
            self._ready[_partition(source)] = Committed(done.next, self._restart_at(complete_until))


class _CommitAtEnd(_Committer):
    def process(self, finished: tuple[str, Iterable[BatchProgress]]) -> None:
        progress = list(finished[1])
        done, complete = finished_offsets(progress, restart_at=self._restart_at), complete_in(progress)
        begun_again = Committed(0, self._restart_at(complete) if complete > NEVER else NEVER)
        for source, read_until in read_offsets(progress).items():
            start = next(p.span.run_start for p in progress if p.source == source)
            committed = done.get(source, begun_again._replace(offset=start))
            if read_until > start:
                self._ready[_partition(source)] = committed._replace(read_until=read_until)
