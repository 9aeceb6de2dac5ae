"""The SQL sink on real servers, MariaDB and MySQL alike: guard, procedures, texts, faults, messages."""

import contextlib
import itertools
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.sql import mysql, tables
from clickstream.transforms.schema import REJECTED_SCHEMA

PASSWORD = "env:CLICKSTREAM_TEST_PASSWORD"


@pytest.fixture
def connection(sql_server, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", sql_server.password)
    made = mysql.connect_by_url(sql_server.url(sql_server.create_database()), password=PASSWORD)
    mysql.setup_mysql(made)
    return made


@pytest.fixture
def ask(sql_server, connection):
    """Asks the server: a statement and its values; gives the rows."""
    opened = sql_server.connect(connection.database)

    def answer(question, *values):
        with opened.cursor() as cursor:
            cursor.execute(question, values)
            return list(cursor.fetchall())

    yield answer
    opened.close()


def write(connection, rows, **options):
    writer = sql.metrics_writer(connection, **options)
    try:
        return writer.write(tables.metric_columns(table_of(rows)))
    finally:
        writer.close()


def stored(ask):
    columns = ", ".join(
        f"DATE_FORMAT({name}, '%%Y-%%m-%%d %%H:%%i:%%s')" if name.startswith("window") else name
        for name in tables.METRICS_COLUMNS
    )
    return ask(f"SELECT {columns} FROM page_metrics ORDER BY window_start, url_hash, country")  # noqa: S608


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


def test_a_refused_row_is_rejected_and_the_others_stand(connection, ask):
    bad = [
        metric(country="x" * 129),
        metric(page=PAGE + "y" * 70_000),
        metric(2, time_spent_seconds=float("inf")),
        metric(2, time_spent_seconds=float("nan")),
    ]
    bad[3]["country"] = "Nepal"
    good = [metric(page=n) for n in range(500)]
    with Pipeline(options=PipelineOptions([])) as pipeline:
        made = pipeline | beam.Create([table_of(bad[:2]), table_of(good), table_of(bad[2:])], reshuffle=False)
        out = made | beam.Map(lambda part: part).with_output_types(pa.Table) | sql.WriteToSql(connection)
        columns = ["source", "position", "record_timestamp", "reason", "detail"]
        found = (
            out.rejected
            | beam.FlatMap(lambda rejected: rejected.select(columns).to_pylist())
            | beam.Map(lambda row: tuple(row.values()))
        )
        common = ("mysql:page_metrics", -1, None, "sink_refused")
        not_finite = "1367 ILLEGAL_VALUE_FOR_TYPE"
        details = ["1406 DATA_TOO_LONG, column country", "1406 DATA_TOO_LONG, column url", not_finite, not_finite]
        assert_that(found, equal_to([(*common, detail) for detail in details]))
    assert stored(ask) == tables.metric_rows(table_of(good))


def test_a_row_larger_than_a_packet_is_refused_and_a_small_packet_respected(connection, sql_server, ask):
    before = ask("SELECT @@GLOBAL.max_allowed_packet")[0][0]
    ask("SET GLOBAL max_allowed_packet = 65536")
    try:
        rows = [metric(page=f"{PAGE}{n}/{'x' * 3000}") for n in range(100)]
        refused = write(connection, [*rows, metric(page=PAGE + "y" * 66_000)])
        assert [found.detail for found in refused] == ["1153 NET_PACKET_TOO_LARGE"]
        assert len(stored(ask)) == 100
    finally:
        with sql_server.connect().cursor() as cursor:
            cursor.execute(f"SET GLOBAL max_allowed_packet = {before}")


def test_a_trigger_that_signals_for_a_while_costs_no_row(connection, sql_server, ask, caplog):
    trigger = "CREATE TRIGGER closed BEFORE INSERT ON page_metrics FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'"
    root = sql_server.connect(connection.database)
    root.cursor().execute(trigger)
    rows = [metric(n % 3, n) for n in range(300)]
    opened = threading.Timer(3, lambda: root.cursor().execute("DROP TRIGGER closed"))
    opened.start()
    with caplog.at_level("WARNING", "clickstream"):
        assert write(connection, rows, retry_seconds=60) == []
    opened.join()
    root.close()
    assert stored(ask) == tables.metric_rows(table_of(rows))
    said = [record.getMessage() for record in caplog.records if record.name.startswith("clickstream")]
    assert "1644 SIGNAL_EXCEPTION: a trigger refuses to write: look at the triggers" in said[0]
    assert "back after" in said[-1]
    assert len(said) == 2


def test_a_table_that_somebody_has_locked_is_told_of_after_ten_seconds(connection, sql_server, ask, caplog):
    analyst = sql_server.connect(connection.database)
    analyst.cursor().execute("LOCK TABLES page_metrics WRITE")
    unlocked = threading.Timer(13, lambda: analyst.cursor().execute("UNLOCK TABLES"))
    unlocked.start()
    with caplog.at_level("WARNING", "clickstream"):
        assert write(connection, [metric()], retry_seconds=60) == []
    unlocked.join()
    analyst.close()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("clickstream")]
    assert said[0].startswith("The database: no answer for 1")
    assert "somebody holds its tables locked (SHOW FULL PROCESSLIST says who)" in said[0]
    assert [line[:22] for line in said[1:]] == ["The database: back aft"]
    assert len(stored(ask)) == 1


