import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import read_time

from clickstream.transforms.parse.times import to_epoch_ms

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
    "2026-01-01T15:30:00.1239999+05:30": TEN + 123,
    "2026-01-01 05:00:00.123456789123-0500": TEN + 123,
    "2025-12-31T23:00-11": TEN,
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
    st.lists(st.sampled_from([*TIMES, *NO_TIMES]), max_size=8), st.sampled_from([0, 3, 999, 1000, 2500]), st.integers()
)
@settings(max_examples=100)
def test_a_result_does_not_depend_on_its_neighbours(kinds, size, seed) -> None:
    values = random.Random(seed).choices(kinds, k=size) if kinds else []
    millis, valid = to_epoch_ms(values)
    assert valid.tolist() == [value in TIMES and value is not None for value in values]
    expected = [TIMES.get(value, 0) for value in values]
    assert np.where(valid, millis, 0).tolist() == [e if ok else 0 for e, ok in zip(expected, valid, strict=True)]


@given(st.datetimes().map(lambda t: t.isoformat()), st.sampled_from(["", "Z", "+01:00", "-0930", "+14"]))
def test_agrees_with_the_oracle(text, zone) -> None:
    millis, valid = to_epoch_ms([text + zone])
    assert (int(millis[0]) if valid[0] else None) == read_time(text + zone)


@given(st.integers(0, 99_999_999_999), st.integers(0, 999))
@settings(max_examples=1000)
def test_seconds_with_three_decimals_keep_their_millisecond(seconds, thousandths) -> None:
    """Most of them are no binary fractions: 1080022410.192 * 1000 is 1080022410191.9999."""
    millis = seconds * 1000 + thousandths
    found, valid = to_epoch_ms([float(f"{seconds}.{thousandths:03}")])
    assert bool(valid[0]) == (millis < 7_258_118_400_000)
    assert not valid[0] or found[0] == millis


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1793527200.9994, 1793527200999),
        (1793527200.999999, 1793527200999),
        (99_999_999_999, None),
        (100_000_000_000, 100_000_000_000),
        (TEN + 0.999, TEN),
        (7_258_118_399.999, 7_258_118_399_999),
        (7_258_118_400, None),
        (7_258_118_399_999, 7_258_118_399_999),
        (5e-324, 0),
        (-5e-324, None),
        (-0.0, 0),
        (2**64, None),
    ],
)
def test_numbers_are_cut_to_the_millisecond_and_bounded(value, expected) -> None:
    millis, valid = to_epoch_ms([value])
    assert (int(millis[0]) if valid[0] else None) == expected == read_time(value)


SHAPES = st.from_regex(
    r"\A[12]\d{3}-[01]\d-[0-3]\d[T ][0-2]\d(:[0-6]\d(:[0-6]\d(\.\d{0,12})?)?)?(Z|[+-][0-2]\d(:?[0-6]\d?)?)?\Z"
)


@st.composite
def _almost_times(draw) -> str:
    """A time, most often with one character exchanged, dropped or doubled."""
    text = draw(SHAPES)
    at = draw(st.integers(0, len(text)))
    other = draw(st.sampled_from(["", *"0123456789-+:. TZtz,\n\0٣\u2212"]))
    return draw(st.sampled_from([text, text[:at] + other + text[at:], text[:at] + other + text[at + 1 :]]))


@given(st.lists(_almost_times() | st.none() | st.sampled_from([*TIMES]), min_size=1, max_size=6))
@settings(max_examples=400)
def test_forms_next_to_the_accepted_ones_agree_with_the_oracle_in_any_company(values) -> None:
    expected = [read_time(value) if value is not None else None for value in values]
    millis, valid = to_epoch_ms(values)
    assert [int(ms) if ok else None for ms, ok in zip(millis, valid, strict=True)] == expected
