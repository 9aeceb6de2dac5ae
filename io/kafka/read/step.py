"""`ReadFromKafka`: batches of undecoded records, with a watermark on event time."""

import re
from dataclasses import dataclass, field
from typing import Literal

import apache_beam as beam

from clickstream.io.errors import UserError
from clickstream.io.kafka.client import KafkaConnection
from clickstream.io.kafka.config import KafkaConfig
from clickstream.io.kafka.read.reader import EventTime, ReadSettings, ReadUntilEnd, ReadUntilStopped
from clickstream.io.kafka.read.start import StartPositions, start_time
from clickstream.io.schemas import SchemaRegistry
from clickstream.transforms.runner import on_prism
from clickstream.transforms.schema import Around, RawBatch

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(eq=False)
class ReadFromKafka(beam.PTransform):
    """Reads a topic as batches of undecoded records, with a watermark on event time.

    Out: a PCollection of `RawBatch`, one partition's records of one poll each; unbounded, or bounded with
    `until="now"`. A batch's `watermark` is the one in force before its own records were counted: the runner's is never
    ahead of it. Its `span`s tile the partition. A bounded read ends each partition with an empty batch, whose
    watermark is the event time up to which the group is complete; that of its other batches is the start of time.

    Nothing is skipped in silence: only `CommitOffsets` commits, and an offset that has expired is an error.

    Attributes:
        bootstrap_servers: `host:port`, several separated by commas.
        topic: The topic; its partitions are looked up when the job runs.
        group_id: The consumer group whose committed offsets are the start.
        event_time: Gives the latest plausible event time, ms since the epoch, of some payloads, or None. It's called on
            a sample of each batch. Without it: record timestamps.
        start: `committed` (else earliest), `earliest`, `latest`, or an ISO 8601 time (UTC unless it has a zone): the
            records written from then on.
        splits: `one`: all partitions are read together (for Prism, which keeps one watermark a stage); new partitions
            are found. `per_partition`: by many workers (Flink, Dataflow, batch runners).
        disorder_seconds: How much later than its successors an event may come and still be on time.
        idle_seconds: After so long without records a partition that is at its end no longer holds the watermark.
        until: `now`: read what is there when the job starts, then end. None: go on for ever.
        batch_records: The most records a batch.
        bundle_seconds: How often results go downstream.
        commit_start: Commit the start at once, so that a restart from `committed` begins there, not at the earliest.
        kafka_config: Further librdkafka settings; secrets by reference, see `load_kafka_config`.
        registry: Where the schemas of values in Confluent's framing are. While it doesn't answer, or doesn't know one, nothing is read on.

        around: Hand out key and headers with each value, see `Around`. None: values as they are.

    Raises:
        UserError: While the graph is built: an option that can't be, as `per_partition` on Prism. When the job starts: see `check_kafka`.
    """

    bootstrap_servers: str
    topic: str
    group_id: str
    event_time: EventTime | None = None
    start: str = "committed"
    splits: Literal["one", "per_partition"] = "one"
    disorder_seconds: float = 10.0
    idle_seconds: float = 30.0
    until: Literal["now"] | None = None
    batch_records: int = 10_000
    bundle_seconds: float = 1.0
    commit_start: bool = False
    kafka_config: KafkaConfig = field(default_factory=dict)
    registry: SchemaRegistry | None = None
    around: Around | None = None

    def __post_init__(self) -> None:
        _check_topic(self.topic)
        start_time(self.start)
        KafkaConnection(self.bootstrap_servers, self.group_id, self.kafka_config)
        _check_one_of("splits", self.splits, ("one", "per_partition"))
        _check_one_of("until", self.until, ("now", None))

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        connection = KafkaConnection(self.bootstrap_servers, self.group_id, self.kafka_config)
        bounded, one_group = self.until == "now", self.splits == "one"
        if not bounded and not one_group and on_prism(root.pipeline):
            message = "ReadFromKafka: splits='per_partition' loses events on Prism, which keeps one watermark for all: leave it out."
            raise UserError(message)
        starts = StartPositions(connection, self.topic, self.start, bounded, one_group, self.commit_start)
        reader = ReadUntilEnd if bounded else ReadUntilStopped
        return (
            root
            | "Run" >> beam.Create([None], reshuffle=False)
            | "StartPositions" >> beam.ParDo(starts)
            | "KeepThem" >> beam.Reshuffle()  # a retry begins where the first attempt did
            | "Batches" >> beam.ParDo(reader(self._settings(connection))).with_output_types(RawBatch)
        )

    def _settings(self, connection: KafkaConnection) -> ReadSettings:
        return ReadSettings(
            connection=connection,
            topic=self.topic,
            event_time=self.event_time,
            disorder_ms=int(self.disorder_seconds * 1000),
            idle_ms=int(self.idle_seconds * 1000),
            batch_records=self.batch_records,
            bundle_seconds=self.bundle_seconds,
            one_group=self.splits == "one",
            registry=self.registry,
            around=self.around,
        )


def _check_one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        message = f"ReadFromKafka: {name}={value!r} is unknown: it is one of {', '.join(map(str, known))}."
        raise UserError(message)


def _check_topic(topic: str) -> None:
    if not _TOPIC.fullmatch(topic):
        message = f"--topic={topic!r} is no topic's name: letters, digits, '.', '_' and '-' only."
        raise UserError(message)
