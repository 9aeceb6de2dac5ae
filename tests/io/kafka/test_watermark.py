"""The watermark is never ahead of what was promised, never goes back, and gets on when partitions fall silent."""

import json
import time

from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.kafka.watermark import NEVER, PartitionView, next_watermark, sample
from clickstream.transforms.parse import LatestEventTime

DISORDER, IDLE = 10_000, 30_000
TIMES = st.integers(0, 10**13)
VIEWS = st.builds(PartitionView, st.none() | TIMES, st.booleans(), st.integers(0, 10**6))


def watermark(*views, previous=NEVER, **more):
    return next_watermark(previous, views, disorder_ms=DISORDER, idle_ms=IDLE, **more)


def busy(latest):
    return PartitionView(latest, caught_up=False, quiet_ms=0)


def idle(latest, quiet=IDLE):
    return PartitionView(latest, caught_up=True, quiet_ms=quiet)


def test_the_slowest_partition_holds_it():
    assert watermark(busy(100_000), busy(70_000)) == 60_000


def test_a_partition_without_a_record_holds_it_until_it_is_idle():
    assert watermark(busy(100_000), PartitionView(None, caught_up=True, quiet_ms=IDLE - 1)) == NEVER
    assert watermark(busy(100_000), idle(None)) == 90_000


def test_an_idle_partition_does_not_hold_it():
    assert watermark(busy(100_000), idle(20_000)) == 90_000


def test_a_partition_that_lags_is_never_idle():
    assert watermark(busy(100_000), PartitionView(20_000, caught_up=False, quiet_ms=10**9)) == 10_000


def test_when_all_are_idle_it_goes_on_with_the_clock_from_the_latest_event():
    assert watermark(idle(100_000, 40_000), idle(50_000, 90_000)) == 130_000
    assert watermark(idle(100_000, 41_000), idle(50_000, 91_000)) == 131_000


def test_it_goes_on_with_the_clock_in_a_replay_of_old_events():
    assert watermark(idle(0, 3_600_000)) == 3_590_000


def test_without_any_record_it_stays_unless_it_is_to_follow_the_clock():
    assert watermark(idle(None, 10**9)) == NEVER
    assert watermark(idle(None, 10**9), clock_ms=10**12) == 10**12 - IDLE - DISORDER
    assert watermark(PartitionView(None, caught_up=True, quiet_ms=0), clock_ms=10**12) == NEVER
    assert watermark() == NEVER


@given(st.lists(VIEWS), st.integers(NEVER, 10**13), st.none() | TIMES)
def test_it_never_goes_back(views, previous, clock):
    assert watermark(*views, previous=previous, clock_ms=clock) >= previous


@given(st.lists(VIEWS, min_size=1), TIMES)
def test_a_partition_that_is_not_idle_is_never_overtaken(views, latest):
    assert watermark(*views, busy(latest)) <= latest - DISORDER


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=1), min_size=1))
def test_no_event_within_the_bound_is_late(partitions):
    """Partitions read in turns; each keeps its disorder: whatever is read next is never behind the watermark."""
    previous = NEVER
    seen = [None] * len(partitions)
    for turn in range(max(map(len, partitions))):
        for number, times in enumerate(partitions):
            if turn < len(times):
                time = max(times[turn], (seen[number] or 0) - DISORDER)
                assert time >= previous
                seen[number] = max(seen[number] or 0, time)
                views = [
                    PartitionView(s, caught_up=len(t) <= turn, quiet_ms=IDLE if len(t) <= turn else 0)
                    for s, t in zip(seen, partitions, strict=True)
                ]
                held = [v for v in views if not v.caught_up]
                if held:
                    previous = watermark(*held, previous=previous)


@given(st.lists(st.integers(), max_size=3000))
def test_a_sample_is_small_and_has_the_last_ones(values):
    taken = list(sample(values))
    assert len(taken) <= 256
    assert taken[-128:] == values[-128:]
    assert set(taken) <= set(values)
    assert len(values) > 256 or taken == values


WINDOW, LATENESS = 60_000, 20_000
BEGAN = int(time.time() * 1000) - 3_600_000  # a backlog of an hour ago: the clock is the records', not the reader's
SKEW = 600_000


def record(millis):
    return json.dumps({"user_id": "u", "timestamp": millis, "url": "https://a.example/", "country": "India"}).encode()


def too_late(arrivals, ticks, read):
    """Which of the clicks with these numbers come too late, when partitions are read as records arrive; the watermark is told at each tick."""
    previous, latest, heard, late = NEVER, {0: None, 1: None}, {0: 0, 1: 0}, set()
    event_time = LatestEventTime(max_clock_skew_seconds=SKEW / 1000)
    for tick in ticks:
        for number, (clock, partition, behind) in enumerate(arrivals):
            if clock == tick and number in read:
                millis = BEGAN + clock - behind
                if (millis // WINDOW + 1) * WINDOW + LATENESS <= previous:
                    late.add(number)
                counts = event_time.latest_by_clock([record(millis)], [BEGAN + clock])
                if counts is not None:
                    latest[partition], heard[partition] = max(counts, latest[partition] or 0), clock
        views = [PartitionView(latest[p], caught_up=True, quiet_ms=tick - heard[p]) for p in latest]
        previous = watermark(*views, previous=previous)
    return late


CLOCKS, BEHIND = st.integers(0, 300_000), st.integers(-900, 400_000)


@given(
    st.lists(st.tuples(CLOCKS, st.integers(0, 1), BEHIND), max_size=12),
    st.lists(st.tuples(CLOCKS, st.integers(0, 1), st.integers(-SKEW, -1_001)), min_size=1, max_size=4),
)
def test_no_click_ahead_of_the_clock_makes_another_one_too_late(clicks, ahead):
    """With them, the same clicks are too late as without them; and they themselves are never."""
    arrivals = [*clicks, *ahead]
    ticks = sorted({clock for clock, *_ in arrivals})
    others = set(range(len(clicks)))
    assert too_late(arrivals, ticks, set(range(len(arrivals)))) == too_late(arrivals, ticks, others)


@given(st.lists(st.tuples(CLOCKS, BEHIND), min_size=1, max_size=20))
def test_what_counts_is_never_ahead_of_its_clock(clicks):
    values, clocks = (
        [record(BEGAN + clock - behind) for clock, behind in clicks],
        [BEGAN + clock for clock, _ in clicks],
    )
    assert LatestEventTime().latest_by_clock(values, clocks) == max(BEGAN + c - max(b, 0) for c, b in clicks)


def test_where_no_time_counts_it_goes_on_with_the_clock():
    """Clocks that are all ahead, or nothing but broken records, without end: never read to the end, and idle all the same."""
    mute = PartitionView(None, caught_up=False, quiet_ms=IDLE, mute=True)
    assert watermark(mute, clock_ms=10**12) == 10**12 - IDLE - DISORDER
    assert watermark(mute, busy(100_000)) == 90_000
    assert watermark(mute._replace(quiet_ms=IDLE - 1), busy(100_000)) == NEVER
