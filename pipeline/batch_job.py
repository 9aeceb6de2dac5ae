"""The batch job's graph and how it is run: click logs to SQLite, an Elasticsearch bulk file and a report."""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.elasticsearch import WriteBulkFile
from clickstream.io.files import LogFile, ReadClickLogs, compression_of, match_logs
from clickstream.io.progress import NoteProgress, read_progress
from clickstream.io.raw import WriteRawClicks
from clickstream.io.sql import SqlConnection, WriteDeadLettersToSql, WriteToSql, setup_sql
from clickstream.page.report import RunCounts, write_report
from clickstream.pipeline.counts import Counts, count_records
from clickstream.pipeline.jobs import Job, Output, wire
from clickstream.pipeline.options import LogOptions, MetricOptions, OutputOptions
from clickstream.pipeline.output_dir import SHAPING, OutputDir, rolled_up
from clickstream.pipeline.raw_store import raw_store_of
from clickstream.pipeline.settings import (
    measure_step,
    mendable_errors,
    parse_options,
    quiet_beam,
    rollups_of,
    runner_of,
)
from clickstream.pipeline.summary import ProgressLine, print_summary
from clickstream.transforms import CutByWindow, ParseClicks, Periods, SumByPage

_POLL_SECONDS = 0.2


def describe_run(options: PipelineOptions) -> dict[str, Any]:
    """What a later run over the same folder must know of this one."""
    pattern = options.view_as(LogOptions).input
    settings = options.get_all_options()
    shaping = {name: settings[name] for name in SHAPING if name in settings}
    return {"input": pattern, "sample": pattern is None, **shaping}


def run_batch(options: PipelineOptions, output: OutputDir, pattern: str) -> Counts:
    """Runs the job over the logs that `pattern` names, into the folder, and returns what became of the records.

    Raises:
        UserError: Something that the user can mend.
    """
    quiet_beam()
    files = match_logs(pattern)
    with tempfile.TemporaryDirectory(prefix="clickstream-") as folder, mendable_errors():
        notes = Path(folder, "progress")
        pipeline = beam.Pipeline(runner=runner_of(options), options=options)
        wire(pipeline, batch_job(options, output, pattern, notes))
        with _progress_shown(notes, files):
            result = pipeline.run()
            result.wait_until_finish()
        return count_records(result)


def batch_job(options: PipelineOptions, output: OutputDir, pattern: str, notes: Path) -> Job:
    """The embedded job's steps: the same tables and documents that the servers would get."""
    metrics, results, raw_store = options.view_as(MetricOptions), options.view_as(OutputOptions), raw_store_of(options)
    database = SqlConnection("sqlite", str(output.database.absolute()))

    def output_of(name: str, periods: Periods | None) -> Output:
        table = replace(database, metrics_table=rolled_up(database.metrics_table, name))
        setup_sql(table)
        index = rolled_up(results.elasticsearch_index, name)
        return Output(
            SumByPage(metrics.window_seconds, sketch_size=metrics.sketch_size, periods=periods),
            {"WriteToSql": WriteToSql(table)},
            WriteBulkFile(str(output.bulk_file(name).absolute()), index),
        )

    return Job(
        read=ReadClickLogs(pattern),
        parse=ParseClicks(parse_options(options)),
        measure=measure_step(options, shards=metrics.shards or 1),
        cut=CutByWindow(metrics.window_seconds, metrics.shards or 1),
        outputs={"": output_of("", None)} | {p.name: output_of(p.name, p) for p in rollups_of(options)},
        write_dead_letters=WriteDeadLettersToSql(database),
        store_raw=raw_store and WriteRawClicks(raw_store),
        note_progress=NoteProgress(str(notes)),
    )


@contextmanager
def _progress_shown(notes: Path, files: Sequence[LogFile]) -> Iterator[None]:
    """Shows, on a terminal, what the workers note, until the block is done."""
    total = None if any(compression_of(file.path) for file in files) else sum(file.size for file in files)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLL_SECONDS):
            line.update(**read_progress(notes)._asdict())

    with ProgressLine(total_bytes=total) as line:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def report(output: OutputDir, counts: Counts, seconds: float, *, sample: bool) -> None:
    """Writes the report page and prints the summary."""
    figures = write_report(
        output.database,
        output.report,
        run=RunCounts(counts.read, counts.accepted, counts.rejected, counts.too_late),
    )
    print_summary(output, counts, figures, seconds, sample=sample)
