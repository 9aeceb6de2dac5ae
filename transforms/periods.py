"""Hours and days by a site's clock: where in UTC they begin and end, also where clocks are put forward or back."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from math import gcd
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from clickstream.transforms.arrays import Int64s

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_QUARTER_MS = 900_000  # every zone's offset has been a multiple of it since 1980
_FIRST_MS, _LAST_MS = (
    -62_135_510_400_000,
    253_402_128_000_000,
)  # what `datetime` can tell, a day or two in from its ends
_YEARS_CHECKED = range(2000, 2038)


@dataclass(frozen=True)
class Periods:
    """Hours or days of a time zone. Together they tile time: each begins where the one before ends.

    A day is from a midnight of the zone to the next: of 23 or 25 hours where clocks are changed, and from the change where it leaves
    a midnight out. Hours are counted from the day's beginning, so that none lies in two days.

    Attributes:
        name: `1h` or `1d`.
        time_zone: A name of the IANA database, such as `Asia/Kolkata`.

    Raises:
        ValueError: There is no such period or zone.
    """

    name: str
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.name not in ("1h", "1d"):
            message = f"there is no period {self.name}: it is 1h or 1d"
            raise ValueError(message)
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder's name is an OSError
            message = f"there is no time zone {self.time_zone}: write its name in the IANA database, such as Asia/Kolkata, or UTC"
            raise ValueError(message) from None

    def bounds(self, millis: int) -> tuple[int, int]:
        """Start and end of the period that holds a time, ms since the epoch (UTC)."""
        if not _FIRST_MS < millis < _LAST_MS:
            start = millis // _DAY_MS * _DAY_MS
            return start, start + _DAY_MS
        start, end = _day(self.time_zone, millis)
        if self.name == "1d":
            return start, end
        start += (millis - start) // _HOUR_MS * _HOUR_MS
        return start, min(start + _HOUR_MS, end)

    def ends(self, millis: Int64s) -> Int64s:
        """The ends of the periods that hold these times: as `bounds`, for times since 1980."""
        quarters, of_times = np.unique(millis // _QUARTER_MS, return_inverse=True)
        ends = np.array([self.bounds(quarter * _QUARTER_MS)[1] for quarter in quarters.tolist()], np.int64)
        return ends[of_times.reshape(-1)]

    def check_windows(self, window_seconds: int) -> None:
        """Whether windows of this length lie in one period each.

        Raises:
            ValueError: They don't, and how long they may be.
        """
        fitting = gcd(3600, *_offsets(self.time_zone)) if self.name == "1h" else gcd(86_400, *_offsets(self.time_zone))
        if fitting % window_seconds:
            message = f"windows of {window_seconds} s don't fit into periods of {self.name} in {self.time_zone}: choose a divisor of {fitting}"
            raise ValueError(message)


@lru_cache(maxsize=4096)
def _day_of(time_zone: str, day: date) -> tuple[int, int]:
    return _midnight(time_zone, day), _midnight(time_zone, day + timedelta(days=1))


def _midnight(time_zone: str, day: date) -> int:
    """When a date begins. Of two midnights the first; where there is none, the change of the clocks (PEP 495, fold 0)."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone))
    return round(midnight.timestamp() * 1000)


def _day(time_zone: str, millis: int) -> tuple[int, int]:
    day = datetime.fromtimestamp(millis // 1000, timezone.utc).astimezone(ZoneInfo(time_zone)).date()
    start, end = _day_of(time_zone, day)
    while millis >= end:  # a date that begins, and goes back to the one before for an hour
        day += timedelta(days=1)
        start, end = _day_of(time_zone, day)
    return start, end


@lru_cache(maxsize=64)
def _offsets(time_zone: str) -> frozenset[int]:
    zone = ZoneInfo(time_zone)
    months = (datetime(year, month, 1, tzinfo=zone) for year in _YEARS_CHECKED for month in range(1, 13))
    return frozenset(int((month.utcoffset() or timedelta()).total_seconds()) for month in months)


@dataclass(frozen=True)
class RestartTime:
    """From the time up to which all stores are complete to the watermark at which the next run begins.

    Every window of which more may become known must be open then: also those of a period that isn't over, whose clicks are all read again.

    Attributes:
        allowed_lateness_seconds: How late clicks may come.
        settled_seconds: How much later a window is settled (see `MeasureTimeSpent`).
        periods: The longest that are kept; None: none.
    """

    allowed_lateness_seconds: int = 0
    settled_seconds: int = 0
    periods: Periods | None = None

    def __call__(self, complete_until_ms: int) -> int:
        """Both in ms since the epoch."""
        settled = complete_until_ms - self.settled_seconds * 1000
        if self.periods is None:
            return settled
        lateness = self.allowed_lateness_seconds * 1000
        return self.periods.bounds(settled - lateness)[0] + lateness
