"""`AggregateByPage`: measured clicks to page metrics, by windows and by hours and days of the same partial sums."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder, Coder, IterableCoder, TupleCoder, VarIntCoder
from apache_beam.transforms.trigger import AccumulationMode, TriggerFn
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.utils.timestamp import Duration
from apache_beam.utils.windowed_value import WindowedValue

from clickstream.transforms.aggregate import PageSums, cut_by_window
from clickstream.transforms.periods import Periods
from clickstream.transforms.result_rows import DEFAULT_SKETCH_SIZE, page_metrics

_PARTIALS = tuple[int, pa.Table]
_SUMS = tuple[int, PageSums]
_SPREAD = 31  # a prime: the last windows of hours and days have numbers that are multiples of many others


@dataclass(eq=False)
class AggregateByPage(beam.PTransform):
    """Clicks to page metrics by fixed window, URL and country.

    In: tables of clicks as `MeasureTimeSpent` gives them, bounded or not, in any order. Out: tables of PAGE_METRICS_SCHEMA, one window
    and shard each; a pane always holds the whole window as known so far, never a difference. Users are counted exactly, and sketched too, so that
    rows can be added up. It is `CutByWindow` and `SumByPage`, which several aggregates may share.

    Attributes:
        window_seconds: Length of the windows, which start at multiples of it since the epoch (UTC).
        shards: Into how many groups pages are spread: the most workers that can share a window. Of bounded input, windows are shared out anyhow.
        trigger: When panes are sent beside the default, once at the window's end (and again for each late pane).
        allowed_lateness_seconds: How long a window takes late clicks after its end.
        sketch_size: Hashes of users that a row keeps at most; 0 for none.
        held_until_closed: On Prism: late panes of a window come although an older one is open. Flink refuses to run it.
    """

    window_seconds: int = 300
    shards: int = 1
    trigger: TriggerFn | None = None
    allowed_lateness_seconds: int = 0
    sketch_size: int = DEFAULT_SKETCH_SIZE
    held_until_closed: bool = False

    def __post_init__(self) -> None:
        if self.window_seconds < 1 or self.shards < 1 or self.allowed_lateness_seconds < 0:
            message = (
                "AggregateByPage: window_seconds and shards must be at least 1, allowed_lateness_seconds at least 0."
            )
            raise ValueError(message)

    def expand(self, clicks: beam.PCollection) -> beam.PCollection:
        options = (self.window_seconds, self.trigger, self.allowed_lateness_seconds, self.sketch_size)
        sum_up = SumByPage(*options, held_until_closed=self.held_until_closed)
        return clicks | CutByWindow(self.window_seconds, self.shards) | sum_up


@dataclass(eq=False)
class CutByWindow(beam.PTransform):
    """Measured clicks to partial sums: what `SumByPage` adds up, for windows and for periods.

    In: as `AggregateByPage`. Out: `(shard, table of PARTIAL_SCHEMA)`, at the start of their window.
    """

    window_seconds: int = 300
    shards: int = 1

    def expand(self, clicks: beam.PCollection) -> beam.PCollection:
        cut = beam.ParDo(_CutByWindow(self.window_seconds, self.shards))
        return clicks | "Cut" >> cut.with_output_types(_PARTIALS)


@dataclass(eq=False)
class SumByPage(beam.PTransform):
    """Partial sums to page metrics, by window or, with `periods`, by hour or day.

    In: as `CutByWindow` gives them. Out: as `AggregateByPage`.

    Attributes:
        window_seconds, trigger, allowed_lateness_seconds, sketch_size, held_until_closed: As of `AggregateByPage`; the first as of `CutByWindow`.
        periods: What windows are rolled up to. Each window must lie in one (`Periods.check_windows`).
    """

    window_seconds: int = 300
    trigger: TriggerFn | None = None
    allowed_lateness_seconds: int = 0
    sketch_size: int = DEFAULT_SKETCH_SIZE
    periods: Periods | None = None
    held_until_closed: bool = False

    def expand(self, partials: beam.PCollection) -> beam.PCollection:
        if self.periods is not None:
            move = beam.ParDo(_ToLastWindow(self.periods, self.window_seconds))
            partials |= f"To{self.periods.name}" >> move.with_output_types(_PARTIALS)
        if partials.is_bounded:
            partials |= "Spread" >> beam.ParDo(_SpreadWindows(self.window_seconds)).with_output_types(_PARTIALS)
        windows = beam.WindowInto(
            FixedWindows(self.window_seconds),
            trigger=self.trigger,
            accumulation_mode=AccumulationMode.ACCUMULATING,
            allowed_lateness=self.allowed_lateness_seconds,
        )
        combine = beam.CombinePerKey(CombinePageSums()) if partials.is_bounded else self._merge_panes()
        to_rows = _ToPageMetrics(self.sketch_size, self.periods)
        return (
            partials
            | "Windows" >> windows
            | "Sums" >> combine
            | "PageMetrics" >> beam.ParDo(to_rows).with_output_types(pa.Table)
        )

    def _merge_panes(self) -> beam.PTransform:
        """The same for unbounded input, without combining before the shuffle: that would date sums back to their window's end."""
        held = self.held_until_closed
        pack = beam.ParDo(_KeepUntilClosed(self.allowed_lateness_seconds)) if held else beam.Map(_pack)
        merge = beam.Map(_merge).with_output_types(_SUMS)
        return pack.with_output_types(_SUMS) | "ByShard" >> beam.GroupByKey() | "Merge" >> merge


