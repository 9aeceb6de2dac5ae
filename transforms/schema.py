"""The columns that travel between steps: raw batches, clicks, rejected records and result rows.

Everything that crosses a step is one of these. A step may add columns; it never renames one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
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


class Around(NamedTuple):
    """What is asked of a record's surroundings in Kafka: whether its key, and which headers.

    The source then hands out `{"value": …, "key": …, "headers": {…}}` for a record, so that dead letters hold them too.
    """

    key: bool
    headers: tuple[str, ...]


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
        undecoded: The records that the source couldn't decode, in order: number, reason, detail. Their values are as they came.
        last_stored: The last record as its file holds it, where `values` are decoded; empty: it has no such place of its own.
    """

    values: Sequence[bytes]
    source: str
    positions: Sequence[int] | Int64s
    record_timestamps: Sequence[int] | None = None
    watermark: int | None = None
    span: Span | None = None
    complete_until: int | None = None
    undecoded: tuple[tuple[int, str, str], ...] = ()
    last_stored: bytes | None = None


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

# What parsing works out of others, where clicks are broken down by it. Raw stores on servers don't keep it.
ARRIVAL_SCHEMA = pa.schema([(name, pa.string()) for name in ("referrer", "channel", "campaign")])

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

_HOLDS: dict[str, pa.DataType] = {
    "time": UTC_MS,
    "url": pa.string(),
    "country": pa.string(),
    "value": pa.string(),  # of a breakdown's dimension
    "site": pa.string(),  # a URL's host
    "count": pa.int64(),
    "seconds": pa.float64(),
    "histogram": pa.string(),  # JSON: {"values": [seconds], "counts": [clicks]}
    "theta": pa.int64(),  # the bound below which a sketch holds every hash
    "hashes": pa.string(),  # JSON: of users, ascending
}


class ResultColumn(NamedTuple):
    """A column of result rows, as every store has it: by what it holds, each store knows its type and how it is written.

    Attributes:
        name: The same everywhere.
        holds: A key of `_HOLDS`.
        always: Whether it is never null. Else null: not measured, or sketches are off.
    """

    name: str
    holds: str
    always: bool = False


RESULT_COLUMNS = (
    ResultColumn("window_start", "time", always=True),
    ResultColumn("window_end", "time", always=True),
    ResultColumn("url", "url", always=True),
    ResultColumn("country", "country", always=True),
    ResultColumn("clicks", "count", always=True),
    ResultColumn("unique_users", "count", always=True),
    ResultColumn("time_spent_seconds", "seconds", always=True),
    ResultColumn("timed_clicks", "count", always=True),
    ResultColumn("avg_time_spent", "seconds"),
    ResultColumn("median_time_spent", "seconds"),
    ResultColumn("p90_time_spent", "seconds"),
    ResultColumn("time_spent_histogram", "histogram"),
    ResultColumn("sessions", "count"),
    ResultColumn("bounces", "count"),
    ResultColumn("users_theta", "theta"),
    ResultColumn("users_sketch", "hashes"),
    ResultColumn("version", "count", always=True),
)


@dataclass(frozen=True)
class RowKind:
    """A kind of result rows: of pages, or of a breakdown. All that differs between them is what a row is about.

    Attributes:
        columns: Of its rows.
        key: The two columns that tell apart the rows of a window. The first may be long: SQL's tables are keyed by its hash.
    """

    columns: tuple[ResultColumn, ...]
    key: tuple[str, str]

    @property
    def schema(self) -> pa.Schema:
        """The columns in Arrow."""
        return pa.schema([pa.field(each.name, _HOLDS[each.holds], nullable=not each.always) for each in self.columns])

    @property
    def hashed(self) -> str:
        """The name of the key's hash in SQL."""
        return f"{self.key[0]}_hash"


def _of_breakdowns() -> tuple[ResultColumn, ...]:
    instead = {
        "url": (ResultColumn("value", "value", always=True),),
        "country": (ResultColumn("site", "site", always=True), ResultColumn("values_together", "count", always=True)),
    }
    return tuple(new for column in RESULT_COLUMNS for new in instead.get(column.name, (column,)))


PAGES = RowKind(RESULT_COLUMNS, ("url", "country"))
BREAKDOWN = RowKind(_of_breakdowns(), ("value", "site"))
PAGE_METRICS_SCHEMA = PAGES.schema
BREAKDOWN_SCHEMA = BREAKDOWN.schema


def kind_of(columns: Collection[str]) -> RowKind:
    """The kind of rows that have these columns."""
    return BREAKDOWN if BREAKDOWN.key[0] in columns else PAGES
