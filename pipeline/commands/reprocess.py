"""`reprocess`: windows computed again from the raw store, and restated where they differ; once, or every so often."""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.raw import BUCKET_MS, Bucket, RawStore
from clickstream.pipeline.changes import show_changes
from clickstream.pipeline.options import (
    ClickOptions,
    KafkaOptions,
    MetricOptions,
    OutputOptions,
    RangeOptions,
    RawStoreOptions,
    duration,
    range_of,
    read_options,
)
from clickstream.pipeline.raw_store import expire
from clickstream.pipeline.restating import Restating, begin, leased, stretches
from clickstream.pipeline.row_settings import change_settings
from clickstream.pipeline.sinks import Sinks
from clickstream.pipeline.watch import stop_on_signals


class ReprocessOptions(PipelineOptions):
    """What is done about it."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        # Beam's options for Dataflow have this one too; where both are read, theirs stands, and wants a value.
        with suppress(argparse.ArgumentError):
            add("--dry_run", nargs="?", const="true", help="list what would change, and write nothing")
        add(
            "--change_settings",
            action="store_true",
            help="restate all rows under the settings given, whatever they were before; without --from and --to",
        )
        add(
            "--every",
            type=duration,
            metavar="DURATION",
            help="go on until stopped, each time over the windows that got new clicks since the last; without --from and --to",
        )


OPTIONS = (RangeOptions, ReprocessOptions, RawStoreOptions, ClickOptions, MetricOptions, OutputOptions, KafkaOptions)


def main(argv: Sequence[str]) -> int:
    """Computes again what the options name. Returns the exit status.

    Raises:
        UserError: An option is wrong, a store can't be reached, or another job reprocesses.
    """
    options = read_options(["--dry_run=true" if given == "--dry_run" else given for given in argv], "reprocess")
    asked = options.view_as(ReprocessOptions)
    work = begin(options, write=not asked.dry_run, check=not asked.change_settings)
    if asked.change_settings:
        return _change_settings(work)
    if asked.every is None:
        return _once(work, *range_of(options))
    return _go_on(work, asked.every)


def _change_settings(work: Restating) -> int:
    """Restates all that is published. If it ends early, it is to be run again: until then the old settings stay noted."""
    work = replace(work, changing=True)
    with leased(work) as store:
        buckets = store.buckets()
        show_changes(work.run(*all_of(work.sinks, buckets)), written=work.write)
        if work.write:
            change_settings(work.options, work.settings, work.sinks)
        _remember(work, store, buckets)
    return 0


def all_of(sinks: Sinks, buckets: Sequence[Bucket]) -> tuple[int, int]:
    """From the first to the last of what is published and what is kept, ms since the epoch.

    Raises:
        UserError: Windows are published whose clicks aren't kept: they would be lost.
    """
    published = [extent for store in sinks.row_stores() if (extent := store.extent())]
    if not buckets:
        message = "The raw store is empty: there is nothing to restate the rows from."
        raise UserError(message)
    first, end = buckets[0].start_ms, buckets[-1].start_ms + BUCKET_MS
    for extent in published:
        start = round(extent.first.timestamp() * 1000)
        if start + extent.window_seconds * 1000 <= first:
            message = (
                f"Windows from {extent.first:%Y-%m-%dT%H:%M:%SZ} on are published, but clicks are kept from "
                f"{datetime.fromtimestamp(first / 1000, timezone.utc):%Y-%m-%dT%H:%M:%SZ} on: write to other tables."
            )
            raise UserError(message)
        first, end = min(first, start), max(end, round(extent.last.timestamp() * 1000))
    return first, end


def _once(work: Restating, start_ms: int, end_ms: int) -> int:
    if work.write:
        expire(work.store, work.options)
    with leased(work) as store:
        within = [b for b in store.buckets() if start_ms <= b.start_ms and b.start_ms + BUCKET_MS <= end_ms]
        show_changes(work.run(start_ms, end_ms), written=work.write)
        _remember(work, store, within)
    return 0


def _remember(work: Restating, store: RawStore, buckets: Iterable[Bucket]) -> None:
    """With the marks read before the clicks were: what came since is new."""
    if work.write:
        store.mark_reprocessed({bucket.start_ms: bucket.changed for bucket in buckets})


def _go_on(work: Restating, every: float) -> int:
    """The periodic job. An error ends one run, not the job: the next one makes it good."""
    stop = stop_on_signals()
    while not stop.is_set():
        began = time.monotonic()
        try:
            expire(work.store, work.options)
            with leased(work) as store:
                _run_over_new(work, store)
        except UserError as error:
            sys.stderr.write(f"{error}\n")
        stop.wait(max(0.0, every - (time.monotonic() - began)))
    return 0


def _run_over_new(work: Restating, store: RawStore) -> None:
    new = [bucket for bucket in store.buckets() if bucket.is_new]
    covered = stretches([bucket.start_ms for bucket in new], work.settings.around_ms)
    show_changes([change for stretch in covered for change in work.run(*stretch)], written=work.write)
    _remember(work, store, new)
