"""`replay-dead-letters`: the stored bytes through the same parse again; what is now accepted is counted, and no dead letter any more.

A window's numbers can't be mended by adding to them (a user may be known there already). Of a run over logs, the input is read
again, whole, and its rows replace the smaller ones. What a live job rejected goes back into its topic: see `replay_to_topic`.
Bytes that were withheld (--hash_user_ids) are no click's; a pseudonym in others stands for itself, so what they are judged to be doesn't change.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from clickstream.io.errors import UserError
from clickstream.io.sql import SqlConnection, delete_dead_letters, read_dead_letters
from clickstream.pipeline.batch_job import report, run_batch
from clickstream.pipeline.options import (
    ClickOptions,
    KafkaOptions,
    MetricOptions,
    OutputOptions,
    RawStoreOptions,
    read_options,
)
from clickstream.pipeline.output_dir import SHAPING, OutputDir
from clickstream.pipeline.replay_to_topic import replay_to_topic
from clickstream.pipeline.settings import parse_options
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
    if kafka.bootstrap_servers or kafka.topic or output.mysql or output.dead_letters:
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
    options = read_options([*earlier, *argv])
    database = SqlConnection("sqlite", str(output.database.absolute()))
    accepted = [key for page in read_dead_letters(database) for key in accepted_keys(page, parse_options(options))]
    if accepted:
        started = time.monotonic()
        counts = run_batch(options, output, run["input"] or str(output.sample))
        delete_dead_letters(database, accepted)
        report(output, counts, time.monotonic() - started, sample=run["sample"])
    sys.stdout.write(f"Dead letters now accepted and counted: {len(accepted)}\n")
    return 0


def accepted_keys(page: pa.Table, options: ParseOptions) -> Iterator[bytes]:
    """The keys of the dead letters that the parse takes for clicks today."""
    numbers = range(page.num_rows)
    batch, options = RawBatch(page["raw"].to_pylist(), "replay", numbers), replace(options, user_key=None)
    parsed = parse_clicks(batch, options, now_ms=int(time.time() * 1000))
    refused = set(parsed.rejected["position"].to_pylist())
    yield from (page["dead_letter_id"][number].as_py() for number in numbers if number not in refused)
