"""The SQL sink on SQLite files: the guard, the retries, what is refused, windows, dead letters, the schema check."""

import multiprocessing
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
import pyarrow as pa
import pymysql
import pytest
from apache_beam.internal.cloudpickle import cloudpickle
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.test_stream import TestStream as Stream  # pytest would collect it by its name
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, IntervalWindow, TimestampedValue
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import START, UNMEASURED, metric, rows_of_all_kinds, table_of

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.secrets import SecretError
from clickstream.io.sql import connection as sql_connection
from clickstream.io.sql import dead_letters, tables
from clickstream.io.sql import writer as sql_writer
from clickstream.io.sql.metrics import _WriteMetrics
from clickstream.transforms.schema import REJECTED_SCHEMA
from tests.services.prism import on_prism

CANARY = "CANARY8c2e"


def rejected_of(count, raw=b"{"):
    row = {"source": "a.ndjson", "record_timestamp": START, "reason": "invalid_json", "detail": "no end", "raw": raw}
    return pa.Table.from_pylist([row | {"position": n} for n in range(count)], REJECTED_SCHEMA)


@pytest.fixture
def connection(tmp_path):
    made = sql.SqlConnection("sqlite", str(tmp_path / "clicks.db"))
    sql.setup_sql(made)
    return made


def ask(connection, question, *values):
    opened = sqlite3.connect(connection.database)
    try:
        return opened.execute(question, values).fetchall()
    finally:
        opened.close()


def stored(connection):
    return ask(connection, "SELECT * FROM page_metrics ORDER BY window_start, url_hash, country")


def write(connection, rows, **options):
    writer = sql.metrics_writer(connection, **options)
    try:
        return writer.write(tables.metric_columns(table_of(rows)))
    finally:
        writer.close()


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


def run(connection, parts, transform=None, **options):
    """Writes tables in windows of 5 minutes; gives the outputs and what shows their windows, then the result."""

    def seen(element, window=beam.DoFn.WindowParam):
        value = element.num_rows if isinstance(element, pa.Table) else element
        return int(window.start), value

    with Pipeline(options=PipelineOptions([])) as pipeline:
        windowed = (
            pipeline
            | beam.Create(
                [TimestampedValue(part, part["window_start"][0].as_py().timestamp()) for part in parts], reshuffle=False
            )
            | beam.Map(lambda part: part).with_output_types(pa.Table)
            | beam.WindowInto(FixedWindows(300))
        )
        out = windowed | "Write" >> (transform or sql.WriteToSql(connection, **options))
        yield out, seen
    yield pipeline.result


def test_counts_come_in_the_windows_of_what_is_written(connection):
    parts = [table_of([metric(w, n) for n in range(w + 1)]) for w in (0, 1, 2, 1)]
    steps = run(connection, parts, batch_rows=1)
    out, seen = next(steps)
    start = int(START.timestamp())
    totals = out.written | beam.CombineGlobally(sum).without_defaults() | beam.Map(seen)
    assert_that(totals, equal_to([(start, 1), (start + 300, 4), (start + 600, 3)]))
    next(steps)
    assert len(stored(connection)) == 1 + 2 + 3


def test_refused_rows_come_in_their_window_and_are_counted(connection):
    infinite = metric(1, "https://a.example/bad", time_spent_seconds=float("nan"))
    parts = [table_of([metric(0), metric(0, country="India ")]), table_of([metric(1), infinite])]
    steps = run(connection, parts)
    out, seen = next(steps)
    start = int(START.timestamp())
    assert_that(out.rejected | "Seen" >> beam.Map(seen), equal_to([(start, 1), (start + 300, 1)]), label="windows")
    raws = out.rejected | beam.FlatMap(lambda t: t.select(["source", "position", "reason", "detail"]).to_pylist())
    common = {"source": "sqlite:page_metrics", "position": -1, "reason": "sink_refused"}
    details = ["trailing blank, column country", "NOT NULL constraint failed: page_metrics.time_spent_seconds"]
    assert_that(raws, equal_to([common | {"detail": detail} for detail in details]), label="rows")
    result = next(steps)
    counters = {c.key.metric.name: c.committed for c in result.metrics().query()["counters"]}
    assert counters["rows_written"] == 2
    assert counters["rows_refused"] == 2
    assert counters["batches_written"] == 1
    assert [row[4] for row in stored(connection)] == ["India", "India"]


