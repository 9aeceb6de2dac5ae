"""A range of time cut into steps of a site's clock: minutes, hours or days, also where clocks are put forward or back."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from itertools import count
from zoneinfo import ZoneInfo

from clickstream.transforms.periods import Periods

_DAY = 86_400
# Those that fit into a day, then days.
_STEPS = (
    *(60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200),
    *(_DAY * days for days in (1, 2, 7, 14, 28)),
)


def step_seconds(seconds: float, window_seconds: int, most: int) -> int:
    """The shortest step of whole windows that cuts so many seconds into at most `most`.

    >>> step_seconds(86_400, 300, 120), step_seconds(30 * 86_400, 300, 120), step_seconds(600, 45, 120)
    (900, 21600, 45)
    """
    least = max(-(-seconds // most), window_seconds)
    fitting = (step for step in _STEPS if step >= least and step % window_seconds == 0)
    return int(next(fitting, -(-least // window_seconds) * window_seconds))


def step_edges(start: datetime, end: datetime, step: int, time_zone: str) -> list[datetime]:
    """Where the steps begin that together hold [start, end), and where the last one ends; in UTC, ascending.

    Steps within a day count from its beginning, the last of them ending with it; steps of whole days begin at midnights. Others (such as
    45 s, or longer than a day and no whole days) count from `start`.
    """
    edges: list[int] = []
    for edge in _marks(_millis(start), step, time_zone):
        edges.append(edge)
        if edge >= _millis(end):
            break
    first = sum(edge <= _millis(start) for edge in edges) - 1
    return [datetime.fromtimestamp(edge / 1000, timezone.utc) for edge in edges[first:]]


def _marks(start: int, step: int, time_zone: str) -> Iterator[int]:
    """Where steps begin, from one that is no later than `start` on, in ms; for ever."""
    if step % _DAY and _DAY % step:
        yield from count(start, step * 1000)
    days = Periods("1d", time_zone)
    day, next_day = days.bounds(start)
    while True:
        yield from range(day, next_day, step * 1000) if step < _DAY else (day,)
        for _ in range(step // _DAY - 1):
            next_day = days.bounds(next_day)[1]
        day, next_day = days.bounds(next_day)


def before(start: datetime, end: datetime, edges: Sequence[datetime], time_zone: str) -> tuple[datetime, datetime]:
    """The range as many steps before this one, by the site's clock: what comes before a day of 25 hours is a day.

    Where the last step isn't over, nor is the earlier one's.
    """
    zone = ZoneInfo(time_zone)

    def clock(moment: datetime) -> datetime:
        return moment.astimezone(zone).replace(tzinfo=None)

    length = clock(edges[-1]) - clock(edges[0])
    earlier = [(clock(moment) - length).replace(tzinfo=zone).astimezone(timezone.utc) for moment in (start, end)]
    return earlier[0], min(earlier[1], start)


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
