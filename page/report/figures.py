"""What the report shows, out of the embedded database: what every store can be asked, and, of all pages at once, what SQLite sorts itself."""

import sqlite3
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.io.errors import UserError
from clickstream.io.results import Rejection, RowFilter, read_rejections, sqlite_store
from clickstream.page.markup import DAY, NICE_SECONDS, utc
from clickstream.transforms.arrays import Floats, Int64s
from clickstream.transforms.sketches import Users, UserUnion, merge_histograms, quantile

MOST_POINTS = 300
_COUNTRIES_SHOWN = 12
_KNOWN = ("timed_clicks", "time_spent_seconds")
MOST_HISTOGRAMS = 256  # of a page before they are merged
BANDS = (
    "under 10 s",
    "10 to 30 s",
    "30 s to 1 min",
    "1 to 2 min",
    "2 to 5 min",
    "5 to 10 min",
    "10 to 30 min",
    "30 min and more",
)


class Bucket(NamedTuple):
    """Clicks of one stretch of time, and what is known of the time spent on them (seconds)."""

    clicks: int
    timed_clicks: int
    time_spent_seconds: float


class Page(NamedTuple):
    """A page over all windows and countries.

    Attributes:
        url: The page.
        clicks: Its clicks.
        timed_clicks: Those whose time spent is known.
        time_spent_seconds: Its sum.
        sessions: Sessions that began there; None: not measured.
        bounces: Those of one click; None: not measured.
        users: Distinct users; None if a row has no sketch of them.
        median_time_spent: Seconds, within 1 %; None: no time is known.
        p90_time_spent: Likewise.
    """

    url: str
    clicks: int
    timed_clicks: int
    time_spent_seconds: float
    sessions: int | None
    bounces: int | None
    users: Users | None
    median_time_spent: float | None
    p90_time_spent: float | None


class Country(NamedTuple):
    """A country over all windows and pages."""

    country: str
    clicks: int
    timed_clicks: int
    time_spent_seconds: float


class Band(NamedTuple):
    """Pages whose mean time spent is within BANDS[band], and their clicks with a known time."""

    band: int
    pages: int
    timed_clicks: int


@dataclass(frozen=True)
class OverTime:
    """Clicks over time, in steps of `step_seconds` from `start`; None where there are no windows.

    Attributes:
        windows: Number of windows.
        rows: Number of rows of `page_metrics`.
        clicks: Clicks in them.
        timed_clicks: Those whose time spent is known.
        time_spent_seconds: Its sum.
        sessions: Sessions that began in them; None: not measured.
        bounces: Those of one click; None: not measured.
        first: UTC start of the first window.
        last: UTC end of the last one.
        shortest_window: Its length in seconds.
        longest_window: The same as the shortest, unless runs with different lengths of window share the database.
        start: UTC start of the first bucket.
        step_seconds: Length of a bucket, a multiple of the window's.
        buckets: At most about MOST_POINTS, without gaps. Where a few clicks lie far away from all others, the stretch that holds at
            least 99 % of them.
    """

    windows: int
    rows: int
    clicks: int
    timed_clicks: int
    time_spent_seconds: float
    sessions: int | None
    bounces: int | None
    first: datetime
    last: datetime
    shortest_window: int
    longest_window: int
    start: datetime
    step_seconds: int
    buckets: tuple[Bucket, ...]

    @property
    def edges(self) -> list[datetime]:
        """Where each bucket begins, and where the last one ends."""
        return [self.start + timedelta(seconds=i * self.step_seconds) for i in range(len(self.buckets) + 1)]


@dataclass(frozen=True)
class Figures:
    """All that the report shows. Sums are over the whole database."""

    over_time: OverTime | None
    pages: int
    top_pages: tuple[Page, ...]
    bands: tuple[Band, ...]
    countries: int
    top_countries: tuple[Country, ...]
    rejected: int
    rejections: tuple[Rejection, ...]


