"""Tables are made where they are missing, and checked where they aren't."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from rows import metric
from sqlite_rows import stored, write

from clickstream.io import sql
from clickstream.io.errors import UserError


def test_several_may_set_up_at_once(tmp_path):
    connection = sql.SqlConnection("sqlite", str(tmp_path / "new.db"))
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(sql.setup_sql, [connection] * 24)) == [None] * 24
    sql.check_sql(connection)


def test_setup_leaves_what_is_there(connection):
    write(connection, [metric()])
    sql.setup_sql(connection)
    sql.check_sql(connection)
    assert len(stored(connection)) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TABLE dead_letters", "table dead_letters is missing: run setup-sinks"),
        ("ALTER TABLE page_metrics DROP COLUMN version", "column version: found none of this name"),
        ("ALTER TABLE page_metrics ADD COLUMN more TEXT NOT NULL DEFAULT ''", None),
        ("CREATE TABLE page_metrics (window_start INTEGER)", "column window_start: found type INTEGER, needed TEXT"),
        (
            "CREATE TABLE page_metrics ({}, PRIMARY KEY (window_start))",
            r"found primary key \(window_start\), needed \(window_start, url_hash, country\)",
        ),
        (
            "CREATE TABLE page_metrics ({}, more TEXT NOT NULL, PRIMARY KEY (window_start, url_hash, country))",
            "column more: found NOT NULL",
        ),
    ],
)
def test_the_schema_check(connection, change, said):
    opened = sqlite3.connect(connection.database)
    columns = ", ".join(f"{name} {kind}" for _, name, kind, *_ in opened.execute("PRAGMA table_info(page_metrics)"))
    if change.startswith("CREATE"):
        opened.execute("DROP TABLE page_metrics")
    opened.execute(change.format(columns))
    opened.close()
    if said is None:
        return sql.check_sql(connection)
    with pytest.raises(UserError, match=said) as raised:
        sql.check_sql(connection)
    assert "\n" not in str(raised.value)
    return None


def test_places_that_can_not_be_written(tmp_path):
    for path, said in (
        (tmp_path / "no" / "x.db", "check that its folder exists"),
        (tmp_path / "text.db", "name another file"),
    ):
        if path.parent == tmp_path:
            path.write_text("no database, but a text " * 50)
        with pytest.raises(UserError, match=said):
            sql.setup_sql(sql.SqlConnection("sqlite", str(path)))


def test_a_missing_table_says_so(tmp_path):
    with pytest.raises(UserError, match="no such table: page_metrics: run setup-sinks"):
        write(sql.SqlConnection("sqlite", str(tmp_path / "empty.db")), [metric()])
