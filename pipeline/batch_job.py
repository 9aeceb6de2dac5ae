"""The batch job's graph and how it is run: click logs to servers, or to SQLite, an Elasticsearch bulk file and a report."""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.elasticsearch import WriteBulkFile, remove_pieces, write_bulk_file
from clickstream.io.errors import UserError
from clickstream.io.logs import LogFile, ReadClickLogs, match_logs, read_logs
from clickstream.io.progress import NoteProgress, read_progress
from clickstream.io.raw import WriteRawClicks
from clickstream.io.raw.files import KeepClicks
from clickstream.io.results import RowFilter, read_sql_rows
from clickstream.page.report import RunCounts, write_report
from clickstream.pipeline.counts import Counts, count_records
from clickstream.pipeline.jobs import Job, Output, wire
from clickstream.pipeline.options import ClickOptions, LogOptions, event_format_of
from clickstream.pipeline.output_dir import SHAPING, OutputDir, derived_name
from clickstream.pipeline.pieces import Pieces, pieces_of
from clickstream.pipeline.row_settings import check_settings, note_kept_clicks
from clickstream.pipeline.runners import mendable_errors, quiet_beam, runner_of, workers_are_here
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.sinks import Sinks, names_servers, sinks_of
from clickstream.pipeline.summary import ProgressLine, print_server_summary, print_summary
from clickstream.transforms import ParseClicks, ParseOptions
from clickstream.transforms.restate import WindowChange

_POLL_SECONDS = 0.2
_HEAD_BYTES, _HEAD_LINES = 1 << 16, 100


def describe_run(options: PipelineOptions) -> dict[str, Any]:
    """What a later run over the same folder must know of this one."""
    pattern = options.view_as(LogOptions).input
    settings = options.get_all_options()
    shaping = {name: settings[name] for name in SHAPING if name in settings}
    return {"input": pattern, "sample": pattern is None, **shaping}


@dataclass(frozen=True)
class BatchRun:
    """What a run did: its counts, how many logs held nothing new, and the windows that were computed again, with the clicks of earlier runs."""

    counts: Counts
    unchanged: int
    changes: list[WindowChange]


def run_batch(
    options: PipelineOptions, output: OutputDir, pattern: str, *, parse: ParseOptions | None = None
) -> BatchRun:
    """Runs the job over the logs that `pattern` names, and returns what it did.

    Args:
        options: The job's.
        output: Where embedded results go.
        pattern: Path or glob.
        parse: What counts as a click; None: as the options say.

    Raises:
        UserError: Something that the user can mend.
    """
    quiet_beam()
    settings = Settings.from_options(options)
    files, sinks = _logs(options, pattern), sinks_of(options)
    sinks.set_up()
    check_settings(options, settings, sinks, note=True)
    note_kept_clicks(options, sinks)
    settings = settings if parse is None else replace(settings, parse=parse)
    with (
        tempfile.TemporaryDirectory(prefix="clickstream-") as folder,
        pieces_of(options, settings, sinks, files) as pieces,
    ):
        files = files if pieces.unread is None else pieces.unread.files
        job = batch_job(options, output, pieces, Path(folder), files)
        job = replace(job, parse=ParseClicks(_by_headers(settings.parse, files)))
        try:
            counts = _run(options, job, Path(folder), files) if files else Counts(0, 0, 0)
        finally:  # where it failed; else there are none
            for name in job.outputs:
                remove_pieces(output.bulk_file(name).absolute())
        changes = pieces.complete(Path(folder))
        embedded = sinks.sql is not None and sinks.sql.is_sqlite
        if embedded and not pieces.is_first and (counts.read or pieces.unfinished):
            _write_bulk_files(output, sinks)
    return BatchRun(counts, pieces.unread.unchanged if pieces.unread else 0, changes)


def _logs(options: PipelineOptions, pattern: str) -> list[LogFile]:
    """The files. Where the format says what a line is, none is a table."""
    container = str(options.view_as(LogOptions).input_container)
    event_format = event_format_of(options.view_as(ClickOptions).event_format)
    if event_format is None or event_format.record.is_json:
        return match_logs(pattern, container)
    files = match_logs(pattern, "lines" if container == "auto" else container)
    if other := next((file for file in files if file.form.container), None):
        message = (
            f"{other.path} is a table, whose rows are read as JSON, and --event_format={event_format.name} reads lines of text: "
            "give a format without record:, whose paths are the columns' names."
        )
        raise UserError(message)
    return files


