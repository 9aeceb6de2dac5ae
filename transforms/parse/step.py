"""`ParseClicks`, and `BatchClicks` before it: from raw records to click columns, and counts of what became of them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from clickstream.transforms.outputs import named_outputs
from clickstream.transforms.parse.clicks import ParsedBatch, ParseOptions, parse_clicks
from clickstream.transforms.parse.events import to_record
from clickstream.transforms.parse.pseudonyms import Pseudonyms
from clickstream.transforms.parse.reader import KnownShapes
from clickstream.transforms.schema import BatchProgress, RawBatch

_TABLES = ("too_late", "rejected", "before")  # beside the clicks


@dataclass(eq=False)
class BatchClicks(beam.PTransform):
    """Single events to the batches that `ParseClicks` takes.

    In: `bytes` or `str` of JSON, mappings, rows, NamedTuples, dataclasses, or pairs of a key and one of these (see `to_record`); bounded or not, in
    any windows. What is none of them is rejected as `invalid_json`. Out: `RawBatch`, at most `batch_size` records, of one
    bundle each, in the global window: a click's window follows from its own time.

    Attributes:
        batch_size: Records in a full batch.
        source: What rejected records name as their source; positions count within the batch.
    """

    batch_size: int = 10_000
    source: str = "events"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            message = f"BatchClicks: batch_size is {self.batch_size}; it must be at least 1, such as the default 10000."
            raise ValueError(message)

    def expand(self, events: beam.PCollection) -> beam.PCollection:
        batch = beam.ParDo(_BatchEvents(self.batch_size, self.source)).with_output_types(RawBatch)
        return events | "NoWindows" >> beam.WindowInto(GlobalWindows()) | "Batches" >> batch


class _BatchEvents(beam.DoFn):
    def __init__(self, batch_size: int, source: str) -> None:
        self._batch_size, self._source = batch_size, source

    def start_bundle(self) -> None:
        self._values: list[bytes] = []
        self._earliest = None

    def process(self, event: Any, timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[Any]:
        self._values.append(to_record(event))
        self._earliest = timestamp if self._earliest is None else min(self._earliest, timestamp)
        if len(self._values) >= self._batch_size:
            yield from self.finish_bundle()

    def finish_bundle(self) -> Iterator[Any]:
        if self._values:
            batch = RawBatch(self._values, self._source, range(len(self._values)))
            yield WindowedValue(batch, self._earliest, [GlobalWindow()])
            self.start_bundle()


@dataclass(eq=False)
class ParseClicks(beam.PTransform):
    """Batches of raw records to click columns.

    In: `RawBatch`, bounded or not. Out, by name: `clicks` and `too_late` (tables of CLICK_SCHEMA's chosen columns), `rejected` (tables of
    REJECTED_SCHEMA) and `progress` (a few `BatchProgress` a Kafka batch, whose spans tile it). Each record is in exactly
    one of the three tables, or only counted: `not_a_click`, by the event format. `before` are those too late whose windows were complete when
    the run began. Empty tables aren't sent.
    """

    options: ParseOptions = field(default_factory=ParseOptions)

    def expand(self, batches: beam.PCollection) -> Any:
        types = dict.fromkeys(("clicks", *_TABLES), pa.Table) | {"progress": BatchProgress}
        return named_outputs(batches, "Clicks", _Parse(self.options), **types)


class _Parse(beam.DoFn):
    def __init__(self, options: ParseOptions) -> None:
        self._options = options
        self._pseudonyms: Pseudonyms | None = None
        self._shapes = KnownShapes()
        self._read = Metrics.counter("clickstream", "records_read")
        self._accepted = Metrics.counter("clickstream", "clicks_accepted")
        self._too_late = Metrics.counter("clickstream", "clicks_too_late")
        self._not_clicks = Metrics.counter("clickstream", "not_a_click")

    def setup(self) -> None:
        if self._options.user_key is not None:
            self._pseudonyms = Pseudonyms(self._options.user_key())

    def process(self, batch: RawBatch) -> Iterator[Any]:
        now_ms = int(time.time() * 1000)
        parsed = parse_clicks(batch, self._options, now_ms=now_ms, pseudonyms=self._pseudonyms, shapes=self._shapes)
        self._count(batch, parsed)
        if parsed.clicks.num_rows:
            yield parsed.clicks
        for name in _TABLES:
            if getattr(parsed, name).num_rows:
                yield beam.pvalue.TaggedOutput(name, getattr(parsed, name))
        for progress in parsed.progress:
            yield beam.pvalue.TaggedOutput("progress", progress)

    def _count(self, batch: RawBatch, parsed: ParsedBatch) -> None:
        self._read.inc(len(batch.values))
        self._accepted.inc(parsed.clicks.num_rows)
        self._too_late.inc(parsed.too_late.num_rows)
        if parsed.not_clicks:
            self._not_clicks.inc(parsed.not_clicks)
        for reason in parsed.rejected["reason"].value_counts().to_pylist():
            Metrics.counter("clickstream.rejected", reason["values"]).inc(reason["counts"])
        for what, count in parsed.mended.items():
            Metrics.counter("clickstream.mended", what).inc(count)
