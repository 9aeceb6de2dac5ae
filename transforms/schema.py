"""The columns that travel between steps: raw batches, clicks, rejected records and result rows.

Everything that crosses a step is one of these four. A step may add columns; it never renames one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from clickstream.transforms.arrays import Int64s

UTC_MS = pa.timestamp("ms", tz="UTC")


class Span(NamedTuple):
    """The stretch of one Kafka partition that a batch covers: offsets `[start, end)`, in a run that began at `run_start`.

    The spans of a run tile the partition without gaps, also where offsets are missing (compaction, transaction markers).
    """

    run_start: int
    start: int
    end: int


class RawBatch(NamedTuple):
    """Records as they came, thousands at a time, and where each was found.

    Attributes:
        values: The records' bytes, undecoded: a list, or `Lines`.
        source: Where they came from: a file's path, or `kafka:TOPIC/PARTITION`.
        positions: One per record: byte offset of its line in the file, or Kafka offset.
        record_timestamps: One per record: Kafka's own timestamp, ms since the epoch (-1: none). None for files.
        watermark: Event time, ms since the epoch, before which the source had promised completeness when it read these. None for bounded input.
        span: The offsets that the batch covers. None for files.
        complete_until: Event time, ms since the epoch, up to which windows were complete before the run began: clicks before it were counted then.
    """

    values: Sequence[bytes]
    source: str
    positions: Sequence[int] | Int64s
    record_timestamps: Sequence[int] | None = None
    watermark: int | None = None
    span: Span | None = None
    complete_until: int | None = None


class BatchProgress(NamedTuple):
    """What became of a part of a Kafka batch: its span is done with once every window up to `needed_until` is written.

    Attributes:
        source: `kafka:TOPIC/PARTITION`.
        span: The offsets that the part covers.
        needed_until: Event time, ms since the epoch, at which the last window that one of its clicks matters to is settled
            (without sessions, its end plus the allowed lateness); the batch's watermark if it holds none.
    """

    source: str
    span: Span
    needed_until: int


CLICK_SCHEMA = pa.schema(
    [
        pa.field("row_key", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("timestamp", UTC_MS, nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("country", pa.string(), nullable=False),
        pa.field("city", pa.string()),
        pa.field("browser", pa.string()),
        pa.field("os", pa.string()),
        pa.field("device", pa.string()),
        pa.field("session_end", UTC_MS),
        pa.field("time_spent", pa.float64()),  # seconds, as the event reports it
    ]
)

REJECTED_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("record_timestamp", UTC_MS),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("raw", pa.binary(), nullable=False),
    ]
)

PAGE_METRICS_SCHEMA = pa.schema(
    [
        pa.field("window_start", UTC_MS, nullable=False),
        pa.field("window_end", UTC_MS, nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("country", pa.string(), nullable=False),
        pa.field("clicks", pa.int64(), nullable=False),
        pa.field("unique_users", pa.int64(), nullable=False),
        pa.field("time_spent_seconds", pa.float64(), nullable=False),
        pa.field("timed_clicks", pa.int64(), nullable=False),
        pa.field("avg_time_spent", pa.float64()),
        pa.field("median_time_spent", pa.float64()),
        pa.field("p90_time_spent", pa.float64()),
        pa.field("time_spent_histogram", pa.string()),  # JSON: {"values": [seconds], "counts": [clicks]}
        pa.field("sessions", pa.int64()),  # null: not measured
        pa.field("bounces", pa.int64()),
        pa.field("users_theta", pa.int64()),  # null: sketches are off
        pa.field("users_sketch", pa.string()),  # JSON: hashes of users, ascending
        pa.field("version", pa.int64(), nullable=False),
    ]
)
