"""What the live page asks of a store: sums at once, and users and quantiles as soon as the rows behind them are read."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import replace
from datetime import datetime, timezone
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from clickstream.io.errors import UserError
from clickstream.io.results import SUMS_SCHEMA, Group, RowFilter, Store
from clickstream.page.address import Address
from clickstream.page.answers.build_view import Asked, Found, step_groups, view_of
from clickstream.page.answers.row_cache import MOST_ROWS, RowCache
from clickstream.page.answers.span import Span, span_before, span_of
from clickstream.page.view import View
from clickstream.transforms.answer import Answer, break_down, cover

MOST_PAGES, MOST_COUNTRIES, MOST_BEFORE = 20, 12, 2_000
WAIT_SECONDS = 0.8
_REMEMBERED = 8
_PERIOD_SECONDS = {"1h": 3_600, "1d": 86_400}
TOO_MANY = (
    "Users, median and P90 are not computed for more than {:,} rows: choose a shorter range, a page or a country, "
    "or keep hours and days (--rollups=1h,1d)."
)


class _Waiting(NamedTuple):
    """Sums, and what is being computed; None: too much to be."""

    asked: Asked
    found: "Future[Found] | None"


class PageAnswers:
    """Asks a store for views. Any thread may.

    Args:
        stores: The windows by a blank name; roll-ups by theirs, the longest first. A roll-up that isn't there is done without.
        time_zone: Of the site.
    """

    def __init__(self, stores: Mapping[str, Store], time_zone: str) -> None:
        self._stores, self._zone = stores, time_zone
        self._cache = RowCache(stores)
        self._asking, self._computing = ThreadPoolExecutor(4), ThreadPoolExecutor(1)
        self._found: dict[object, Future[Found]] = {}
        self._latest: dict[RowFilter, Found] = {}
        self._lock = threading.Lock()

    def view(self, address: Address, *, now: datetime | None = None, wait_seconds: float = WAIT_SECONDS) -> View:
        """What the page shows of it; waits for users and quantiles no longer than so, from the beginning.

        Raises:
            UserError: The store can't be read.
        """
        began, store, at = time.monotonic(), self._stores[""], now or datetime.now(timezone.utc)
        extent = store.extent()
        view = View(address, self._zone, store.place, at, extent)
        if extent is None:
            return view
        span = span_of(address, extent, at, self._zone)
        spans = [(span, 0), *([(span_before(span, self._zone), MOST_BEFORE)] if address.compare else [])]
        waiting = [self._start(self._ask(address, each, most), named=not most) for each, most in spans]
        wait_for(
            [each.found for each in waiting if each.found is not None],
            max(0.1, began + wait_seconds - time.monotonic()),
        )
        found = [self._now(each) for each in waiting]
        late = any(each.found is not None and not _finished(each.found) for each in waiting)
        why = TOO_MANY.format(MOST_ROWS) if any(each.found is None for each in waiting) else ""
        view = replace(view, lagging=span.lagging, pending=late, unanswered=why)
        return view_of(view, [each.asked for each in waiting], found)

    def _ask(self, address: Address, span: Span, most: int) -> Asked:
        """The sums of a range, all at a time."""
        wanted = RowFilter(address.url, address.country, span.start, span.end)
        windows = self._asking.submit(self._stores[""].by_time, wanted)
        groups: list[tuple[Group, int]] = [("url", most or MOST_PAGES), ("country", most or MOST_COUNTRIES)]
        tops = [self._asking.submit(self._stores[""].top, group, wanted, number) for group, number in groups]
        rollups = {name: self._asking.submit(self._rolled_up, name, wanted, span.step) for name in self._stores if name}
        by_time = windows.result()
        stretches = cover(by_time, {name: sums.result() for name, sums in rollups.items()}, span.edges)
        return Asked(wanted, span, by_time, stretches, *(top.result() for top in tops))

    def _rolled_up(self, name: str, wanted: RowFilter, step: int) -> pa.Table:
        try:
            if _PERIOD_SECONDS[name] <= step:
                return self._stores[name].by_time(wanted)
        except UserError:  # none is kept; an outage shows where the windows are asked
            pass
        return SUMS_SCHEMA.empty_table()

    def _start(self, asked: Asked, *, named: bool) -> _Waiting:
        """Begins to compute; pages and countries, too, if they are to be `named`."""
        if asked.rows > MOST_ROWS:
            return _Waiting(asked, None)
        names = tuple([each.name for each in top[1]] if named else [] for top in (asked.pages, asked.countries))
        key = (asked.wanted, tuple(asked.stretches), *map(tuple, names))
        with self._lock:
            known = self._found.pop(key, None)
            if known is None or (known.done() and known.exception()):
                known = self._computing.submit(self._compute, asked, *names)
            self._found[key] = known  # the last: the one used longest ago goes first
            while len(self._found) > _REMEMBERED:
                self._found.pop(next(iter(self._found))).cancel()
        return _Waiting(asked, known)

    def _compute(self, asked: Asked, pages: list[str], countries: list[str]) -> Found:
        rows = self._cache.rows(asked.wanted, asked.stretches)
        total = break_down(rows, np.zeros(rows.height, np.int64), 1)[0]
        steps = break_down(
            rows, step_groups(rows["window_start"].to_arrow(), asked.span.edges), len(asked.span.edges) - 1
        )
        found = Found(total, tuple(steps), _named(rows, "url", pages), _named(rows, "country", countries))
        with self._lock:
            self._latest = {**self._latest, asked.wanted: found}
            while len(self._latest) > _REMEMBERED:
                self._latest.pop(next(iter(self._latest)))
        return found

    def _now(self, waiting: _Waiting) -> Found | None:
        """What is found, or was at the last look."""
        if waiting.found is not None and _finished(waiting.found):
            return waiting.found.result()
        return self._latest.get(waiting.asked.wanted)


def _finished(found: "Future[Found]") -> bool:
    return found.done() and not found.cancelled()


def _named(rows: pl.DataFrame, column: str, names: list[str]) -> dict[str, Answer]:
    places = {name: place for place, name in enumerate(names)}
    groups = np.array([places.get(name, -1) for name in rows[column].to_list()], np.int64)
    return dict(zip(names, break_down(rows, groups, len(names)), strict=True))
