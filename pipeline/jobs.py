"""The graph, the same for every job: only the source and the sinks differ."""

from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows

from clickstream.transforms import CutByWindow, MeasureTimeSpent, ParseClicks, RawBatch, SumByPage


@dataclass
class Output:
    """Result rows of one kind, by windows or by hours or days, and where they go.

    Attributes:
        sum_up: From partial sums to rows.
        write_rows: Sinks of result tables, by label; each has the outputs `written` and `rejected`.
        write_bulk_file: Sink of result tables that refuses none, without outputs.
    """

    sum_up: SumByPage
    write_rows: dict[str, beam.PTransform]
    write_bulk_file: beam.PTransform | None = None


@dataclass
class Job:
    """The steps of a job; a sink that is None is left out.

    Attributes:
        read: Yields `RawBatch`.
        parse, measure, cut: What is computed, up to partial sums.
        outputs: What is made of them, by label.
        write_dead_letters: Sink of rejected tables; yields how many are written, as they are.
        store_raw: Passes on clicks as `stored` once they are kept; has the output `rejected` too. None: none are kept.
        note_progress: Passes on raw batches and rejected tables, and notes how many.
        commit: Takes `(progress, [written, ...])`, and commits what all sinks have. None for bounded sources without offsets.
    """

    read: beam.PTransform
    parse: ParseClicks
    measure: MeasureTimeSpent
    cut: CutByWindow
    outputs: dict[str, Output]
    write_dead_letters: beam.PTransform
    store_raw: beam.PTransform | None = None
    note_progress: beam.DoFn | None = None
    commit: beam.PTransform | None = None


def wire(pipeline: beam.Pipeline, job: Job) -> None:
    """Wires a job: read, parse, keep, measure, cut, sum up, write; then commit what is written."""
    raw = pipeline | "ReadClicks" >> job.read
    if job.note_progress is not None:
        raw |= "NoteRead" >> beam.ParDo(job.note_progress).with_output_types(RawBatch)

    parsed = raw | "ParseClicks" >> job.parse
    clicks, kept = parsed.clicks, {}
    if job.store_raw is not None:
        kept = {name: getattr(parsed, name) | f"Keep_{name}" >> job.store_raw for name in ("clicks", "too_late")}
        clicks = kept["clicks"].stored
    measured = {"clicks": clicks, "before": parsed.before} | "MeasureTimeSpent" >> job.measure
    partials = measured | "CutByWindow" >> job.cut
    sinks: dict[str, Any] = {}
    for name, output in job.outputs.items():
        rows = partials | f"SumByPage{name}" >> output.sum_up
        sinks |= {f"{label}{name}": rows | f"{label}{name}" >> write for label, write in output.write_rows.items()}
        if output.write_bulk_file is not None:
            _ = rows | f"WriteBulkFile{name}" >> output.write_bulk_file

    refused = [s.rejected | f"{name}Refused" >> beam.WindowInto(GlobalWindows()) for name, s in (sinks | kept).items()]
    rejected = (parsed.rejected, *refused) | "Rejected" >> beam.Flatten()
    if job.note_progress is not None:
        rejected |= "NoteRejected" >> beam.ParDo(job.note_progress).with_output_types(pa.Table)
    dead_letters = rejected | "WriteDeadLetters" >> job.write_dead_letters

    if job.commit is not None:
        after = [*(sink.written for sink in sinks.values()), *(stored.stored for stored in kept.values()), dead_letters]
        _ = {"progress": parsed.progress, "after": after} | "CommitOffsets" >> job.commit
