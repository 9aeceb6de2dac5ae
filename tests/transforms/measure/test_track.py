"""Dwell's rows don't depend on how looks are paced, batches cut, keys chosen, or workers restarted: the DoFn against the oracle."""

import random
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from apache_beam.utils.timestamp import Timestamp
from columns import click_table
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Click, as_oracle_rows, expected_rows
from stateful import StatefulRun
from without_beam import iterate_metrics

from clickstream.transforms.measure import history, track
from clickstream.transforms.measure import latest as latest_clicks
from clickstream.transforms.measure.history import compacted
from clickstream.transforms.measure.latest import LatestClicks
from clickstream.transforms.measure.pace import Pace, look_at
from clickstream.transforms.measure.track import TrackVisits
from clickstream.transforms.measure.visits import VisitRules, visit_columns
from clickstream.transforms.measure.waiting import Arrived, ByUser, Times

START = 1_793_527_200_000
GAP, WINDOW, LATENESS = 7, 10, 15  # seconds
AHEAD_MS = 10
CLICKS = st.lists(
    st.builds(
        Click,
        st.sampled_from(["u1", "u2", "ü3", "u4"]),
        st.integers(0, 120).map(lambda half: START + 500 * half),
        st.sampled_from(["https://a.example/", "https://b.example/x"]),
        st.sampled_from(["India", "Kenya"]),
        st.none(),
        st.sampled_from([None, "k1", "k2"]),
    ),
    max_size=50,
)


class Course(NamedTuple):
    """How a run goes: sizes of batches, how late clicks come, how far the watermark follows, how the clock goes by, and what befalls workers."""

    size: int
    shards: int
    disorder: int
    lag: int
    clock_ms: int
    least_bytes: int
    befalls: list[str]


COURSES = st.builds(
    Course,
    size=st.integers(1, 12),
    shards=st.sampled_from([1, 3]),
    disorder=st.integers(0, LATENESS),
    lag=st.integers(0, 8),
    clock_ms=st.sampled_from([0, 1, 20, 1_000, 60_000]),
    least_bytes=st.sampled_from([0, 1 << 30]),
    befalls=st.lists(
        st.sampled_from(["nothing", "restart", "failed bundle", "failed look", "no watermark"]), max_size=12
    ),
)


class Told:
    """What was given out, and when each click was for the first time."""

    def __init__(self) -> None:
        self.tables: list[pa.Table] = []
        self.first: dict[tuple, Timestamp] = {}

    def __call__(self, at: Timestamp, rows: pa.Table) -> None:
        self.tables.append(rows)
        for row in rows.select(["timestamp", "user_id", "url", "country"]).to_pylist():
            self.first.setdefault(tuple(row.values()), at)


def run(clicks: list[Click], course: Course, rng, *, deduplicate: bool, monkeypatch) -> Told:
    """Sends clicks in batches, somewhat out of order, each in time: the watermark follows."""
    told, clock = Told(), [1_000_000]
    monkeypatch.setattr(track, "_LEAST_BYTES", course.least_bytes)
    monkeypatch.setattr(history, "_ROWS_TOGETHER", 3)
    monkeypatch.setattr(track, "_now_ms", lambda: clock[0])
    rules = VisitRules(GAP * 1000, deduplicate)
    made = TrackVisits(rules, window_seconds=WINDOW, lateness_seconds=LATENESS, bounded=False)
    runner, befalls = StatefulRun(made, told), iter(course.befalls)
    order = sorted(clicks, key=lambda click: click.millis + rng.randrange(course.disorder * 1000 + 1))
    divide = ByUser(course.shards, counted=True, bounded=False)
    for at in range(0, len(order), course.size):
        divide.start_bundle()
        batch = list(divide.process(click_table(order[at : at + course.size]), Timestamp(0)))
        befalls_now = next(befalls, "nothing")
        if befalls_now == "restart":
            runner.restart()
        if befalls_now == "failed bundle":
            runner.send(batch, fail=True)
        runner.send(batch)
        clock[0] += course.clock_ms
        seen = max(click.millis for click in order[: at + course.size])
        if befalls_now != "no watermark":
            watermark = Timestamp(micros=(seen - course.lag * 1000) * 1000)
            runner.advance(watermark, fail=befalls_now == "failed look")
    runner.end()
    return told


