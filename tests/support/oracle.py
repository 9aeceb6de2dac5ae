"""The brute-force oracle: page metrics recomputed record by record with the standard library, from the contract in `docs/reference/`.

It shares nothing with the code under test but `normalise_url`, whose examples are tested by hand.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from clickstream.transforms.parse.urls import UrlError, normalise_url

Key = tuple[int, str, str]  # window_start in ms, url, country


class Click(NamedTuple):
    """An accepted record. `time_spent` is seconds, or None."""

    user_id: str
    millis: int
    url: str
    country: str
    time_spent: float | None
    row_key: str | None = None


class Row(NamedTuple):
    """A result row, times in ms. Sessions and bounces are None unless time is measured by dwell."""

    window_end: int
    clicks: int
    unique_users: int
    time_spent_ms: int
    timed_clicks: int
    version: int
    sessions: int | None = None
    bounces: int | None = None


class Visit(NamedTuple):
    """A click, how long until the same user's next one of the session (ms; None: it was the last), and whether it began the session."""

    click: Click
    time_spent_ms: int | None
    began: bool


class Expected(NamedTuple):
    """What a run must come to: the result rows, and each record's outcome: `click`, `too late` or `rejected`."""

    rows: dict[Key, Row]
    outcomes: list[str]


def recompute(
    records: Iterable[bytes],
    *,
    window_seconds: int,
    fixed_seconds: float | None = None,
    session_gap_seconds: float | None = None,
    now_ms: int | None = None,
    watermark: int | None = None,
    allowed_lateness_seconds: int = 0,
) -> Expected:
    """Reads and adds up raw records; with a watermark (ms), those are too late whose window was closed for good by then."""
    outcomes, kept, length = [], [], window_seconds * 1000
    for click in (read_click(record, now_ms=now_ms) for record in records):
        closes = click and (click.millis // length + 1) * length + allowed_lateness_seconds * 1000
        late = closes is not None and watermark is not None and closes <= watermark
        outcomes.append("rejected" if click is None else "too late" if late else "click")
        if click and not late:
            kept.append(click)
    policy = {"fixed_seconds": fixed_seconds, "session_gap_seconds": session_gap_seconds}
    return Expected(expected_rows(kept, window_seconds=window_seconds, **policy), outcomes)


def read_click(record: bytes, *, now_ms: int | None = None, skew_ms: int = 600_000) -> Click | None:
    """The click that a record holds, or None if it must be rejected."""
    try:
        parsed = json.loads(record.removeprefix(b"\xef\xbb\xbf").decode(), parse_constant=_refuse, parse_int=_integer)
        if len(record) > 1 << 20 or not isinstance(parsed, dict):
            return None
        if b"\\u" in record:
            parsed = _whole(parsed)
        return _click(_flat(parsed), now_ms, skew_ms)
    except (ValueError, TypeError, KeyError, RecursionError, UrlError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _integer(digits: str) -> float:
    """Python refuses to read very long integers, JSON doesn't."""
    return int(digits) if len(digits) < 100 else math.inf


def _whole(value: Any) -> Any:
    """The same with U+FFFD for half a character."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, dict):
        return {_whole(name): _whole(inner) for name, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    if record.get("click_data") is None:
        return record
    agent = record.get("user_agent_data")
    geo = record.get("geo_data")
    families = [record["click_data"], {} if geo is None else geo, agent if isinstance(agent, dict) else {}]
    names = [
        ("user_id", "timestamp", "url", "session_end", "time_spent"),
        ("country", "city"),
        ("browser", "os", "device"),
    ]
    if not all(isinstance(family, dict) for family in families):
        raise TypeError
    flat = {n: family[n] for family, ns in zip(families, names, strict=True) for n in ns if n in family}
    return flat | ({"row_key": record["row_key"]} if "row_key" in record else {})


def _click(fields: dict[str, Any], now_ms: int | None, skew_ms: int) -> Click | None:
    country = fields.get("country")
    if not all(
        isinstance(each, str) for each in (fields["user_id"], fields["url"], "" if country is None else country)
    ):
        return None
    millis, end, spent = read_time(fields["timestamp"]), read_time(fields.get("session_end")), fields.get("time_spent")
    if millis is None or (now_ms is not None and millis > now_ms + skew_ms):
        return None
    user, country, key = fields["user_id"].strip(), (country or "").strip(), fields.get("row_key")
    country = "" if country == "unknown" else country
    if not 0 < len(user) <= 512 or len(country) > 128:
        return None
    if not _is_duration(spent):
        spent = None
        if end is not None and 0 <= end - millis <= 366 * 86_400_000:
            spent = (end - millis) / 1000
    key = key if isinstance(key, str) and 0 < len(key) <= 512 else None
    return Click(user, millis, normalise_url(fields["url"]), country, spent, key)


def _is_duration(spent: Any) -> bool:
    return isinstance(spent, (int, float)) and not isinstance(spent, bool) and 0 <= spent <= 366 * 86_400


_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,}))?)?)?(Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)


def read_time(value: Any) -> int | None:
    """Milliseconds since the epoch, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if not isinstance(value, str):
        if not -(2**63) <= value < 2**64:
            return None
        exact = Decimal(repr(value))  # as it was written: a float's own value may lie just below
        millis = math.floor(exact * 1000 if value < 100_000_000_000 else exact) if value >= 0 else -1
    else:
        found = _TIME.fullmatch(value)
        if not found:
            return None
        day, hour, minute, second, fraction, zone = found.groups()
        zone = "+00:00" if zone in (None, "Z") else zone[:3] + ":" + (zone[3:].strip(":") or "00")
        if int(zone[1:3]) > 23 or int(zone[4:]) > 59:
            return None
        try:
            whole = datetime.fromisoformat(f"{day}T{hour}:{minute or '00'}:{second or '00'}{zone}")
        except ValueError:
            return None
        seconds = (whole - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()
        millis = round(seconds) * 1000 + int((fraction or "0").ljust(3, "0")[:3])
    return millis if 0 <= millis < 7_258_118_400_000 else None


def expected_rows(
    clicks: Iterable[Click],
    *,
    window_seconds: int,
    fixed_seconds: float | None = None,
    session_gap_seconds: float | None = None,
    deduplicate: bool | None = None,
    before: Iterable[Click] = (),
    period_of: Callable[[int], tuple[int, int]] | None = None,
) -> dict[Key, Row]:
    """Result rows of clicks; `fixed_seconds` is the policy fixed:SECONDS, `session_gap_seconds` is dwell, None of them the policy reported.

    Clicks in `before` aren't counted, but others follow them. With `period_of` (start and end of what holds a time, ms), rows are by period.
    """
    dwell = session_gap_seconds is not None
    if dwell if deduplicate is None else deduplicate:
        clicks = distinct(clicks)
    if dwell:
        context = set(before)
        visits = [v for v in expected_visits([*clicks, *context], session_gap_seconds * 1000) if v.click not in context]
    else:
        times = ((c, c.time_spent if fixed_seconds is None else fixed_seconds) for c in clicks)
        visits = [Visit(click, None if time is None else round(time * 1000), False) for click, time in times]
    length = window_seconds * 1000
    period_of = period_of or (lambda millis: (millis // length * length, millis // length * length + length))
    groups: dict[tuple[int, int, str, str], list[Visit]] = defaultdict(list)
    for visit in visits:
        start, end = period_of(visit.click.millis)
        groups[start, end, visit.click.url, visit.click.country].append(visit)
    return {(start, *page): _row(end, found, dwell) for (start, end, *page), found in groups.items()}


def _row(window_end: int, found: list[Visit], dwell: bool) -> Row:
    known = [visit.time_spent_ms for visit in found if visit.time_spent_ms is not None]
    users = len({visit.click.user_id for visit in found})
    counts = (len(found), users, sum(known), len(known))
    if not dwell:
        return Row(window_end, *counts, len(found) + len(known))
    began = [visit for visit in found if visit.began]
    bounces = sum(visit.time_spent_ms is None for visit in began)
    version = 2**21 * (len(found) + len(known) + len(found) - len(began))
    version += max(0, 2**21 - 1 - sum(known) // max(len(known), 1))  # shorter times are known better
    return Row(window_end, *counts, version, len(began), bounces)


def distinct(clicks: Iterable[Click]) -> list[Click]:
    """Of clicks that are equal but for what they report of the time spent, the first."""
    return list({click._replace(time_spent=None): click for click in reversed(list(clicks))}.values())


def expected_visits(clicks: Iterable[Click], gap_ms: float) -> list[Visit]:
    """Each click with what follows it; simultaneous ones are in the order of URL, country, row key."""
    by_user: dict[str, list[Click]] = defaultdict(list)
    for click in clicks:
        by_user[click.user_id].append(click)
    visits = []
    for own in by_user.values():
        own.sort(key=lambda click: (click.millis, click.url, click.country, click.row_key or ""))
        gaps = [after.millis - click.millis for click, after in pairwise(own)]
        until_next = [gap if gap <= gap_ms else None for gap in gaps]
        began = [True, *(gap is None for gap in until_next)]
        visits += [Visit(*each) for each in zip(own, [*until_next, None], began, strict=True)]
    return visits


def as_oracle_rows(tables: Iterable[Any]) -> dict[Key, Row]:
    """Tables of PAGE_METRICS_SCHEMA in the oracle's terms; a key twice is an error."""
    rows: dict[Key, Row] = {}
    for table in tables:
        for row in table.to_pylist():
            key = (_millis(row["window_start"]), row["url"], row["country"])
            assert key not in rows, f"{key} twice"
            mean = row["time_spent_seconds"] / row["timed_clicks"] if row["timed_clicks"] else None
            assert row["avg_time_spent"] == mean
            rows[key] = Row(
                _millis(row["window_end"]),
                row["clicks"],
                row["unique_users"],
                round(row["time_spent_seconds"] * 1000),
                row["timed_clicks"],
                row["version"],
                row["sessions"],
                row["bounces"],
            )
    return rows


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
