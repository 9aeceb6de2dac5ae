"""Each policy's times, in whole milliseconds; unknown stays unknown."""

from datetime import datetime, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.transforms import TimeSpentPolicy
from clickstream.transforms.measure.policy import measure_time_spent
from clickstream.transforms.schema import UTC_MS

AT = datetime(2026, 11, 1, 10, tzinfo=timezone.utc)


def clicks(spent: list[float | None], ends: list[int | None]) -> pa.Table:
    start = int(AT.timestamp() * 1000)
    stamps = pa.array([start] * len(spent)).cast(UTC_MS)
    until = pa.array([None if end is None else start + end for end in ends], pa.int64()).cast(UTC_MS)
    return pa.table({"timestamp": stamps, "time_spent": pa.array(spent, pa.float64()), "session_end": until})


def test_reported_takes_time_spent_else_the_sessions_end_else_nothing() -> None:
    table = measure_time_spent(clicks([1.2345, None, None, 0.0], [9_000, 2_500, None, 7]), TimeSpentPolicy("reported"))
    assert table["time_spent_ms"].to_pylist() == [1234, 2500, None, 0]


def test_fixed_counts_the_same_for_each() -> None:
    assert (
        measure_time_spent(clicks([1.0, None], [None, None]), TimeSpentPolicy("fixed", 300))[
            "time_spent_ms"
        ].to_pylist()
        == [300_000] * 2
    )


def test_no_clicks_are_no_times() -> None:
    for policy in (TimeSpentPolicy("reported"), TimeSpentPolicy("fixed", 1.5)):
        assert measure_time_spent(clicks([], []), policy).num_rows == 0


@pytest.mark.parametrize("text", ["fixed:300", "fixed:0", "fixed:1.5", "fixed:1234567.5", "fixed:31622400", "reported"])
def test_policies_are_read_and_written(text) -> None:
    assert str(TimeSpentPolicy.from_text(text)) == text


@pytest.mark.parametrize(
    "text", ["", "fixed", "fixed:", "fixed:-1", "fixed:nan", "fixed:1e99", "fixed:x", "reported:3", "dwell:x"]
)
def test_unknown_policies_say_what_to_write(text) -> None:
    with pytest.raises(ValueError, match="fixed:300"):
        TimeSpentPolicy.from_text(text)


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 31_622_400_000).map(lambda ms: ms / 1000) | st.floats(0, 31_622_400),
            st.none() | st.integers(0, 10**10),
        ),
        max_size=20,
    )
)
def test_reported_times_are_the_nearest_millisecond(rows) -> None:
    """A click's time doesn't depend on its neighbours; milliseconds survive as they were written."""
    table = clicks([spent for spent, _ in rows], [end for _, end in rows])
    expected = [end if spent is None else round(spent * 1000) for spent, end in rows]
    assert measure_time_spent(table, TimeSpentPolicy("reported"))["time_spent_ms"].to_pylist() == expected


@pytest.mark.parametrize(
    "arguments", [("dwell", 5.0), ("fixed",), ("fixed", -1), ("fixed", float("nan")), ("reported", 1.0), ("",)]
)
def test_a_policy_that_is_none_cannot_be_made(arguments) -> None:
    with pytest.raises(ValueError, match="fixed:300, or reported"):
        TimeSpentPolicy(*arguments)