def read_figures(db_path: str | Path) -> Figures:
    """Asks the database for all figures side by side: SQLite adds up outside Python's lock.

    Raises:
        UserError: There is no database.
    """
    path = Path(db_path).resolve()
    if not path.is_file():
        message = f"No database at {db_path}: run the pipeline first, or give the path of its clickstream.db."
        raise UserError(message)
    store = sqlite_store(path)
    with ThreadPoolExecutor() as threads:
        windows, pages = threads.submit(store.by_time, RowFilter()), threads.submit(_pages, path)
        countries = threads.submit(store.top, "country", RowFilter(), _COUNTRIES_SHOWN)
        rejections = threads.submit(read_rejections, store.connection)
        (count, top), reasons = countries.result(), rejections.result()
        shown, rejected = tuple(Country(*each[:4]) for each in top), sum(each.records for each in reasons)
        return Figures(_over_time(windows.result()), *pages.result(), count, shown, rejected, tuple(reasons))


PAGES = """
CREATE TEMP TABLE pages AS
SELECT url, SUM(clicks) AS clicks, SUM(timed_clicks) AS timed_clicks, SUM(time_spent_seconds) AS time_spent_seconds,
       SUM(sessions) AS sessions, SUM(bounces) AS bounces, MIN(url_hash) AS url_hash
FROM page_metrics GROUP BY url"""

TOP_PAGES = """
CREATE TEMP TABLE top AS
SELECT url_hash, url, clicks, timed_clicks, time_spent_seconds, sessions, bounces FROM pages ORDER BY clicks DESC, url LIMIT 20"""

# Sketches are most of the database: those of the shown pages are sought by the primary key, window for window; nothing else is read.
SKETCHES = """
WITH RECURSIVE starts(at) AS (
  SELECT MIN(window_start) FROM page_metrics
  UNION ALL SELECT (SELECT MIN(window_start) FROM page_metrics WHERE window_start > at) FROM starts WHERE at IS NOT NULL)
SELECT top.url_hash, COUNT(*) - COUNT(users_sketch), MIN(users_theta), group_concat(users_sketch), group_concat(time_spent_histogram)
FROM starts CROSS JOIN top CROSS JOIN page_metrics AS metrics ON metrics.window_start = at AND metrics.url_hash = top.url_hash
GROUP BY at, top.url_hash"""

TIME_BANDS = """
SELECT (mean >= 10) + (mean >= 30) + (mean >= 60) + (mean >= 120) + (mean >= 300) + (mean >= 600) + (mean >= 1800), COUNT(*), SUM(timed_clicks)
FROM (SELECT timed_clicks, time_spent_seconds / timed_clicks AS mean FROM pages WHERE timed_clicks > 0) GROUP BY 1 ORDER BY 1"""


