"""The latest event time among raw records: what a source's watermark is made of."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from clickstream.transforms.parse.formats import EventFormat, read_events
from clickstream.transforms.parse.reader import Decoded, KnownShapes, read_records
from clickstream.transforms.parse.times import to_epoch_ms

AHEAD_MS = 1_000  # by so much clocks differ, and some write whole seconds


@dataclass(frozen=True)
class LatestEventTime:
    """Finds the latest plausible event time among records; for `ReadFromKafka(event_time=…)`.

    A record that can't be decoded, or whose time `ParseClicks` would reject with the same bounds, has no say. Nor, where clocks are known, has
    one that is further than a second ahead of the clock when it was written: it counts, and it hurries no other.

    Attributes:
        max_event_age_seconds, max_clock_skew_seconds, event_format: As in `ParseOptions`.
    """

    max_event_age_seconds: float | None = None
    max_clock_skew_seconds: float | None = 600
    event_format: EventFormat | None = None
    _shapes: KnownShapes = field(default_factory=KnownShapes, init=False, repr=False, compare=False)

    def __call__(self, values: Sequence[bytes]) -> int | None:
        """Milliseconds since the epoch, or None if no record has a plausible time."""
        return self._latest(values, None, time.time() * 1000)

    def latest_by_clock(self, values: Sequence[bytes], clocks: Sequence[int]) -> int | None:
        """The same, of records that aren't ahead of their clocks, and never later than these.

        Args:
            values: The records.
            clocks: When each was written, ms since the epoch.
        """
        return self._latest(values, clocks, time.time() * 1000)

    def _read(self, values: Sequence[bytes]) -> Decoded:
        if self.event_format is None:
            return read_records(values, ["timestamp"], self._shapes)
        return read_events(values, ["timestamp"], self.event_format, self._shapes).decoded

    def _latest(self, values: Sequence[bytes], clocks: Sequence[int] | None, now_ms: float) -> int | None:
        """Where a record raises, the others are asked by halves: `parse_clicks` makes a dead letter of it."""
        try:
            decoded = self._read(values)
            millis, valid = to_epoch_ms(decoded.fields["timestamp"])
        except Exception:
            if len(values) <= 1:
                return None
            middle = len(values) // 2
            halves = (
                self._latest(values[half], clocks and clocks[half], now_ms)
                for half in (slice(middle), slice(middle, None))
            )
            return max((millis for millis in halves if millis is not None), default=None)
        if self.max_event_age_seconds is not None:
            valid = valid & (millis >= now_ms - self.max_event_age_seconds * 1000)
        if self.max_clock_skew_seconds is not None:
            valid = valid & (millis <= now_ms + self.max_clock_skew_seconds * 1000)
        if clocks is not None:
            own = np.asarray(clocks, np.int64)[decoded.kept]
            valid, millis = valid & (millis <= own + AHEAD_MS), np.minimum(millis, own)
        return int(np.max(millis[valid])) if valid.any() else None