def _by_headers(parse: ParseOptions, files: Sequence[LogFile]) -> ParseOptions:
    """Lines of text whose names stand at the head of their log: workers begin anywhere in it, and don't see that."""
    event_format = parse.event_format
    if event_format is None or not event_format.record.header:
        return parse
    found = {_names_at_head(file, event_format.record.header) or event_format.record.names: file for file in files}
    if len(found) > 1:
        one, other, *_ = (file.path for file in found.values())
        header = event_format.record.header
        message = f"{one} and {other} begin with different {header} lines: read logs of different fields in runs of their own."
        raise UserError(message)
    return replace(parse, event_format=event_format.with_names(next(iter(found)))) if found else parse


def _names_at_head(file: LogFile, header: str) -> tuple[str, ...]:
    batch = next(read_logs([file._replace(start=0)], _HEAD_BYTES), None)
    lines = (bytes(value) for value in islice(batch.values if batch else (), _HEAD_LINES))
    found = next((line for line in lines if line.startswith(header.encode())), b"")
    return tuple(found.decode(errors="replace")[len(header) :].split())


def _run(options: PipelineOptions, job: Job, folder: Path, files: Sequence[LogFile]) -> Counts:
    pipeline = beam.Pipeline(runner=runner_of(options), options=options)
    wire(pipeline, job)
    with mendable_errors(), _progress_shown(folder / "progress", files):
        result = pipeline.run()
        result.wait_until_finish()
    return count_records(result)


def batch_job(
    options: PipelineOptions, output: OutputDir, pieces: Pieces, folder: Path, files: Sequence[LogFile]
) -> Job:
    """The job's steps: to the servers that are named, or embedded, to the same tables and documents that they would get."""
    settings, sinks = pieces.settings, pieces.sinks
    embedded = sinks.sql is not None and sinks.sql.is_sqlite

    def output_of(name: str) -> Output:
        bulk_file = None
        if embedded and pieces.is_first:
            bulk_file = WriteBulkFile(str(output.bulk_file(name).absolute()), derived_name(sinks.index, name))
        return Output(sinks.write_rows(name), bulk_file)

    return Job(
        read=ReadClickLogs(logs=files),
        parse=ParseClicks(settings.parse),
        measure=settings.measure_step(),
        cut=settings.cut(),
        sums={periods.name if periods else "": settings.sum_up(periods) for periods in settings.sums},
        outputs={name: output_of(name) for name in ("", *sinks.derived)},
        write_dead_letters=sinks.write_dead_letters(options),
        store_raw=_keep(pieces),
        note_progress=NoteProgress(str(folder / "progress")) if workers_are_here(options) else None,
        only_whole=pieces.only_whole(),
        note_piece=pieces.note_piece(folder),
    )


def _keep(pieces: Pieces) -> beam.PTransform | None:
    if pieces.files is not None:
        return KeepClicks(pieces.files)
    return pieces.connection and WriteRawClicks(pieces.connection)


def _write_bulk_files(output: OutputDir, sinks: Sinks) -> None:
    """Writes what Elasticsearch would get of all runs together."""
    for name in ("", *sinks.derived):
        table = sinks.table(name)
        rows = read_sql_rows(table, RowFilter(), table.kind.schema.names)
        write_bulk_file(output.bulk_file(name), rows, derived_name(sinks.index, name))


@contextmanager
def _progress_shown(notes: Path, files: Sequence[LogFile]) -> Iterator[None]:
    """Shows, on a terminal, what the workers note, until the block is done."""
    total = sum(file.size for file in files) if all(file.form.is_as_stored for file in files) else None
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


def report(options: PipelineOptions, output: OutputDir, done: BatchRun, seconds: float) -> None:
    """Prints the summary; of an embedded run, writes the report page too."""
    counts, notes = done.counts, _notes(done)
    if names_servers(options):
        print_server_summary(sinks_of(options).places(), counts, seconds, notes=notes)
        return
    run = (
        RunCounts(counts.read, counts.accepted, counts.rejected, counts.too_late, counts.not_clicks)
        if counts.read
        else None
    )
    figures = write_report(output.database, output.report, run=run)
    sample = options.view_as(LogOptions).input is None
    print_summary(output, counts, figures, seconds, sample=sample, notes=notes)


def _notes(done: BatchRun) -> list[str]:
    """What isn't as it would be of a first run."""
    notes = []
    if done.unchanged:
        notes.append(
            f"{done.unchanged:,} {'log was' if done.unchanged == 1 else 'logs were'} read before: nothing new in there"
        )
    kept = sum(change.kept for change in done.changes)
    if again := len(done.changes) - kept:
        notes.append(f"windows restated with the clicks of earlier runs: {again:,}, by store")
    if kept:
        notes.append(f"windows left as they are, because more clicks are published than are kept: {kept:,}, by store")
    return notes
