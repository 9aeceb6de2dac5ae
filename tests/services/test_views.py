"""The views on real servers, MariaDB and MySQL alike: what they sum up, against brute force."""

import re
from collections import defaultdict
from datetime import date
from importlib import resources

import pytest
from crowd import Seen, crowd, expect, table_of

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.sql import mysql, tables

# Around midnight, a page that differs by a blank behind its end, one by case, and one that nobody is left of.
SEEN = [row._replace(window=row.window + 270) for row in crowd(5, windows=36)]
SEEN += [
    Seen(287, url, "India", [("a", 1000), ("b", None)]) for url in ("https://shop.example/e ", "https://shop.example/E")
]
SEEN += [Seen(300, "https://shop.example/e", country, [("c", None)]) for country in ("Chile", "")]
GONE = Seen(288, "https://gone.example/", "Nobody", [])
KEYS = {
    "by_hour": ("hour", lambda row: (row.start.replace(minute=0, tzinfo=None),)),
    "by_day": ("day", lambda row: (row.start.date(),)),
    "by_page": ("day, url", lambda row: (row.start.date(), row.url)),
    "by_country": ("day, country", lambda row: (row.start.date(), row.country or "unknown")),
}
SUMS = "clicks, timed_clicks, time_spent_seconds, avg_time_spent, sessions, bounces, bounce_rate"


@pytest.fixture
def connection(sql_server, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", sql_server.password)
    made = mysql.connect_by_url(sql_server.url(sql_server.create_database()), password="env:CLICKSTREAM_TEST_PASSWORD")
    mysql.setup_mysql(made)
    return made


@pytest.fixture
def ask(sql_server, connection):
    opened = sql_server.connect(connection.database)

    def answer(question):
        with opened.cursor() as cursor:
            cursor.execute(question)
            return list(cursor.fetchall())

    yield answer
    opened.close()


def write(connection, seen):
    writer = sql.metrics_writer(connection)
    assert writer.write(tables.metric_columns(table_of(seen))) == []
    writer.close()


def summed(rows):
    wanted = expect(rows)
    rate = wanted.bounces / wanted.sessions
    times = [len(wanted.times), pytest.approx(sum(wanted.times) / 1000), wanted.mean and pytest.approx(wanted.mean)]
    return (wanted.clicks, *times, wanted.sessions, wanted.bounces, pytest.approx(rate))


@pytest.mark.parametrize("view", KEYS)
def test_what_a_view_sums_up(connection, ask, view):
    write(connection, [*SEEN, GONE])
    ask("SET time_zone = '-08:00'")
    columns, key = KEYS[view]
    groups = defaultdict(list)
    for row in SEEN:
        groups[key(row)].append(row)
    width = len(columns.split(","))
    found = ask(f"SELECT {columns}, {SUMS} FROM page_metrics_{view}")  # noqa: S608
    assert {row[:width]: row[width:] for row in found} == {place: summed(rows) for place, rows in groups.items()}
    assert len(found) == len(groups) > 1
    assert all(isinstance(row[width], int) for row in found)


def test_the_questions_in_the_script(connection, ask):
    write(connection, SEEN)
    script = resources.files("clickstream.sql").joinpath("views.sql").read_text(encoding="utf-8")
    first, second = re.findall(r"SELECT[^;]+", script.partition("CREATE")[0].replace("--", ""))
    assert [row[0] for row in ask(first)] == [date(2026, 11, day) for day in (2, 1)]
    pages = defaultdict(list)
    for row in SEEN:
        pages[row.url].append(row)
    top = sorted(((url, expect(rows)) for url, rows in pages.items()), key=lambda each: -each[1].clicks)
    answer = ask(second)
    assert [(url, clicks) for url, clicks, _ in answer][:3] == [(url, wanted.clicks) for url, wanted in top][:3]
    assert answer[0][2] == pytest.approx(top[0][1].mean)


def test_sessions_that_are_not_measured_are_unknown(connection, ask):
    write(connection, SEEN)
    ask("UPDATE page_metrics SET sessions = NULL, bounces = NULL")
    assert ask("SELECT DISTINCT sessions, bounces, bounce_rate FROM page_metrics_by_day") == [(None, None, None)]


def test_another_tables_views_have_its_name(connection, ask):
    other = type(connection)(**vars(connection) | {"metrics_table": "shop_metrics"})
    with pytest.raises(UserError, match="table shop_metrics is missing: run setup-sinks"):
        mysql.check_mysql(other)
    mysql.setup_mysql(other)
    mysql.check_mysql(other)
    write(other, SEEN)
    assert ask("SELECT COUNT(*) FROM page_metrics_by_day") == [(0,)]
    assert ask("SELECT COUNT(*) FROM shop_metrics_by_day") == [(2,)]


def test_a_view_that_is_missing_and_a_table_in_its_place(connection, ask):
    ask("DROP VIEW page_metrics_by_page")
    with pytest.raises(UserError, match="view page_metrics_by_page is missing: run setup-sinks"):
        mysql.check_mysql(connection)
    ask("CREATE TABLE page_metrics_by_page (url TEXT)")
    with pytest.raises(UserError, match=r"1050 .*: a table has the name of a view that setup-sinks makes: rename it"):
        mysql.setup_mysql(connection)
    ask("DROP TABLE page_metrics_by_page")
    mysql.setup_mysql(connection)
    mysql.check_mysql(connection)
