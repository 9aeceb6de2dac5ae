"""The stored procedures on real servers, MariaDB and MySQL alike, over rows whose sketches are exact or not."""

import json

import pymysql
import pytest
from crowd import START, WINDOW, Seen, crowd, expect, table_of

from clickstream.io import sql
from clickstream.io.sql import tables

PAGE = "https://shop.example/"
EXACT, SMALL = (crowd(4, windows=30, sketch_size=size) for size in (1 << 16, 16))


@pytest.fixture
def ask(ask):
    """Asks the server: a statement and its values; gives the first row."""
    return lambda *question: next(iter(ask(*question)), None)


def write(connection, seen):
    writer = sql.metrics_writer(connection)
    assert writer.write(tables.metric_columns(table_of(seen))) == []
    writer.close()


def call(ask, name, *arguments):
    (answer,) = ask(f"CALL {name}({', '.join(['%s'] * len(arguments))})", *arguments)
    return answer


def about(value, tolerance=1e-9):
    return None if value is None else pytest.approx(value, rel=tolerance)


ANY = (None, None, None, None)
QUESTIONS = [
    (ANY, lambda _: True),
    ((PAGE, None, None, None), lambda row: row.url == PAGE),
    (
        (PAGE, "India", "2026-11-01", "2026-11-01 01:00:00"),
        lambda row: (row.url, row.country) == (PAGE, "India") and row.window < 12,
    ),
    ((None, "Côte d'Ivoire", "2026-11-01 00:05:00", None), lambda row: row.country[0] == "C" and row.window >= 1),
    (
        (PAGE, "India", "2026-11-01", "2026-11-01 00:05:00"),
        lambda row: (row.url, row.country, row.window) == (PAGE, "India", 0),
    ),
    (
        (PAGE, None, "2026-11-01 00:00:00.000001", "2026-11-01 00:15:00.000001"),
        lambda row: row.url == PAGE and 1 <= row.window <= 3,
    ),
    ((PAGE.upper(), None, None, None), lambda _: False),
    ((None, "india", None, None), lambda _: False),
    ((None, "India ", None, None), lambda _: False),
]


@pytest.mark.parametrize("rows", [EXACT, SMALL], ids=["exact", "small"])
def test_all_procedures_over_any_selection(connection, ask, rows):
    write(connection, rows)
    for arguments, chosen in QUESTIONS:
        seen = [row for row in rows if chosen(row)]
        wanted = expect(seen)
        assert call(ask, "get_clicks", *arguments) == wanted.clicks
        assert call(ask, "get_unique_users", *arguments) == wanted.users
        assert call(ask, "get_avg_time_spent", *arguments) == about(wanted.mean)
        assert call(ask, "get_sessions", *arguments) == (wanted.sessions or None)
        assert call(ask, "get_bounce_rate", *arguments) == (
            pytest.approx(wanted.bounces / wanted.sessions) if seen else None
        )
        for share in (0, 0.07, 0.5, 0.9, 1):
            found = call(ask, "get_time_quantile", *arguments, share)
            assert found == about(wanted.quantile(share), 0.01)
    assert expect(rows).exact == (rows is EXACT)


def test_clicks_without_a_country_are_asked_for_as_they_are_shown(connection, ask):
    nobody_knows = [Seen(n, PAGE, "", [("a", 1000), ("z", None)]) for n in range(2)]
    write(connection, [*EXACT, *nobody_knows])
    wanted = expect(nobody_knows)
    (shown,) = ask("SELECT DISTINCT country FROM page_metrics_by_country WHERE country < 'A' OR country LIKE 'unk%%'")
    for country in (shown, "unknown", ""):
        assert call(ask, "get_clicks", None, country, None, None) == wanted.clicks == 4
        assert call(ask, "get_unique_users", None, country, None, None) == wanted.users == 2
        assert call(ask, "get_avg_time_spent", None, country, None, None) == about(wanted.mean)
        assert call(ask, "get_time_quantile", None, country, None, None, 0.5) == about(wanted.quantile(0.5), 0.01)
        assert call(ask, "get_sessions", None, country, None, None) == wanted.sessions
        assert call(ask, "get_bounce_rate", None, country, None, None) is not None
    assert call(ask, "get_clicks", None, "Unknown", None, None) == 0


