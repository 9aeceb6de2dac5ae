import hashlib
import random
from collections import Counter

import datasketches
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from without_beam import union

from clickstream.transforms.limits import LONGEST_SECONDS
from clickstream.transforms.sketches import (
    BUCKET_TEXTS,
    MAX_THETA,
    RELATIVE_ACCURACY,
    Users,
    bucket_seconds,
    hash_users,
    merge_histograms,
    quantile,
    time_buckets,
)

LONGEST_MS = LONGEST_SECONDS * 1000
HASHES = st.integers(1, MAX_THETA - 1)


def bucket_of(millis):
    return int(time_buckets(np.array([millis], np.int64))[0])


def ends():
    """Each bucket's first and last time in ms, by bisection; the first is after the last in one that holds none."""
    buckets = np.arange(len(bucket_seconds) + 1)
    low, high = np.zeros(len(buckets), np.int64), np.full(len(buckets), LONGEST_MS + 1)
    while np.any(low < high):
        middle = (low + high) // 2
        below = (time_buckets(middle) < buckets) & (low < high)
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
    return list(zip(low[:-1].tolist(), (low[1:] - 1).tolist(), strict=True))


def test_a_buckets_value_is_within_one_percent_of_all_its_times() -> None:
    for seconds, (first, last) in zip(bucket_seconds.tolist(), ends(), strict=True):
        for millis in (first, last) if first <= last else ():
            assert abs(seconds * 1000 - millis) <= RELATIVE_ACCURACY * millis


@given(st.one_of(st.integers(0, 10_000), st.integers(0, LONGEST_MS)))
def test_any_time_is_told_within_one_percent(millis) -> None:
    assert abs(bucket_seconds[bucket_of(millis)] * 1000 - millis) <= RELATIVE_ACCURACY * millis


@given(st.lists(st.integers(0, LONGEST_MS)))
def test_buckets_are_in_the_order_of_times(times) -> None:
    buckets = time_buckets(np.array(sorted(times), np.int64))
    assert buckets.dtype == np.int16
    assert np.all(np.diff(buckets) >= 0)


def test_nothing_is_only_nothing_and_the_longest_time_has_a_bucket() -> None:
    assert [bucket_of(millis) for millis in (0, 1)] == [0, 1]
    assert bucket_seconds[0] == 0.0
    assert bucket_of(LONGEST_MS) == len(bucket_seconds) - 1


def test_the_buckets_are_the_same_everywhere_and_for_ever() -> None:
    """Stored rows hold them: another set of values could not be merged with what is stored."""
    edges = map(str, ends())
    assert (
        hashlib.sha256(" ".join([*BUCKET_TEXTS, *edges]).encode()).hexdigest()
        == "cf1160a275669077951dec9a1a07f9c990d387f33ae7bdb263b17865c0dd8bae"
    )
    assert [float(text) for text in BUCKET_TEXTS] == bucket_seconds.tolist()
    assert len(set(BUCKET_TEXTS)) == len(BUCKET_TEXTS)


def theta_sketch(users, size_log2=12):
    sketch = datasketches.update_theta_sketch(size_log2)
    for user in users:
        sketch.update(user)
    return sketch


@given(st.sets(st.text(min_size=1), max_size=200))
def test_hashes_are_those_of_apache_datasketches(users) -> None:
    assert sorted(hash_users(users).tolist()) == sorted(theta_sketch(users))


def test_hashes_stay_the_same_when_the_memory_of_them_is_full() -> None:
    users = [f"user {n}" for n in range(150_000)]
    first = hash_users(users[:10]).tolist()
    assert len(set(hash_users(users).tolist())) == len(users)
    assert hash_users(users[:10]).tolist() == first


def of_hashes(hashes, size):
    """A row's sketch, as the contract has it."""
    distinct = sorted(set(hashes))
    theta = distinct[size] if len(distinct) > size else MAX_THETA
    return theta, np.array(distinct[:size], np.int64)


@given(st.lists(st.lists(HASHES, max_size=30), max_size=10), st.randoms())
def test_exact_sketches_unite_to_exact_numbers_in_any_order(rows, draw) -> None:
    draw.shuffle(rows)
    count = len(set().union(*rows))
    assert union(of_hashes(row, 30) for row in rows) == Users(count, count, count, exact=True)


