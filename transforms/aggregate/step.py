"""`AggregateByPage`: measured clicks to page metrics, by windows and by hours and days of the same partial sums."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.trigger import AccumulationMode, TriggerFn
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from clickstream.transforms.aggregate.breakdown_rows import breakdown_metrics
from clickstream.transforms.aggregate.combine import CombinePageSums, merge_sums, sums_of
from clickstream.transforms.aggregate.page_sums import PageSums, cut_by_window
from clickstream.transforms.aggregate.result_rows import DEFAULT_SKETCH_SIZE, page_metrics
from clickstream.transforms.aggregate.window_sums import PaneTimes, SumWindows, times_of
from clickstream.transforms.breakdowns import Breakdowns
from clickstream.transforms.outputs import named_outputs
from clickstream.transforms.periods import Periods
from clickstream.transforms.runner import on_prism

_PARTIALS = tuple[int, pa.Table]
_SUMS = tuple[int, PageSums]
_PARTIALS_AT = TimestampedValue[_PARTIALS]  # its type is told for --runtime_type_check
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
        trigger: When panes are sent beside the default, once at the window's end (and again for each late pane). Instead of `pane_times`.
        allowed_lateness_seconds: How long a window takes late clicks after its end.
        sketch_size: Hashes of users that a row keeps at most; 0 for none.
        pane_times: When panes are sent of unbounded input, in the same words for each runner.
        by_timers: Whether unbounded windows are summed up by our own state and timers, instead of the runner's triggers. None: on Prism, whose
            triggers may keep late clicks until their window closes.
    """

    window_seconds: int = 300
    shards: int = 1
    trigger: TriggerFn | None = None
    allowed_lateness_seconds: int = 0
    sketch_size: int = DEFAULT_SKETCH_SIZE
    pane_times: PaneTimes | None = None
    by_timers: bool | None = None

    def __post_init__(self) -> None:
        if self.window_seconds < 1 or self.shards < 1 or self.allowed_lateness_seconds < 0:
            message = (
                "AggregateByPage: window_seconds and shards must be at least 1, allowed_lateness_seconds at least 0."
            )
            raise ValueError(message)
        _check_panes(self.trigger, self.pane_times)

    def expand(self, clicks: beam.PCollection) -> beam.PCollection:
        options = (self.window_seconds, self.trigger, self.allowed_lateness_seconds, self.sketch_size)
        sum_up = SumByPage(*options, pane_times=self.pane_times, by_timers=self.by_timers)
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
        window_seconds: See `CutByWindow`.
        trigger, allowed_lateness_seconds, sketch_size, pane_times, by_timers: See `AggregateByPage`.
        periods: What windows are rolled up to. Each window must lie in one (`Periods.check_windows`).
    """

    window_seconds: int = 300
    trigger: TriggerFn | None = None
    allowed_lateness_seconds: int = 0
    sketch_size: int = DEFAULT_SKETCH_SIZE
    periods: Periods | None = None
    pane_times: PaneTimes | None = None
    by_timers: bool | None = None

    def __post_init__(self) -> None:
        _check_panes(self.trigger, self.pane_times)

    def expand(self, partials: beam.PCollection) -> beam.PCollection:
        sums = self.sums(partials)
        to_rows = _ToPageMetrics(self.sketch_size, self.periods)
        return sums | "PageMetrics" >> beam.ParDo(to_rows).with_output_types(pa.Table)

    def sums(self, partials: beam.PCollection) -> beam.PCollection:
        """The sums of each window or period and shard."""
        if self.periods is not None:
            move = beam.ParDo(_ToLastWindow(self.periods, self.window_seconds))
            partials |= f"To{self.periods.name}" >> move.with_output_types(_PARTIALS)
        by_timers = on_prism(partials.pipeline) if self.by_timers is None else self.by_timers
        trigger = self.pane_times.trigger() if self.pane_times else self.trigger
        windows = beam.WindowInto(
            FixedWindows(self.window_seconds),
            trigger=None if by_timers else trigger,
            accumulation_mode=AccumulationMode.ACCUMULATING,
            allowed_lateness=self.allowed_lateness_seconds,
        )
        if partials.is_bounded:
            spread = beam.ParDo(_SpreadWindows(self.window_seconds)).with_output_types(_PARTIALS)
            return partials | "Spread" >> spread | "Windows" >> windows | beam.CombinePerKey(CombinePageSums())
        if by_timers:
            sum_up = SumWindows(self.window_seconds, self.allowed_lateness_seconds, self._times())
            return partials | "SumWindows" >> sum_up | "Windows" >> windows
        return partials | "Windows" >> windows | "Sums" >> _SumPanes()

    def _times(self) -> PaneTimes:
        times = self.pane_times or times_of(self.trigger)
        if times is None:
            message = (
                f"{self.trigger} can't be followed by timers, as needed on Prism: give pane_times=PaneTimes(early_seconds, late_seconds) "
                "instead of a trigger, or by_timers=False, with which late clicks may show only when their window closes."
            )
            raise ValueError(message)
        return times


@dataclass(eq=False)
class SumByBreakdown(SumByPage):
    """Partial sums to page metrics and to rows of breakdowns, of the same sums.

    In: as `CutByWindow` gives them, of clicks with traits. Out: `{"": …, name: …}`, tables of PAGE_METRICS_SCHEMA, and by the breakdown's name of
    BREAKDOWN_SCHEMA, one window each.

    Attributes:
        breakdowns: Those of the traits.
        shards: See `CutByWindow`. With more than one, a window is summed up once more as a whole.
    """

    breakdowns: Breakdowns = field(default_factory=Breakdowns)
    shards: int = 1

    def expand(self, partials: beam.PCollection) -> Any:  # Beam knows no hint for several outputs by name
        sums = self.sums(partials)
        to_rows = _ToPageMetrics(self.sketch_size, self.periods)
        rows = {"": sums | "PageMetrics" >> beam.ParDo(to_rows).with_output_types(pa.Table)}
        if not self.breakdowns.names:
            return rows
        if self.shards > 1:
            sums = partials | "Whole" >> _SumWhole(self)
        to_breakdowns = _ToBreakdowns(self.sketch_size, self.periods, self.breakdowns)
        names = dict.fromkeys(("none", *self.breakdowns.names), pa.Table)
        found = named_outputs(sums, "Breakdowns", to_breakdowns, **names)
        return rows | {name: found[name] for name in self.breakdowns.names}


@dataclass(eq=False)
class _SumWhole(beam.PTransform):
    """The sums of all shards together."""

    sum_up: SumByBreakdown

    def expand(self, partials: beam.PCollection) -> beam.PCollection:
        together = beam.MapTuple(lambda _, sums: (0, sums)).with_output_types(_PARTIALS)
        return self.sum_up.sums(partials | "Together" >> together)


def _check_panes(trigger: TriggerFn | None, times: PaneTimes | None) -> None:
    if trigger is not None and times is not None:
        message = "trigger and pane_times say the same thing: give one of them."
        raise ValueError(message)
    if times is not None and (
        times.late_seconds <= 0 or (times.early_seconds is not None and times.early_seconds <= 0)
    ):
        message = f"{times}: the seconds must be more than 0; early_seconds=None for none before the window's end."
        raise ValueError(message)


class _SumPanes(beam.PTransform):
    """The same for unbounded input, without combining before the shuffle: that would date sums back to their window's end."""

    def expand(self, partials: beam.PCollection) -> beam.PCollection:
        pack, merge = (beam.Map(each).with_output_types(_SUMS) for each in (_pack, _merge))
        return partials | "Pack" >> pack | "ByShard" >> beam.GroupByKey() | "Merge" >> merge


