"""What the sink has stored in real servers, and what the procedures answer."""

import itertools
import json
import random
from decimal import Decimal

import apache_beam as beam
import pyarrow as pa
import pymysql
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from beam_nuggets.io.relational_db_api import SourceConfiguration
from rows import PAGE, START, UNMEASURED, metric, rows_of_all_kinds, table_of
from services.mysql_rows import PASSWORD, stored, write

from clickstream.io import sql
from clickstream.io.sql import mysql, tables
from clickstream.transforms.schema import REJECTED_SCHEMA


def test_any_order_of_arrival_stores_the_fullest_rows(connection, ask):
    rows = [metric(0, country=c, version=v) for c in ("India", "india") for v in (1, 2, 3)]
    for order in random.Random(1).sample(list(itertools.permutations(rows)), 8):
        ask("DELETE FROM page_metrics")
        for part in range(0, len(order), 2):
            assert write(connection, order[part : part + 2]) == []
        assert stored(ask) == tables.metric_rows(table_of(rows))


def test_a_stale_writer_lowers_nothing_and_the_same_version_rewrites(connection, ask):
    write(connection, [metric(version=5)])
    write(connection, [metric(version=4, avg_time_spent=None)])
    assert stored(ask) == tables.metric_rows(table_of([metric(version=5)]))
    write(connection, [metric(version=5, unique_users=3)])
    assert ask("SELECT clicks, unique_users FROM page_metrics") == [(5, 3)]


def test_texts_are_kept_and_told_apart_byte_by_byte(connection, ask):
    urls = [
        PAGE,
        PAGE.upper(),
        PAGE + " ",
        PAGE + "é",
        PAGE + "e\u0301",
        PAGE + "😀",
        PAGE + "%s'\"\\\0\n",
        PAGE + "😀" * 2000,
        PAGE + "x" * 8100,
    ]
    rows = [metric(page=url, country=country) for url in urls for country in ("Åland", "åland", "Aland")]
    assert write(connection, rows) == []
    assert stored(ask) == tables.metric_rows(table_of(rows))
    for url in urls:
        assert ask("CALL get_clicks(%s, 'Aland', NULL, NULL)", url) == [(1,)]


def test_every_column_comes_back_exactly_null_too(connection, ask):
    rows = rows_of_all_kinds()
    for part in (rows[:1], rows):
        assert write(connection, part) == []
        assert stored(ask) == tables.metric_rows(table_of(part))
    theta, sketch = ask(
        "SELECT users_theta, users_sketch FROM page_metrics ORDER BY LENGTH(users_sketch) DESC LIMIT 1"
    )[0]
    assert (theta, sketch) == (rows[5]["users_theta"], rows[5]["users_sketch"])
    assert len(sketch) > 80_000
    assert ask("SELECT MAX(users_theta) FROM page_metrics") == [(2**63 - 1,)]


def test_the_database_itself_reads_sketches_and_histograms_exactly(connection, ask):
    rows = rows_of_all_kinds()
    write(connection, rows)
    hashes = "JSON_TABLE(users_sketch, '$[*]' COLUMNS (h BIGINT PATH '$')) AS sketch"
    expected = {h for row in rows for h in json.loads(row["users_sketch"] or "[]")}
    found = ask(f"SELECT DISTINCT h FROM page_metrics, {hashes}")  # noqa: S608
    assert {h for (h,) in found} == expected
    counts = "JSON_TABLE(time_spent_histogram, '$.counts[*]' COLUMNS (n BIGINT PATH '$')) AS histogram"
    expected = sum(
        sum(json.loads(row["time_spent_histogram"])["counts"]) for row in rows if row["time_spent_histogram"]
    )
    assert ask(f"SELECT SUM(n) FROM page_metrics, {counts}") == [(Decimal(expected),)]  # noqa: S608


def test_a_large_sketch_among_many_rows(connection, ask):
    rows = [metric(n % 3, n) for n in range(3000)]
    rows[1500] = {**rows_of_all_kinds()[5], "url": rows[1500]["url"]}
    assert write(connection, rows) == []
    assert stored(ask) == tables.metric_rows(table_of(rows))


def test_many_rows_in_several_statements(connection, ask):
    rows = [metric(n % 3, f"https://a.example/{n}/{'y' * 500}") for n in range(5000)]
    assert write(connection, rows) == []
    assert stored(ask) == tables.metric_rows(table_of(rows))


