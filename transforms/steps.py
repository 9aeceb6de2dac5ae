"""The PTransforms: each wires a pure function of this package into a pipeline, and counts."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder, Coder, IterableCoder, TupleCoder, VarIntCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.trigger import AccumulationMode, TriggerFn
from apache_beam.transforms.window import FixedWindows, GlobalWindow, GlobalWindows, TimestampedValue
from apache_beam.utils.windowed_value import WindowedValue

from clickstream.transforms.aggregate import PageSums, cut_by_window
from clickstream.transforms.parse import ParsedBatch, ParseOptions, parse_clicks
from clickstream.transforms.pseudonyms import Pseudonyms
from clickstream.transforms.result_rows import DEFAULT_SKETCH_SIZE, page_metrics
from clickstream.transforms.schema import BatchProgress, RawBatch

_TABLES = ("too_late", "rejected", "before")  # beside the clicks


@dataclass(eq=False)
class BatchClicks(beam.PTransform):
    """Single events to the batches that `ParseClicks` takes.

    In: `bytes` or `str` of JSON, or dicts of JSON values; bounded or not, in any windows. Out: `RawBatch`, at most `batch_size` records, of one
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
        self._values.append(_to_bytes(event))
        self._earliest = timestamp if self._earliest is None else min(self._earliest, timestamp)
        if len(self._values) >= self._batch_size:
            yield from self.finish_bundle()

    def finish_bundle(self) -> Iterator[Any]:
        if self._values:
            batch = RawBatch(self._values, self._source, range(len(self._values)))
            yield WindowedValue(batch, self._earliest, [GlobalWindow()])
            self.start_bundle()


def _to_bytes(event: Any) -> bytes:
    if isinstance(event, bytes):
        return event
    text = event if isinstance(event, str) else json.dumps(event)
    return text.encode(errors="surrogatepass")  # half a character makes bytes that parsing rejects as invalid_utf8


@dataclass(eq=False)
class ParseClicks(beam.PTransform):
    """Batches of raw records to click columns.

    In: `RawBatch`, bounded or not. Out, by name: `clicks` and `too_late` (tables of CLICK_SCHEMA's chosen columns), `rejected` (tables of
    REJECTED_SCHEMA) and `progress` (a few `BatchProgress` a Kafka batch, whose spans tile it). Each record is in exactly
    one of the three tables. `before` are those too late whose windows were complete when the run began. Empty tables aren't sent.
    """

    options: ParseOptions = field(default_factory=ParseOptions)

    def expand(self, batches: beam.PCollection) -> Any:
        outputs = (*_TABLES, "progress")
        parse = beam.ParDo(_Parse(self.options)).with_output_types(
            pa.Table, too_late=pa.Table, rejected=pa.Table, before=pa.Table, progress=BatchProgress
        )
        return batches | "Clicks" >> parse.with_outputs(*outputs, main="clicks")


class _Parse(beam.DoFn):
    def __init__(self, options: ParseOptions) -> None:
        self._options = options
        self._pseudonyms: Pseudonyms | None = None
        self._read = Metrics.counter("clickstream", "records_read")
        self._accepted = Metrics.counter("clickstream", "clicks_accepted")
        self._too_late = Metrics.counter("clickstream", "clicks_too_late")

    def setup(self) -> None:
        if self._options.user_key is not None:
            self._pseudonyms = Pseudonyms(self._options.user_key())

    def process(self, batch: RawBatch) -> Iterator[Any]:
        now_ms = int(time.time() * 1000)
        parsed = parse_clicks(batch, self._options, now_ms=now_ms, pseudonyms=self._pseudonyms)
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
        for reason in parsed.rejected["reason"].value_counts().to_pylist():
            Metrics.counter("clickstream.rejected", reason["values"]).inc(reason["counts"])