def test_a_held_lock_is_waited_for(connection, sql_server, ask):
    write(connection, [metric()])
    before = ask("SELECT @@GLOBAL.innodb_lock_wait_timeout")[0][0]
    ask("SET GLOBAL innodb_lock_wait_timeout = 1")
    try:
        holder = sql_server.connect(connection.database, autocommit=False)
        holder.cursor().execute("SELECT * FROM page_metrics FOR UPDATE")
        release = threading.Timer(1.6, holder.rollback)
        release.start()
        retries = []
        write(connection, [metric(version=2)], on_retry=lambda: retries.append(1))
        release.join()
        assert retries
        assert ask("SELECT version FROM page_metrics") == [(2,)]
        holder.cursor().execute("SELECT * FROM page_metrics FOR UPDATE")
        with pytest.raises(UserError, match="1205 LOCK_WAIT_TIMEOUT: another client holds locks"):
            write(connection, [metric(version=3)], retry_seconds=0)
        holder.close()
    finally:
        ask(f"SET GLOBAL innodb_lock_wait_timeout = {before}")


def test_a_deadlock_is_replayed(connection, sql_server, ask):
    """Another client locks the last row, waits until the writer waits for it, and then wants the first."""
    ask("CREATE TABLE heavy (n INT)")
    lock = "UPDATE page_metrics SET clicks = clicks WHERE window_start = %s"
    retries = []
    for version in itertools.count(1):
        rows = [metric(n, version=version) for n in range(100)]
        columns = tables.metric_columns(table_of(rows))
        other = sql_server.connect(connection.database, autocommit=False)
        with other.cursor() as cursor:
            # Heavy, so that the server most likely rolls back the writer rather than this one.
            cursor.executemany("INSERT INTO heavy VALUES (%s)", [(n,) for n in range(1000)])
            cursor.execute(lock, (columns[0][-1],))
            options = {"on_retry": lambda: retries.append(1)}
            writer = threading.Thread(target=write, args=(connection, rows), kwargs=options)
            writer.start()
            time.sleep(0.5)
            with contextlib.suppress(pymysql.err.OperationalError):
                cursor.execute(lock, (columns[0][0],))
        other.rollback()
        other.close()
        writer.join(60)
        assert stored(ask) == tables.metric_rows(table_of(rows))
        if retries and version > 1:
            break
        assert version < 10, "no deadlock came about"


def test_killed_connections_cost_nothing(connection, sql_server, ask):
    stop = threading.Event()
    running = "SELECT id, user, db FROM information_schema.processlist WHERE id <> CONNECTION_ID()"

    def kill():
        while not stop.wait(0.3):
            for number, user, database in ask(running):
                if (user, database) == (sql_server.user, connection.database):
                    with contextlib.suppress(pymysql.err.MySQLError):
                        ask(f"KILL CONNECTION {number}")

    retries = []
    writer = sql.metrics_writer(connection, on_retry=lambda: retries.append(1))
    killer = threading.Thread(target=kill)
    killer.start()
    rows = []
    while len(retries) < 5 and len(rows) < 200_000:
        part = [metric(n % 7, n, version=2) for n in range(len(rows), len(rows) + 1000)]
        writer.write(tables.metric_columns(table_of(part)))
        rows += part
    stop.set()
    killer.join()
    writer.close()
    assert retries
    assert stored(ask) == tables.metric_rows(table_of(rows))


def test_several_may_set_up_at_once(sql_server, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", sql_server.password)
    connection = mysql.connect_by_url(sql_server.url(sql_server.create_database()), password=PASSWORD)
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(mysql.setup_mysql, [connection] * 12)) == [None] * 12
    mysql.check_mysql(connection)