class _CutByWindow(beam.DoFn):
    def __init__(self, window_seconds: int, shards: int) -> None:
        self._window_seconds, self._shards = window_seconds, shards

    def process(self, clicks: pa.Table) -> Iterator[Any]:
        for piece in cut_by_window(clicks, window_seconds=self._window_seconds, shards=self._shards):
            yield TimestampedValue((piece.shard, piece.partials), piece.window_start_ms / 1000)


class _ToLastWindow(beam.DoFn):
    """Moves partial sums to the last window of their period, which ends when the period does: so every runner knows its windows."""

    def __init__(self, periods: Periods, window_seconds: int) -> None:
        self._periods, self._window_ms = periods, window_seconds * 1000

    def process(self, partials: tuple[int, pa.Table], timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[Any]:
        _, end = self._periods.bounds(timestamp.micros // 1000)
        yield TimestampedValue(partials, (end - 1) // self._window_ms * self._window_ms / 1000)


class _SpreadWindows(beam.DoFn):
    """Gives windows keys of their own, as runners share out keys: else one worker would sum up all windows of a shard."""

    def __init__(self, window_seconds: int) -> None:
        self._window_micros = window_seconds * 1_000_000

    def process(self, partials: tuple[int, pa.Table], timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[Any]:
        yield partials[0] * _SPREAD + timestamp.micros // self._window_micros % _SPREAD, partials[1]


def _pack(partials: tuple[int, pa.Table]) -> tuple[int, PageSums]:
    """Partial sums of a batch as an accumulator, which is what windows keep."""
    sums = PageSums()
    sums.add(partials[1])
    return partials[0], sums


class _KeepUntilClosed(beam.DoFn):
    """Dates sums to when their window is closed for good, on Prism.

    Prism keeps what a window may need again, and takes the earliest of it for the watermark by which it tells late panes: one old window would
    keep the late panes of all the others back (seen with 2.77). The watermark behind isn't held at a window's end, nor need it be: what waits for
    it, waits until the window is closed. Flink refuses elements that are dated behind their window's end.
    """

    def __init__(self, allowed_lateness_seconds: int) -> None:
        self._lateness = Duration(seconds=allowed_lateness_seconds)

    def process(self, partials: tuple[int, pa.Table], window: Any = beam.DoFn.WindowParam) -> Iterator[WindowedValue]:
        yield WindowedValue(_pack(partials), window.max_timestamp() + self._lateness, [window])


def _merge(shard: tuple[int, Iterable[PageSums]]) -> tuple[int, PageSums]:
    return shard[0], CombinePageSums().merge_accumulators(shard[1])


class _ToPageMetrics(beam.DoFn):
    def __init__(self, sketch_size: int, periods: Periods | None) -> None:
        self._sketch_size, self._periods = sketch_size, periods

    def process(self, shard: tuple[int, PageSums], window: Any = beam.DoFn.WindowParam) -> Iterator[pa.Table]:
        start, end = (edge.micros // 1000 for edge in (window.start, window.end))
        if self._periods is not None:
            start, end = self._periods.bounds(start)
        yield page_metrics(shard[1].table(), window_start_ms=start, window_end_ms=end, sketch_size=self._sketch_size)


class CombinePageSums(beam.CombineFn):
    """Tables of partial sums to one `PageSums`: associative, the same for any split and merge tree."""

    def create_accumulator(self) -> PageSums:
        return PageSums()

    def add_input(self, accumulator: PageSums, partials: pa.Table) -> PageSums:
        accumulator.add(partials)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[PageSums]) -> PageSums:
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
