import pyarrow as pa
import pytest
from crowd import Seen, crowd, expect, table_of
from hypothesis import given
from hypothesis import strategies as st

from clickstream.transforms.answer.totals import COLUMNS, Answer, Totals
from clickstream.transforms.limits import LONGEST_SECONDS
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA
from clickstream.transforms.sketches import Users

CLICKS = st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), st.none() | st.integers(0, LONGEST_SECONDS * 1000))
ROWS = st.builds(
    Seen,
    st.integers(0, 5),
    st.just("https://a.example/"),
    st.just("India"),
    st.lists(CLICKS, min_size=1, max_size=20),
    st.integers(1, 12),
)


def answer(*tables):
    totals = Totals()
    for table in tables:
        totals.add(table.select(COLUMNS))
    return totals.answer()


def check(found, seen):
    wanted = expect(seen)
    assert (found.rows, found.clicks, found.timed_clicks) == (len(seen), wanted.clicks, len(wanted.times))
    assert (found.users.estimate, found.users.exact) == (wanted.users, wanted.exact)
    assert found.users.high - found.users.estimate == pytest.approx(wanted.spread, abs=1.5)
    assert (found.sessions, found.bounces) == ((wanted.sessions, wanted.bounces) if seen else (None, None))
    if not wanted.times:
        assert (found.avg_time_spent, found.median_time_spent, found.p90_time_spent) == (None, None, None)
        return
    assert found.avg_time_spent == pytest.approx(wanted.mean, rel=1e-12)
    if wanted.times[0] == wanted.times[-1]:
        assert found.median_time_spent == found.p90_time_spent == wanted.mean
    tolerance = 0.021 if wanted.times[-1] <= 1.021 * wanted.times[0] else 0.01 + 1e-9  # in one bucket: the mean
    for share, time in ((0.5, found.median_time_spent), (0.9, found.p90_time_spent)):
        assert time == pytest.approx(wanted.quantile(share), rel=tolerance, abs=0)


@given(st.lists(ROWS, max_size=8), st.randoms())
def test_any_rows_in_any_order_and_any_pages(seen, draw) -> None:
    draw.shuffle(seen)
    cut = draw.randint(0, len(seen))
    check(answer(table_of(seen[:cut]), table_of(seen[cut:])), seen)


@pytest.mark.parametrize("sketch_size", [16, 1 << 16])
def test_a_crowd(sketch_size) -> None:
    seen = crowd(1, windows=40, sketch_size=sketch_size)
    assert expect(seen).exact == (sketch_size > 16)
    check(answer(table_of(seen)), seen)


def test_nothing() -> None:
    assert answer() == Answer(0, 0, Users(0, 0, 0, exact=True), None, None, 0, None, None, None)
    assert answer(PAGE_METRICS_SCHEMA.empty_table()) == answer()
    assert answer().timed_share is None


def test_one_row_is_exact_whatever_its_sketch() -> None:
    one = crowd(2, windows=1, sketch_size=4)[:1]
    assert len(one[0].users) > 4
    assert answer(table_of(one)).users == Users(len(one[0].users), len(one[0].users), len(one[0].users), exact=True)
    assert answer(without(table_of(one), "users_theta", "users_sketch")).users.exact


def without(table, *names):
    for name in names:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.nulls(len(table), table.schema.field(name).type))
    return table


def test_what_isnt_known_is_none() -> None:
    seen = crowd(3, windows=3)
    bare = without(table_of(seen), "users_theta", "users_sketch", "sessions", "bounces", "time_spent_histogram")
    found = answer(bare)
    assert (found.users, found.sessions, found.bounces) == (None, None, None)
    assert (found.median_time_spent, found.p90_time_spent) == (None, None)
    assert found.avg_time_spent == pytest.approx(expect(seen).mean)
    mixed = answer(bare, table_of(seen[:1]))
    assert (mixed.users, mixed.sessions, mixed.median_time_spent) == (None, len(seen[0].users), None)
