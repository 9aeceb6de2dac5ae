"""All stores answer alike: questions put to MySQL and MariaDB (in SQL and through Python) and to Elasticsearch (likewise)."""

import gc
import random
import secrets
from collections import Counter
from datetime import timedelta

import orjson
import pyarrow as pa
import pytest
from bulk_bodies import bulk_body
from crowd import START, WINDOW, Seen, crowd, expect, table_of
from e2e.live_harness import FULL

from clickstream.io import sql
from clickstream.io.elasticsearch.connection import ElasticsearchConnection, send_bulk
from clickstream.io.elasticsearch.errors import ElasticsearchError
from clickstream.io.elasticsearch.index import setup_elasticsearch
from clickstream.io.errors import UserError
from clickstream.io.results.elasticsearch_rows import read_elasticsearch_rows
from clickstream.io.results.row_filter import FIRST_PAGE_ROWS, RowFilter
from clickstream.io.results.sql_rows import read_sql_rows
from clickstream.io.sql import SqlConnection, tables
from clickstream.io.sql import mysql as mysql_sink
from clickstream.transforms.answer.totals import COLUMNS, Totals
from clickstream.transforms.limits import LONGEST_SECONDS

WINDOWS = 48
QUESTIONS = 250 if FULL else 60  # in each of four parts
SEEN = crowd(7, windows=WINDOWS, sketch_size=24)
COLUMNS_BY_URL = ("url", *COLUMNS)
JSON = {"accept": "application/json", "content-type": "application/json"}


@pytest.fixture(scope="module")
def environment():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def databases(mariadb, mysql, environment):
    """Both servers with all rows: connections of the sink, and open ones of the driver."""
    found = []
    for server in (mariadb, mysql):
        name = f"CLICKSTREAM_TEST_PASSWORD_{server.name.upper()}"
        environment.setenv(name, server.password)
        connection = mysql_sink.connect_by_url(server.url(server.create_database()), password=f"env:{name}")
        mysql_sink.setup_mysql(connection)
        write(connection)
        found.append((connection, server.connect(connection.database)))
    yield found
    for _, opened in found:
        opened.close()


def write(connection):
    writer = sql.metrics_writer(connection)
    assert writer.write(tables.metric_columns(table_of(SEEN))) == []
    writer.close()


class Index:
    """An index with all rows."""

    def __init__(self, address, seen):
        self.connection, self.name = ElasticsearchConnection(address), f"query_{secrets.token_hex(6)}"
        self._client = self.connection.connect()
        setup_elasticsearch(self._client, self.name)
        self.write(seen)

    def write(self, seen):
        send_bulk(self._client, bulk_body(table_of(seen), self.name))
        self.ask("POST", "_refresh")

    def ask(self, method, path, body=None):
        encoded = None if body is None else orjson.dumps(body)
        options = {"headers": JSON, "body": encoded}
        return orjson.loads(self._client.perform_request(method, f"/{self.name}/{path}", **options).body)

    def drop(self):
        for path in (f"/{self.name}", f"/_index_template/{self.name}"):
            self._client.perform_request("DELETE", path, headers=JSON)
        self._client.close()


@pytest.fixture(scope="module")
def index(elasticsearch):
    made = Index(elasticsearch.address, SEEN)
    yield made
    made.drop()


def any_filter(draw):
    """A page, a country and a range of seconds, or any; most hold several windows, some one row or none."""
    urls, countries = ([None, *sorted({row[n] for row in SEEN})] for n in (1, 2))
    first, last = sorted(draw.choices(range(-300, WINDOWS * 300 + 300), k=2))
    start, end = (START + timedelta(seconds=second) for second in (first, last + 1))
    if draw.random() < 0.3:
        start, end = START + draw.randrange(WINDOWS) * WINDOW, None
        end = start + WINDOW * draw.randint(1, 3)
    some = draw.random()
    return RowFilter(
        draw.choice(urls), draw.choice(countries), start if some < 0.9 else None, end if some > 0.1 else None
    )


def chosen(wanted):
    return [
        row
        for row in SEEN
        if wanted.url in (None, row.url)
        and wanted.country in (None, row.country)
        and (wanted.start is None or row.start >= wanted.start)
        and (wanted.end is None or row.start < wanted.end)
    ]


def totalled(pages):
    totals = Totals()
    for page in pages:
        totals.add(page)
    return totals.answer()


