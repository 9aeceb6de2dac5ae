"""The first tab: clicks and users over time, the pages and countries of the most clicks."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from clickstream.page.address import RANGES
from clickstream.page.live.downloads import shown_only
from clickstream.page.live.frame import filters, page, span_text
from clickstream.page.live.tiles import change, estimate, known, mean, tiles, time, users
from clickstream.page.markup import Html, bar, duration, foreign, joined, moment, table, tag
from clickstream.page.table_cells import UNMEASURED, caption_of, count_of, time_cell
from clickstream.page.time_chart import time_chart
from clickstream.page.view import Line, Listing, Period, View
from clickstream.transforms.countries import shown_country

HEADINGS = ("Clicks", "Users", "Mean time", "Median", "P90", "Time known")
_OFTEN, _SOON, _AWAY = 10.0, 1.0, 3.0  # seconds


def clicks_page(view: View, *, took_seconds: float = 0.0, problem: Html | None = None) -> str:
    """The tab as a page."""
    lines = (view.pages.lines, view.countries.lines)
    aside = filters(view, *([line.sums.name for line in each] for each in lines))
    usual = _SOON if view.pending else max(_OFTEN, 20 * took_seconds)
    refresh = _AWAY if problem else usual
    query = view.address.query(view.time_zone)
    return page(
        "/",
        "Clicks",
        view.time_zone,
        problem or Html(),
        *_content(view),
        query=query,
        refresh_seconds=refresh,
        aside=aside,
    )


def _content(view: View) -> list[Html]:
    if view.period is None or view.extent is None:
        return [_empty("No clicks yet: the page fills when the first window is written.", view)]
    said = [_headline(view, view.period)]
    if not view.period.sums.clicks:
        return [*said, _empty("No clicks here: choose a wider range, or clear the filters.", view)]
    return [*said, tiles(view, view.period), _charts(view, view.period), *_listings(view, view.period), _notes(view)]


def _empty(text: str, view: View) -> Html:
    store = tag("p", "Asked: ", tag("bdi", view.place), class_="muted")
    return tag("section", tag("p", text, class_="empty"), store)


def _headline(view: View, period: Period) -> Html:
    zone = ZoneInfo(view.time_zone)
    start, end = (time.astimezone(zone) for time in (period.start, period.end))
    fixed = view.address.within(period.start, period.end).query(view.time_zone)
    link = [] if view.address.range == "free" else [" · ", tag("a", "link to exactly this", href=f"/?{fixed}")]
    said = [tag("strong", span_text(start, end)), f" {view.time_zone}"]
    if view.before is not None:
        earlier = span_text(*(time.astimezone(zone) for time in (view.before.start, view.before.end)))
        said += [f", compared with {earlier}"]
    line = tag("p", *said, *link, class_="span")
    if not view.lagging or view.extent is None:
        return line
    last = moment(view.extent.last.astimezone(zone))
    text = f"Nothing is newer than {last}: shown is the {RANGES[view.address.range][0].lower()} up to then."
    return joined((line, tag("p", text, class_="note")))


def _charts(view: View, period: Period) -> Html:
    clicks = _chart(view, "Clicks", "clicks", lambda each: [step.sums.clicks for step in each.steps])
    users = _chart(view, "Users", "users", lambda each: [estimate(step.answer) for step in each.steps])
    step = duration((period.edges[1] - period.edges[0]).total_seconds())
    return tag(
        "section",
        tag("h2", "Over time"),
        tag("p", f"Per {step}", *([", the period before dashed"] if view.before else []), class_="muted"),
        tag("div", tag("div", tag("h3", "Clicks"), clicks), tag("div", tag("h3", "Users"), users), class_="two"),
        _numbers(view, period),
    )


def _chart(view: View, name: str, noun: str, values: Callable[[Period], Sequence[float | None]]) -> Html:
    if view.period is None:
        return Html()
    now, before = list(values(view.period)), list(values(view.before)) if view.before else []
    if not any(value is not None for value in now):
        return tag("p", "Being computed …" if view.pending else view.unanswered or "Not measured.", class_="empty")
    fitted = [*before, *[None] * len(now)][: len(now)] if before else []
    return time_chart(f"{name} over time", now, edges=view.period.edges, label=count_of(noun), before=fitted)


def _numbers(view: View, period: Period) -> Html:
    """The charts' numbers as a table, for keyboards, screen readers and copying."""
    rows = (
        (
            moment(edge),
            f"{step.sums.clicks:,}",
            users(view, step.answer),
            time_cell(mean(step.sums)),
            known(step.sums),
        )
        for edge, step in zip(period.edges, period.steps, strict=False)
    )
    headings = (f"From ({view.time_zone})", "Clicks", "Users", "Mean time", "Time known")
    shown = table("Clicks and users over time", headings, rows, numbers=" nnnn", name="numbers")
    box = tag("div", shown, class_="scroll", tabindex="0", role="region", aria_label="Clicks and users over time")
    return joined(
        (
            tag("details", tag("summary", "Show the numbers"), box, id="numbers"),
            _download(view, "over-time", "over time"),
        )
    )


