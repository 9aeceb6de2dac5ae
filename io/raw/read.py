"""`ReadRawClicks`: a range of the raw store as tables of clicks, read in parallel splits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.io.raw.clicks import BUCKET_MS
from clickstream.io.raw.store import RawStoreConnection, Split
from clickstream.transforms.outputs import named_outputs


@dataclass(eq=False)
class ReadRawClicks(beam.PTransform):
    """Stored clicks of a range of time, bounded.

    Out: `{"clicks": …, "before": …}`, tables of CLICK_SCHEMA as `MeasureTimeSpent` takes them: the clicks in [start_ms, end_ms), and those up to
    `around_ms` before and behind it, which show what the others followed and what followed them.

    Attributes:
        connection: The store.
        start_ms, end_ms: The range, ms since the epoch.
        around_ms: How far around it clicks matter: the session gap, where sessions are told.
        without_user: Whose clicks are left out; None: nobody's.
    """

    connection: RawStoreConnection
    start_ms: int
    end_ms: int
    around_ms: int = 0
    without_user: str | None = None

    def expand(self, root: beam.pvalue.PBegin) -> Any:
        splits = (
            root
            | "Once" >> beam.Create([None])
            | "Splits" >> beam.FlatMap(lambda _: self.splits()).with_output_types(Split)
            | "Spread" >> beam.Reshuffle()
        )
        found = named_outputs(splits, "Read", _ReadSplit(self), clicks=pa.Table, before=pa.Table)
        return {"clicks": found.clicks, "before": found.before}

    def splits(self) -> list[Split]:
        """What there is to read."""
        store = self.connection.open()
        try:
            starts = [bucket.start_ms for bucket in store.buckets()]
            first, end = self.start_ms - self.around_ms - BUCKET_MS, self.end_ms + self.around_ms
            return store.splits([start for start in starts if first < start < end])
        finally:
            store.close()


class _ReadSplit(beam.DoFn):
    def __init__(self, source: ReadRawClicks) -> None:
        self._connection, self._without_user = source.connection, source.without_user
        start, end, around = source.start_ms, source.end_ms, source.around_ms
        self._parts = [(start - around, start, False), (start, end, True), (end, end + around, False)]

    def setup(self) -> None:
        self._store = self._connection.open()

    def process(self, split: Split) -> Iterator[Any]:
        split_end = split.bucket_ms + BUCKET_MS if split.end_ms is None else split.end_ms
        for first, end, counted in self._parts:
            if first < split_end and split.bucket_ms < end:
                for found in self._store.read(split, first, end):
                    clicks = self._others(found)
                    yield clicks if counted else beam.pvalue.TaggedOutput("before", clicks)

    def _others(self, clicks: pa.Table) -> pa.Table:
        if self._without_user is None:
            return clicks
        return clicks.filter(pc.not_equal(clicks["user_id"], self._without_user))

    def teardown(self) -> None:
        self._store.close()
