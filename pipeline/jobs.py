"""The graph, the same for every job: only the source and the sinks differ."""

from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from clickstream.transforms import AggregateByPage, MeasureTimeSpent, ParseClicks


@dataclass
class Job:
    """The steps of a job; a sink that is None is left out.

    Attributes:
        read: Yields `RawBatch`.
        parse, measure, aggregate: What is computed.
        write_rows: Sinks of result tables, by label; each has the outputs `written` and `rejected`.
        write_dead_letters: Sink of rejected tables, with the output `written`.
        commit: Takes `(progress, [written, ...])`, and commits what all sinks have. None for bounded sources without offsets.
    """

    read: beam.PTransform
    parse: ParseClicks
    measure: MeasureTimeSpent
    aggregate: AggregateByPage
    write_rows: dict[str, beam.PTransform]
    write_dead_letters: beam.PTransform
    commit: beam.PTransform | None = None


def wire(pipeline: beam.Pipeline, job: Job) -> None:
    """Wires a job: read, parse, measure, aggregate, write, and then commit what is written."""
    parsed = pipeline | "ReadClicks" >> job.read | "ParseClicks" >> job.parse
    rows = parsed.clicks | "MeasureTimeSpent" >> job.measure | "AggregateByPage" >> job.aggregate
    sinks = [rows | label >> write for label, write in job.write_rows.items()]

    refused = (parsed.rejected, *(sink.rejected for sink in sinks))
    dead_letters = refused | "Rejected" >> beam.Flatten() | "WriteDeadLetters" >> job.write_dead_letters

    if job.commit is not None:
        written: list[Any] = [sink.written for sink in sinks]
        _ = {"progress": parsed.progress, "after": [*written, dead_letters.written]} | "CommitOffsets" >> job.commit
