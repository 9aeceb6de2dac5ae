"""The frame of the live page: head, tabs, the bar of filters, and what all tabs say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from clickstream.page.address import RANGES, Address, local_text
from clickstream.page.markup import Html, joined, moment, tag
from clickstream.page.view import View
from clickstream.transforms.countries import shown_country

TABS = {"/": "Clicks", "/rejected": "Rejected and late", "/health": "Health"}


def page(
    path: str,
    title: str,
    time_zone: str,
    *content: Html,
    query: str = "",
    refresh_seconds: float = 10.0,
    aside: Html | None = None,
) -> str:
    """The whole page: what is `content` is what is refreshed.

    Args:
        path: The tab's.
        title: What is shown.
        time_zone: Whose clock is shown.
        content: The tab's own.
        query: The view's address, which the other tabs give back.
        refresh_seconds: How soon to look again.
        aside: Stands above it, and isn't refreshed.
    """
    live = tag("div", *content, id="live", data_refresh=f"{refresh_seconds:g}", data_zone=time_zone)
    head = joined(
        (
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="light dark">'),
            tag("title", f"{title} · Clickstream"),
            Html('<link rel="icon" href="/static/icon.svg" type="image/svg+xml">'),
            Html('<link rel="stylesheet" href="/static/style.css"><link rel="stylesheet" href="/static/page.css">'),
            Html('<script src="/static/page.js" defer></script>'),
        )
    )
    skip = tag("a", "Skip to the numbers", href="#live", class_="skip")
    body = tag("body", skip, _header(path, query), tag("main", aside or Html(), live))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n{body}\n</html>\n'


def _header(path: str, query: str) -> Html:
    links = (
        tag("a", name, href=_href(to, query), **({"aria_current": "page"} if to == path else {}))
        for to, name in TABS.items()
    )
    pause = tag("button", "Pause", type="button", id="pause", hidden="", aria_pressed="false")
    state = tag("div", tag("span", "", id="refreshed", role="status"), pause, class_="state")
    title = tag("h1", "Clickstream")
    return tag("header", tag("div", title, state, class_="top"), tag("nav", *links, aria_label="Tabs", class_="tabs"))


def _href(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def alert(text: str) -> Html:
    """One line of what is wrong."""
    return tag("p", tag("bdi", text), class_="alert", role="alert")


def _shown(chosen: str | None, countries: Sequence[str]) -> tuple[str | None, list[str]]:
    return None if chosen is None else shown_country(chosen), [*map(shown_country, countries)]


def filters(view: View, pages: Sequence[str], countries: Sequence[str]) -> Html:
    """The bar of filters: a form whose address is the view's, so that it can be sent to a colleague."""
    address = view.address
    return tag(
        "form",
        _ranges(view),
        tag(
            "div",
            _field("Page", "page", address.url, pages, "all pages"),
            _field("Country", "country", *_shown(address.country, countries), "all countries"),
            _compare(address),
            tag("button", "Show", type="submit", name="range", value=address.range, class_="main"),
            *([tag("a", "Clear", href=_address(Address(), view.time_zone))] if address != Address() else []),
            class_="row",
        ),
        _free(view),
        method="get",
        action="/",
        class_="filters",
    )


def _ranges(view: View) -> Html:
    links = (
        tag(
            "a",
            text,
            href=_address(replace(view.address, range=name, start=None, end=None), view.time_zone),
            **({"aria_current": "true"} if view.address.range == name else {}),
        )
        for name, (text, _) in RANGES.items()
    )
    return tag("div", *links, class_="ranges", role="group", aria_label="Range")


def _address(address: Address, time_zone: str) -> str:
    return _href("/", address.query(time_zone))


def _field(label: str, name: str, value: str | None, known: Sequence[str], all_of_them: str) -> Html:
    options = tag("datalist", *(tag("option", value=each) for each in known), id=f"{name}-list")
    given = {"type": "text", "name": name, "value": value or "", "list": f"{name}-list", "placeholder": all_of_them}
    # Direction by content: a URL that turns the direction of writing turns only itself.
    field = tag("input", **given, dir="auto", autocomplete="off", spellcheck="false", maxlength="8192")
    return tag("label", tag("span", label), field, options, class_=f"field {name}")


def _compare(address: Address) -> Html:
    checked = {"checked": ""} if address.compare else {}
    return tag(
        "label", tag("input", type="checkbox", name="compare", value="on", **checked), "Period before", class_="check"
    )


def _free(view: View) -> Html:
    period = view.period
    times = {"from": period.start, "to": period.end} if period else {}
    fields = (
        tag(
            "label",
            tag("span", text),
            tag("input", type="datetime-local", name=name, value=_time(view, times.get(name))),
        )
        for name, text in (("from", "From"), ("to", "To"))
    )
    show = tag("button", "Show these", type="submit", name="range", value="free")
    chosen = {"open": ""} if view.address.range == "free" else {}
    summary = tag("summary", "Another range")
    return tag("details", summary, tag("div", *fields, show, class_="row"), **chosen, id="free")


def _time(view: View, time: datetime | None) -> str:
    """For the form, which knows no offsets."""
    return local_text(time, view.time_zone)[:19] if time else ""


def span_text(start: datetime, end: datetime) -> str:
    """A range by its zone's clock: the day isn't said twice, and whole days are days."""
    if all(time.hour == time.minute == time.second == 0 for time in (start, end)):
        last = end - timedelta(days=1)
        first = f"{start:%Y-%m-%d}"
        return first if last.date() == start.date() else f"{first} to {last:%Y-%m-%d}"
    return f"{moment(start)} to {moment(end)[11:] if start.date() == end.date() else moment(end)}"