def test_users_of_the_largest_hash_and_of_theta_itself(connection, ask):
    write(connection, [Seen(n, PAGE, "India", [(user, None) for user in "abc"]) for n in range(3)])
    largest = 2**63 - 1
    for window, theta, hashes in ((0, largest, [1, 5, largest]), (1, largest, [5, 7])):
        start = (START + window * WINDOW).replace(tzinfo=None)
        ask(
            "UPDATE page_metrics SET users_theta = %s, users_sketch = %s WHERE window_start = %s",
            theta,
            json.dumps(hashes),
            start,
        )
    both = (PAGE, None, None, "2026-11-01 00:10:00")
    assert call(ask, "get_unique_users", *both) == 4
    half = 1 << 62
    ask(
        "UPDATE page_metrics SET users_theta = %s, users_sketch = %s WHERE window_start = '2026-11-01 00:05'",
        half,
        json.dumps([5, half - 1]),
    )
    ask(
        "UPDATE page_metrics SET users_sketch = %s WHERE window_start = '2026-11-01 00:00'",
        json.dumps([1, 5, half, largest]),
    )
    assert call(ask, "get_unique_users", *both) == 3 * 2


def test_rows_without_sketches_are_counted_alone_only(connection, ask):
    write(connection, EXACT)
    first = next(row for row in EXACT if row.window == 0)
    one = (first.url, first.country, "2026-11-01", "2026-11-01 00:05:00")
    ask("UPDATE page_metrics SET users_theta = NULL, users_sketch = NULL WHERE window_start = '2026-11-01'")
    assert call(ask, "get_unique_users", *one) == len(first.users)
    with pytest.raises(pymysql.err.MySQLError, match=r"rows without sketches .* can not be added up"):
        call(ask, "get_unique_users", *ANY)
    wanted = expect(row for row in EXACT if row.window > 0)
    assert call(ask, "get_unique_users", None, None, "2026-11-01 00:05:00", None) == wanted.users


def test_quantiles_need_every_histogram_and_a_share(connection, ask):
    write(connection, EXACT)
    for share in (-0.1, 1.1, 50, None):
        with pytest.raises(pymysql.err.MySQLError, match="p_quantile must be from 0 to 1"):
            call(ask, "get_time_quantile", *ANY, share)
    ask("UPDATE page_metrics SET time_spent_histogram = NULL WHERE window_start = '2026-11-01'")
    assert call(ask, "get_time_quantile", *ANY, 0.5) is None
    assert call(ask, "get_time_quantile", None, None, "2026-11-01 00:05:00", None, 0.5) is not None


def test_times_that_are_all_the_same_are_told_exactly(connection, ask):
    write(connection, [Seen(n, PAGE, "India", [("a", 300_000), ("b", 300_000), ("c", None)]) for n in range(3)])
    for share in (0, 0.5, 0.9, 1):
        assert call(ask, "get_time_quantile", PAGE, None, None, None, share) == 300.0


@pytest.mark.parametrize("collation", ["utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_bin"])
def test_any_collation_of_the_session(connection, ask, collation):
    write(connection, EXACT)
    ask(f"SET NAMES utf8mb4 COLLATE {collation}")
    wanted = expect(row for row in EXACT if row.url == PAGE and row.country == "Côte d'Ivoire")
    assert ask(f"CALL get_unique_users('{PAGE}', 'Côte d''Ivoire', NULL, NULL)") == (wanted.users,)
    assert ask(f"CALL get_unique_users('{PAGE}', 'côte d''Ivoire', NULL, NULL)") == (0,)
    (median,) = ask(f"CALL get_time_quantile('{PAGE}', 'Côte d''Ivoire', NULL, NULL, 0.5)")
    assert median == about(wanted.quantile(0.5), 0.01)


def test_a_page_is_looked_up_among_many_others(connection, ask):
    """NULL stands for all pages: that must not cost the index for one of them."""
    write(connection, EXACT)
    others = ", ".join(name for name in tables.METRICS_COLUMNS if name != "url_hash")
    numbers = "WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 200)"
    copies = f"{numbers} SELECT UNHEX(LEFT(SHA2(n, 256), 32)), {others} FROM page_metrics, numbers WHERE url = '{PAGE}'"  # noqa: S608
    ask(f"INSERT INTO page_metrics (url_hash, {others}) {copies}")
    ask("ANALYZE TABLE page_metrics")
    page = [row for row in EXACT if row.url == PAGE]
    ask("FLUSH STATUS")
    assert call(ask, "get_unique_users", PAGE, None, "2026-11-01", "2026-11-02") == expect(page).users
    _, read = ask("SHOW SESSION STATUS LIKE 'Handler_read_next'")
    assert int(read) < 4 * len(page)