@dataclass(eq=False)
class AggregateByPage(beam.PTransform):
    """Clicks to page metrics by fixed window, URL and country.

    In: tables of clicks as `MeasureTimeSpent` gives them, bounded or not, in any order. Out: tables of PAGE_METRICS_SCHEMA, one window
    and shard each; a pane always holds the whole window as known so far, never a difference. Users are counted exactly, and sketched too, so that
    rows can be added up.

    Attributes:
        window_seconds: Length of the windows, which start at multiples of it since the epoch (UTC).
        shards: Into how many groups pages are spread: the most workers that can share a window.
        trigger: When panes are sent beside the default, once at the window's end (and again for each late pane).
        allowed_lateness_seconds: How long a window takes late clicks after its end.
        sketch_size: Hashes of users that a row keeps at most; 0 for none.
    """

    window_seconds: int = 300
    shards: int = 1
    trigger: TriggerFn | None = None
    allowed_lateness_seconds: int = 0
    sketch_size: int = DEFAULT_SKETCH_SIZE

    def __post_init__(self) -> None:
        if self.window_seconds < 1 or self.shards < 1 or self.allowed_lateness_seconds < 0:
            message = (
                "AggregateByPage: window_seconds and shards must be at least 1, allowed_lateness_seconds at least 0."
            )
            raise ValueError(message)

    def expand(self, clicks: beam.PCollection) -> beam.PCollection:
        windows = beam.WindowInto(
            FixedWindows(self.window_seconds),
            trigger=self.trigger,
            accumulation_mode=AccumulationMode.ACCUMULATING,
            allowed_lateness=self.allowed_lateness_seconds,
        )
        return (
            clicks
            | "PartialsByWindow"
            >> beam.ParDo(_CutByWindow(self.window_seconds, self.shards)).with_output_types(tuple[int, pa.Table])
            | "Windows" >> windows
            | "SumsByShard" >> beam.CombinePerKey(CombinePageSums())
            | "PageMetrics" >> beam.ParDo(_ToPageMetrics(self.sketch_size)).with_output_types(pa.Table)
        )


class _CutByWindow(beam.DoFn):
    def __init__(self, window_seconds: int, shards: int) -> None:
        self._window_seconds, self._shards = window_seconds, shards

    def process(self, clicks: pa.Table) -> Iterator[Any]:
        for piece in cut_by_window(clicks, window_seconds=self._window_seconds, shards=self._shards):
            yield TimestampedValue((piece.shard, piece.partials), piece.window_start_ms / 1000)


class _ToPageMetrics(beam.DoFn):
    def __init__(self, sketch_size: int) -> None:
        self._sketch_size = sketch_size

    def process(self, shard: tuple[int, PageSums], window: Any = beam.DoFn.WindowParam) -> Iterator[pa.Table]:
        start, end = (int(float(edge) * 1000) for edge in (window.start, window.end))
        yield page_metrics(shard[1].table(), window_start_ms=start, window_end_ms=end, sketch_size=self._sketch_size)


class CombinePageSums(beam.CombineFn):
    """Tables of partial sums to one `PageSums`: associative, the same for any split and merge tree."""

    def create_accumulator(self) -> PageSums:
        return PageSums()

    def add_input(self, accumulator: PageSums, partials: pa.Table) -> PageSums:
        accumulator.add(partials)
        return accumulator

    def merge_accumulators(self, accumulators: Sequence[PageSums]) -> PageSums:
        merged = PageSums()
        for sums in accumulators:
            merged.merge(sums)
        return merged

    def extract_output(self, accumulator: PageSums) -> PageSums:
        return accumulator

    def get_accumulator_coder(self) -> Coder:
        return PageSumsCoder()


class PageSumsCoder(Coder):
    """Encodes a `PageSums` as its Arrow streams; decoding opens none of them."""

    _coder = TupleCoder([VarIntCoder(), VarIntCoder(), IterableCoder(BytesCoder())])

    def encode(self, value: PageSums) -> bytes:
        return bytes(self._coder.encode((value.unmerged_rows, value.merged_rows, value.packed())))

    def decode(self, encoded: bytes) -> PageSums:
        unmerged_rows, merged_rows, packed = self._coder.decode(encoded)
        return PageSums(packed, unmerged_rows, merged_rows)

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> type:
        return PageSums


beam.coders.registry.register_coder(PageSums, PageSumsCoder)
