"""`replay-dead-letters`: the stored bytes through the same parse again; what is now accepted is counted, and no dead letter any more.

A window's numbers can't be mended by adding to them (a user may be known there already). Of runs over logs, the records are one piece
more, whose windows are computed from all clicks that are kept; with --raw_store=none the input is read again, whole. What a live job
rejected goes back into its topic: see `replay_to_topic`. Rows that a store refused go into that store, wherever they came from.
Bytes that were withheld (--hash_user_ids) are no click's; a pseudonym in others stands for itself, so what they are taken for doesn't change.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.sql import SqlConnection, delete_dead_letters, read_dead_letters
from clickstream.pipeline.batch_job import BatchRun, report, run_batch
from clickstream.pipeline.options import (
    ClickOptions,
    KafkaOptions,
    MetricOptions,
    OutputOptions,
    RawStoreOptions,
    read_options,
)
from clickstream.pipeline.output_dir import SHAPING, OutputDir
from clickstream.pipeline.raw_store import raw_store_of
from clickstream.pipeline.replay import RefusedRows, replay_rows, replay_rows_only, replay_to_topic, rows_summary
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.sinks import dead_letters_of, sinks_of
from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.parse import parse_clicks

OPTIONS = (KafkaOptions, OutputOptions, ClickOptions, MetricOptions, RawStoreOptions)


def main(argv: Sequence[str]) -> int:
    """Replays the dead letters of a live job, or, if no server is named, those of `--output_dir`. Returns the exit status.

    Raises:
        UserError: See `replay_to_topic` and `replay_from_logs`.
    """
    options = read_options(argv, "replay-dead-letters")
    kafka, output = options.view_as(KafkaOptions), options.view_as(OutputOptions)
    if kafka.bootstrap_servers or kafka.topic:
        return replay_to_topic(options)
    if output.mysql or output.elasticsearch or output.dead_letters:
        letters = dead_letters_of(options)
        if isinstance(letters, SqlConnection):
            return replay_rows_only(letters, RefusedRows(sinks_of(options)))
        return replay_to_topic(options)
    return replay_from_logs(argv)


def replay_from_logs(argv: Sequence[str]) -> int:
    """Replays the dead letters of `--output_dir`, with the settings of its last run and those of the command line. Returns the exit status.

    Raises:
        UserError: There was no run, or its input is gone: then nothing is changed.
    """
    output = OutputDir(Path(read_options(argv).view_as(OutputOptions).output_dir))
    run = output.remembered()
    if not run:
        message = f"{output.path} holds no run's results: name the folder with --output_dir."
        raise UserError(message)
    earlier = [f"--{name}={run[name]}" for name in SHAPING if name != "sample" and run.get(name) is not None]
    options, as_before = read_options([*earlier, *argv]), read_options([*earlier, *_but_format(argv)])
    _check_format(options, as_before)
    database = SqlConnection("sqlite", str(output.database.absolute()))
    said = rows_summary(replay_rows(database, RefusedRows(sinks_of(options))))
    parse = Settings.from_options(options).parse
    accepted = [letter for page in read_dead_letters(database) for letter in accepted_letters(page, parse)]
    if accepted:
        started = time.monotonic()
        done = _count(as_before, parse, output, run["input"], [raw for _, raw in accepted])
        delete_dead_letters(database, [key for key, _ in accepted])
        report(options, output, done, time.monotonic() - started)
    sys.stdout.write(f"Dead letters now accepted and counted: {len(accepted)}\n{said}")
    return 0


def _check_format(options: PipelineOptions, as_before: PipelineOptions) -> None:
    """Where no clicks are kept, the log is read again, by one format: another would be that of all its rows."""
    asked, before = (each.view_as(ClickOptions).event_format for each in (options, as_before))
    if asked != before and raw_store_of(options) is None:
        message = (
            "--raw_store=none keeps no clicks, so that its dead letters can't be read by another --event_format than the log was: "
            "run the job over the log again, with the new format and a new --output_dir."
        )
        raise UserError(message)


def _but_format(argv: Sequence[str]) -> list[str]:
    """The same without --event_format: dead letters may be read by another than the log was."""
    return [each for each in argv if not each.startswith("--event_format=")]


def _count(
    options: PipelineOptions, parse: ParseOptions, output: OutputDir, pattern: str | None, records: list[bytes]
) -> BatchRun:
    """Counts records as a piece more of the log; where no clicks are kept, by reading all of it again."""
    if raw_store_of(options) is None:
        return run_batch(options, output, pattern or str(output.sample))
    # Of the same name and content each time: if the last attempt has counted them, they are known.
    output.replayed.write_bytes(b"".join(record + b"\n" for record in records))
    done = run_batch(options, output, str(output.replayed), parse=replace(parse, user_key=None))
    output.replayed.unlink()
    return done


def accepted_letters(page: pa.Table, options: ParseOptions) -> Iterator[tuple[bytes, bytes]]:
    """The keys and records of the dead letters that the parse takes for clicks today."""
    numbers = range(page.num_rows)
    batch, options = RawBatch(page["raw"].to_pylist(), "replay", numbers), replace(options, user_key=None)
    parsed = parse_clicks(batch, options, now_ms=int(time.time() * 1000))
    refused = set(parsed.rejected["position"].to_pylist())
    for number in numbers:
        if number not in refused:
            yield page["dead_letter_id"][number].as_py(), page["raw"][number].as_py()