def called(opened, wanted):
    """Clicks, users, mean and median by the procedures."""
    times = [None if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S") for moment in wanted[2:]]
    values = []
    for call in ("get_clicks(", "get_unique_users(", "get_avg_time_spent(", "get_time_quantile(0.5"):
        name, _, share = call.partition("(")
        with opened.cursor() as cursor:
            cursor.execute(
                f"CALL {name}(%s, %s, %s, %s{', ' + share if share else ''})", (wanted.url, wanted.country, *times)
            )
            values.append(cursor.fetchone()[0])
    return values


SUMS = {name: {"sum": {"field": name}} for name in ("clicks", "time_spent_seconds", "timed_clicks")}


def aggregated(index, wanted):
    """Clicks, users and mean as Elasticsearch itself adds them up, and whether it may count the users."""
    terms = [{"term": {name: value}} for name, value in (("url", wanted.url), ("country", wanted.country)) if value]
    bounds = {name: f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in (("gte", wanted.start), ("lt", wanted.end)) if at}
    limits = [{"range": {"@timestamp": bounds}}] if bounds else []
    users = {"cardinality": {"field": "users_sketch", "precision_threshold": 40_000}}
    exact = {"filter": {"term": {"users_exact": False}}}
    question = {
        "size": 0,
        "query": {"bool": {"filter": terms + limits}},
        "aggs": {**SUMS, "users": users, "inexact": exact},
    }
    found = index.ask("POST", "_search", question)["aggregations"]
    timed = found["timed_clicks"]["value"]
    mean = found["time_spent_seconds"]["value"] / timed if timed else None
    return found["clicks"]["value"], found["users"]["value"], mean, found["inexact"]["doc_count"] == 0


def about(value, tolerance=1e-12):
    return None if value is None else pytest.approx(value, rel=tolerance)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """SQLite with all rows."""
    made = SqlConnection("sqlite", str(tmp_path_factory.mktemp("query") / "clickstream.db"))
    sql.setup_sql(made)
    write(made)
    return made


@pytest.mark.parametrize("part", range(4))
def test_many_questions_are_answered_alike_by_all(databases, index, file, part):
    draw, kinds = random.Random(part), Counter()
    for number in range(QUESTIONS):
        wanted = any_filter(draw)
        expected = expect(chosen(wanted))
        common = (expected.clicks, expected.users, about(expected.mean))
        answer = totalled(read_sql_rows(file, wanted, COLUMNS))
        assert (answer.clicks, answer.users.estimate, answer.avg_time_spent) == common
        assert answer.users.exact == expected.exact
        assert answer.median_time_spent == about(expected.quantile(0.5), 0.01)
        assert answer.p90_time_spent == about(expected.quantile(0.9), 0.01)
        assert totalled(read_elasticsearch_rows(index.connection, index.name, wanted, COLUMNS)) == answer
        for connection, opened in databases:
            assert called(opened, wanted) == [*common, about(answer.median_time_spent)]
            if number % 10 == 0:  # a connection costs as much as ten answers
                assert totalled(read_sql_rows(connection, wanted, COLUMNS)) == answer
        clicks, users, mean, may_count = aggregated(index, wanted)
        assert (clicks, mean) == (common[0], common[2])
        assert not may_count or users == pytest.approx(expected.users, abs=2)
        kinds.update({"exact": expected.exact, "estimated": not expected.exact, "empty": not expected.clicks})
    assert kinds["exact"] > QUESTIONS / 5 < kinds["estimated"]
    assert kinds["empty"] > 1


def test_a_wide_range_comes_in_pages_all_as_of_one_moment(elasticsearch):
    """Also while documents are replaced."""
    index = Index(elasticsearch.address, SEEN)
    try:
        pages = read_elasticsearch_rows(index.connection, index.name, RowFilter(), COLUMNS)
        first = next(pages)
        assert first.num_rows == FIRST_PAGE_ROWS < len(SEEN)
        index.write([row._replace(clicks=row.clicks * 3) for row in SEEN])
        whole = pa.concat_tables([first, *pages])
        order = [(name, "ascending") for name in COLUMNS]
        assert whole.sort_by(order).equals(table_of(SEEN).select(COLUMNS).sort_by(order))
        anew = totalled(read_elasticsearch_rows(index.connection, index.name, RowFilter(), COLUMNS))
        assert anew.clicks == 3 * expect(SEEN).clicks
    finally:
        index.drop()


def test_a_histogram_comes_back_as_it_was_written(elasticsearch):
    """Whatever the times: of 1 ms, and of months."""
    times = [*range(0, 2000, 7), 9_999_999_000, 10_000_000_000, LONGEST_SECONDS * 1000]
    seen = [Seen(0, f"https://example.com/{millis}", "India", [("u", millis)]) for millis in (1, *times)]
    index = Index(elasticsearch.address, seen)
    try:
        order = [("url", "ascending")]
        found = pa.concat_tables(read_elasticsearch_rows(index.connection, index.name, RowFilter(), COLUMNS_BY_URL))
        assert found.sort_by(order).equals(table_of(seen).select(COLUMNS_BY_URL).sort_by(order))
    finally:
        index.drop()


def test_what_cant_be_asked_is_told_in_one_line(elasticsearch, databases):
    connection = ElasticsearchConnection(elasticsearch.address)
    with pytest.raises(
        ElasticsearchError, match=r"404 index_not_found_exception .*: create the index with setup-sinks"
    ):
        list(read_elasticsearch_rows(connection, "no_such_index", RowFilter(), COLUMNS))
    database, opened = databases[0]
    name = f"{database.database}_empty"
    opened.cursor().execute(f"CREATE DATABASE {name}")
    empty = type(database)(**vars(database) | {"database": name})
    with pytest.raises(UserError, match="1146 NO_SUCH_TABLE: a table is missing: run setup-sinks"):
        list(read_sql_rows(empty, RowFilter(), COLUMNS))


def test_a_reader_that_leaves_early_is_no_burden(index):
    """Even if the garbage collector, which takes a client apart in any order, is who ends it."""
    pages = read_elasticsearch_rows(index.connection, index.name, RowFilter(), COLUMNS)
    next(pages)
    circle = [pages]
    circle.append(circle)
    del pages, circle
    gc.collect()
