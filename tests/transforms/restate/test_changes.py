"""Restated rows put every store right, whatever was published, and win against it."""

from datetime import datetime, timedelta, timezone
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that
from hypothesis import given
from hypothesis import strategies as st

from clickstream.transforms.restate.changes import GENERATION_BITS, restate
from clickstream.transforms.restate.step import RestateRows
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA
from clickstream.transforms.sketches import MAX_THETA

START = datetime(2026, 11, 1, tzinfo=timezone.utc)
Rows = dict[str, tuple[int, int]]  # by URL: clicks, and the version's surplus over them
PUBLISHED = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.integers(0, 5), st.sampled_from([0, 0, 3, 1 << GENERATION_BITS]))
)


def row(url: str, clicks: int, version: int | None = None, **others: Any) -> dict[str, Any]:
    version = clicks if version is None else version
    known = {"time_spent_seconds": clicks / 10, "timed_clicks": clicks, "avg_time_spent": 0.1 if clicks else None}
    times = {"window_start": START, "window_end": START + timedelta(minutes=5)}
    return (
        times | {"url": url, "country": "India", "clicks": clicks, "unique_users": clicks, "version": version} | known
    ) | others


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), PAGE_METRICS_SCHEMA)


def stored(before: pa.Table, rows: pa.Table) -> dict[str, dict[str, Any]]:
    """What a store holds after a write: the row of the highest version."""
    found = {each["url"]: each for each in before.to_pylist()}
    for each in rows.to_pylist():
        if each["url"] not in found or each["version"] >= found[each["url"]]["version"]:
            found[each["url"]] = each
    return found


def counts(rows: dict[str, dict[str, Any]]) -> dict[str, int]:
    return {url: each["clicks"] for url, each in rows.items() if each["clicks"]}


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 5)), PUBLISHED, PUBLISHED)
def test_every_store_ends_with_what_was_computed(computed: dict[str, int], one: Rows, other: Rows) -> None:
    right = table(*(row(url, clicks) for url, clicks in computed.items()))
    stores = [table(*(row(url, n, n + more) for url, (n, more) in rows.items())) for rows in (one, other)]
    restated = restate(right, {"one": stores[0], "other": stores[1]}, fewer=1000)
    after = [stored(store, restated.rows) for store in stores]
    assert [counts(rows) for rows in after] == [computed, computed]
    # Once more changes nothing.
    again = restate(right, {str(n): table(*rows.values()) for n, rows in enumerate(after)})
    assert (again.rows.num_rows, again.changes) == (0, [])


def test_only_what_differs_is_written_and_told() -> None:
    published = table(row("same", 3), row("lower", 5), row("gone", 2), row("time", 2, time_spent_seconds=9.0))
    right = table(row("same", 3), row("lower", 4), row("new", 1), row("time", 2))
    rows, (change,) = restate(right, {"MySQL": published}, fewer=2)
    generation = 1 << GENERATION_BITS
    assert {each["url"]: (each["clicks"], each["version"]) for each in rows.to_pylist()} == {
        "lower": (4, generation + 4),
        "gone": (0, generation),
        "new": (1, 1),
        "time": (2, generation + 2),
    }
    assert change.published == {"clicks": 12, "unique_users": 12, "time_spent_seconds": 10.0, "timed_clicks": 12}
    assert change.computed == {"clicks": 10, "unique_users": 10, "time_spent_seconds": 1.0, "timed_clicks": 10}
    assert (change.store, change.missing, change.differing, change.needless, change.kept) == ("MySQL", 1, 2, 1, False)
    assert (change.window_end_ms - change.window_start_ms) == 300_000


@pytest.mark.parametrize(("fewer", "kept"), [(0, True), (1, True), (2, False)])
def test_a_window_with_too_few_clicks_is_left_as_it_is(fewer, kept) -> None:
    rows, (change,) = restate(table(row("a", 3), row("b", 1)), {"one": table(row("a", 6))}, fewer=fewer)
    assert change.kept is kept
    assert (rows.num_rows == 0) is kept


def test_a_row_of_nobody_says_so_in_all_that_was_measured() -> None:
    measured = {"sessions": 1, "bounces": 1, "users_theta": 7, "users_sketch": "[5]", "time_spent_histogram": "{}"}
    (emptied,) = restate(table(), {"one": table(row("a", 1, **measured))}, fewer=1).rows.to_pylist()
    nothing = {"sessions": 0, "bounces": 0, "users_theta": MAX_THETA, "users_sketch": "[]", "timed_clicks": 0}
    assert nothing.items() <= emptied.items()
    assert emptied["time_spent_histogram"] is emptied["avg_time_spent"] is None


def test_a_store_may_round_floats_a_little() -> None:
    published = table(row("a", 1, time_spent_seconds=0.1 + 1e-12))
    assert restate(table(row("a", 1)), {"one": published}).changes == []


def test_in_beam_window_by_window() -> None:
    late = {"window_start": START + timedelta(minutes=5), "window_end": START + timedelta(minutes=10)}
    computed = [table(row("a", 2)), table(row("b", 1, **late))]
    published = table(row("a", 1), row("b", 1, **late), row("x", 3, **late))
    fewer = {round(late["window_start"].timestamp() * 1000): 3}
    with TestPipeline("FnApiRunner") as pipeline:
        inputs = {
            "computed": pipeline | "Computed" >> beam.Create(computed),
            "published": {"one": pipeline | "Published" >> beam.Create([published])},
        }
        restated = inputs | RestateRows(fewer)
        seen = restated.rows | beam.FlatMap(lambda rows: [(r["url"], r["clicks"]) for r in rows.to_pylist()])
        told = restated.changes | "Told" >> beam.Map(lambda change: (change.missing, change.differing, change.needless))
        assert_that(seen, lambda found: _equal(found, [("a", 2), ("x", 0)]))
        assert_that(told, lambda found: _equal(found, [(0, 0, 1), (0, 1, 0)]), label="told")


def _equal(found: list[Any], expected: list[Any]) -> None:
    assert sorted(found) == expected
