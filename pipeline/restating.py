"""The graph that computes windows again from the raw store, and holds them against what is published."""

import json
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.raw import BUCKET_MS, RawStore, RawStoreConnection, ReadRawClicks
from clickstream.io.results import ReadPublishedRows, elasticsearch_reader, refresh, sql_reader
from clickstream.pipeline.output_dir import derived_name, derived_of
from clickstream.pipeline.raw_store import needed_raw_store, opened, set_up_raw_store
from clickstream.pipeline.row_settings import check_settings
from clickstream.pipeline.runners import mendable_errors, quiet_beam, runner_of
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.sinks import Sinks, sinks_of
from clickstream.transforms import Periods
from clickstream.transforms.breakdowns import holds_breakdown
from clickstream.transforms.parse import with_iso_names
from clickstream.transforms.restate import RestateRows, WindowChange
from clickstream.transforms.schema import BREAKDOWN, PAGES

_NAMED = beam.Map(with_iso_names).with_output_types(pa.Table)
_SLICE_MS = 86_400_000  # so that a day's clicks are in memory at once, not a year's


@dataclass(frozen=True)
class Restating:
    """What is computed again, and how.

    Attributes:
        options: The job's.
        settings: What is computed: windows, time spent and roll-ups must be those of the published rows.
        store: The raw clicks.
        sinks: Where rows are published.
        write: Whether what differs is written.
        without_user: Whose clicks are left out.
        fewer: Clicks by which a window may become smaller: ms since the epoch at which they were, a time each.
        changing: Whether the published rows are of other settings, so that windows may be of any length and hold any number of clicks less.
    """

    options: PipelineOptions
    settings: Settings
    store: RawStoreConnection
    sinks: Sinks
    write: bool
    without_user: str | None = None
    fewer: tuple[int, ...] = ()
    changing: bool = False

    def run(self, start_ms: int, end_ms: int) -> list[WindowChange]:
        """Computes the windows that begin in [start_ms, end_ms), and whole periods around them; returns what differs, by time.

        Raises:
            UserError: Something that the user can mend.
        """
        whole = self.settings.bounds_ms
        first, end = whole(start_ms)[0], whole(end_ms - 1)[1]
        changes: list[WindowChange] = []
        while first < end:
            until = min(whole(first + _SLICE_MS - 1)[1], end)
            changes += self._run(first, until)
            first = until
        return sorted(changes)

    def _run(self, start_ms: int, end_ms: int) -> list[WindowChange]:
        quiet_beam()
        if self.sinks.elasticsearch is not None:
            for derived in ("", *self.sinks.derived):
                refresh(self.sinks.elasticsearch, derived_name(self.sinks.index, derived))
        with tempfile.TemporaryDirectory(prefix="clickstream-") as folder, mendable_errors():
            pipeline = beam.Pipeline(runner=runner_of(self.options), options=self.options)
            self._wire(pipeline, start_ms, end_ms, folder)
            pipeline.run().wait_until_finish()
            lines = [line for part in Path(folder).iterdir() for line in part.read_text("utf-8").splitlines()]
        return [WindowChange(**json.loads(line)) for line in lines]

    def _wire(self, pipeline: beam.Pipeline, start_ms: int, end_ms: int, note: str) -> None:
        settings = self.settings
        read = ReadRawClicks(self.store, start_ms, end_ms, settings.around_ms, self.without_user)
        clicks = pipeline | "ReadRawClicks" >> read
        if settings.parse.iso_country_names:  # clicks may have been kept before that was asked for
            clicks = {name: found | f"CountryNames_{name}" >> _NAMED for name, found in clicks.items()}
        measured = clicks | "MeasureTimeSpent" >> settings.measure_step()
        partials = measured | "CutByWindow" >> settings.cut()
        for periods in self.settings.sums:
            rollup = "" if periods is None else periods.name
            for breakdown, rows in (partials | f"SumByPage{rollup}" >> settings.sum_up(periods)).items():
                name = derived_of(rollup, breakdown)
                self._compare(pipeline, rows, periods, name, (start_ms, end_ms), note)

    def _compare(
        self, pipeline: beam.Pipeline, rows: Any, periods: Periods | None, name: str, within: tuple[int, int], note: str
    ) -> None:
        kind = BREAKDOWN if holds_breakdown(name) else PAGES
        length = None if periods or self.changing else self.settings.window_seconds
        published = {
            store: pipeline | f"Read {store}" >> ReadPublishedRows(reader, *within, length, kind)
            for store, reader in self._readers(name).items()
        }
        compare = RestateRows(self._fewer(periods), keep_fuller=not self.changing, kind=kind)
        restated = {"computed": rows, "published": published} | f"RestateRows{name}" >> compare
        _ = restated.changes | f"Note{name}" >> beam.ParDo(_NoteChanges(note))
        if self.write:
            refused = [
                (restated.rows | f"{label}{name}" >> sink).rejected
                for label, sink in self.sinks.write_rows(name).items()
            ]
            dead_letters = self.sinks.write_dead_letters(self.options)
            _ = tuple(refused) | f"Refused{name}" >> beam.Flatten() | f"WriteDeadLetters{name}" >> dead_letters

    def _readers(self, name: str) -> dict[str, Any]:
        readers = {}
        if self.sinks.sql is not None:
            table = self.sinks.table(name)
            readers[f"{'SQLite' if table.is_sqlite else 'MySQL'} {table.metrics_table}"] = sql_reader(table)
        if self.sinks.elasticsearch is not None:
            index = derived_name(self.sinks.index, name)
            readers[f"Elasticsearch {index}"] = elasticsearch_reader(self.sinks.elasticsearch, index)
        return readers

    def _fewer(self, periods: Periods | None) -> Mapping[int, int]:
        window = self.settings.window_seconds * 1000
        found: dict[int, int] = {}
        for millis in self.fewer:
            start = millis // window * window if periods is None else periods.bounds(millis)[0]
            found[start] = found.get(start, 0) + 1
        return found


def begin(options: PipelineOptions, *, write: bool, without_user: str | None = None, check: bool = True) -> Restating:
    """How each command over a raw store begins: the stores of the options, made where they are missing if they are to be written.

    Raises:
        UserError: No raw store is named, a store can't be reached, or has another schema.
    """
    settings, store, sinks = Settings.from_options(options), needed_raw_store(options), sinks_of(options)
    work = Restating(options, settings, store, sinks, write=write, without_user=without_user)
    if write:
        sinks.set_up()
        set_up_raw_store(store)
    if check:
        check_settings(options, settings, sinks, note=write)
    return work


class _NoteChanges(beam.DoFn):
    """Changes as lines of JSON, in a file a bundle."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def start_bundle(self) -> None:
        self._lines: list[str] = []

    def process(self, change: WindowChange) -> None:
        self._lines.append(json.dumps(change._asdict()))

    def finish_bundle(self) -> None:
        if self._lines:
            Path(self._folder, secrets.token_hex(16)).write_text("\n".join(self._lines), "utf-8")


@contextmanager
def leased(work: Restating) -> Iterator[RawStore]:
    """The open store, in nobody else's hands meanwhile."""
    with opened(work.store) as store, store.lease():
        yield store


def stretches(buckets: Iterable[int], around_ms: int) -> list[tuple[int, int]]:
    """What buckets cover, with as much around each, in as few stretches as there are. All ms since the epoch."""
    found: list[tuple[int, int]] = []
    for bucket in sorted(buckets):
        start, end = bucket - around_ms, bucket + BUCKET_MS + around_ms
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found
