"""Any rows to one answer: what can be added is added, users are united, and quantiles come from the merged histogram."""

from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Floats, Int64s
from clickstream.transforms.sketches import Users, UserUnion, merge_histograms, quantile

# What is needed of a result row.
COLUMNS = (
    *("clicks", "unique_users", "time_spent_seconds", "timed_clicks", "time_spent_histogram"),
    *("sessions", "bounces", "users_theta", "users_sketch"),
)
_ADDED = ("clicks", "timed_clicks", "sessions", "bounces")
_HASHES = pl.List(pl.Int64)
_HISTOGRAM = pl.Struct({"values": pl.List(pl.Float64), "counts": pl.List(pl.Int64)})


class Answer(NamedTuple):
    """What rows say together. Times are in seconds, None where no click's time is known.

    Attributes:
        rows: How many there were.
        clicks: Their clicks.
        users: Their distinct users; None if several rows are asked, and one of them has no sketch.
        sessions: Sessions that began there; None: not measured.
        bounces: Those of one click; None: not measured.
        timed_clicks: Clicks with a known time.
        avg_time_spent: Mean, exact.
        median_time_spent: Within 1 %; where all times lie in one bucket of the histogram, their mean: within 2 %, exact if they are equal.
        p90_time_spent: Likewise; nine in ten clicks took no longer.
    """

    rows: int
    clicks: int
    users: Users | None
    sessions: int | None
    bounces: int | None
    timed_clicks: int
    avg_time_spent: float | None
    median_time_spent: float | None
    p90_time_spent: float | None

    @property
    def timed_share(self) -> float | None:
        """Share of the clicks whose time is known; None without clicks."""
        return self.timed_clicks / self.clicks if self.clicks else None


class Totals:
    """Adds up result rows, table by table, in any order; remembers sums, a histogram, and each distinct user's hash."""

    def __init__(self) -> None:
        self._rows = self._millis = self._row_users = 0
        self._sums: dict[str, int | None] = {"clicks": 0, "timed_clicks": 0, "sessions": None, "bounces": None}
        self._union: UserUnion | None = UserUnion()
        self._histogram: tuple[Floats, Int64s] = merge_histograms([])

    def add(self, rows: pa.Table) -> None:
        """Adds a table that holds `COLUMNS` of PAGE_METRICS_SCHEMA, a row of a window, page and country no more than once."""
        if not rows.num_rows:
            return
        self._rows += rows.num_rows
        self._row_users = rows["unique_users"][0].as_py()
        self._millis += round(pc.sum(pc.round(pc.multiply(rows["time_spent_seconds"], 1000.0))).as_py())
        for name in _ADDED:
            more = pc.sum(rows[name]).as_py()
            if more is not None:
                self._sums[name] = more + (self._sums[name] or 0)
        self._histogram = merge_histograms([self._histogram, _histograms(rows["time_spent_histogram"])])
        self._add_users(rows)

    def _add_users(self, rows: pa.Table) -> None:
        if rows["users_theta"].null_count or rows["users_sketch"].null_count:
            self._union = None
        elif self._union is not None:
            hashes = pl.Series(rows["users_sketch"]).str.json_decode(_HASHES).explode().drop_nulls()
            self._union.add(pc.min(rows["users_theta"]).as_py(), hashes.to_numpy())

    def answer(self) -> Answer:
        """What all that was added says."""
        sums, timed = self._sums, self._sums["timed_clicks"] or 0
        mean = self._millis / 1000 / timed if timed else None
        values, counts = self._histogram
        if int(counts.sum()) != timed:
            median = p90 = None  # a row without its histogram, from before there were any
        else:  # one bucket: the mean lies in it, and is exact
            median, p90 = (mean if len(values) == 1 else quantile(values, counts, q) for q in (0.5, 0.9))
        clicks, sessions, bounces = sums["clicks"] or 0, sums["sessions"], sums["bounces"]
        return Answer(self._rows, clicks, self._users(), sessions, bounces, timed, mean, median, p90)

    def _users(self) -> Users | None:
        if self._rows == 1:
            return Users(self._row_users, self._row_users, self._row_users, exact=True)
        return None if self._union is None else self._union.users()


def _histograms(texts: pa.ChunkedArray) -> tuple[Floats, Int64s]:
    """Values and counts of all rows, one after the other."""
    parsed = pl.Series(texts).drop_nulls().str.json_decode(_HISTOGRAM).struct
    return parsed.field("values").explode().to_numpy(), parsed.field("counts").explode().to_numpy()
