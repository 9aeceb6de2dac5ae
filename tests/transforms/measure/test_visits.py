"""Visits against the oracle: which click follows which, and what that changes."""

import random

import pyarrow as pa
import pytest
from columns import click_table
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Click, Row, as_oracle_rows, expected_rows
from without_beam import iterate_metrics

from clickstream.transforms.measure.visits import VISIT_SCHEMA, VisitRules, changes, put_in_order, visit_columns

START = 1_793_527_200_000
GAP = 7
NONE = VISIT_SCHEMA.empty_table()
CLICKS = st.lists(
    st.builds(
        Click,
        st.sampled_from(["u1", "u2", "ü3"]),
        st.integers(0, 40).map(lambda second: START + 1000 * second),
        st.sampled_from(["https://a.example/", "https://b.example/x"]),
        st.sampled_from(["India", "Kenya"]),
        st.none(),
        st.sampled_from([None, "k1", "k2"]),
    ),
    max_size=40,
)


def rows_of(tables: list[pa.Table]) -> dict:
    return as_oracle_rows(iterate_metrics(pa.concat_tables(tables), window_seconds=10)) if tables else {}


@given(CLICKS, st.booleans())
@settings(max_examples=150)
def test_all_clicks_at_once_give_the_oracles_rows(clicks, deduplicate) -> None:
    ordered = put_in_order(NONE, visit_columns(click_table(clicks)), deduplicate=deduplicate)
    found = rows_of([changes(ordered, VisitRules(GAP * 1000, deduplicate))])
    assert found == expected_rows(clicks, window_seconds=10, session_gap_seconds=GAP, deduplicate=deduplicate)


@given(CLICKS, CLICKS)
@settings(max_examples=100)
def test_a_click_that_is_not_counted_still_comes_before_others(clicks, before) -> None:
    """So after a restart, sessions don't begin anew."""
    before = list({click._replace(millis=click.millis + 500) for click in before})
    new = pa.concat_tables([visit_columns(click_table(clicks)), visit_columns(click_table(before), counted=False)])
    found = rows_of([changes(put_in_order(NONE, new, deduplicate=False), VisitRules(GAP * 1000, deduplicate=False))])
    assert found == expected_rows(clicks, window_seconds=10, session_gap_seconds=GAP, deduplicate=False, before=before)


def click(second: float, url: str = "https://a.example/", user: str = "u", key: str | None = None) -> Click:
    return Click(user, START + round(second * 1000), url, "India", None, key)


def only_row(clicks: list[Click], **rules: bool) -> Row:
    options = VisitRules(GAP * 1000, rules.get("deduplicate", True))
    (row,) = rows_of(
        [changes(put_in_order(NONE, visit_columns(click_table(clicks)), deduplicate=options.deduplicate), options)]
    ).values()
    return row


def test_the_gap_itself_is_within_the_session_and_a_millisecond_more_is_not() -> None:
    assert only_row([click(0), click(GAP)])[3:5] == (GAP * 1000, 1)
    assert only_row([click(0), click(GAP + 0.001)])[3:5] == (0, 0)


def test_of_a_session_of_one_click_the_time_is_unknown_and_it_is_a_bounce() -> None:
    row = only_row([click(0)])
    assert (row.time_spent_ms, row.timed_clicks, row.sessions, row.bounces, row.version >> 21) == (0, 0, 1, 1, 1)


def test_an_event_sent_twice_counts_once_unless_deduplication_is_off() -> None:
    twice = [click(0, key="k"), click(0, key="k")]
    assert only_row(twice).clicks == 1
    assert only_row(twice, deduplicate=False)[1:5] == (2, 1, 0, 1)
    assert only_row([click(0, key="k"), click(0, key="other")]).clicks == 2


def test_simultaneous_clicks_follow_each_other_after_no_time() -> None:
    row = only_row([click(3), click(3, key="k"), click(3, key="l")])
    assert (row.clicks, row.time_spent_ms, row.timed_clicks, row.sessions, row.bounces) == (3, 0, 2, 1, 0)


def test_time_belongs_to_the_window_in_which_the_page_was_opened_and_is_not_cut_at_its_edge() -> None:
    found = rows_of(
        [
            changes(
                put_in_order(NONE, visit_columns(click_table([click(8), click(13)])), deduplicate=True),
                VisitRules(7000, True),
            )
        ]
    )
    assert [(key[0] - START, row.time_spent_ms, row.sessions) for key, row in sorted(found.items())] == [
        (0, 5000, 1),
        (10_000, 0, 0),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_versions_grow_with_what_is_known(seed) -> None:
    """Every other row of fewer clicks has a lower version: a store keeps the fullest."""
    rng = random.Random(seed)
    clicks = [click(rng.randrange(60), user=f"u{rng.randrange(4)}") for _ in range(60)]
    fuller: dict = {}
    for count in range(1, len(clicks)):
        rows = expected_rows(clicks[:count], window_seconds=10, session_gap_seconds=GAP)
        ordered = put_in_order(NONE, visit_columns(click_table(clicks[:count])), deduplicate=True)
        assert rows_of([changes(ordered, VisitRules(GAP * 1000, True))]) == rows
        for key, row in fuller.items():
            assert rows[key].version > row.version or rows[key] == row
        fuller = rows
