"""A month of 5-minute windows, as a busy small site fills them."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from without_beam import iterate_metrics

from clickstream.transforms.schema import UTC_MS

START_MS, DAYS, WINDOW_SECONDS = 1_790_812_800_000, 31, 300  # 2026-10-01
PAGES = [
    f"https://shop.example/{name}"
    for name in ("", "cart", "search", "help", "about", *(f"item/{n}" for n in range(20)))
]
COUNTRIES = ["India", "Germany", "Brazil", "Japan"]


def month_of_clicks(count: int, users: int = 20_000) -> pa.Table:
    """So many clicks, more by day than by night."""
    rng = np.random.default_rng(8)
    days, hours = rng.integers(DAYS, size=count), np.clip(rng.normal(14, 5, size=count), 0, 23.999)
    at = START_MS + days * 86_400_000 + (hours * 3_600_000).astype(np.int64)
    pages = np.minimum(rng.geometric(0.25, size=count) - 1, len(PAGES) - 1)
    countries = np.minimum(rng.geometric(0.5, size=count) - 1, len(COUNTRIES) - 1)
    spent = np.minimum(rng.lognormal(9.5, 1.2, size=count), 1_800_000).astype(np.int64)
    columns = {
        "url": pa.array(PAGES).take(pa.array(pages)),
        "country": pa.array(COUNTRIES).take(pa.array(countries)),
        "user_id": pa.array(rng.integers(users, size=count)).cast(pa.string()),
        "timestamp": pa.array(np.sort(at)).cast(UTC_MS),
        "time_spent_ms": pa.array(spent, mask=rng.random(count) < 0.3),
    }
    return pa.table(columns)


def month_of_rows(count: int) -> Iterator[pa.Table]:
    """The result rows of so many clicks, some thousands at a time."""
    waiting: list[pa.Table] = []
    for rows in iterate_metrics(month_of_clicks(count), window_seconds=WINDOW_SECONDS):
        waiting.append(rows)
        if len(waiting) == 200:
            yield pa.concat_tables(waiting)
            waiting.clear()
    if waiting:
        yield pa.concat_tables(waiting)
