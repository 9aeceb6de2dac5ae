"""How `query` prints its answer: lines for people, or JSON."""

from datetime import datetime
from typing import Any

import orjson

from clickstream.io.results import RowFilter
from clickstream.page.markup import visible
from clickstream.transforms.answer import Answer
from clickstream.transforms.countries import shown_country
from clickstream.transforms.sketches import Users


def answer_json(wanted: RowFilter, answer: Answer) -> str:
    """The question and the answer as one JSON object; null is what isn't known. Times of day are in UTC, time spent in seconds."""
    names = ("unique_users", "unique_users_low", "unique_users_high", "unique_users_exact")
    country = None if wanted.country is None else shown_country(wanted.country)
    found: dict[str, Any] = {"url": wanted.url, "country": country, "from": wanted.start, "to": wanted.end}
    for name, value in answer._asdict().items():
        found |= dict(zip(names, value or [None] * 4, strict=True)) if name == "users" else {name: value}
    found["timed_share"] = answer.timed_share
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()


def answer_table(wanted: RowFilter, answer: Answer) -> str:
    """The same for people: a line each."""
    lines = {
        "page": "all" if wanted.url is None else visible(wanted.url),
        "country": "all" if wanted.country is None else visible(shown_country(wanted.country)),
        "windows from": _time(wanted.start) or "the first",
        "to": _time(wanted.end) or "the last",
        "clicks": f"{answer.clicks:,}",
        "unique users": _users(answer.users),
        "sessions": _count(answer.sessions),
        "bounces": _count(answer.bounces) + _share(answer.bounces, answer.sessions, "sessions"),
        "time known": _count(answer.timed_clicks) + _share(answer.timed_clicks, answer.clicks, "clicks"),
        "mean time": _seconds(answer.avg_time_spent),
        "median time": _seconds(answer.median_time_spent),
        "P90 time": _seconds(answer.p90_time_spent),
    }
    return "\n".join(f"{name:<14}{value}" for name, value in lines.items())


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def _users(users: Users | None) -> str:
    if users is None:
        return "not known: there are rows without sketches (--sketch_size=off)"
    if users.exact:
        return f"{users.estimate:,} (exact)"
    return f"about {users.estimate:,} ({users.low:,} to {users.high:,} with 95 % certainty)"


def _count(number: int | None) -> str:
    return "not measured" if number is None else f"{number:,}"


def _share(part: int | None, whole: int | None, of: str) -> str:
    return f" ({part / whole:.1%} of {of})" if whole and part is not None else ""


def _seconds(seconds: float | None) -> str:
    return "not known" if seconds is None else f"{seconds:,.1f} s"
