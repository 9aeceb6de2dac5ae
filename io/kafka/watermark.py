"""When a Kafka topic is complete: the arithmetic of the watermark, without Kafka and without Beam.

All times are event times in ms since the epoch, all durations ms.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

_T = TypeVar("_T")
NEVER = -9_223_372_036_854_775  # before any event: the start of time as Beam counts it (MIN_TIMESTAMP)
_SAMPLE = 128


class PartitionView(NamedTuple):
    """What is known of a partition when the watermark is worked out.

    Attributes:
        latest: The latest event time that counts; None if there was none.
        caught_up: The broker has just said that nothing lies behind what was read. A broker that is silent says nothing.
        quiet_ms: How long there has been no record whose time counts, as far as the broker has confirmed it.
        mute: Records of now come all the time, and the time of none of them counts: it would never be seen to be caught up.
    """

    latest: int | None
    caught_up: bool
    quiet_ms: int
    mute: bool = False


def next_watermark(
    previous: int,
    partitions: Iterable[PartitionView],
    *,
    disorder_ms: int,
    idle_ms: int,
    clock_ms: int | None = None,
) -> int:
    """The event time up to which everything has been read, but for disorder beyond the bound.

    It's the earliest, over partitions that aren't idle, of the latest event time seen, less the bound. A partition is
    idle when it's caught up (or mute) and has been quiet for `idle_ms`; one that lags is never idle. When all are idle it goes on
    at the pace of the clock, from the latest event of all, so that the last windows close although traffic has stopped,
    in a replay of old events too.

    Args:
        previous: What it was before; NEVER at first.
        partitions: The partitions that count.
        disorder_ms: By how much an event may come after a later one of its partition.
        idle_ms: How long a partition must be quiet to be idle.
        clock_ms: The present, if partitions that never had a time that counts are to follow the clock; None: it stays.

    Returns:
        The watermark, never less than `previous`.
    """
    views = list(partitions)
    active = [view.latest for view in views if not is_idle(view, idle_ms)]
    seen = [view.latest for view in views if view.latest is not None]
    if active:
        return previous if None in active else max(previous, min(t for t in active if t is not None) - disorder_ms)
    quiet = min((view.quiet_ms for view in views if view.latest is not None), default=0)
    if seen:
        return max(previous, max(seen) - disorder_ms + quiet)
    return previous if clock_ms is None or not views else max(previous, clock_ms - idle_ms - disorder_ms)


def is_idle(view: PartitionView, idle_ms: int) -> bool:
    """Whether a partition doesn't hold the others."""
    return (view.caught_up or view.mute) and view.quiet_ms >= idle_ms


def sample(values: Sequence[_T]) -> Sequence[_T]:
    """At most about 256 of the values, the last ones among them.

    The latest time of a sample is never later than that of all: a watermark made from it may be late, never wrong.
    """
    if len(values) <= 2 * _SAMPLE:
        return values
    step = -(-(len(values) - _SAMPLE) // _SAMPLE)
    return [*values[:-_SAMPLE:step], *values[-_SAMPLE:]]
