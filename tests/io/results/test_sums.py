"""What SQLite adds up; the servers are asked in tests/services/test_sums.py."""

import pytest
from crowd import crowd, table_of
from rows import UNMEASURED, metric
from rows import table_of as table_of_rows
from sums import HOSTILE, check_store

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.results.row_filter import RowFilter
from clickstream.io.results.sql_sums import SqlStore
from clickstream.io.sql import SqlConnection, tables


def store_of(path, table=None):
    connection = SqlConnection("sqlite", str(path / "c.db"))
    sql.setup_sql(connection)
    if table is not None:
        writer = sql.metrics_writer(connection)
        assert writer.write(tables.metric_columns(table)) == []
        writer.close()
    return SqlStore(connection)


def test_sums_are_those_of_the_rows(tmp_path) -> None:
    seen = [*crowd(3, windows=40), HOSTILE]
    check_store(store_of(tmp_path, table_of(seen)), seen)


def test_an_empty_store_has_nothing(tmp_path) -> None:
    store = store_of(tmp_path)
    assert store.extent() is None
    assert store.by_time(RowFilter()).num_rows == 0
    assert store.top("url", RowFilter(), 5) == (0, [])


def test_what_was_not_measured_is_none(tmp_path) -> None:
    rows = [metric(0, 0, **UNMEASURED | {"timed_clicks": 0, "time_spent_seconds": 0.0}), metric(1, 0)]
    store = store_of(tmp_path, table_of_rows(rows))
    assert store.by_time(RowFilter())["sessions"].to_pylist() == [None, 2]
    assert store.top("country", RowFilter(), 5)[1][0].sessions == 2


def test_a_page_whose_last_click_is_forgotten_is_none(tmp_path) -> None:
    forgotten = metric(0, 1, clicks=0, unique_users=0, timed_clicks=0, time_spent_seconds=0.0)
    store = store_of(tmp_path, table_of_rows([metric(0, 0), forgotten]))
    count, [page] = store.top("url", RowFilter(), 5)
    assert (count, page.clicks) == (1, 1)


def test_a_missing_table_is_one_line(tmp_path) -> None:
    store = SqlStore(SqlConnection("sqlite", str(tmp_path / "none.db")))
    for ask in (store.extent, lambda: store.by_time(RowFilter()), lambda: store.top("url", RowFilter(), 1)):
        with pytest.raises(UserError, match="no such table: page_metrics: run setup-sinks"):
            ask()