class _CutByWindow(beam.DoFn):
    def __init__(self, window_seconds: int, shards: int) -> None:
        self._window_seconds, self._shards = window_seconds, shards

    def process(self, clicks: pa.Table) -> Iterator[Any]:
        for piece in cut_by_window(clicks, window_seconds=self._window_seconds, shards=self._shards):
            yield _PARTIALS_AT((piece.shard, piece.partials), piece.window_start_ms / 1000)


class _ToLastWindow(beam.DoFn):
    """Moves partial sums to the last window of their period, which ends when the period does: so every runner knows its windows."""

    def __init__(self, periods: Periods, window_seconds: int) -> None:
        self._periods, self._window_ms = periods, window_seconds * 1000

    def process(self, partials: tuple[int, pa.Table], timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[Any]:
        _, end = self._periods.bounds(timestamp.micros // 1000)
        yield _PARTIALS_AT(partials, (end - 1) // self._window_ms * self._window_ms / 1000)


class _SpreadWindows(beam.DoFn):
    """Gives windows keys of their own, as runners share out keys: else one worker would sum up all windows of a shard."""

    def __init__(self, window_seconds: int) -> None:
        self._window_micros = window_seconds * 1_000_000

    def process(self, partials: tuple[int, pa.Table], timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[Any]:
        yield partials[0] * _SPREAD + timestamp.micros // self._window_micros % _SPREAD, partials[1]


def _pack(partials: tuple[int, pa.Table]) -> tuple[int, PageSums]:
    return partials[0], sums_of(partials[1])


def _merge(shard: tuple[int, Iterable[PageSums]]) -> tuple[int, PageSums]:
    return shard[0], merge_sums(shard[1])


class _ToPageMetrics(beam.DoFn):
    def __init__(self, sketch_size: int, periods: Periods | None) -> None:
        self._sketch_size, self._periods = sketch_size, periods

    def process(self, shard: tuple[int, PageSums], window: Any = beam.DoFn.WindowParam) -> Iterator[Any]:
        yield page_metrics(shard[1].table(), **self.place(window))

    def place(self, window: Any) -> dict[str, int]:
        start, end = (edge.micros // 1000 for edge in (window.start, window.end))
        if self._periods is not None:
            start, end = self._periods.bounds(start)
        return {"window_start_ms": start, "window_end_ms": end, "sketch_size": self._sketch_size}


class _ToBreakdowns(_ToPageMetrics):
    """To rows of each breakdown, an output each."""

    def __init__(self, sketch_size: int, periods: Periods | None, breakdowns: Breakdowns) -> None:
        super().__init__(sketch_size, periods)
        self._breakdowns = breakdowns

    def process(self, shard: tuple[int, PageSums], window: Any = beam.DoFn.WindowParam) -> Iterator[Any]:
        for name, rows in breakdown_metrics(shard[1].table(), self._breakdowns, **self.place(window)):
            yield beam.pvalue.TaggedOutput(name, rows)
