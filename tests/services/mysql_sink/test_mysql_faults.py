"""Rows that real servers refuse, locks, deadlocks and connections that are killed."""

import contextlib
import itertools
import threading
import time

import apache_beam as beam
import pyarrow as pa
import pymysql
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from rows import PAGE, metric, table_of
from services.mysql_rows import stored, write

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.sql import tables


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
