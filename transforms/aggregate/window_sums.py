"""Windows summed up by state and timers, for Prism: its `GroupByKey` may keep what comes behind a window's end until the window closes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import TupleCoder, VarIntCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.trigger import AfterProcessingTime, AfterWatermark, DefaultTrigger, TriggerFn
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow, GlobalWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from clickstream.transforms.aggregate.combine import PageSumsCoder, merge_sums, sums_of
from clickstream.transforms.aggregate.page_sums import PageSums
from clickstream.transforms.runner import keep_state_whole

_Key = tuple[int, int]  # shard, and the window's start in ms
_Part = tuple[int, PageSums]  # what it is, of those below
_SUMS, _EARLY, _LATE = range(3)
_OPEN, _ENDED = range(2)

_PARTS = beam.DoFn.StateParam(BagStateSpec("parts", PageSumsCoder()))
# Whether the window has ended, and whether parts have come since it was last emitted.
_PHASE = beam.DoFn.StateParam(ReadModifyWriteStateSpec("phase", TupleCoder([VarIntCoder(), VarIntCoder()])))
_END, _CLOSE = (TimerSpec(name, TimeDomain.WATERMARK) for name in ("end", "close"))
_END_TIMER, _CLOSE_TIMER = beam.DoFn.TimerParam(_END), beam.DoFn.TimerParam(_CLOSE)
_ARMED = beam.DoFn.StateParam(ReadModifyWriteStateSpec("armed", VarIntCoder()))
_FIRE = TimerSpec("fire", TimeDomain.REAL_TIME)
_FIRE_TIMER = beam.DoFn.TimerParam(_FIRE)


class PaneTimes(NamedTuple):
    """So soon after something has changed a window is emitted: before its end (None: not until then), and behind it."""

    early_seconds: float | None = None
    late_seconds: float = 1.0

    def trigger(self) -> TriggerFn:
        """The same as a trigger, in whole seconds, for a runner's own windows."""
        early, late = (
            AfterProcessingTime(max(1, round(each))) if each else None
            for each in (self.early_seconds, self.late_seconds)
        )
        return AfterWatermark(early=early, late=late)


def times_of(trigger: TriggerFn | None) -> PaneTimes | None:
    """The pane times that say the same as a trigger: the default (None too), or `AfterWatermark` of `AfterProcessingTime`. Of others None."""
    if trigger is None or isinstance(trigger, DefaultTrigger):
        return PaneTimes()
    if not isinstance(trigger, AfterWatermark):
        return None
    early, late = (getattr(each, "underlying", None) for each in (trigger.early, trigger.late))
    if not all(isinstance(each, AfterProcessingTime | None) for each in (early, late)):
        return None
    soonest = PaneTimes().late_seconds
    return PaneTimes(max(early.delay, soonest) if early else None, max(late.delay, soonest) if late else soonest)


class SumWindows(beam.PTransform):
    """Partial sums to the sums of their windows.

    In: `(shard, table of PARTIAL_SCHEMA)`, unbounded, each at its window's start. Out: `(shard, PageSums)`, at their window's last
    instant: at its end, before and behind it at `times` where something has changed, and when it closes if something has since. Always the whole
    window. What waits for the watermark behind it, waits until the window is closed; what comes for a window even later is emitted by itself.
    """

    def __init__(self, window_seconds: int, allowed_lateness_seconds: int, times: PaneTimes) -> None:
        super().__init__()
        self._window_seconds, self._lateness, self._times = window_seconds, allowed_lateness_seconds, times

    def expand(self, partials: beam.PCollection) -> beam.PCollection:
        keep_state_whole(partials.pipeline)
        by_window = beam.ParDo(_ByWindow()).with_output_types(tuple[_Key, _Part])
        parts = partials | "AtAnyTime" >> beam.WindowInto(GlobalWindows()) | "ByWindow" >> by_window
        keys = parts | "Keys" >> beam.ParDo(_AtNoTime()).with_output_types(tuple[_Key, None])
        timers = [
            keys | f"Timer{kind}" >> beam.ParDo(_Timer(kind, seconds)).with_output_types(tuple[_Key, _Part])
            for kind, seconds in ((_EARLY, self._times.early_seconds), (_LATE, self._times.late_seconds))
            if seconds
        ]
        add_up = beam.ParDo(_AddUp(self._window_seconds, self._lateness)).with_output_types(tuple[int, PageSums])
        return [parts, *timers] | "PartsAndTimers" >> beam.Flatten() | "AddUp" >> add_up