def _over_time(windows: pa.Table) -> OverTime | None:
    """Of the sums of windows (SUMS_SCHEMA), by start."""
    if not windows.num_rows:
        return None
    start, end = (np.asarray(windows[name].cast(pa.int64())) // 1000 for name in ("window_start", "window_end"))
    clicks, lengths = np.asarray(windows["clicks"]), end - start
    first, last, longest = int(start[0]), int(end.max()), int(lengths.max())
    dense_first, dense_last = _dense(start, end, clicks)
    drawn = (dense_first, dense_last) if last - first > 10 * (dense_last - dense_first) else (first, last)
    step = _bucket_seconds(drawn[1] - drawn[0], longest)
    begin = drawn[0] - drawn[0] % step
    cells: list[Any] = [windows.num_rows]
    cells += [pc.sum(windows[name]).as_py() for name in ("rows", "clicks", *_KNOWN, "sessions", "bounces")]
    cells += [utc(first), utc(last), int(lengths.min()), longest, utc(begin), step]
    cells.append(_buckets(windows, start, range(begin, drawn[1], step)))
    return OverTime(*cells)


def _dense(start: Int64s, end: Int64s, clicks: Int64s) -> tuple[int, int]:
    """The stretch that holds 99 % of the clicks, as many left out before as behind."""
    up_to, total = np.cumsum(clicks), int(clicks.sum())
    return int(start[up_to >= total * 0.005][0]), int(end[up_to - clicks <= total * 0.995].max())


def _buckets(windows: pa.Table, start: Int64s, edges: range) -> tuple[Bucket, ...]:
    """The sums of the windows from each edge on."""
    places = (start - edges.start) // edges.step
    within = (places >= 0) & (start < edges.stop)
    sums = (np.bincount(places[within], np.asarray(windows[name])[within], len(edges)) for name in ("clicks", *_KNOWN))
    return tuple(
        Bucket(int(clicks), int(timed), seconds)
        for clicks, timed, seconds in zip(*(each.tolist() for each in sums), strict=True)
    )


def _bucket_seconds(seconds: int, window: int) -> int:
    """The roundest multiple of the window's length that cuts `seconds` into at most MOST_POINTS."""
    least = max(-(-seconds // MOST_POINTS), window)
    days = -(-least // DAY) * DAY
    return next((s for s in (*NICE_SECONDS, days) if s >= least and s % window == 0), -(-least // window) * window)


def _pages(path: Path) -> tuple[int, tuple[Page, ...], tuple[Band, ...]]:
    # Not mode=ro: of a database in WAL mode that would leave its -wal and -shm files behind.
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
        connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
        return _read_pages(connection)


def _read_pages(connection: sqlite3.Connection) -> tuple[int, tuple[Page, ...], tuple[Band, ...]]:
    connection.execute(PAGES)
    (count,) = connection.execute("SELECT COUNT(*) FROM pages").fetchone()
    connection.execute(TOP_PAGES)
    sketches: dict[bytes, _Sketches] = defaultdict(_Sketches)
    for key, *window in connection.execute(SKETCHES):
        sketches[key].add(*window)
    rows = connection.execute("SELECT * FROM top").fetchall()
    top = tuple(Page._make((*row, *sketches[key].figures(*row[2:4]))) for key, *row in rows)
    return count, top, tuple(map(Band._make, connection.execute(TIME_BANDS)))


class _Sketches:
    """The sketches of one page, added window by window, so that no more than one window's are in memory as text."""

    def __init__(self) -> None:
        self._union: UserUnion | None = UserUnion()
        self._histograms: list[tuple[Floats, Int64s]] = []

    def add(self, unsketched: int, theta: int, sketches: str, histograms: str | None) -> None:
        """Adds the rows of a window: how many have no sketch, the least theta of the others, and the JSON texts, with commas."""
        if unsketched:
            self._union = None
        elif self._union is not None:
            self._union.add(theta, np.fromiter(chain.from_iterable(orjson.loads(f"[{sketches}]")), np.int64))
        rows = orjson.loads(f"[{histograms or ''}]")
        values = np.fromiter(chain.from_iterable(row["values"] for row in rows), np.float64)
        counts = np.fromiter(chain.from_iterable(row["counts"] for row in rows), np.int64)
        self._histograms.append((values, counts))
        if len(self._histograms) > MOST_HISTOGRAMS:
            self._histograms = [merge_histograms(self._histograms)]

    def figures(self, timed: int, seconds: float) -> tuple[Users | None, float | None, float | None]:
        """Distinct users, and median and P90 of the page's `timed` clicks that took `seconds`."""
        users = None if self._union is None else self._union.users()
        values, counts = merge_histograms(self._histograms)
        if not timed or int(counts.sum()) != timed:  # none is known, or a row is from before there were histograms
            return users, None, None
        if len(values) == 1:  # then the mean is in that bucket, and exact
            return users, seconds / timed, seconds / timed
        return users, quantile(values, counts, 0.5), quantile(values, counts, 0.9)
