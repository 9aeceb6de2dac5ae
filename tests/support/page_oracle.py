"""What the live page must show of a choice of records, record by record."""

import time
from collections import defaultdict
from datetime import datetime
from math import ceil
from typing import NamedTuple

from oracle import distinct, expected_visits, read_click

from clickstream.page.markup import duration


class Choice(NamedTuple):
    """Clicks from, to, of a page, of a country; None: of any."""

    start: datetime
    end: datetime
    url: str | None = None
    country: str | None = None


def visits_of(records):
    """All clicks with what follows each, and how many records are none."""
    now_ms = round(time.time() * 1000)
    clicks = [read_click(record, now_ms=now_ms) for record in records]
    return expected_visits(distinct([click for click in clicks if click]), 1_800_000), clicks.count(None)


class Oracle:
    """What a choice of the records comes to, record by record."""

    def __init__(self, visits, choice):
        first, last = (round(moment.timestamp() * 1000) for moment in choice[:2])
        self.visits = [
            visit
            for visit in visits
            if first <= visit.click.millis < last
            and choice.url in (None, visit.click.url)
            and choice.country in (None, visit.click.country)
        ]
        self.times = sorted(visit.time_spent_ms for visit in self.visits if visit.time_spent_ms is not None)

    def quantile(self, share):
        return self.times[ceil(share * len(self.times)) - 1] / 1000 if self.times else None

    def cells(self):
        """Clicks, users, mean and known share, as the page writes them."""
        mean = sum(self.times) / 1000 / len(self.times) if self.times else None
        users = len({visit.click.user_id for visit in self.visits})
        known = f"{len(self.times) / len(self.visits):.0%}"
        return f"{len(self.visits):,}", f"{users:,}", "unknown" if mean is None else duration(mean), known

    def tiles(self):
        began = [visit for visit in self.visits if visit.began]
        sessions, bounces = len(began), sum(visit.time_spent_ms is None for visit in began)
        names = ("Clicks", "Users", "Mean time", "Time known", "Sessions", "Bounce rate")
        return dict(zip(names, (*self.cells(), f"{sessions:,}", f"{bounces / sessions:.0%}"), strict=True))

    def groups(self, name):
        found = defaultdict(list)
        for visit in self.visits:
            found[getattr(visit.click, name)].append(visit)
        return sorted(found, key=lambda key: (-len(found[key]), key))
