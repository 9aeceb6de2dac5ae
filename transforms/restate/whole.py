"""Which result rows a run's own clicks are enough for, where clicks of earlier runs are kept."""

from collections.abc import Iterator, Sequence

import apache_beam as beam
import numpy as np
import pyarrow as pa

from clickstream.transforms.arrays import Int64s, Mask


class OnlyWhole(beam.DoFn):
    """Passes on rows (PAGE_METRICS_SCHEMA) of windows that no earlier click has a part in. The others are to be computed from all clicks.

    Args:
        earlier: Starts of the time buckets that hold earlier clicks, ms since the epoch.
        bucket_ms: The length of a bucket.
        around_ms: How far from a window clicks change its rows.
    """

    def __init__(self, earlier: Sequence[int], bucket_ms: int, around_ms: int) -> None:
        self._earlier = np.array(sorted(earlier), np.int64)
        self._bucket_ms, self._around_ms = bucket_ms, around_ms

    def process(self, rows: pa.Table) -> Iterator[pa.Table]:
        start, end = (np.asarray(rows[name].cast(pa.int64())) for name in ("window_start", "window_end"))
        mixed = reached(self._earlier, self._bucket_ms, start - self._around_ms, end + self._around_ms)
        if not mixed.any():
            yield rows
        elif not mixed.all():
            yield rows.filter(pa.array(~mixed))


def reached(buckets: Int64s, bucket_ms: int, starts: Int64s, ends: Int64s) -> Mask:
    """Which of the stretches [start, end) share a time with one of the buckets (their starts, ascending). All ms since the epoch."""
    if not len(buckets):
        return np.zeros(len(starts), np.bool_)
    first = np.searchsorted(buckets, starts - bucket_ms, side="right")
    return (first < len(buckets)) & (buckets[np.minimum(first, len(buckets) - 1)] < ends)
