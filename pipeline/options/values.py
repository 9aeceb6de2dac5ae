"""What may stand behind an option's `=`: durations, times, policies, and what is said of anything else."""

import argparse
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path

from clickstream.transforms import TimeSpentPolicy
from clickstream.transforms.breakdowns import DIMENSIONS
from clickstream.transforms.parse import DEFAULT_TRACKING, TrackingParameters

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "": 1}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)(%?)")
_EARLIEST, _LATEST = datetime(1000, 1, 1, tzinfo=timezone.utc), datetime(9999, 12, 31, tzinfo=timezone.utc)


def duration(text: str) -> float:
    """Seconds of `10s`, `5m`, `2h`, `7d`, or a plain number of seconds."""
    found = _DURATION.fullmatch(text)
    if not found:
        message = f"{text!r} is no duration: write 30s, 10m, 2h or 7d"
        raise argparse.ArgumentTypeError(message)
    return float(found[1]) * _UNITS[found[2]]


def duration_or_off(text: str) -> float:
    """Seconds, see `duration`, or 0 for `off`."""
    return 0.0 if text == "off" else duration(text)


def share_or_off(text: str) -> float:
    """The share of `50%` or `0.5`; 1 for `off`."""
    found = _SHARE.fullmatch(text)
    share = 1.0 if text == "off" else float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0 <= share <= 1:
        message = f"{text!r} is no share: write 50%, 0.5 or off"
        raise argparse.ArgumentTypeError(message)
    return share


@dataclass(frozen=True)
class whole:  # noqa: N801 (it's called like the functions beside it)
    """Reads a whole number within bounds."""

    least: int
    most: int = 1 << 31

    def __call__(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", text) or not self.least <= int(text) <= self.most:
            message = f"{text!r} is no whole number from {self.least} to {self.most}"
            raise argparse.ArgumentTypeError(message)
        return int(text)


def time_spent(text: str) -> str:
    """Checks `dwell`, `fixed:SECONDS` or `reported`; stays text, as options travel as JSON."""
    try:
        return str(TimeSpentPolicy.from_text(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def tracking_parameters(text: str) -> str:
    """Checks changes to the tracking parameters: `+NAME`, `-NAME`, `NAME*`, `@FILE` with one such a line. Stays text, as options travel as JSON."""
    try:
        tracking_of(text)
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def tracking_of(text: str | None) -> TrackingParameters:
    """What `tracking_parameters` has checked, as parse takes it."""
    return (
        DEFAULT_TRACKING.changed_by(chain.from_iterable(map(_changes, text.split(",")))) if text else DEFAULT_TRACKING
    )


def _changes(item: str) -> list[str]:
    if not item.startswith("@"):
        return [item.strip()]
    lines = (line.partition("#")[0].strip() for line in Path(item[1:]).read_text("utf-8").splitlines())
    return [line for line in lines if line]


def sketch_size(text: str) -> int:
    """A power of two is not needed; `off` is 0."""
    return 0 if text == "off" else whole(16, 1 << 16)(text)


def rollups(text: str) -> str:
    """Checks `1h`, `1d` or both; the shorter stands first. Stays text, as options travel as JSON."""
    names = set(text.split(","))
    if not names <= {"1h", "1d"}:
        message = f"{text!r} is no roll-up: write 1h, 1d or 1h,1d"
        raise argparse.ArgumentTypeError(message)
    return ",".join(sorted(names, reverse=True))


def breakdowns(text: str) -> str:
    """Checks names of dimensions, and puts them in order. Stays text, as options travel as JSON."""
    names = set(text.split(","))
    if not names <= set(DIMENSIONS):
        message = f"{text!r} is no list of breakdowns: write some of {','.join(DIMENSIONS)}"
        raise argparse.ArgumentTypeError(message)
    return ",".join(name for name in DIMENSIONS if name in names)


def moment(text: str) -> datetime:
    """A time in ISO 8601 (without zone: UTC) as the first whole second at or after it, in UTC: windows start at whole ones."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        found = (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
        found = found.replace(microsecond=0) + timedelta(seconds=found.microsecond > 0)
        if _EARLIEST <= found <= _LATEST:
            return found
    except (ValueError, OverflowError):
        pass
    message = f"{text!r} is no time: write 2026-11-01, 2026-11-01T12:30:00Z or 2026-11-01T12:30:00+05:30"
    raise argparse.ArgumentTypeError(message)
