"""The report page: figures out of the embedded database, and one HTML file that shows them offline.

`read_figures` asks SQLite, a query per figure; `render_report` is pure; `write_report` does both.
"""

import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple, TypeVar

from clickstream.io.charts import (
    DAY,
    NICE_SECONDS,
    Html,
    bar,
    duration,
    foreign,
    joined,
    moment,
    table,
    tag,
    time_chart,
    utc,
)
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


@dataclass(frozen=True)
class RunCounts:
    """What became of the records of one run: read = accepted + rejected + too late."""

    read: int
    accepted: int
    rejected: int
    too_late: int


def write_report(db_path: str | Path, html_path: str | Path, *, run: RunCounts | None = None) -> Figures:
    """Reads the figures of an embedded database, writes the page, and returns the figures.

    Args:
        db_path: The SQLite file with `page_metrics` and `dead_letters`; only read.
        html_path: Where the page goes; replaced.
        run: The counts of the run that has just ended, if the page should show them.

    Raises:
        UserError: There is no database, or the page can't be written.
    """
    figures = read_figures(db_path)
    page = render_report(figures, run=run).encode()
    try:
        Path(html_path).write_bytes(page)
    except OSError as error:
        message = f"The report {html_path} can't be written ({error.strerror}): the database is whole; make room or choose another place."
        raise UserError(message) from None
    return figures


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


def render_report(figures: Figures, *, run: RunCounts | None = None) -> str:
    """Renders the page: one HTML file that loads nothing and runs no script. The same figures give the same bytes."""
    time = figures.over_time
    period = f"{moment(time.first)} to {moment(time.last)} UTC" if time else "no clicks yet"
    sections = {"Figures": _headline(figures, run)}
    if time:
        sections |= {
            "Clicks over time": _clicks(time),
            "Top pages": _top_pages(figures, time.clicks),
            "Countries": _top_countries(figures, time.clicks),
            "Time spent": _time_spent(figures, time),
        }
    sections["Rejected"] = _rejected(figures)
    body = joined(
        (_header(period, list(sections)), tag("main", *_sections(sections)), tag("footer", tag("p", NOTES))), "\n"
    )
    template = Template(files(__package__).joinpath("report.html.tmpl").read_text("utf-8"))
    return template.substitute(title=f"Clickstream report, {period}", body=body)


NOTES = (
    "Times are UTC. A window holds the clicks from its start up to, not including, its end. The mean time spent is over the clicks "
    "whose time is known. "
    "Peak users are the distinct users of a page's busiest window in one country: users of several windows can't be added up, "
    "because the same person may be in each."
)


def _header(period: str, titles: list[str]) -> Html:
    links = (tag("a", title, href=f"#{_anchor(title)}") for title in titles)
    return tag(
        "header",
        tag("h1", "Clickstream report"),
        tag("p", period, class_="muted"),
        tag("nav", *links, aria_label="Sections"),
    )


def _sections(sections: Mapping[str, Html]) -> list[Html]:
    return [tag("section", tag("h2", title), content, id=_anchor(title)) for title, content in sections.items()]


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _headline(figures: Figures, run: RunCounts | None) -> Html:
    time = figures.over_time
    stored: dict[str, object] = {"Clicks": time.clicks if time else 0, "Windows": time.windows if time else 0}
    stored |= {"Pages": figures.pages, "Countries": figures.countries}
    if time and time.timed_clicks:
        stored["Mean time spent"] = duration(time.time_spent_seconds / time.timed_clicks)
    parts = [tag("h3", "In the database"), _tiles(stored | {"Rejected records": figures.rejected})]
    if run:
        this_run = {
            "Read": run.read,
            "= accepted": run.accepted,
            "+ rejected": run.rejected,
            "+ too late": run.too_late,
        }
        parts = [tag("h3", "This run"), _tiles(this_run), *parts]
    if not time:
        parts.append(tag("p", "No clicks yet: the page fills when the pipeline has written its first window."))
    elif time.shortest_window != time.longest_window:
        parts.append(
            tag(
                "p",
                MIXED_WINDOWS.format(duration(time.shortest_window), duration(time.longest_window)),
                class_="warning",
            )
        )
    return joined(parts)


MIXED_WINDOWS = (
    "Windows of {} and of {} share this database: their clicks are counted once per length of window. "
    "Write each length to an output folder of its own."
)


def _tiles(numbers: Mapping[str, object]) -> Html:
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", _number(value))) for name, value in numbers.items()))


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _count(noun: str) -> Callable[[float], str]:
    return lambda number: f"{number:,.0f} {noun}"


def _clicks(time: OverTime) -> Html:
    chart = time_chart(
        "Clicks over time",
        [bucket.clicks for bucket in time.buckets],
        start=time.start,
        step_seconds=time.step_seconds,
        label=_count("clicks"),
    )
    drawn = sum(bucket.clicks for bucket in time.buckets)
    outside = (
        f" {time.clicks - drawn:,} clicks lie far before or after this stretch and are not drawn."
        if drawn < time.clicks
        else ""
    )
    about = f"Clicks per {duration(time.step_seconds)}, in windows of {duration(time.longest_window)}.{outside}"
    return joined((tag("p", about, class_="muted"), chart, _numbers(time)))


