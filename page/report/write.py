"""The report page: one HTML file that shows the figures offline.

`render_report` is pure; `write_report` reads the database first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from clickstream.io.errors import UserError
from clickstream.page.markup import NICE_SECONDS, Html, bar, duration, foreign, joined, moment, table, tag
from clickstream.page.report.figures import BANDS, Bucket, Country, Figures, OverTime, Page, read_figures
from clickstream.page.table_cells import (
    UNMEASURED,
    caption_of,
    count_of,
    rejections_table,
    tiles,
    time_cell,
    users_cell,
)
from clickstream.page.time_chart import time_chart
from clickstream.transforms.countries import shown_country


@dataclass(frozen=True)
class RunCounts:
    """What became of the records of one run: read = accepted + rejected + too late + not clicks."""

    read: int
    accepted: int
    rejected: int
    too_late: int
    not_clicks: int = 0


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
    sections["Rejected"] = rejections_table(figures.rejections)
    body = joined(
        (_header(period, list(sections)), tag("main", *_sections(sections)), tag("footer", tag("p", NOTES))), "\n"
    )
    template = files(__package__).joinpath("report.html.tmpl").read_text("utf-8")
    style = files("clickstream.page").joinpath("style.css").read_text("utf-8")
    return Template(template).substitute(title=f"Clickstream report, {period}", style=style, body=body)


NOTES = (
    "Times are UTC. A window holds the clicks from its start up to, not including, its end. Mean, median and P90 (nine in ten "
    "clicks took no longer) of the time spent are over the clicks whose time is known; median and P90 are within 1 %. "
    "Users are a page's distinct users over all windows and countries, each counted once; ≈ marks an estimate. "
    "Sessions are those that began on the page; the bounce rate is the share of them that ended with that click. "
    "\N{EN DASH} stands for what was not measured."
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
    if time:
        stored |= {"Sessions": _sessions(time), "Bounce rate": _bounce_rate(time)}
        known = f"{time.timed_clicks:,} ({_known(time)})"
        stored |= {"Mean time spent": _mean(time), "Clicks with a known time": known}
    parts = [tag("h3", "In the database"), tiles(stored | {"Rejected records": figures.rejected})]
    if run:
        this_run = {
            "Read": run.read,
            "= accepted": run.accepted,
            "+ rejected": run.rejected,
            "+ too late": run.too_late,
        }
        if run.not_clicks:
            this_run["+ not clicks"] = run.not_clicks
        parts = [tag("h3", "This run"), tiles(this_run), *parts]
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


def _clicks(time: OverTime) -> Html:
    chart = time_chart(
        "Clicks over time",
        [bucket.clicks for bucket in time.buckets],
        edges=time.edges,
        label=count_of("clicks"),
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
        (moment(edge), f"{b.clicks:,}", _mean(b), _known(b)) for edge, b in zip(time.edges, time.buckets, strict=False)
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
            users_cell(page.users),
            _sessions(page),
            _bounce_rate(page),
            _mean(page),
            time_cell(page.median_time_spent),
            time_cell(page.p90_time_spent),
            _known(page),
        )
        for page in figures.top_pages
    )
    caption = caption_of(
        "pages", len(figures.top_pages), figures.pages, sum(page.clicks for page in figures.top_pages) / clicks
    )
    return table(caption, PAGE_HEADINGS, rows, numbers=" nnnnnnnn", name="stack")


PAGE_HEADINGS = ("Page", "Clicks", "Users", "Sessions", "Bounce rate", "Mean time", "Median", "P90", "Time known")


def _top_countries(figures: Figures, clicks: int) -> Html:
    most = figures.top_countries[0].clicks
    rows = (
        (
            bar(row.clicks / most, foreign(shown_country(row.country))),
            f"{row.clicks:,}",
            f"{row.clicks / clicks:.1%}",
            _mean(row),
            _known(row),
        )
        for row in figures.top_countries
    )
    caption = caption_of(
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
        edges=time.edges,
        label=duration,
        steps=NICE_SECONDS,
    )
    return joined((tag("p", known, class_="muted"), bands, tag("h3", "Mean time spent over time"), chart))


def _sessions(sums: Page | OverTime) -> str:
    return UNMEASURED if sums.sessions is None else f"{sums.sessions:,}"


def _bounce_rate(sums: Page | OverTime) -> str:
    return f"{sums.bounces / sums.sessions:.0%}" if sums.sessions and sums.bounces is not None else UNMEASURED


def _mean(sums: Bucket | Page | Country | OverTime) -> str:
    return time_cell(sums.time_spent_seconds / sums.timed_clicks if sums.timed_clicks else None)


def _known(sums: Bucket | Page | Country | OverTime) -> str:
    return f"{sums.timed_clicks / sums.clicks:.0%}" if sums.clicks else ""
