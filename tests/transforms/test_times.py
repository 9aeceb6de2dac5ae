import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import read_time

from clickstream.transforms.times import to_epoch_ms

TEN = 1_767_261_600_000  # 2026-01-01T10:00:00Z
TIMES = {
    "2026-01-01T10:00:00Z": TEN,
    "2026-01-01 10:00:00Z": TEN,
    "2026-01-01T10:00:00": TEN,
    "2026-01-01T10:00Z": TEN,
    "2026-01-01T10": TEN,
    "2026-01-01T10:00:00.1": TEN + 100,
    "2026-01-01T10:00:00.1239999Z": TEN + 123,
    "2026-01-01T15:30:00+05:30": TEN,
    "2026-01-01T15:30:00+0530": TEN,
    "2026-01-01T05:00:00-05": TEN,
    TEN: TEN,
    TEN // 1000: TEN,
    TEN / 1000 + 0.25: TEN + 250,
    0: 0,
}
NO_TIMES = [
    *("", "now", "2026-01-01", "2026-01-01Z", "20260101T100000Z", " 2026-01-01T10:00:00Z", "2026-01-01t10:00:00z"),
    *("2026-02-30T10:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T10:00:60Z", "2026-01-01T10:00:00.Z"),
    *("2026-01-01T10:00:00+99:00", "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
    *(None, -1, -0.5, 1e18, 10**18, 7_258_118_400_000),
]


@pytest.mark.parametrize("value", TIMES)
def test_times_are_read(value) -> None:
    millis, valid = to_epoch_ms([value])
    assert (millis.tolist(), valid.tolist()) == ([TIMES[value]], [True])


@pytest.mark.parametrize("value", NO_TIMES)
def test_what_is_no_time_is_told(value) -> None:
    assert to_epoch_ms([value])[1].tolist() == [False]


@given(
    st.lists(st.sampled_from([*TIMES, *NO_TIMES]), max_size=8), st.sampled_from([0, 3, 999, 1000, 2500]), st.randoms()
)
@settings(max_examples=200, deadline=None)
def test_a_result_does_not_depend_on_its_neighbours(kinds, size, rng: random.Random) -> None:
    values = rng.choices(kinds, k=size) if kinds else []
    millis, valid = to_epoch_ms(values)
    assert valid.tolist() == [value in TIMES and value is not None for value in values]
    expected = [TIMES.get(value, 0) for value in values]
    assert np.where(valid, millis, 0).tolist() == [e if ok else 0 for e, ok in zip(expected, valid, strict=True)]


@given(st.datetimes().map(lambda t: t.isoformat()), st.sampled_from(["", "Z", "+01:00", "-0930", "+14"]))
def test_agrees_with_the_oracle(text, zone) -> None:
    millis, valid = to_epoch_ms([text + zone])
    assert (int(millis[0]) if valid[0] else None) == read_time(text + zone)