@pytest.fixture
def filled(connection):
    timed = UNMEASURED | {"timed_clicks": 2, "time_spent_seconds": 30.0, "avg_time_spent": 15.0}
    unknown = UNMEASURED | {"timed_clicks": 0, "time_spent_seconds": 0.0}
    write(
        connection,
        [
            metric(0, clicks=10, unique_users=4, **timed),
            metric(1, clicks=5, unique_users=3, **unknown),
            metric(1, country="Nepal", **timed | {"clicks": 1, "timed_clicks": 1, "time_spent_seconds": 6.0}),
            metric(288, clicks=100, unique_users=9, **unknown),
            metric(0, "https://other.example/", clicks=1000, **timed),
        ],
    )


@pytest.mark.parametrize(
    ("arguments", "clicks", "mean"),
    [
        ((PAGE, "India", "2026-11-01", "2026-11-02"), 15, 15.0),
        ((PAGE, None, "2026-11-01", "2026-11-02"), 16, 12.0),
        ((PAGE, None, None, None), 116, 12.0),
        ((PAGE, "India", "2026-11-01 00:05:00", "2026-11-01 00:10:00"), 5, None),
        ((PAGE, "India", "2026-11-01 00:00:00", "2026-11-01 00:05:00"), 10, 15.0),
        ((PAGE, "India", "2026-11-02", None), 100, None),
        ((PAGE, "India", None, "2026-11-01"), 0, None),
        ((PAGE, "india", None, None), 0, None),
        ((PAGE, "India ", None, None), 0, None),
        ((PAGE.upper(), None, None, None), 0, None),
    ],
)
@pytest.mark.usefixtures("filled")
def test_procedures_add_up(ask, arguments, clicks, mean):
    assert ask("CALL get_clicks(%s, %s, %s, %s)", *arguments) == [(clicks,)]
    assert ask("CALL get_avg_time_spent(%s, %s, %s, %s)", *arguments) == [(mean,)]


@pytest.mark.usefixtures("filled")
def test_unique_users_of_one_row_only_where_there_are_no_sketches(ask):
    one = "CALL get_unique_users(%s, %s, %s, %s)"
    assert ask(one, PAGE, "India", "2026-11-01", "2026-11-01 00:05:00") == [(4,)]
    assert ask(one, PAGE, "Chile", None, None) == [(0,)]
    for arguments in ((PAGE, "India", None, None), (PAGE, None, "2026-11-01 00:05:00", "2026-11-01 00:10:00")):
        with pytest.raises(pymysql.err.MySQLError, match="can not be added up"):
            ask(one, *arguments)


@pytest.mark.parametrize("collation", ["utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_bin"])
@pytest.mark.usefixtures("filled")
def test_procedures_answer_in_any_collation_of_the_session(ask, collation):
    ask(f"SET NAMES utf8mb4 COLLATE {collation}")
    assert ask("CALL get_clicks('https://a.example/', 'India', NULL, NULL)") == [(115,)]
    assert ask("CALL get_clicks('https://a.example/', 'INDIA', NULL, NULL)") == [(0,)]


def test_dead_letters_once_with_their_exact_bytes(connection, ask):
    raw = bytes(range(256)) * 4096
    row = {"source": "kafka:clicks/0", "record_timestamp": START, "reason": "invalid_json", "detail": "é😀", "raw": raw}
    rejected = pa.Table.from_pylist([row | {"position": n} for n in range(5)], REJECTED_SCHEMA)
    for _ in range(2):
        with Pipeline(options=PipelineOptions([])) as pipeline:
            made = pipeline | beam.Create([rejected]) | beam.Map(lambda part: part).with_output_types(pa.Table)
            made | sql.WriteDeadLettersToSql(connection)
    pages = list(sql.read_dead_letters(connection, page_bytes=2 << 20))
    assert [page.num_rows for page in pages] == [2, 2, 1]
    whole = pa.concat_tables(pages).sort_by("position")
    assert whole.select(REJECTED_SCHEMA.names) == rejected
    assert sql.delete_dead_letters(connection, whole["dead_letter_id"].to_pylist()) == 5
    assert ask("SELECT COUNT(*) FROM dead_letters") == [(0,)]


def test_write_to_mysql_in_the_terms_of_beam_nuggets(connection, ask):
    place = {
        "host": connection.host,
        "port": connection.port,
        "username": connection.username,
        "database": connection.database,
    }
    write_to = mysql.WriteToMySql(SourceConfiguration("mysql+pymysql", **place), password=PASSWORD)
    with Pipeline(options=PipelineOptions([])) as pipeline:
        made = pipeline | beam.Create([table_of([metric()])]) | beam.Map(lambda part: part).with_output_types(pa.Table)
        assert_that((made | write_to).written, equal_to([1]))
    assert ask("SELECT SUM(clicks) FROM page_metrics") == [(Decimal(1),)]
