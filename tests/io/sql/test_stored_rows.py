"""Rows in SQLite: the fullest of each, whatever comes in which order and by whom."""

import multiprocessing
import sqlite3
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import UNMEASURED, metric, rows_of_all_kinds, table_of
from sqlite_rows import ask, stored, write

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.sql import connection as sql_connection
from clickstream.io.sql import tables
from clickstream.io.sql import writer as sql_writer


@settings(max_examples=25)
@given(data=st.data())
def test_any_order_of_arrival_stores_the_fullest_rows(tmp_path_factory, data):
    connection = sql.SqlConnection("sqlite", str(tmp_path_factory.mktemp("order") / "clicks.db"))
    sql.setup_sql(connection)
    # What a version says is fixed: rows of the same key and version are the same.
    row = st.builds(
        metric,
        st.integers(0, 1),
        st.integers(0, 1),
        country=st.sampled_from(["A", "a"]),
        version=st.integers(1, 4),
    )
    rows = data.draw(st.lists(row, min_size=1, max_size=20))
    for part in range(0, len(rows), 3):
        assert write(connection, data.draw(st.permutations(rows[part : part + 3]))) == []
    assert stored(connection) == tables.metric_rows(table_of(rows))


def test_a_stale_writer_lowers_nothing_and_the_same_version_rewrites(connection):
    write(connection, [metric(version=5)])
    write(connection, [metric(version=4)])
    assert stored(connection)[0][5] == 5
    write(connection, [metric(version=5, unique_users=3)])
    assert stored(connection)[0][6] == 3


@pytest.mark.parametrize("count", [1, 49, 50, 51, 120])
def test_any_number_of_rows(connection, count):
    rows = [metric(page=n, avg_time_spent=None) for n in range(count)]
    write(connection, rows)
    assert stored(connection) == tables.metric_rows(table_of(rows))


@pytest.mark.parametrize("rows", [rows_of_all_kinds(), rows_of_all_kinds()[:1]], ids=["mixed", "unmeasured"])
def test_every_column_comes_back_exactly_null_too(connection, rows):
    assert write(connection, rows) == []
    assert stored(connection) == tables.metric_rows(table_of(rows))
    kinds = "SELECT DISTINCT typeof(users_theta), typeof(sessions), typeof(users_sketch) FROM page_metrics"
    assert set(ask(connection, kinds)) <= {
        (theta, sessions, text)
        for theta, text in (("integer", "text"), ("null", "null"))
        for sessions in ("integer", "null")
    }


def test_a_fuller_row_takes_its_times_back_and_its_sketch_along(connection):
    write(connection, [metric(version=1)])
    fuller = metric(version=2, **UNMEASURED)
    write(connection, [fuller])
    assert stored(connection) == tables.metric_rows(table_of([fuller]))


@given(st.lists(st.integers(0, 9).map(bytes)), st.integers(0, 20))
def test_a_statement_holds_as_many_rows_as_there_is_room_for(rows, room):
    parts = list(sql_writer._cut(rows, room))
    assert [row for part in parts for row in part] == rows
    for number, part in enumerate(parts):
        assert len(part) == 1 or len(b",".join(part)) + 1 <= room
        if number + 1 < len(parts):
            assert len(b",".join([*part, parts[number + 1][0]])) + 1 > room


def _write_shard(connection, shard):
    for version in range(1, 6):
        rows = [metric(page=n, version=version + shard) for n in range(300)]
        write(connection, rows)


def test_several_processes_write_the_same_file(connection):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_shard, args=(connection, shard)) for shard in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert {row[-1] for row in stored(connection)} == {6}
    assert len(stored(connection)) == 300


def test_a_locked_file_is_waited_for(connection, monkeypatch):
    monkeypatch.setattr(sql_connection, "_BUSY_SECONDS", 0.01)
    holder = sqlite3.connect(connection.database, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, lambda: holder.execute("ROLLBACK"))
    release.start()
    retries = []
    write(connection, [metric()], on_retry=lambda: retries.append(1))
    release.join()
    holder.close()
    assert retries
    assert len(stored(connection)) == 1


def test_waiting_ends(connection, monkeypatch):
    monkeypatch.setattr(sql_connection, "_BUSY_SECONDS", 0.01)
    holder = sqlite3.connect(connection.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match=r"clicks\.db: database is locked: another program holds it"):
        write(connection, [metric()], retry_seconds=0.2)
    holder.close()


def test_refused_rows_are_found_and_the_others_stand(connection):
    bad = {7, 8, 130}
    rows = [metric(page=n, time_spent_seconds=float("nan") if n in bad else 1.0) for n in range(200)]
    refused = write(connection, rows)
    assert {found.row[3] for found in refused} == {f"https://a.example/{n}" for n in bad}
    assert {found.detail for found in refused} == {"NOT NULL constraint failed: page_metrics.time_spent_seconds"}
    assert len(stored(connection)) == 197


def test_an_error_that_is_none_of_the_database_is_not_swallowed(connection):
    with pytest.raises(ValueError, match="extended slice"):
        sql.metrics_writer(connection).write([[1, 2], [3]] + [[1, 2]] * 9)
