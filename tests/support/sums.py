"""What a store must add up, by brute force."""

import random
from collections import defaultdict
from datetime import timedelta

import pyarrow as pa
import pytest
from crowd import START, WINDOW, Seen, expect, table_of

from clickstream.io.results.row_filter import RowFilter
from clickstream.io.results.sums import SUMS_SCHEMA, Extent, GroupSums
from clickstream.transforms.answer.groups import GROUPED_COLUMNS

HOSTILE = Seen(3, "https://shop.example/?q=%22%3E<script>&b='", "<b>'\"\u202e", [("x", 1500), ("y", None)])


def any_filters(seen, count, seed=1):
    draw = random.Random(seed)
    urls, countries = ([None, None, *sorted({row[place] for row in seen})] for place in (1, 2))
    last = max(row.window for row in seen)
    yield RowFilter()
    for _ in range(count):
        first, end = sorted(draw.choices(range(-300, (last + 2) * 300), k=2))
        times = (START + timedelta(seconds=first), START + timedelta(seconds=end))
        yield RowFilter(draw.choice(urls), draw.choice(countries), *(times if draw.random() < 0.8 else (None, None)))


def chosen(seen, wanted):
    return [
        row
        for row in seen
        if wanted.url in (None, row.url)
        and wanted.country in (None, row.country)
        and (wanted.start is None or row.start >= wanted.start)
        and (wanted.end is None or row.start < wanted.end)
    ]


def sums_of(name, seen):
    found = expect(seen)
    return GroupSums(
        name, found.clicks, len(found.times), pytest.approx(sum(found.times) / 1000), found.sessions, found.bounces
    )


def grouped(seen, key):
    groups = defaultdict(list)
    for row in seen:
        groups[key(row)].append(row)
    return groups


def check_store(store, seen, filters=12):
    """It holds the rows of `seen` and no others."""
    first, last = (pick(row.start for row in seen) for pick in (min, max))
    assert store.extent() == Extent(first, last + WINDOW, 300)
    for wanted in any_filters(seen, filters):
        rows = chosen(seen, wanted)
        by_time = store.by_time(wanted)
        assert by_time.schema == SUMS_SCHEMA
        expected = sorted(grouped(rows, lambda row: row.start).items())
        assert [found["window_start"] for found in by_time.to_pylist()] == [start for start, _ in expected]
        for found, (start, own) in zip(by_time.to_pylist(), expected, strict=True):
            assert (found["window_end"], found["rows"]) == (start + WINDOW, len(own))
            assert GroupSums("", **{name: found[name] for name in GroupSums._fields[1:]}) == sums_of("", own)
        for group in ("url", "country"):
            groups = [
                sums_of(name, own) for name, own in grouped(rows, lambda row, name=group: getattr(row, name)).items()
            ]
            groups.sort(key=lambda sums: (-sums.clicks, sums.name))
            count, top = store.top(group, wanted, 2)
            assert (count, top) == (len(groups), groups[:2])
        tables = list(store.rows(wanted, GROUPED_COLUMNS))
        assert sum(table.num_rows for table in tables) == len(rows)
        if rows:
            order = [(name, "ascending") for name in ("window_start", "url", "country")]
            whole = pa.concat_tables(tables).sort_by(order)
            assert whole.equals(table_of(rows).select(GROUPED_COLUMNS).sort_by(order))
