"""The graph, the same for every job: only the source and the sinks differ."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows

from clickstream.io.logs import LastLine, NoteLastLines
from clickstream.pipeline.output_dir import derived_of
from clickstream.transforms import CutByWindow, MeasureTimeSpent, ParseClicks, RawBatch, SumByBreakdown
from clickstream.transforms.outputs import named_outputs


@dataclass
class Output:
    """Where result rows of one kind go: of windows, hours or days, of pages or a breakdown.

    Attributes:
        write_rows: Sinks of result tables, by label; each has the outputs `written` and `rejected`.
        write_bulk_file: Sink of result tables that refuses none, without outputs.
    """

    write_rows: dict[str, beam.PTransform]
    write_bulk_file: beam.PTransform | None = None


@dataclass
class Job:
    """The steps of a job; a sink that is None is left out.

    Attributes:
        read: Yields `RawBatch`.
        parse, measure, cut: What is computed, up to partial sums.
        sums: From partial sums to rows of pages and breakdowns, by the roll-up's name.
        outputs: What becomes of these, by what stands behind the windows' names (`derived_of`).
        write_dead_letters: Sink of rejected tables; yields how many are written, as they are.
        store_raw: Passes on clicks as `stored` once they are kept; has the output `rejected` too. None: none are kept.
        note_progress: Passes on raw batches and rejected tables, and notes how many.
        only_whole: Passes on those result rows that the job's own clicks are enough for. None: all.
        note_piece: Takes `{"parts", "last_lines"}`: the files of clicks that `store_raw` has written, and the last lines that were read.
        commit: Takes `(progress, [written, ...])`, and commits what all sinks have. None for bounded sources without offsets.
    """

    read: beam.PTransform
    parse: ParseClicks
    measure: MeasureTimeSpent
    cut: CutByWindow
    sums: dict[str, SumByBreakdown]
    outputs: dict[str, Output]
    write_dead_letters: beam.PTransform
    store_raw: beam.PTransform | None = None
    note_progress: beam.DoFn | None = None
    only_whole: beam.DoFn | None = None
    note_piece: beam.PTransform | None = None
    commit: beam.PTransform | None = None


def _last_lines(raw: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
    noted = named_outputs(raw, "NoteLastLines", NoteLastLines(), raw=RawBatch, last_lines=LastLine)
    return noted.raw, noted.last_lines


def _parts(kept: dict[str, Any]) -> beam.PCollection:
    return [found.parts for found in kept.values()] | "Parts" >> beam.Flatten()


def _rows(partials: beam.PCollection, job: Job) -> Iterator[tuple[str, beam.PCollection]]:
    """Rows, and what stands behind their windows' names; a roll-up is wired when the one before has its sinks."""
    for rollup, sum_up in job.sums.items():
        for breakdown, rows in (partials | f"SumByPage{rollup}" >> sum_up).items():
            name = derived_of(rollup, breakdown)
            if job.only_whole is not None:
                rows |= f"OnlyWhole{name}" >> beam.ParDo(job.only_whole).with_output_types(pa.Table)
            yield name, rows


def wire(pipeline: beam.Pipeline, job: Job) -> None:
    """Wires a job: read, parse, keep, measure, cut, sum up, write; then commit what is written."""
    raw = pipeline | "ReadClicks" >> job.read
    if job.note_progress is not None:
        raw |= "NoteRead" >> beam.ParDo(job.note_progress).with_output_types(RawBatch)

    if job.note_piece is not None:
        raw, last_lines = _last_lines(raw)
    parsed = raw | "ParseClicks" >> job.parse
    clicks, kept = parsed.clicks, {}
    if job.store_raw is not None:
        kept = {name: getattr(parsed, name) | f"Keep_{name}" >> job.store_raw for name in ("clicks", "too_late")}
        clicks = kept["clicks"].stored
    if job.note_piece is not None:
        _ = {"parts": _parts(kept), "last_lines": last_lines} | "NotePiece" >> job.note_piece
    # Flink tells by the step's name whether a savepoint fits: another name for another state, or the old one would be taken and left unread.
    measured = {"clicks": clicks, "before": parsed.before} | "MeasureTime" >> job.measure
    partials = measured | "CutByWindow" >> job.cut
    sinks: dict[str, Any] = {}
    for name, rows in _rows(partials, job):
        output = job.outputs[name]
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
