"""Hours and days of a time zone the slow way: by looking at the clock every quarter of an hour."""

from datetime import date, datetime, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

QUARTER_MS, HOUR_MS = 900_000, 3_600_000


@lru_cache(1 << 16)
def local_day(quarter: int, zone: str) -> tuple[int, int]:
    """Start and end (ms) of the day that holds the `quarter`th quarter of an hour since the epoch."""
    today = _date(quarter, zone)
    start = quarter
    while _date(start - 1, zone) >= today:
        start -= 1
    end = quarter
    while _date(end + 1, zone) <= today:
        end += 1
    return start * QUARTER_MS, (end + 1) * QUARTER_MS


def local_period(millis: int, name: str, zone: str) -> tuple[int, int]:
    """Start and end (ms) of the hour (`1h`, counted from the day's start) or day (`1d`) that holds a time."""
    start, end = local_day(millis // QUARTER_MS, zone)
    if name == "1d":
        return start, end
    hours = range(start, end, HOUR_MS)
    return next((hour, min(hour + HOUR_MS, end)) for hour in reversed(hours) if hour <= millis)


def _date(quarter: int, zone: str) -> date:
    moment = datetime.fromtimestamp(quarter * QUARTER_MS / 1000, timezone.utc)
    return moment.astimezone(ZoneInfo(zone)).date()
