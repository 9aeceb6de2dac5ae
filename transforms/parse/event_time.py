"""The latest event time among raw records: what a source's watermark is made of."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clickstream.transforms.parse.decode import decode_records
from clickstream.transforms.parse.times import to_epoch_ms


@dataclass(frozen=True)
class LatestEventTime:
    """Finds the latest plausible event time among records; for `ReadFromKafka(event_time=…)`.

    A record that can't be decoded, or whose time `ParseClicks` would reject with the same bounds, has no say: one clock that is far ahead
    must not drag the watermark along.

    Attributes:
        max_event_age_seconds, max_clock_skew_seconds: As in `ParseOptions`.
    """

    max_event_age_seconds: float | None = None
    max_clock_skew_seconds: float | None = 600

    def __call__(self, values: Sequence[bytes]) -> int | None:
        """Milliseconds since the epoch, or None if no record has a plausible time."""
        return self._latest(values, time.time() * 1000)

    def _latest(self, values: Sequence[bytes], now_ms: float) -> int | None:
        """Where a record raises, the others are asked by halves: `parse_clicks` makes a dead letter of it."""
        try:
            millis, valid = to_epoch_ms(decode_records(values, ["timestamp"]).fields["timestamp"])
        except Exception:
            if len(values) <= 1:
                return None
            middle = len(values) // 2
            halves = (self._latest(half, now_ms) for half in (values[:middle], values[middle:]))
            return max((millis for millis in halves if millis is not None), default=None)
        if self.max_event_age_seconds is not None:
            valid = valid & (millis >= now_ms - self.max_event_age_seconds * 1000)
        if self.max_clock_skew_seconds is not None:
            valid = valid & (millis <= now_ms + self.max_clock_skew_seconds * 1000)
        return int(np.max(millis[valid])) if valid.any() else None
