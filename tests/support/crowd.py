"""Result rows made by hand from who clicked where, and what any selection of them must answer, by brute force."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from math import sqrt
from typing import Any, NamedTuple

import mmh3
import numpy as np
import pyarrow as pa

from clickstream.transforms.schema import PAGE_METRICS_SCHEMA
from clickstream.transforms.sketches import BUCKET_TEXTS, time_buckets

START, WINDOW = datetime(2026, 11, 1, tzinfo=timezone.utc), timedelta(minutes=5)
LARGEST = 2**63 - 1


class Seen(NamedTuple):
    """A row's clicks: each one's user and, if known, its time in ms."""

    window: int
    url: str
    country: str
    clicks: list[tuple[str, int | None]]
    sketch_size: int = 1 << 16

    @property
    def start(self) -> datetime:
        return START + self.window * WINDOW

    @property
    def users(self) -> set[str]:
        return {user for user, _ in self.clicks}

    @property
    def theta(self) -> int:
        hashes = sorted(map(hash_of, self.users))
        return hashes[self.sketch_size] if len(hashes) > self.sketch_size else LARGEST

    def row(self) -> dict[str, Any]:
        times = [millis for _, millis in self.clicks if millis is not None]
        buckets = Counter(time_buckets(np.array(times, np.int64)).tolist())
        values, counts = (
            ",".join(map(str, part))
            for part in ([BUCKET_TEXTS[b] for b in sorted(buckets)], [buckets[b] for b in sorted(buckets)])
        )
        clicks, timed = len(self.clicks), len(times)
        sessions = len(self.users)
        return {
            "window_start": self.start,
            "window_end": self.start + WINDOW,
            "url": self.url,
            "country": self.country,
            "clicks": clicks,
            "unique_users": len(self.users),
            "time_spent_seconds": sum(times) / 1000,
            "timed_clicks": timed,
            "avg_time_spent": sum(times) / 1000 / timed if timed else None,
            "time_spent_histogram": f'{{"values":[{values}],"counts":[{counts}]}}' if timed else None,
            "sessions": sessions,
            "bounces": sessions // 3,
            "users_theta": self.theta,
            "users_sketch": json.dumps(sorted(map(hash_of, self.users))[: self.sketch_size], separators=(",", ":")),
            "version": clicks + timed + clicks - sessions,
        }


class Expected(NamedTuple):
    """What a selection of rows must answer. `times` are all that are known, in ms, ascending."""

    clicks: int
    users: int
    spread: float
    exact: bool
    true_users: int
    sessions: int
    bounces: int
    times: list[int]

    @property
    def mean(self) -> float | None:
        return sum(self.times) / 1000 / len(self.times) if self.times else None

    def quantile(self, share: float) -> float | None:
        """In seconds; by nearest rank."""
        rank = max(-(-round(share * 1000) * len(self.times) // 1000), 1)
        return self.times[rank - 1] / 1000 if self.times else None


def hash_of(user: str) -> int:
    return mmh3.hash64(user, 9001, signed=False)[0] >> 1


def table_of(seen: Iterable[Seen]) -> pa.Table:
    return pa.Table.from_pylist([part.row() for part in seen], PAGE_METRICS_SCHEMA)


def expect(seen: Iterable[Seen]) -> Expected:
    chosen = list(seen)
    users = set[str]().union(*(part.users for part in chosen))
    theta = min((part.theta for part in chosen), default=LARGEST)
    if len(chosen) <= 1 or theta == LARGEST:
        count, spread, exact = len(users), 0.0, True
    else:
        kept, p = sum(hash_of(user) < theta for user in users), theta / 2**63
        count, spread, exact = round(kept / p), 2 * sqrt(kept * (1 - p)) / p, False
    rows = [part.row() for part in chosen]
    sessions, bounces = (sum(row[name] for row in rows) for name in ("sessions", "bounces"))
    times = sorted(millis for part in chosen for _, millis in part.clicks if millis is not None)
    return Expected(
        sum(len(part.clicks) for part in chosen), count, spread, exact, len(users), sessions, bounces, times
    )


def crowd(seed: int, *, windows: int, sketch_size: int = 1 << 16) -> list[Seen]:
    """Rows of some pages and countries: a few users or many, who come back in later windows, on other pages, from elsewhere."""
    draw = random.Random(seed)
    pages = {"https://shop.example/": 60, "https://shop.example/cart?a=1&b=%20": 12, "https://shop.example/é": 2}
    countries = {"India": 1.0, "Côte d'Ivoire": 0.4, "India west": 0.1}
    seen = []
    for window in range(windows):
        for url, visitors in pages.items():
            for country, share in countries.items():
                many = int(draw.expovariate(1 / (visitors * share)))
                clicks = [(f"user {int(draw.paretovariate(0.6)) % 2000}", _time(draw)) for _ in range(many)]
                if clicks:
                    seen.append(Seen(window, url, country, clicks, sketch_size))
    return seen


def _time(draw: random.Random) -> int | None:
    return None if draw.random() < 0.3 else int(draw.lognormvariate(9.5, 1.2))
