"""What is read of SQLite; the servers are asked in tests/services/test_query.py."""

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pyarrow as pa
import pytest
from crowd import START, WINDOW, crowd, table_of

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.results.row_filter import FIRST_PAGE_ROWS, RowFilter, next_page_rows, page_schema
from clickstream.io.results.sql_rows import read_sql_rows
from clickstream.io.sql import SqlConnection, tables

SEEN = crowd(1, windows=60, sketch_size=16)
ALL = ("clicks", "unique_users", "time_spent_seconds", "time_spent_histogram", "users_theta", "users_sketch", "version")


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    made = SqlConnection("sqlite", str(tmp_path_factory.mktemp("db") / "c.db"))
    sql.setup_sql(made)
    writer = sql.metrics_writer(made)
    assert writer.write(tables.metric_columns(table_of(SEEN))) == []
    writer.close()
    return made


def read(connection, wanted, columns=ALL):
    return list(read_sql_rows(connection, wanted, columns))


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (RowFilter(), lambda _: True),
        (RowFilter(url=SEEN[0].url), lambda row: row.url == SEEN[0].url),
        (RowFilter(url=SEEN[0].url.upper()), lambda _: False),
        (RowFilter(country="India"), lambda row: row.country == "India"),
        (RowFilter(country="India "), lambda _: False),
        (RowFilter(country="india"), lambda _: False),
        (
            RowFilter(country="Côte d'Ivoire", start=START + WINDOW),
            lambda row: row.country[0] == "C" and row.window >= 1,
        ),
        (RowFilter(start=START + 2 * WINDOW, end=START + 5 * WINDOW), lambda row: 2 <= row.window < 5),
        (RowFilter(end=START + timedelta(seconds=1)), lambda row: row.window == 0),
        (RowFilter(end=START), lambda _: False),
        (RowFilter(end=datetime(9999, 12, 31, tzinfo=timezone.utc)), lambda _: True),
    ],
)
def test_the_rows_that_are_chosen_and_no_others(connection, wanted, chosen) -> None:
    found = pa.concat_tables([page_schema(ALL).empty_table(), *read(connection, wanted)])
    expected = table_of(row for row in SEEN if chosen(row)).select(ALL)
    order = [(name, "ascending") for name in ALL]
    assert found.sort_by(order).equals(expected.sort_by(order))


def test_pages_are_bounded_and_only_needed_columns_are_read(connection) -> None:
    pages = read(connection, RowFilter(), ["clicks", "users_sketch"])
    assert pages[0].schema == page_schema(["clicks", "users_sketch"])
    assert len(pages) > 1
    assert pages[0].num_rows == FIRST_PAGE_ROWS
    assert all(after.num_rows <= next_page_rows(page) for page, after in pairwise(pages))


def test_pages_of_large_rows_are_short_and_those_of_small_ones_long() -> None:
    large, small = (pa.table({"users_sketch": ["x" * size] * 100}) for size in (1_000_000, 10))
    assert next_page_rows(large) == 20
    assert next_page_rows(small) == 5000
    assert next_page_rows(pa.table({"users_sketch": ["x" * 20_000] * 100})) == pytest.approx(419, abs=2)


def test_what_cant_be_read_is_told_in_one_line(tmp_path) -> None:
    with pytest.raises(UserError, match="no such table: page_metrics: run setup-sinks"):
        read(SqlConnection("sqlite", str(tmp_path / "empty.db")), RowFilter())
    (tmp_path / "text.db").write_text("clicks\n" * 1000)
    with pytest.raises(UserError, match="not a database"):
        read(SqlConnection("sqlite", str(tmp_path / "text.db")), RowFilter())
