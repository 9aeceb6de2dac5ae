"""Sums and answers put together to what the page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.io.results import GroupSums, RowFilter
from clickstream.page.answers.span import Span
from clickstream.page.view import Line, Listing, Period, Step, View
from clickstream.transforms.answer import Answer, Stretch
from clickstream.transforms.arrays import Int64s

Top = tuple[int, list[GroupSums]]
_COUNTS = ("clicks", "timed_clicks", "time_spent_seconds", "sessions", "bounces")


class Asked(NamedTuple):
    """The sums of a range, and which rows are behind them.

    Attributes:
        wanted: Of which windows, page and country.
        span: The range.
        windows: Sums of each window (SUMS_SCHEMA).
        stretches: Where the rows are.
        pages: How many, and those shown.
        countries: Likewise.
    """

    wanted: RowFilter
    span: Span
    windows: pa.Table
    stretches: list[Stretch]
    pages: Top
    countries: Top

    @property
    def rows(self) -> int:
        """How many there are to be read."""
        return sum(stretch.rows for stretch in self.stretches)


class Found(NamedTuple):
    """What the rows say: of all, of each step, and of the pages and countries shown."""

    total: Answer
    steps: tuple[Answer, ...]
    pages: Mapping[str, Answer]
    countries: Mapping[str, Answer]


def view_of(view: View, asked: Sequence[Asked], found: Sequence[Found | None]) -> View:
    """The view with its numbers: of the range, and, if it's the second, of the one before."""
    now, was, answers = asked[0], (asked[1] if len(asked) > 1 else None), found[0]
    periods = [_period(*each) for each in zip(asked, found, strict=True)]
    return replace(
        view,
        period=periods[0],
        before=periods[1] if was else None,
        pages=_listing(now.pages, answers and answers.pages, was and was.pages),
        countries=_listing(now.countries, answers and answers.countries, was and was.countries),
    )


def step_groups(starts: pa.Array | pa.ChunkedArray, edges: Sequence[datetime]) -> Int64s:
    """The step of each window; -1: of none."""
    bounds = np.array([round(edge.timestamp() * 1000) for edge in edges])
    places = np.searchsorted(bounds, starts.cast(pa.int64()).to_numpy(zero_copy_only=False), "right") - 1
    return np.where(places < len(bounds) - 1, places, -1)


def _period(asked: Asked, found: Found | None) -> Period:
    edges, windows = asked.span.edges, asked.windows
    groups = step_groups(windows["window_start"].combine_chunks(), edges)
    sums = [_sums("", windows.filter(pa.array(groups == step))) for step in range(len(edges) - 1)]
    answers = found.steps if found and len(found.steps) == len(sums) else [None] * len(sums)
    steps = tuple(map(Step, sums, answers))
    rows = sum(windows["rows"].to_pylist())
    return Period(asked.span.start, asked.span.end, edges, steps, _sums("", windows), rows, found and found.total)


def _sums(name: str, windows: pa.Table) -> GroupSums:
    clicks, timed, seconds, sessions, bounces = (pc.sum(windows[column]).as_py() for column in _COUNTS)
    return GroupSums(name, clicks or 0, timed or 0, seconds or 0.0, sessions, bounces)


def _listing(top: Top, answers: Mapping[str, Answer] | None, earlier: Top | None) -> Listing:
    count, sums = top
    clicks = {each.name: each.clicks for each in earlier[1]} if earlier else {}
    rest = (
        0 if earlier and earlier[0] == len(earlier[1]) else None
    )  # of a page that isn't listed: none, or too few to know
    found = answers or {}
    return Listing(count, tuple(Line(each, found.get(each.name), clicks.get(each.name, rest)) for each in sums))