@given(st.lists(st.lists(HASHES, min_size=1, max_size=30), min_size=1, max_size=10), st.integers(1, 20))
def test_a_union_estimates_from_the_hashes_below_the_smallest_theta(rows, size) -> None:
    sketches = [of_hashes(row, size) for row in rows]
    theta = min(theta for theta, _ in sketches)
    count = sum(hashed < theta for hashed in set().union(*rows))
    users = union(sketches)
    assert users.exact == (theta == MAX_THETA)
    assert users.estimate == round(count / (theta / 2**63))
    assert max(count, 1) <= users.low <= users.estimate <= users.high


def test_the_bounds_hold_the_truth_nineteen_times_in_twenty() -> None:
    draw, held = random.Random(5), 0
    for trial in range(400):
        rows = [[f"{trial} {int(draw.triangular(0, 3000, 0))}" for _ in range(draw.randint(5, 900))] for _ in range(6)]
        users = union(of_hashes(hash_users(row).tolist(), 64) for row in rows)
        assert not users.exact
        held += users.low <= len(set().union(*rows)) <= users.high
    assert held >= 0.93 * 400


@pytest.mark.parametrize("size_log2", [5, 8, 12])
def test_sketches_of_the_library_unite_as_in_the_library(size_log2) -> None:
    draw, theirs, ours = random.Random(size_log2), datasketches.theta_union(16), []
    for _ in range(20):
        sketch = theta_sketch((f"user {draw.randrange(20_000)}" for _ in range(draw.randint(1, 3000))), size_log2)
        theirs.update(sketch)
        # The library's sketch holds what is below its theta, too; ours is called exact where its theta is the largest.
        ours.append((sketch.theta64, np.array(list(sketch), np.int64)))
    found, users = theirs.get_result(), union(ours)
    assert users.estimate == round(found.get_estimate())
    assert users.exact == (not found.is_estimation_mode())
    assert users.low == pytest.approx(found.get_lower_bound(2), rel=0.03, abs=2)
    assert users.high == pytest.approx(found.get_upper_bound(2), rel=0.03, abs=2)


def test_many_hashes_are_united_without_keeping_copies() -> None:
    rows = (np.random.default_rng(n).integers(0, 50_000, 20_000) for n in range(50))
    assert union((MAX_THETA, row) for row in rows) == Users(50_000, 50_000, 50_000, exact=True)
    assert union([]) == Users(0, 0, 0, exact=True)


HISTOGRAMS = st.lists(
    st.dictionaries(st.sampled_from(bucket_seconds.tolist()), st.integers(1, 10**9), max_size=8), max_size=6
)


def arrays(histogram):
    return np.array(list(histogram), np.float64), np.array(list(histogram.values()), np.int64)


@given(HISTOGRAMS, st.randoms())
def test_histograms_are_merged_in_any_order_and_by_parts(histograms, draw) -> None:
    total = sum(map(Counter, histograms), Counter())
    draw.shuffle(histograms)
    cut = draw.randint(0, len(histograms))
    parts = [merge_histograms(map(arrays, part)) for part in (histograms[:cut], histograms[cut:])]
    values, counts = merge_histograms(parts)
    assert list(zip(values.tolist(), counts.tolist(), strict=True)) == sorted(total.items())


def test_what_is_taken_back_leaves_no_value() -> None:
    values, counts = merge_histograms([(np.array([1.0, 2.0]), np.array([3, 4])), (np.array([2.0]), np.array([-4]))])
    assert (values.tolist(), counts.tolist()) == ([1.0], [3])


@given(st.lists(st.integers(0, LONGEST_MS), min_size=1), st.integers(0, 100))
def test_a_quantile_is_within_one_percent_of_the_nearest_rank(times, percent) -> None:
    buckets = Counter(bucket_seconds[time_buckets(np.array(times, np.int64))].tolist())
    rank = max(-(-percent * len(times) // 100), 1)
    millis = sorted(times)[rank - 1]
    found = quantile(*merge_histograms([arrays(buckets)]), percent / 100)
    assert abs(found * 1000 - millis) <= RELATIVE_ACCURACY * millis


def test_the_share_of_a_quantile_is_as_written() -> None:
    values, counts = np.arange(100.0), np.ones(100, np.int64)
    assert 0.07 * 100 > 7
    assert quantile(values, counts, 0.07) == 6.0
    assert quantile(np.array([]), np.array([], np.int64), 0.5) is None
