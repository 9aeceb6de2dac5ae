import random
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.transforms.answer.rollups import cover
from clickstream.transforms.answer.time_steps import step_edges
from clickstream.transforms.periods import Periods

START = datetime(2026, 10, 24, tzinfo=timezone.utc)
START_MS = round(START.timestamp() * 1000)
KIND = pa.timestamp("ms", "UTC")
NAMES = ("rows", "clicks", "timed_clicks", "sessions", "bounces", "time_spent_seconds")


def table(rows):
    """Rows of start, end and sums."""
    columns = list(zip(*rows, strict=True)) or [()] * 8
    kinds = (KIND, KIND, *[pa.int64()] * 5, pa.float64())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.table(arrays, ["window_start", "window_end", *NAMES])


def windows_of(draw, count):
    places = sorted(draw.sample(range(4 * 288), count))
    for place in places:
        start = START_MS + place * 300_000
        clicks, timed = draw.randint(1, 9), draw.randint(0, 5)
        yield (start, start + 300_000, 1, clicks, timed, draw.randint(0, 3), 0, timed * 1.25)


def rolled_up(windows, periods):
    found = {}
    for start, _, *sums in windows:
        bounds = periods.bounds(start)
        found[bounds] = [a + b for a, b in zip(found.get(bounds, [0] * 6), sums, strict=True)]
    return [(*bounds, 1, *sums[1:]) for bounds, sums in sorted(found.items())]


@given(
    st.randoms(use_true_random=False), st.integers(0, 300), st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Berlin"])
)
def test_every_window_is_covered_once_and_by_what_says_the_same(draw, count, zone) -> None:
    windows = list(windows_of(draw, count))
    rollups = {name: rolled_up(windows, Periods(name, zone)) for name in ("1d", "1h")}
    for rows in rollups.values():  # some are missing, or not up to date
        for i in sorted(draw.sample(range(len(rows)), len(rows) // 4), reverse=True):
            rows[i] = (*rows[i][:3], rows[i][3] - 1, *rows[i][4:])
            if draw.random() < 0.5:
                del rows[i]
    step = draw.choice([900, 3600, 21_600, 86_400])
    edges = step_edges(START, START + timedelta(days=4), step, zone)
    bounds = [round(edge.timestamp() * 1000) for edge in edges]
    found = cover(table(windows), {name: table(rows) for name, rows in rollups.items()}, edges)
    tables = {"": windows, **rollups}
    clicks = 0
    for stretch in found:
        own = [row for row in tables[stretch.table] if stretch.start <= row[0] < stretch.end]
        assert len(own) == (1 if stretch.table else len(own)) > 0
        assert stretch.rows == sum(row[2] for row in own)
        clicks += sum(row[3] for row in own)
        if stretch.table:
            assert not any(own[0][0] < edge < own[0][1] for edge in bounds)
            assert sum(row[3] for row in windows if own[0][0] <= row[0] < own[0][1]) == own[0][3]
    assert clicks == sum(row[3] for row in windows)
    assert [stretch.start for stretch in found] == sorted(stretch.start for stretch in found)


def test_a_day_says_it_all_and_an_hour_that_is_behind_says_nothing() -> None:
    windows = list(windows_of(random.Random(1), 800))
    hours, days = (rolled_up(windows, Periods(name)) for name in ("1h", "1d"))
    edges = [START, START + timedelta(days=4)]
    assert {stretch.table for stretch in cover(table(windows), {"1d": table(days), "1h": table(hours)}, edges)} == {
        "1d"
    }
    behind = [(*row[:4], row[4] + 1, *row[5:]) for row in hours]
    assert {stretch.table for stretch in cover(table(windows), {"1h": table(behind)}, edges)} == {""}


@pytest.mark.parametrize("column", range(3, 8))
def test_a_change_of_a_window_shows_in_its_stretch_alone(column) -> None:
    windows = list(windows_of(random.Random(2), 300))
    edges = [START, START + timedelta(days=4)]
    before = cover(table(windows), {}, edges)
    changed = list(windows[150])
    changed[column] += 1
    windows[150] = tuple(changed)
    after = cover(table(windows), {}, edges)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
