"""The graph, the same for every job: only the source and the sinks differ."""

from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows

from clickstream.transforms import AggregateByPage, MeasureTimeSpent, ParseClicks, RawBatch


@dataclass
class Job:
    """The steps of a job; a sink that is None is left out.

    Attributes:
        read: Yields `RawBatch`.
        parse, measure, aggregate: What is computed.
        write_rows: Sinks of result tables, by label; each has the outputs `written` and `rejected`.
        write_dead_letters: Sink of rejected tables; yields how many are written, as they are.
        write_bulk_file: Sink of result tables that refuses none, without outputs.
        note_progress: Passes on raw batches and rejected tables, and notes how many.
        commit: Takes `(progress, [written, ...])`, and commits what all sinks have. None for bounded sources without offsets.
    """

    read: beam.PTransform
    parse: ParseClicks
    measure: MeasureTimeSpent
    aggregate: AggregateByPage
    write_rows: dict[str, beam.PTransform]
    write_dead_letters: beam.PTransform
    write_bulk_file: beam.PTransform | None = None
    note_progress: beam.DoFn | None = None
    commit: beam.PTransform | None = None


def wire(pipeline: beam.Pipeline, job: Job) -> None:
    """Wires a job: read, parse, measure, aggregate, write; then commit what is written."""
    raw = pipeline | "ReadClicks" >> job.read
    if job.note_progress is not None:
        raw |= "NoteRead" >> beam.ParDo(job.note_progress).with_output_types(RawBatch)

    parsed = raw | "ParseClicks" >> job.parse
    clicks = {"clicks": parsed.clicks, "before": parsed.before}
    rows = clicks | "MeasureTimeSpent" >> job.measure | "AggregateByPage" >> job.aggregate
    sinks = [rows | label >> write for label, write in job.write_rows.items()]
    if job.write_bulk_file is not None:
        _ = rows | "WriteBulkFile" >> job.write_bulk_file

    refused = [
        sink.rejected | f"{label}Refused" >> beam.WindowInto(GlobalWindows())
        for label, sink in zip(job.write_rows, sinks, strict=True)
    ]
    rejected = (parsed.rejected, *refused) | "Rejected" >> beam.Flatten()
    if job.note_progress is not None:
        rejected |= "NoteRejected" >> beam.ParDo(job.note_progress).with_output_types(pa.Table)
    dead_letters = rejected | "WriteDeadLetters" >> job.write_dead_letters

    if job.commit is not None:
        after = [*(sink.written for sink in sinks), dead_letters]
        _ = {"progress": parsed.progress, "after": after} | "CommitOffsets" >> job.commit
