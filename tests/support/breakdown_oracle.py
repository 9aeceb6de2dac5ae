"""Breakdowns, recomputed click by click: from the contract in `docs/reference/tables.md`, with the standard library."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from oracle import Click, Visit, distinct, expected_visits, read_click, read_time

from clickstream.transforms.parse.channels import channel_of  # the list of channels is their definition

Traits = dict[str, str]


class Broken(NamedTuple):
    """A row of a breakdown, times in ms. Sessions and bounces are None unless time is measured by dwell."""

    window_end: int
    values_together: int
    clicks: int
    unique_users: int
    time_spent_ms: int
    timed_clicks: int
    sessions: int | None
    bounces: int | None


def read_with_traits(records: Iterable[bytes], until: int = 4_000_000_000_000) -> list[tuple[Click, Traits]]:
    """The accepted clicks, and what they can be broken down by."""
    found = ((click, record) for record in records if (click := read_click(record)) and click.millis < until)
    return [(click, _traits(json.loads(record.removeprefix(b"\xef\xbb\xbf")))) for click, record in found]


def _traits(record: dict[str, Any]) -> Traits:
    families = [record, *(record.get(name) or {} for name in ("click_data", "geo_data", "user_agent_data"))]
    given = {name: value for family in families for name, value in family.items() if isinstance(value, str)}
    traits = {name: given.get(name, "").strip()[:512] for name in ("browser", "os", "device", "city")}
    url, referrer = urlsplit(given["url"]), urlsplit(given.get("referrer", ""))
    sites = [(parts.hostname or "").removeprefix("www.") for parts in (referrer, url)]
    tags = {name: values[0] for name, values in parse_qs(url.query).items()}
    named = [tags.get(f"utm_{name}", "") for name in ("campaign", "source", "medium")]
    return traits | {
        "referrer": sites[0],
        "channel": channel_of(*sites, *named, "gclid" * ("gclid" in tags)),
        "campaign": named[0],
    }


def expected_breakdown(
    clicks: Iterable[tuple[Click, Traits]],
    name: str,
    *,
    window_seconds: int,
    most_values: int = 1000,
    fixed_seconds: float | None = None,
    session_gap_seconds: float | None = None,
    period_of: Callable[[int], tuple[int, int]] | None = None,
) -> dict[tuple[int, str, str], Broken]:
    """Rows by window, value and site."""
    clicks, length, dwell = list(clicks), window_seconds * 1000, session_gap_seconds is not None
    if dwell:
        values: dict[Click, Traits] = {}
        for click, traits in clicks:  # of clicks that are the same, the traits that come first as text
            same = click._replace(time_spent=None)
            values[same] = min(values.get(same, traits), traits, key=lambda each: list(each.values()))
        visits = expected_visits(distinct(click for click, _ in clicks), session_gap_seconds * 1000)
        pairs = [(visit, values[visit.click._replace(time_spent=None)][name]) for visit in visits]
    else:
        pairs = [(Visit(c, _given(c, fixed_seconds), False), traits[name]) for c, traits in clicks]
    period_of = period_of or (lambda millis: (millis // length * length, millis // length * length + length))
    windows: dict[tuple[int, int], list[tuple[Visit, str]]] = defaultdict(list)
    for visit, value in pairs:
        windows[period_of(visit.click.millis)].append((visit, value))
    rows = {}
    for (start, end), found in windows.items():
        counts = Counter(value for _, value in found)
        kept = sorted(counts, key=lambda value: (-counts[value], value.encode()))[:most_values]
        groups: dict[tuple[str, str], list[Visit]] = defaultdict(list)
        for visit, value in found:
            groups[value if value in kept else "(other)", urlsplit(visit.click.url).netloc].append(visit)
        for (value, site), own in groups.items():
            together = len(counts) - len(kept) if value == "(other)" and value not in kept else 1
            rows[start, value, site] = _row(end, together, own, dwell=dwell)
    return rows


def _given(click: Click, fixed_seconds: float | None) -> int | None:
    seconds = click.time_spent if fixed_seconds is None else fixed_seconds
    return None if seconds is None else round(seconds * 1000)


def _row(end: int, together: int, visits: list[Visit], *, dwell: bool) -> Broken:
    known = [visit.time_spent_ms for visit in visits if visit.time_spent_ms is not None]
    began = [visit for visit in visits if visit.began]
    visited = (len(began), sum(visit.time_spent_ms is None for visit in began)) if dwell else (None, None)
    users = len({visit.click.user_id for visit in visits})
    return Broken(end, together, len(visits), users, sum(known), len(known), *visited)


def as_broken(rows: Iterable[dict[str, Any]]) -> dict[tuple[int, str, str], Broken]:
    """Rows of a table, or documents, in the oracle's terms, without those that nobody is left of; a key twice is an error."""
    found: dict[tuple[int, str, str], Broken] = {}
    for row in rows:
        start, end = (_millis(row[name]) for name in ("window_start", "window_end"))
        key = (start, row["value"], row["site"])
        assert key not in found, f"{key} twice"
        figures = (row["time_spent_seconds"] * 1000, row["timed_clicks"], row["sessions"], row["bounces"])
        if row["clicks"]:
            users = row["unique_users"]
            found[key] = Broken(end, row["values_together"], row["clicks"], users, round(figures[0]), *figures[1:])
    return found


def _millis(moment: Any) -> int:
    return read_time(moment) if isinstance(moment, str) else round(moment.timestamp() * 1000)
