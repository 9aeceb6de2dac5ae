"""Breakdowns give the oracle's rows, for any split and order of clicks; and their clicks are always the window's."""

import random
from collections import defaultdict

import pyarrow as pa
import pytest
from breakdown_oracle import as_broken, expected_breakdown
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Click

from clickstream.transforms.aggregate.breakdown_rows import breakdown_metrics
from clickstream.transforms.aggregate.page_sums import PageSums, cut_by_window, merge_partials
from clickstream.transforms.breakdowns import Breakdowns, holds_breakdown, traits_of, values_of
from clickstream.transforms.schema import BREAKDOWN_SCHEMA, UTC_MS

NAMES = ("browser", "city")
CLICKS = st.lists(
    st.tuples(
        st.builds(
            Click,
            st.sampled_from(["u1", "u2", "u3"]),
            st.integers(1_793_527_000_000, 1_793_527_400_000),
            st.sampled_from(["https://a.example/", "https://b.example:8080/x?y=//z@", "https://a.example/ü"]),
            st.sampled_from(["India", ""]),
            st.none() | st.integers(0, 10**6).map(lambda ms: ms / 1000),
        ),
        st.fixed_dictionaries({name: st.sampled_from(["", "Firefox", "Ü", "b", "c", "d"]) for name in NAMES}),
    ),
    max_size=60,
)


def table(clicks) -> pa.Table:
    traits = pa.table({name: pa.array([given[name] for _, given in clicks], pa.string()) for name in NAMES})
    millis = [None if c.time_spent is None else round(c.time_spent * 1000) for c, _ in clicks]
    columns = {
        name: pa.array([getattr(c, name) for c, _ in clicks], pa.string()) for name in ("url", "country", "user_id")
    }
    times = pa.array([c.millis for c, _ in clicks], pa.int64()).cast(UTC_MS)
    own = {"timestamp": times, "time_spent_ms": pa.array(millis, pa.int64()), "traits": traits_of(traits, NAMES)}
    return pa.table(columns | own)


@given(CLICKS, st.integers(1, 400), st.integers(1, 6), st.integers(1, 20), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_any_split_and_order_gives_the_oracles_rows(clicks, window_seconds, most, size, rng: random.Random) -> None:
    shuffled = clicks.copy()
    rng.shuffle(shuffled)
    windows: dict[int, PageSums] = defaultdict(PageSums)
    for start in range(0, len(shuffled), size):
        for piece in cut_by_window(table(shuffled[start : start + size]), window_seconds=window_seconds, shards=3):
            windows[piece.window_start_ms].add(piece.partials)
            if rng.random() < 0.3:
                windows[piece.window_start_ms].compact()
    found = defaultdict(list)
    for start, sums in windows.items():
        place = {"window_start_ms": start, "window_end_ms": start + window_seconds * 1000, "sketch_size": 16}
        for name, rows in breakdown_metrics(sums.table(), Breakdowns(NAMES, most), **place):
            assert rows.schema == BREAKDOWN_SCHEMA
            found[name] += rows.to_pylist()
    for name in NAMES:
        rows = as_broken(found[name])
        assert rows == expected_breakdown(clicks, name, window_seconds=window_seconds, most_values=most)
        assert sum(row.clicks for row in rows.values()) == len(clicks)


def test_a_value_that_is_called_other_is_counted_with_the_others() -> None:
    given = ["(other)", "a", "a", "b", "c"]
    clicks = [(Click("u", 1, "https://a.example/", "", None), {"browser": name, "city": ""}) for name in given]
    (piece,) = cut_by_window(table(clicks), window_seconds=60, shards=1)
    rows = dict(
        breakdown_metrics(piece.partials, Breakdowns(NAMES, 2), window_start_ms=0, window_end_ms=1, sketch_size=0)
    )
    found = {row["value"]: (row["clicks"], row["values_together"]) for row in rows["browser"].to_pylist()}
    assert found == {"a": (2, 1), "(other)": (3, 3)}


def test_what_was_summed_up_before_there_were_traits_counts_under_no_value() -> None:
    click = (Click("u", 1, "https://a.example/", "", None), {"browser": "Firefox", "city": "Pune"})
    sums = PageSums()
    for each in (table([click]), table([click]).drop_columns("traits")):
        (piece,) = cut_by_window(each, window_seconds=60, shards=1)
        sums.add(piece.partials)
    for partials in (sums.table(), merge_partials(sums.table())):
        rows = dict(breakdown_metrics(partials, Breakdowns(NAMES), window_start_ms=0, window_end_ms=1, sketch_size=0))
        assert {row["value"]: row["clicks"] for row in rows["city"].to_pylist()} == {"": 1, "Pune": 1}


def test_traits_keep_values_apart_whatever_they_hold() -> None:
    columns = {"browser": ["a\x1fb", None, "  c "], "city": ["", "d", "\x1f"]}
    traits = traits_of(pa.table(columns), ("browser", "os", "city"))
    assert [values.to_pylist() for values in values_of(traits, 3)] == [["a b", "", "c"], [""] * 3, ["", "d", ""]]


@pytest.mark.parametrize(("names", "most"), [(("colour",), 1), (("os", "os"), 1), (("os",), 0)])
def test_breakdowns_that_can_not_be(names, most) -> None:
    with pytest.raises(ValueError, match="Breakdowns:"):
        Breakdowns(names, most)


def test_tables_of_breakdowns_are_known_by_their_names() -> None:
    assert all(map(holds_breakdown, ["by_os", "page_metrics_by_os", "clicks-{month}_by_city_1h"]))
    assert not any(
        map(holds_breakdown, ["", "1h", "clicks_by_month", "by_os_2h", "page_metrics_by_ostrich", "abby_os2"])
    )
