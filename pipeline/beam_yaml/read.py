"""Beam YAML's steps that read. The docstrings here and beside are what Beam shows of each step."""

from typing import Any

import apache_beam as beam

from clickstream.io import kafka, logs
from clickstream.pipeline.beam_yaml.layouts import RawRows
from clickstream.pipeline.beam_yaml.rows import ToRows
from clickstream.pipeline.beam_yaml.step import Step
from clickstream.pipeline.options import event_format_of
from clickstream.transforms.parse import LatestEventTime


def ReadClickLogs(path: str) -> beam.PTransform:  # noqa: N802 - the name that pipelines use
    """Reads click logs, plain, .gz or .zst: a row a line, with `payload`, `source` and `position`, the offset of its bytes.

    Args:
        path: Path or glob.
    """
    return Step("ReadClickLogs", lambda root: root | "Read" >> logs.ReadClickLogs(path) | ToRows(RawRows))


def ReadClicksFromKafka(  # noqa: N802
    bootstrap_servers: str,
    topic: str,
    group_id: str = "clickstream-beam-yaml",
    start: str = "earliest",
    until: str | None = None,
    disorder_seconds: float = 10.0,
    idle_seconds: float = 30.0,
    max_event_age_seconds: float | None = 7 * 86_400.0,
    max_clock_skew_seconds: float | None = 600.0,
    event_format: str | None = None,
    splits: str = "one",
    kafka_config: dict[str, Any] | None = None,
) -> beam.PTransform:
    """Reads clicks from Kafka, with a watermark on their event time: a row a record, with `payload`, `source` and `position`, its offset.

    Commits no offsets: a pipeline that is started again reads from `start`. The sinks make that harmless.

    Args:
        bootstrap_servers: host:port, several with commas.
        topic: The topic.
        group_id: The consumer group, for `start: committed` and for the broker's access rules.
        start: earliest, latest, committed, or an ISO 8601 time.
        until: now, to read what is there, then end.
        disorder_seconds: How much later than its successors an event may come and still be on time.
        idle_seconds: After so long without records a partition no longer holds the watermark.
        max_event_age_seconds: An event further back has no say in the watermark; as for ParseClicks.
        max_clock_skew_seconds: Nor one further ahead.
        event_format: Where an event of another shape has its time; as for ParseClicks.
        splits: per_partition for Flink and Dataflow; one for Prism.
        kafka_config: Further librdkafka settings; secrets by reference (env:NAME, file:PATH).
    """
    read = kafka.ReadFromKafka(
        bootstrap_servers,
        topic,
        group_id,
        event_time=LatestEventTime(max_event_age_seconds, max_clock_skew_seconds, event_format_of(event_format)),
        start=start,
        splits=splits,  # type: ignore[arg-type] # checked there
        disorder_seconds=disorder_seconds,
        idle_seconds=idle_seconds,
        until=until,  # type: ignore[arg-type]
        kafka_config=kafka_config or {},
    )
    return Step("ReadClicksFromKafka", lambda root: root | "Read" >> read | ToRows(RawRows))
