"""What a store adds up itself, exactly, without sending its rows: by time, page and country; and the rows behind it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import pyarrow as pa

from clickstream.io.results.row_filter import RowFilter

Group = Literal["url", "country"]
ADDED = ("clicks", "timed_clicks", "sessions", "bounces")
SUMS_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.timestamp("ms", "UTC")) for name in ("window_start", "window_end")),
        pa.field("rows", pa.int64()),
        *(pa.field(name, pa.int64()) for name in ADDED),  # sessions and bounces: null where none are measured
        pa.field("time_spent_seconds", pa.float64()),
    ]
)


class GroupSums(NamedTuple):
    """A page's or country's name, and its sums."""

    name: str
    clicks: int
    timed_clicks: int
    time_spent_seconds: float
    sessions: int | None
    bounces: int | None


class Extent(NamedTuple):
    """Start of the first window, end of the last one, and how long that is."""

    first: datetime
    last: datetime
    window_seconds: int


class Store(Protocol):
    """A table or index of result rows that can be asked. All of it raises a UserError where the store can't be read."""

    @property
    def place(self) -> str:
        """Where it is, for people to read."""

    def extent(self) -> Extent | None:
        """From when to when there are windows; None: there are none."""

    def by_time(self, wanted: RowFilter) -> pa.Table:
        """Sums of each window, by start: SUMS_SCHEMA."""

    def top(self, group: Group, wanted: RowFilter, most: int) -> tuple[int, list[GroupSums]]:
        """How many pages or countries have clicks, and those that have the most, exact, then by name."""

    def rows(self, wanted: RowFilter, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows themselves, in tables."""