def _numbers(time: OverTime) -> Html:
    """The chart's numbers as a table, for keyboards, screen readers and copying."""
    rows = (
        (moment(time.start + timedelta(seconds=i * time.step_seconds)), f"{b.clicks:,}", _mean(b), _known(b))
        for i, b in enumerate(time.buckets)
    )
    shown = table(
        "Clicks and time spent over time", ("From (UTC)", "Clicks", "Mean time", "Time known"), rows, numbers=" nnn"
    )
    box = tag("div", shown, class_="scroll", tabindex="0", role="region", aria_label="Clicks and time spent over time")
    return tag("details", tag("summary", "Show the numbers"), box)


def _top_pages(figures: Figures, clicks: int) -> Html:
    most = figures.top_pages[0].clicks
    rows = (
        (
            bar(page.clicks / most, foreign(page.url)),
            f"{page.clicks:,}",
            _mean(page),
            _known(page),
            f"{page.peak_users:,}",
        )
        for page in figures.top_pages
    )
    caption = _caption(
        "pages", len(figures.top_pages), figures.pages, sum(page.clicks for page in figures.top_pages) / clicks
    )
    return table(
        caption, ("Page", "Clicks", "Mean time", "Time known", "Peak users"), rows, numbers=" nnnn", name="stack"
    )


def _top_countries(figures: Figures, clicks: int) -> Html:
    most = figures.top_countries[0].clicks
    rows = (
        (
            bar(row.clicks / most, foreign(row.country)),
            f"{row.clicks:,}",
            f"{row.clicks / clicks:.1%}",
            _mean(row),
            _known(row),
        )
        for row in figures.top_countries
    )
    caption = _caption(
        "countries",
        len(figures.top_countries),
        figures.countries,
        sum(row.clicks for row in figures.top_countries) / clicks,
    )
    return table(
        caption,
        ("Country", "Clicks", "Share", "Mean time", "Time known"),
        rows,
        numbers=" nnnn",
        name="stack countries",
    )


def _caption(noun: str, shown: int, of: int, share: float) -> str:
    return (
        f"All {of:,} {noun}, by clicks"
        if shown == of
        else f"The top {shown} of {of:,} {noun}, by clicks: {share:.1%} of all clicks"
    )


def _time_spent(figures: Figures, time: OverTime) -> Html:
    if not time.timed_clicks:
        return tag("p", "The time spent is not known for any click.")
    known = f"Known for {time.timed_clicks / time.clicks:.1%} of all clicks."
    most = max(band.timed_clicks for band in figures.bands)
    rows = (
        (
            bar(b.timed_clicks / most, BANDS[b.band]),
            f"{b.timed_clicks:,}",
            f"{b.timed_clicks / time.timed_clicks:.1%}",
            f"{b.pages:,}",
        )
        for b in figures.bands
    )
    bands = table(
        "Clicks by the mean time of their page",
        ("Mean time", "Clicks", "Share", "Pages"),
        rows,
        numbers=" nnn",
        name="bands",
    )
    chart = time_chart(
        "Mean time spent over time",
        [b.time_spent_seconds / b.timed_clicks if b.timed_clicks else None for b in time.buckets],
        start=time.start,
        step_seconds=time.step_seconds,
        label=duration,
        steps=NICE_SECONDS,
    )
    return joined((tag("p", known, class_="muted"), bands, tag("h3", "Mean time spent over time"), chart))


def _mean(sums: Bucket | Page | Country) -> str:
    return duration(sums.time_spent_seconds / sums.timed_clicks) if sums.timed_clicks else "unknown"


def _known(sums: Bucket | Page | Country) -> str:
    return f"{sums.timed_clicks / sums.clicks:.0%}" if sums.clicks else ""


def _rejected(figures: Figures) -> Html:
    if not figures.rejections:
        return tag("p", "No record was rejected.")
    most = figures.rejections[0].records
    rows = ((bar(r.records / most, foreign(r.reason)), f"{r.records:,}", _example(r)) for r in figures.rejections)
    return table(
        "Rejected records by reason, with an example of each",
        ("Reason", "Records", "Example"),
        rows,
        numbers=" n",
        name="stack rejections",
    )


def _example(rejection: Rejection) -> Html:
    raw = foreign(rejection.raw.decode("utf-8", "backslashreplace"), 4 * RAW_SHOWN)
    rest = f" … {rejection.raw_bytes:,} bytes in all" if rejection.raw_bytes > len(rejection.raw) else ""
    where = tag("div", foreign(f"{rejection.source}:{rejection.position}"), class_="muted")
    return joined((tag("div", foreign(rejection.detail, 400)), where, tag("pre", raw, rest)))