def refusal(connection, action=None):
    """The one line that a failing action says; it holds no password."""
    with pytest.raises(UserError) as raised:
        (action or (lambda: write(connection, [metric()])))()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_messages(connection, sql_server, monkeypatch, ask):
    assert "1049 BAD_DB_ERROR: there is no such database" in refusal(
        mysql.connect_by_url(sql_server.url("nowhere"), password=PASSWORD)
    )
    ask("DROP TABLE page_metrics")
    assert "1146 NO_SUCH_TABLE: a table is missing: run setup-sinks" in refusal(connection)
    ask("CREATE USER IF NOT EXISTS 'reader'@'%%' IDENTIFIED BY 'CANARYpw'", *())
    ask(f"GRANT SELECT ON {connection.database}.* TO 'reader'@'%%'", *())
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", "CANARYpw")
    reader = mysql.connect_by_url(sql_server.url(connection.database).replace("app@", "reader@"), password=PASSWORD)
    said = refusal(reader, lambda: sql.setup_sql(reader))
    assert (
        "table page_metrics is missing, and this account may not make it (1142 TABLEACCESS_DENIED_ERROR): GRANT it CREATE on"
        in said
    )
    assert "or run setup-sinks" in said
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", "CANARYwrong")
    said = refusal(connection)
    assert "1045 ACCESS_DENIED_ERROR: user name or password is wrong" in said
    assert "CANARY" not in said
    nobody = mysql.connect_by_url("mysql://app@127.0.0.1:1/clicks", password=PASSWORD)
    assert "MySQL at 127.0.0.1:1/clicks: 2003 CR_CONN_HOST_ERROR: nothing answers there" in refusal(
        nobody, lambda: mysql.check_mysql(nobody)
    )


def test_the_database_is_made_and_set_up_again(sql_server, monkeypatch):
    monkeypatch.setenv("CLICKSTREAM_TEST_PASSWORD", sql_server.password)
    name = sql_server.create_database()
    with sql_server.connect().cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")
    connection = mysql.connect_by_url(sql_server.url(name), password=PASSWORD)
    for _ in range(2):
        mysql.setup_mysql(connection)
        mysql.check_mysql(connection)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "ALTER TABLE page_metrics MODIFY country VARCHAR(128) COLLATE utf8mb4_general_ci NOT NULL",
            "column country: found collation utf8mb4_general_ci, needed utf8mb4_bin",
        ),
        (
            "ALTER TABLE page_metrics MODIFY country VARCHAR(64) COLLATE utf8mb4_bin NOT NULL",
            r"column country: found type VARCHAR\(64\), needed VARCHAR\(128\)",
        ),
        ("ALTER TABLE page_metrics MODIFY version INT NOT NULL", "column version: found type INTEGER, needed BIGINT"),
        (
            "ALTER TABLE page_metrics MODIFY avg_time_spent DOUBLE NOT NULL",
            "column avg_time_spent: found NOT NULL, needed NULL allowed",
        ),
        ("ALTER TABLE page_metrics DROP COLUMN clicks", "column clicks: found none of this name"),
        ("ALTER TABLE page_metrics DROP COLUMN users_sketch", "column users_sketch: found none of this name"),
        (
            "ALTER TABLE page_metrics MODIFY users_sketch TEXT CHARACTER SET ascii COLLATE ascii_bin",
            "column users_sketch: found type TEXT, needed LONGTEXT",
        ),
        (
            "ALTER TABLE page_metrics MODIFY users_sketch LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "column users_sketch: found collation utf8mb4_bin, needed ascii_bin",
        ),
        ("ALTER TABLE page_metrics DROP PRIMARY KEY, ADD PRIMARY KEY (window_start, url_hash)", "found primary key"),
        ("ALTER TABLE page_metrics ADD COLUMN more INT NOT NULL", "column more: found NOT NULL"),
        (
            "ALTER TABLE dead_letters MODIFY `raw` BLOB NOT NULL",
            "table dead_letters, column raw: found type BLOB, needed LONGBLOB",
        ),
        ("DROP TABLE dead_letters", "table dead_letters is missing: run setup-sinks"),
        ("DROP PROCEDURE get_clicks", "procedure get_clicks is missing: run setup-sinks"),
    ],
)
def test_the_schema_check_and_its_cure(connection, ask, change, said):
    ask(change)
    with pytest.raises(UserError, match=said) as raised:
        mysql.check_mysql(connection)
    cure = str(raised.value).partition("Cure: ")[2].partition(", or ALTER")[0]
    if cure.startswith("ALTER TABLE"):
        ask(cure.partition(", then run")[0])
    elif not cure:
        mysql.setup_mysql(connection)
    else:
        return
    mysql.setup_mysql(connection)
    mysql.check_mysql(connection)


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