def test_panes_of_a_stream_write_what_has_changed(connection, prism):
    """The second is the first again, the third differs in one row."""
    rows = [metric(0, page, version=1) for page in range(5)]
    stream = Stream().add_elements([table_of(rows)]).add_elements([table_of(rows)])
    stream = stream.add_elements([table_of([metric(0, 0, version=2), *rows[1:]])]).advance_watermark_to_infinity()
    with on_prism(prism) as pipeline:
        tables_of_panes = pipeline | stream | beam.Map(lambda table: table).with_output_types(pa.Table)
        assert_that((tables_of_panes | sql.WriteToSql(connection)).written, equal_to([5, 1]))
    assert ask(connection, "SELECT version FROM page_metrics ORDER BY url") == [(2,), (1,), (1,), (1,), (1,)]


def test_a_bundle_that_failed_is_sent_again_whole(connection, monkeypatch):
    write = _WriteMetrics(connection, 5000, 0, "rows")
    write.repeats = True
    write.setup()
    send, window = write.write, IntervalWindow(0, 300)

    def bundle():
        write.start_bundle()
        done = [*write.process(table_of([metric(0), metric(1)]), 0, window), *write.finish_bundle()]
        return [element.value for element in done]

    monkeypatch.setattr(write, "write", lambda _: (_ for _ in ()).throw(ConnectionError))
    with pytest.raises(ConnectionError):
        bundle()
    monkeypatch.setattr(write, "write", send)
    assert [bundle(), bundle()] == [[2], []]
    write.teardown()
    assert len(stored(connection)) == 2


def test_a_second_run_changes_nothing(connection):
    for _ in range(2):
        for transform, parts in (
            (sql.WriteToSql(connection), [table_of([metric(), metric(1)])]),
            (sql.WriteDeadLettersToSql(connection), [rejected_of(3), rejected_of(3)]),
        ):
            with Pipeline(options=PipelineOptions([])) as pipeline:
                made = pipeline | beam.Create(parts, reshuffle=False)
                made | beam.Map(lambda part: part).with_output_types(pa.Table) | "Write" >> transform
        content = stored(connection), ask(connection, "SELECT * FROM dead_letters ORDER BY 1")
        assert len(content[0]) == 2
        assert len(content[1]) == 3
    first = ask(connection, "SELECT COUNT(DISTINCT rejected_at) FROM dead_letters")
    assert first == [(1,)]


def test_missing_tables_are_made_if_asked(tmp_path):
    connection = sql.SqlConnection("sqlite", str(tmp_path / "new.db"), create_tables=True)
    steps = run(connection, [table_of([metric()])])
    next(steps)
    next(steps)
    assert len(stored(connection)) == 1


def store(connection, rejected):
    columns = tables.dead_letter_columns(rejected, code_version="1", rejected_at=START)
    writer = sql.dead_letters_writer(connection)
    assert writer.write(columns) == []
    writer.close()


def test_dead_letters_are_read_back_in_pages(connection):
    raw = bytes(range(256)) * 4
    store(connection, rejected_of(25, raw))
    for page_rows, page_bytes, most in ((10, 1 << 20, 10), (1000, 3000, 2), (1000, 1, 1), (1000, 1 << 20, 25)):
        pages = list(sql.read_dead_letters(connection, page_rows=page_rows, page_bytes=page_bytes))
        assert max(page.num_rows for page in pages) == most
        whole = pa.concat_tables(pages)
        assert whole.schema == sql.DEAD_LETTER_SCHEMA
        assert sorted(whole["position"].to_pylist()) == list(range(25))
        assert set(whole["raw"].to_pylist()) == {raw}
        assert whole["record_timestamp"].to_pylist() == [START] * 25


def test_an_unknown_time_of_a_dead_letter_is_null(connection):
    store(
        connection, rejected_of(2).set_column(2, REJECTED_SCHEMA.field(2), pa.nulls(2, REJECTED_SCHEMA.field(2).type))
    )
    assert ask(connection, "SELECT DISTINCT record_timestamp FROM dead_letters") == [(None,)]


def test_dead_letters_are_deleted_while_they_are_read(connection):
    store(connection, rejected_of(1200))
    read = 0
    for page in sql.read_dead_letters(connection, page_rows=700):
        keys = page["dead_letter_id"].to_pylist()
        assert sql.delete_dead_letters(connection, keys) == page.num_rows
        assert sql.delete_dead_letters(connection, keys) == 0
        read += page.num_rows
    assert read == 1200
    assert list(sql.read_dead_letters(connection)) == []


def test_dead_letters_as_a_collection(connection):
    store(connection, rejected_of(5))
    with Pipeline(options=PipelineOptions([])) as pipeline:
        positions = (
            pipeline | sql.ReadDeadLettersFromSql(connection) | beam.FlatMap(lambda t: t["position"].to_pylist())
        )
        assert_that(positions, equal_to(list(range(5))))


