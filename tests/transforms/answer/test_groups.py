import numpy as np
import polars as pl
import pyarrow as pa
from crowd import Seen, crowd, table_of
from hypothesis import given
from hypothesis import strategies as st
from rows import rows_of_all_kinds
from rows import table_of as table_of_rows

from clickstream.transforms.answer.groups import GROUPED_COLUMNS, break_down, read_sketches
from clickstream.transforms.answer.totals import COLUMNS, Totals
from clickstream.transforms.limits import LONGEST_SECONDS

CLICKS = st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), st.none() | st.integers(0, LONGEST_SECONDS * 1000))
ROWS = st.builds(
    Seen,
    st.integers(0, 5),
    st.just("https://a.example/"),
    st.just("India"),
    st.lists(CLICKS, min_size=1, max_size=20),
    st.integers(1, 12),
)


def check(table, groups, count):
    frames = [
        read_sketches(part.select(GROUPED_COLUMNS)) for part in (table[: len(table) // 2], table[len(table) // 2 :])
    ]
    found = break_down(pl.concat(frames), np.array(groups, np.int64), count)
    for group in range(count):
        totals = Totals()
        totals.add(table.filter(pa.array([of == group for of in groups], pa.bool_())).select(COLUMNS))
        assert found[group] == totals.answer()


@given(st.lists(st.tuples(ROWS, st.integers(-1, 3)), max_size=8))
def test_each_group_is_answered_as_totals_answers_its_rows(rows) -> None:
    check(table_of(seen for seen, _ in rows), [group for _, group in rows], 4)


def test_a_crowd() -> None:
    table = table_of(crowd(1, windows=40, sketch_size=16))
    check(table, [i % 7 for i in range(len(table))], 8)


def test_rows_of_all_kinds() -> None:
    """Also without times, sessions or sketches, and of more users than a sketch holds."""
    table = table_of_rows(rows_of_all_kinds())
    for groups in ([0] * len(table), range(len(table)), [0, 1, 1, 1, 1, 2, 2]):
        check(table, list(groups), len(table))