def _download(view: View, name: str, what: str) -> Html:
    query, most = view.address.query(view.time_zone), shown_only(name, view)
    what = f"the top {most} {what} only" if most else what
    return tag(
        "p",
        tag("a", f"CSV, {what}", href=f"/{name}.csv?{query}" if query else f"/{name}.csv", download=""),
        class_="download",
    )


def _listings(view: View, period: Period) -> list[Html]:
    return [
        tag("section", tag("h2", title), _listing(view, noun, listing, period), _download(view, name, noun), id=name)
        for title, noun, name, listing in (
            ("Pages", "pages", "pages", view.pages),
            ("Countries", "countries", "countries", view.countries),
        )
    ]


def _listing(view: View, noun: str, listing: Listing, period: Period) -> Html:
    most = max((line.sums.clicks for line in listing.lines), default=1) or 1
    shown = sum(line.sums.clicks for line in listing.lines) / (period.sums.clicks or 1)
    caption = caption_of(noun, len(listing.lines), listing.count, shown)
    first = noun.replace("pages", "Page").replace("countries", "Country")
    compared = view.before is not None
    headings = (first, HEADINGS[0], *(["Change"] if compared else []), *HEADINGS[1:])
    rows = (_row(view, noun, line, most, compared=compared) for line in listing.lines)
    return table(caption, headings, rows, numbers=" " + "n" * (len(headings) - 1), name=f"stack {noun}")


def _row(view: View, noun: str, line: Line, most: int, *, compared: bool) -> tuple[object, ...]:
    chosen = line.sums.name
    address = replace(view.address, url=chosen) if noun == "pages" else replace(view.address, country=chosen)
    query = address.query(view.time_zone)
    name = tag(
        "a", foreign(shown_country(chosen) if noun == "countries" else chosen), href=f"/?{query}", title="Only this"
    )
    answer = line.answer
    return (
        bar(line.sums.clicks / most, name),
        f"{line.sums.clicks:,}",
        *([change(line.sums.clicks, line.clicks_before)] if compared else []),
        users(view, answer),
        time_cell(mean(line.sums)),
        time(view, answer, "median_time_spent"),
        time(view, answer, "p90_time_spent"),
        known(line.sums),
    )


def _notes(view: View) -> Html:
    exact = (
        "Clicks, means, sessions and the share of known times are exact. Users are distinct over all that is shown, each counted once: exact, "
        "or, with ≈, an estimate (point at it for its 95 % bounds). Median and P90 (nine in ten clicks took no longer) are within 1 %, over the "
        f"clicks whose time is known. {UNMEASURED} stands for what was not measured."
    )
    return tag(
        "footer",
        tag("p", exact),
        tag("p", "Asked: ", tag("bdi", view.place)),
        *([tag("p", view.unanswered)] if view.unanswered else []),
    )