@given(CLICKS, COURSES, st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_any_course_gives_the_oracles_rows(clicks, course, deduplicate, rng) -> None:
    with pytest.MonkeyPatch.context() as patched:
        told = run(clicks, course, rng, deduplicate=deduplicate, monkeypatch=patched)
    found = as_oracle_rows(iterate_metrics(pa.concat_tables(told.tables), window_seconds=WINDOW)) if told.tables else {}
    assert found == expected_rows(clicks, window_seconds=WINDOW, session_gap_seconds=GAP, deduplicate=deduplicate)


@given(CLICKS, COURSES, st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_a_click_that_is_in_time_is_told_by_the_end_of_its_window(clicks, course, rng) -> None:
    """However looks are paced: so a window's first pane is whole."""
    with pytest.MonkeyPatch.context() as patched:
        told = run(clicks, course._replace(disorder=0), rng, deduplicate=True, monkeypatch=patched)
    for (stamp, *_), at in told.first.items():
        ends = (stamp.timestamp() // WINDOW + 1) * WINDOW
        assert at <= Timestamp(micros=round((ends * 1000 - AHEAD_MS) * 1000))


def kept_after(clicks: list[Click], rules: VisitRules, since_ms: int) -> list[Arrived]:
    arrived = [Arrived.of(n, 0, visit_columns(click_table([click]))) for n, click in enumerate(clicks, 1)]
    return compacted(arrived, since_ms=since_ms, rules=rules)


@given(CLICKS, st.integers(0, 60).map(lambda second: START + 1000 * second))
@settings(max_examples=100)
def test_of_what_is_older_each_users_last_two_clicks_are_kept(clicks, since) -> None:
    rules = VisitRules(GAP * 1000, deduplicate=True)
    first, *others = kept_after(clicks, rules, since) or [None]
    again = compacted([first, *others], since_ms=since, rules=rules) if first else []
    older = [each for each in ([first] if first else []) + others if each.times.last_ms < since]
    assert [each.table() for each in again] == [each.table() for each in ([first] if first else []) + others]
    assert sum(each.table().num_rows for each in older) <= 2 * len({click.user_id for click in clicks})
    assert len(older) <= 1


def test_latest_clicks_of_users_are_the_newest_whatever_their_levels() -> None:
    rng, latest, expected = random.Random(3), LatestClicks(), dict[str, int]()
    for turn in range(60):
        users = rng.sample(range(200), rng.choice([1, 3, 40]))
        made = [Click(f"u{user}", START + turn, "https://a.example/", "India", None, None) for user in users]
        latest.replace(visit_columns(click_table(made)), since_ms=0)
        expected |= {click.user_id: click.millis for click in made}
        asked = pa.chunked_array([[f"u{user}" for user in rng.sample(range(200), 30)]])
        found = latest.of(asked)
        times = dict(zip(found["user_id"].to_pylist(), found["timestamp"].cast(pa.int64()).to_pylist(), strict=True))
        assert times == {user: expected[user] for user in asked.to_pylist() if user in expected}


def test_users_that_share_a_hash_are_given_out_and_replaced_together(monkeypatch) -> None:
    """So that nobody's clicks are lost; all rows are the same."""
    monkeypatch.setattr(latest_clicks, "hashes_of", lambda users: np.zeros(len(users), np.uint64))
    clicks = [Click(f"u{n % 3}", START + 900 * n, "https://a.example/", "India", None, None) for n in range(30)]
    course = Course(4, 1, 3, 2, 1_000, 0, ["restart", "nothing", "failed look"])
    told = run(clicks, course, random.Random(5), deduplicate=True, monkeypatch=monkeypatch)
    found = as_oracle_rows(iterate_metrics(pa.concat_tables(told.tables), window_seconds=WINDOW))
    assert found == expected_rows(clicks, window_seconds=WINDOW, session_gap_seconds=GAP)


LIVE, CATCHING_UP = Pace(0, 2_000), Pace(0, 20_000)
LOOKS = {
    "at the end of two seconds": ((0, 300, 400), LIVE, 2_000),
    "together with the batch before": ((1_500, 1_999, 1_999), LIVE, 2_000),
    "apart from it": ((1_500, 2_000, 2_000), LIVE, 4_000),
    "at the window's end, if that is sooner": ((28_900, 31_000, 31_000), LIVE, 30_000),
    "at the end of the window of the first": ((29_999, 95_000, 95_000), LIVE, 30_000),
    "in a backlog, as much as it takes two seconds for": ((0, 300, 400), CATCHING_UP, 20_000),
    "but for the window's end": ((15_000, 15_300, 15_400), CATCHING_UP, 30_000),
}


@pytest.mark.parametrize(("times", "pace", "at"), LOOKS.values(), ids=LOOKS)
def test_when_waiting_clicks_are_looked_at(times, pace, at) -> None:
    assert look_at(Times(*times), done_until_ms=0, pace=pace, window_ms=30_000) == at


def test_late_clicks_are_looked_at_at_once_but_in_a_backlog() -> None:
    late = Times(31_000, 32_000, 32_000)
    assert look_at(late, done_until_ms=50_000, pace=LIVE, window_ms=30_000) < 50_000
    assert look_at(late, done_until_ms=50_000, pace=CATCHING_UP, window_ms=30_000) == 60_000


def test_the_pace_is_that_of_the_clock_or_of_a_backlog_up_to_a_window() -> None:
    assert Pace(1_000, 2_000).after(2_500, 3_000, 30_000).step_ms == 2_000
    assert Pace(1_000, 2_000).after(20_000, 3_000, 30_000).step_ms == 20_000
    assert Pace(1_000, 2_000).after(10**12, 1_000, 30_000) == Pace(1_000, 30_000)


def test_a_backlog_that_is_over_is_looked_at_like_a_live_stream_when_more_comes() -> None:
    assert Pace(1_000, 30_000).at(2_000) == Pace(1_000, 30_000)
    assert Pace(1_000, 30_000).at(5_001).step_ms == 2_000
