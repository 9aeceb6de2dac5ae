from datetime import datetime, timezone

import pyarrow as pa
import pytest

from clickstream.transforms import TimeSpentPolicy
from clickstream.transforms.measure import measure_time_spent
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


@pytest.mark.parametrize("text", ["fixed:300", "fixed:0", "fixed:1.5", "reported"])
def test_policies_are_read_and_written(text) -> None:
    assert str(TimeSpentPolicy.from_text(text)) == text


@pytest.mark.parametrize(
    "text", ["", "fixed", "fixed:", "fixed:-1", "fixed:nan", "fixed:1e99", "fixed:x", "reported:3", "dwell:x"]
)
def test_unknown_policies_say_what_to_write(text) -> None:
    with pytest.raises(ValueError, match="fixed:300"):
        TimeSpentPolicy.from_text(text)
