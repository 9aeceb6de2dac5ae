from datetime import datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.transforms.answer.time_steps import before, step_edges, step_seconds

ZONES = ["UTC", "Asia/Kolkata", "Europe/Berlin", "America/New_York"]


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)


@given(
    st.integers(1_577_836_800, 1_830_297_600),
    st.integers(1, 400 * 86_400),
    st.sampled_from([1, 45, 60, 300, 900, 3600, 86_400]),
    st.sampled_from(ZONES),
)
def test_steps_tile_the_range(start, seconds, window, zone) -> None:
    start = datetime.fromtimestamp(start, timezone.utc)
    end = start + timedelta(seconds=seconds)
    step = step_seconds(seconds, window, 120)
    assert step % window == 0
    edges = step_edges(start, end, step, zone)
    assert edges[0] <= start < edges[1]
    assert edges[-2] < end <= edges[-1]
    assert len(edges) <= 125
    assert all(timedelta() < b - a <= timedelta(seconds=step + 3600) for a, b in pairwise(edges))


def test_steps_of_a_day_that_has_25_hours() -> None:
    start, end = at("2026-10-25", "Europe/Berlin"), at("2026-10-26", "Europe/Berlin")
    edges = step_edges(start, end, 21_600, "Europe/Berlin")
    assert [f"{edge.astimezone(ZoneInfo('Europe/Berlin')):%d %H:%M}" for edge in edges] == [
        *("25 00:00", "25 05:00", "25 11:00", "25 17:00", "25 23:00", "26 00:00"),
    ]
    assert step_edges(start, end, 86_400, "Europe/Berlin") == [start, end]


def test_days_begin_at_the_sites_midnight() -> None:
    edges = step_edges(at("2026-11-01T10:00"), at("2026-11-03T10:00"), 86_400, "Asia/Kolkata")
    assert [edge.astimezone(ZoneInfo("Asia/Kolkata")).hour for edge in edges] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("start", "end", "earlier"),
    [
        ("2026-10-26", "2026-10-27", "2026-10-25"),
        ("2026-10-25", "2026-11-01", "2026-10-18"),
        ("2026-03-30", "2026-03-31", "2026-03-29"),
    ],
)
def test_before_a_range_comes_one_of_as_many_days(start, end, earlier) -> None:
    zone = "Europe/Berlin"
    edges = [at(start, zone), at(end, zone)]
    assert before(*edges, edges, zone) == (at(earlier, zone), at(start, zone))


def test_before_a_step_that_is_not_over_comes_as_much_of_one() -> None:
    start, end = at("2026-11-02"), at("2026-11-02T20:10")
    edges = step_edges(start, end, 3600, "UTC")
    assert before(start, end, edges, "UTC") == (at("2026-11-01T03:00"), at("2026-11-01T23:10"))
