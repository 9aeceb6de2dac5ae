"""From when to when a view reaches, and in which steps."""

from datetime import datetime, timezone
from typing import NamedTuple
from zoneinfo import ZoneInfo

from clickstream.io.results import Extent
from clickstream.page.address import RANGES, Address
from clickstream.transforms.answer import before, step_edges, step_seconds

MOST_STEPS = 120


class Span(NamedTuple):
    """A range of time, [start, end) in UTC, and the edges of its steps, in the site's zone.

    Attributes:
        lagging: It isn't up to now, though it was asked for: there is nothing so new.
    """

    start: datetime
    end: datetime
    step: int
    edges: tuple[datetime, ...]
    lagging: bool


def span_of(address: Address, extent: Extent, now: datetime, time_zone: str) -> Span:
    """The range that an address means now. One up to now begins with a whole step; where nothing is that new, it's up to the last window."""
    if address.start and address.end:
        return _span(address.start, address.end, extent.window_seconds, time_zone)
    length = RANGES[address.range][1]
    end = -(-now.timestamp() // 60) * 60
    at = datetime.fromtimestamp(end, timezone.utc)
    lagging = extent.last <= at - length
    last = extent.last if lagging else at
    span = _span(last - length, last, extent.window_seconds, time_zone)
    return span._replace(start=span.edges[0].astimezone(timezone.utc), lagging=lagging)


def span_before(span: Span, time_zone: str) -> Span:
    """The one of the same length before it, in steps of the same."""
    start, end = before(span.start, span.end, span.edges, time_zone)
    return Span(start, end, span.step, _edges(start, end, span.step, time_zone), lagging=False)


def _span(start: datetime, end: datetime, window_seconds: int, time_zone: str) -> Span:
    step = step_seconds((end - start).total_seconds(), window_seconds, MOST_STEPS)
    return Span(start, end, step, _edges(start, end, step, time_zone), lagging=False)


def _edges(start: datetime, end: datetime, step: int, time_zone: str) -> tuple[datetime, ...]:
    zone = ZoneInfo(time_zone)
    return tuple(edge.astimezone(zone) for edge in step_edges(start, end, step, time_zone))