class _ByWindow(beam.DoFn):
    def process(
        self, partials: tuple[int, pa.Table], timestamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[tuple[_Key, _Part]]:
        yield (partials[0], timestamp.micros // 1000), (_SUMS, sums_of(partials[1]))


class _AtNoTime(beam.DoFn):
    """Dates keys behind all that ends: a timer that is set holds the watermark at its element's time."""

    def process(self, part: tuple[_Key, _Part]) -> Iterator[TimestampedValue]:
        yield TimestampedValue[tuple[_Key, None]]((part[0], None), GlobalWindow().max_timestamp())


class _Timer(beam.DoFn):
    """Sends a window's key on, so many seconds after it first came."""

    def __init__(self, kind: int, seconds: float) -> None:
        self._kind, self._seconds = kind, seconds

    def process(self, _: tuple[_Key, None], armed: Any = _ARMED, fire: Any = _FIRE_TIMER) -> None:
        if not armed.read():
            armed.write(1)
            fire.set(Timestamp.now() + self._seconds)

    @on_timer(_FIRE)  # type: ignore[untyped-decorator]
    def fire(self, key: Any = beam.DoFn.KeyParam, armed: Any = _ARMED) -> Iterator[TimestampedValue]:
        armed.clear()
        just_behind = Timestamp(micros=(key[1] + 1) * 1000)  # the parts that it fires for come first
        yield TimestampedValue[tuple[_Key, _Part]]((key, (self._kind, PageSums())), just_behind)


class _AddUp(beam.DoFn):
    def __init__(self, window_seconds: int, lateness_seconds: int) -> None:
        self._window_ms, self._lateness_ms = window_seconds * 1000, lateness_seconds * 1000

    def process(
        self,
        part: tuple[_Key, _Part],
        parts: Any = _PARTS,
        phase: Any = _PHASE,
        end: Any = _END_TIMER,
        _: Any = _CLOSE_TIMER,  # with --runtime_type_check Beam knows only the timers that are named here
    ) -> Iterator[TimestampedValue]:
        key, (kind, sums) = part
        stands = phase.read()
        if kind == _SUMS:
            parts.add(sums)
            if stands is None:
                end.set(self._at(key[1] + self._window_ms))
            phase.write((stands[0] if stands else _OPEN, True))
        elif stands == ((_ENDED if kind == _LATE else _OPEN), True):
            phase.write((stands[0], False))
            yield self._emitted(key, parts)

    @on_timer(_END)  # type: ignore[untyped-decorator]
    def end(
        self, key: Any = beam.DoFn.KeyParam, parts: Any = _PARTS, phase: Any = _PHASE, close: Any = _CLOSE_TIMER
    ) -> Iterator[TimestampedValue]:
        _, changed = phase.read()
        phase.write((_ENDED, False))
        close.set(self._at(key[1] + self._window_ms + self._lateness_ms - 1))
        if changed:
            yield self._emitted(key, parts)

    @on_timer(_CLOSE)  # type: ignore[untyped-decorator]
    def close(
        self, key: Any = beam.DoFn.KeyParam, parts: Any = _PARTS, phase: Any = _PHASE
    ) -> Iterator[TimestampedValue]:
        _, changed = phase.read()
        if changed:
            yield self._emitted(key, parts)
        parts.clear()
        phase.clear()

    def _emitted(self, key: _Key, parts: Any) -> TimestampedValue:
        """The window as it stands, which is kept in place of its parts: what was merged needn't be again."""
        total = merge_sums(parts.read())
        parts.clear()
        parts.add(total)
        return TimestampedValue[tuple[int, PageSums]]((key[0], total), self._at(key[1] + self._window_ms - 1))

    @staticmethod
    def _at(millis: int) -> Timestamp:
        return Timestamp(micros=millis * 1000)