def test_a_refused_dead_letter_is_an_error(connection, monkeypatch):
    monkeypatch.setattr(tables, "dead_letter_columns", lambda *_, **__: [[b"k" * 16], [None], *[[1]] * 7])
    write = dead_letters._WriteDeadLetters(connection, 10, 0, "dead_letters")
    write.setup()
    with pytest.raises(
        UserError, match=r"1 dead letters refused, the first with NOT NULL constraint failed: dead_letters\.source"
    ):
        write.write(rejected_of(1))
    write.teardown()


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


@pytest.mark.parametrize(
    ("error", "verdict", "text"),
    [
        (pymysql.err.OperationalError(1213, f"Deadlock {CANARY}"), sql.Verdict.RETRY, "1213 LOCK_DEADLOCK"),
        (pymysql.err.OperationalError(2013, "Lost connection"), sql.Verdict.RETRY, "2013 CR_SERVER_LOST"),
        (pymysql.err.InterfaceError(0, ""), sql.Verdict.RETRY, "connection lost"),
        (pymysql.err.OperationalError(1644, CANARY), sql.Verdict.RETRY, "1644 SIGNAL_EXCEPTION"),
        (ConnectionResetError(104, CANARY), sql.Verdict.RETRY, "connection lost"),
        (
            pymysql.err.OperationalError(1114, f"The table '{CANARY}' is full"),
            sql.Verdict.RETRY,
            "1114 RECORD_FILE_FULL",
        ),
        (
            pymysql.err.DataError(1406, "Data too long for column 'url' at row 1"),
            sql.Verdict.REFUSED,
            "1406 DATA_TOO_LONG, column url",
        ),
        (
            pymysql.err.DataError(1366, f"Incorrect string value: '{CANARY}' for column `a`.`b`.`country` at row 1"),
            sql.Verdict.REFUSED,
            "1366 TRUNCATED_WRONG_VALUE_FOR_FIELD, column country",
        ),
        (pymysql.err.OperationalError(1045, f"Access denied {CANARY}"), sql.Verdict.FATAL, "1045 ACCESS_DENIED_ERROR"),
        (pymysql.err.ProgrammingError(1064, f"near '{CANARY}'"), sql.Verdict.FATAL, "1064 PARSE_ERROR"),
        (pymysql.err.ProgrammingError(CANARY), sql.Verdict.FATAL, "driver error"),
        (sqlite3.OperationalError("database is locked"), sql.Verdict.RETRY, "database is locked"),
        (sqlite3.IntegrityError(f"{CANARY} by a trigger"), sql.Verdict.RETRY, "a trigger refuses"),
        (
            sqlite3.IntegrityError("NOT NULL constraint failed: t.url"),
            sql.Verdict.REFUSED,
            "NOT NULL constraint failed: t.url",
        ),
    ],
)
def test_what_errors_mean(error, verdict, text):
    problem = sql.judge(error)
    assert problem.verdict is verdict
    assert problem.text == text


def test_other_errors_are_not_judged():
    assert sql.judge(KeyError("x")) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"drivername": "postgresql"},
        {"drivername": "mysql+pymysql", "database": "a`b"},
        {"metrics_table": "x; DROP TABLE y"},
        {"dead_letters_table": ""},
    ],
)
def test_connections_that_are_refused(fields):
    with pytest.raises(UserError):
        sql.SqlConnection(**({"drivername": "sqlite", "database": "x.db"} | fields))


def test_a_literal_password_is_refused_and_not_repeated():
    with pytest.raises(SecretError) as raised:
        sql.SqlConnection("mysql+pymysql", "app", "localhost", password=CANARY)
    assert CANARY not in str(raised.value)


def test_the_password_is_nowhere_but_on_the_worker(monkeypatch):
    monkeypatch.setenv("CLICKS_PASSWORD", CANARY)
    connection = sql.SqlConnection("mysql+pymysql", "app", "localhost", password="env:CLICKS_PASSWORD")
    for transform in (sql.WriteToSql(connection), sql.WriteDeadLettersToSql(connection)):
        assert CANARY.encode() not in cloudpickle.dumps(transform)
    assert CANARY not in repr(connection.engine())


@pytest.mark.parametrize("options", [{"batch_rows": 0}, {"retry_seconds": -1}])
def test_options_that_make_no_sense(connection, options):
    with pytest.raises(UserError, match="at least"):
        sql.WriteToSql(connection, **options)
