"""Databases for the report, and the page that is made of one."""

import hashlib
import json
import math
import random
import sqlite3
from collections import Counter
from datetime import datetime, timedelta, timezone

import sqlalchemy as sa
from html_page import Page

from clickstream.io.sql.tables import METRICS_COLUMNS, dead_letters_table, page_metrics_table
from clickstream.page.report.figures import read_figures
from clickstream.page.report.write import render_report

START = datetime(2025, 3, 14, tzinfo=timezone.utc)
LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "xlink:href", "ping", "style"}
SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


MAX_THETA = 2**63 - 1
DASH = "\N{EN DASH}"


def metrics_row(start, url, country, *, clicks=1, users=1, spent=0.0, timed=0, window=300, **sketches):
    """A row as a policy other than dwell writes it without sketches, unless they are given."""
    times = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (start, start + timedelta(seconds=window)))
    key = hashlib.sha256(url.encode()).digest()[:16]
    names = ("median_time_spent", "p90_time_spent", *SKETCHES)
    assert sketches.keys() <= set(names)
    mean = spent / timed if timed else None
    return (*times, key, url, country, clicks, users, spent, timed, mean, *map(sketches.get, names), clicks + timed)


SKETCHES = ("time_spent_histogram", "sessions", "bounces", "users_theta", "users_sketch")


def sketched(times=None, users=None, theta=MAX_THETA, sessions=None, bounces=None):
    """The cells of a row's sketches: clicks by their seconds, and users' hashes."""
    values = sorted(times or {})
    histogram = json.dumps({"values": values, "counts": [times[value] for value in values]}) if values else None
    cells = (histogram, sessions, bounces, None if users is None else theta, users and json.dumps(sorted(users)))
    return dict(zip(SKETCHES, cells, strict=True))


def letter(number, reason, *, source="logs/a.ndjson", detail="what was wrong", raw=b"{"):
    key = hashlib.sha256(b"%d" % number).digest()[:16]
    return (key, source, number, None, reason, detail, raw, "0.1.0", "2025-03-15 00:00:00")


def database(path, rows=(), letters=()):
    engine = sa.create_engine(f"sqlite:///{path}")
    for table in (page_metrics_table(), dead_letters_table()):
        table.metadata.create_all(engine)
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.executemany(f"INSERT INTO page_metrics VALUES ({', '.join('?' * len(METRICS_COLUMNS))})", rows)  # noqa: S608
        connection.executemany(f"INSERT INTO dead_letters VALUES ({', '.join('?' * 9)})", letters)  # noqa: S608
    connection.close()
    return path


def random_rows(count, *, seed=5, pages=60, countries=20):
    """Rows of distinct keys over a day of 5-minute windows, with exact sketches of users out of 3,000."""
    rng = random.Random(seed)
    keys = rng.sample(range(288 * pages * countries), count)
    for key in keys:
        window, page, country = key // countries // pages, key // countries % pages, key % countries
        clicks = rng.randint(1, 9)
        timed = rng.randint(0, clicks)
        at = START + timedelta(minutes=5 * window)
        times = Counter(rng.choice((4.0, 45.5, 700.25)) for _ in range(timed))
        spent = math.fsum(times.elements())
        users = {rng.randrange(3_000) * 2**51 for _ in range(clicks)}
        sessions = rng.randint(0, clicks)
        cells = sketched(times, users, sessions=sessions, bounces=rng.randint(0, sessions))
        numbers = {"clicks": clicks, "users": len(users), "spent": spent, "timed": timed}
        yield metrics_row(at, f"https://example.com/{page}", f"C{country}", **numbers, **cells)


def rendered(path, **run):
    return Page(render_report(read_figures(path), **run))


def number(text):
    return int(text.replace(",", ""))
