"""What the report shows, out of the embedded database: a query per figure, side by side."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from clickstream.io.charts import DAY, NICE_SECONDS, utc
from clickstream.io.errors import UserError

MOST_POINTS = 300
RAW_SHOWN = 200
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
T = TypeVar("T")


class Bucket(NamedTuple):
    """Clicks of one stretch of time, and what is known of the time spent on them (seconds)."""

    clicks: int
    timed_clicks: int
    time_spent_seconds: float


class Page(NamedTuple):
    """A page over all windows and countries. `peak_users`: distinct users in its busiest window of one country."""

    url: str
    clicks: int
    timed_clicks: int
    time_spent_seconds: float
    peak_users: int


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


class Rejection(NamedTuple):
    """A reason for which records were rejected, how many were, and one of them: `raw` is cut to RAW_SHOWN of its `raw_bytes` bytes."""

    reason: str
    records: int
    source: str
    position: int
    detail: str
    raw: bytes
    raw_bytes: int


@dataclass(frozen=True)
class OverTime:
    """Clicks over time, in steps of `step_seconds` from `start`; None where there are no windows.

    Attributes:
        windows: Number of windows.
        rows: Number of rows of `page_metrics`.
        clicks: Clicks in them.
        timed_clicks: Those whose time spent is known.
        time_spent_seconds: Its sum.
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
    first: datetime
    last: datetime
    shortest_window: int
    longest_window: int
    start: datetime
    step_seconds: int
    buckets: tuple[Bucket, ...]


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
    """Asks the database for all figures, on as many connections as there are of them: SQLite sorts outside Python's lock.

    Raises:
        UserError: There is no database.
    """
    path = Path(db_path).resolve()
    if not path.is_file():
        message = f"No database at {db_path}: run the pipeline first, or give the path of its clickstream.db."
        raise UserError(message)

    def ask(query: Callable[[sqlite3.Connection], T]) -> T:
        # Not mode=ro: of a database in WAL mode that would leave its -wal and -shm files behind.
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)
        connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
        try:
            return query(connection)
        finally:
            connection.close()

    with ThreadPoolExecutor() as threads:
        over_time, pages = threads.submit(ask, _over_time), threads.submit(ask, _pages)
        countries, rejections = threads.submit(ask, _countries), threads.submit(ask, _rejections)
        return Figures(over_time.result(), *pages.result(), *countries.result(), *rejections.result())


WINDOWS = """
CREATE TEMP TABLE windows AS
SELECT CAST(strftime('%s', window_start) AS INTEGER) AS "start", CAST(strftime('%s', MAX(window_end)) AS INTEGER) AS "end",
       SUM(clicks) AS clicks, SUM(timed_clicks) AS timed_clicks, SUM(time_spent_seconds) AS time_spent_seconds, COUNT(*) AS rows
FROM page_metrics GROUP BY window_start"""

RANGES = """
SELECT COUNT(*), SUM(rows), SUM(clicks), SUM(timed_clicks), SUM(time_spent_seconds), MIN("start"), MAX("end"),
       MIN("end" - "start"), MAX("end" - "start"),
       MIN(CASE WHEN upto >= total * 0.005 THEN "start" END), MAX(CASE WHEN upto - clicks <= total * 0.995 THEN "end" END)
FROM (SELECT *, SUM(clicks) OVER (ORDER BY "start") AS upto, SUM(clicks) OVER () AS total FROM windows)"""

BUCKETS = """
SELECT ("start" - :start) / :step, SUM(clicks), SUM(timed_clicks), SUM(time_spent_seconds)
FROM windows WHERE "start" >= :start AND "start" < :end GROUP BY 1"""

PAGES = """
CREATE TEMP TABLE pages AS
SELECT url, SUM(clicks) AS clicks, SUM(timed_clicks) AS timed_clicks, SUM(time_spent_seconds) AS time_spent_seconds,
       MAX(unique_users) AS peak_users
FROM page_metrics GROUP BY url"""

TOP_PAGES = "SELECT * FROM pages ORDER BY clicks DESC, url LIMIT 20"

TIME_BANDS = """
SELECT (mean >= 10) + (mean >= 30) + (mean >= 60) + (mean >= 120) + (mean >= 300) + (mean >= 600) + (mean >= 1800), COUNT(*), SUM(timed_clicks)
FROM (SELECT timed_clicks, time_spent_seconds / timed_clicks AS mean FROM pages WHERE timed_clicks > 0) GROUP BY 1 ORDER BY 1"""

COUNTRIES = """
SELECT COUNT(*) OVER (), country, SUM(clicks), SUM(timed_clicks), SUM(time_spent_seconds)
FROM page_metrics GROUP BY country ORDER BY 3 DESC, 2 LIMIT 12"""

REJECTIONS = """
SELECT SUM(records) OVER (), example.reason, records, source, position, detail, CAST(substr(raw, 1, :shown) AS BLOB), length(raw)
FROM (SELECT reason, COUNT(*) AS records, MIN(dead_letter_id) AS dead_letter_id FROM dead_letters GROUP BY reason) AS example
JOIN dead_letters USING (dead_letter_id) ORDER BY records DESC, example.reason LIMIT 50"""


def _over_time(connection: sqlite3.Connection) -> OverTime | None:
    connection.execute(WINDOWS)
    row = connection.execute(RANGES).fetchone()
    windows, rows, clicks, timed, seconds, first, last, shortest, longest, dense_first, dense_last = row
    if first is None:
        return None
    start, end = (first, last) if last - first <= 10 * (dense_last - dense_first) else (dense_first, dense_last)
    step = _bucket_seconds(end - start, longest)
    start -= start % step
    found = {i: Bucket(*sums) for i, *sums in connection.execute(BUCKETS, {"start": start, "end": end, "step": step})}
    buckets = tuple(found.get(i, Bucket(0, 0, 0.0)) for i in range(-(-(end - start) // step)))
    totals = (windows, rows, clicks, timed, seconds, utc(first), utc(last), shortest, longest)
    return OverTime(*totals, utc(start), step, buckets)


def _bucket_seconds(seconds: int, window: int) -> int:
    """The roundest multiple of the window's length that cuts `seconds` into at most MOST_POINTS."""
    least = max(-(-seconds // MOST_POINTS), window)
    days = -(-least // DAY) * DAY
    return next((s for s in (*NICE_SECONDS, days) if s >= least and s % window == 0), -(-least // window) * window)


def _pages(connection: sqlite3.Connection) -> tuple[int, tuple[Page, ...], tuple[Band, ...]]:
    connection.execute(PAGES)
    (count,) = connection.execute("SELECT COUNT(*) FROM pages").fetchone()
    return (
        count,
        tuple(map(Page._make, connection.execute(TOP_PAGES))),
        tuple(map(Band._make, connection.execute(TIME_BANDS))),
    )


def _countries(connection: sqlite3.Connection) -> tuple[int, tuple[Country, ...]]:
    rows = connection.execute(COUNTRIES).fetchall()
    return (rows[0][0] if rows else 0), tuple(Country._make(row[1:]) for row in rows)


def _rejections(connection: sqlite3.Connection) -> tuple[int, tuple[Rejection, ...]]:
    rows = connection.execute(REJECTIONS, {"shown": RAW_SHOWN}).fetchall()
    return (rows[0][0] if rows else 0), tuple(Rejection._make(row[1:]) for row in rows)
