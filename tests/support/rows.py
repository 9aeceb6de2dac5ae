"""Result rows for tests: one builder of them, and what the stores should make of a row."""

import json
import math
import random
from datetime import datetime, timedelta, timezone

import pyarrow as pa

from clickstream.transforms.schema import PAGE_METRICS_SCHEMA

START = datetime(2026, 11, 1, tzinfo=timezone.utc)
PAGE = "https://a.example/"
MAX_THETA = 2**63 - 1
NULLABLE = [field.name for field in PAGE_METRICS_SCHEMA if field.nullable]
UNMEASURED = dict.fromkeys(NULLABLE)  # metric(**UNMEASURED): no time known, no dwell, no sketches


def metric(window=0, page=PAGE, *, country="India", version=1, **other):
    """A row of the 5-minute window `window` after START, of a page given by its URL or by a number."""
    start = START + timedelta(minutes=5 * window)
    found = {
        "window_start": start,
        "window_end": start + timedelta(minutes=5),
        "url": page if isinstance(page, str) else f"{PAGE}{page}",
        "country": country,
        "clicks": version,
        "unique_users": 1,
        "time_spent_seconds": 1.5,
        "timed_clicks": 1,
        "avg_time_spent": 1.5,
        "median_time_spent": 1.5,
        "p90_time_spent": 1.75,
        "time_spent_histogram": histogram({1.5: 1}),
        "sessions": 2,
        "bounces": 0,
        "users_theta": MAX_THETA,
        "users_sketch": sketch([7]),
        "version": version,
    }
    assert other.keys() <= found.keys()
    return found | other


def sketch(hashes):
    """The JSON of these users' hashes."""
    return json.dumps(sorted(hashes), separators=(",", ":"))


def histogram(counts):
    """The JSON of clicks by their seconds."""
    values = {"values": sorted(counts), "counts": [counts[value] for value in sorted(counts)]}
    return json.dumps(values, separators=(",", ":"))


def rows_of_all_kinds():
    """Rows of one window that differ in what they know: nothing, no times, little, all, and more users than a sketch holds."""
    chance = random.Random(9)
    many = sorted(chance.randrange(MAX_THETA) for _ in range(4_097))
    times = {round(0.1 * 1.02**bucket, 5): chance.randrange(1, 10**6) for bucket in range(500)}
    unknown = dict.fromkeys([name for name in NULLABLE if "time_spent" in name])
    return [
        metric(0, 0, **UNMEASURED),
        metric(0, 1, timed_clicks=0, time_spent_seconds=0.0, **unknown),
        metric(0, 2, sessions=None, bounces=None),
        metric(0, 3, users_sketch=sketch([])),
        metric(0, 4, unique_users=3, users_sketch=sketch([1, 2**53 + 1, MAX_THETA - 1]), p90_time_spent=1 / 7),
        metric(0, 5, unique_users=4_097, users_theta=many[-1], users_sketch=sketch(many[:-1])),
        metric(0, 6, sessions=2**62 + 1, bounces=2**53 + 1, time_spent_histogram=histogram(times)),
    ]


def table_of(rows):
    return pa.Table.from_pylist(rows, PAGE_METRICS_SCHEMA)


def document(row):
    """The document that Elasticsearch should hold of a row."""
    found = {"@timestamp": row["window_start"]} | row
    theta = row["users_theta"]
    found["users_exact"] = None if theta is None else theta == MAX_THETA
    for name, value in found.items():
        if isinstance(value, datetime):
            found[name] = f"{value:%Y-%m-%dT%H:%M:%SZ}"
        elif isinstance(value, float) and not math.isfinite(value):
            found[name] = None
        elif name in ("time_spent_histogram", "users_sketch") and value is not None:
            found[name] = json.loads(value)
    return found
