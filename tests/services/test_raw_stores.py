"""The contract of a raw store, on real servers: MySQL, MariaDB, Cassandra, HBase; and on an SQLite file."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from clickstream.io.errors import UserError
from clickstream.io.raw.cassandra.store import CassandraRawStoreConnection
from clickstream.io.raw.clicks import BUCKET_MS, keyed
from clickstream.io.raw.hbase.store import HBaseRawStoreConnection
from clickstream.io.raw.sql.store import SqlRawStoreConnection
from clickstream.io.raw.store import RawStore, RawStoreConnection
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.mysql import connect_by_url
from clickstream.transforms.schema import CLICK_SCHEMA
from tests.services.sql import SqlServer

START = 1_793_491_200_000
ODD = ["blank ", "blank", "", "Zoë 😀", "quo'te\"", "back\\slash", "nul\0nul", "x" * 100_000, "(paren) = AND ?"]


def sql_store(server: SqlServer, monkeypatch: pytest.MonkeyPatch) -> SqlRawStoreConnection:
    monkeypatch.setenv("TEST_SQL_PASSWORD", server.password)
    url = server.url(server.create_database())
    return SqlRawStoreConnection(connect_by_url(url, password="env:TEST_SQL_PASSWORD"))


@pytest.fixture(params=["sqlite", "mysql", "mariadb", "cassandra", "hbase"])
def where(request, tmp_path, monkeypatch) -> RawStoreConnection:
    """A store of the test's own, not set up yet."""
    if request.param == "sqlite":
        return SqlRawStoreConnection(SqlConnection("sqlite", str(tmp_path / "raw.db")))
    if request.param == "cassandra":
        server = request.getfixturevalue("cassandra")
        return CassandraRawStoreConnection(server.address, keyspace=f"t{tmp_path.name[-20:].lower()}".replace("-", "_"))
    if request.param == "hbase":
        return HBaseRawStoreConnection(request.getfixturevalue("hbase").address, table=f"t_{id(request)}")
    return sql_store(request.getfixturevalue(request.param), monkeypatch)


@pytest.fixture
def store(where) -> Iterator[RawStore]:
    """The same, open and set up."""
    opened = where.open()
    opened.set_up()
    opened.set_up()  # again: nothing happens
    opened.check()
    yield opened
    opened.close()


def click(user: str, millis: int, **others: Any) -> dict[str, Any]:
    known = {"row_key": f"{user[:20]} {millis}", "user_id": user, "timestamp": millis, "url": "https://a.example/"}
    return dict.fromkeys(CLICK_SCHEMA.names) | known | {"country": "India"} | others


def clicks(*rows: dict[str, Any]) -> pa.Table:
    return keyed(pa.Table.from_pylist(list(rows), CLICK_SCHEMA))


SOME = [
    *(click(user, START + 1000 + number) for number, user in enumerate(ODD)),
    click(
        "full",
        START + BUCKET_MS - 1,
        city="Pune",
        browser="",
        os="Linux",
        device="phone",
        session_end=START,
        time_spent=0.1,
    ),
    *(click(f"user {number % 7}", START + BUCKET_MS + number * 50, city="") for number in range(400)),
]


def everything(store: RawStore, start: int = 0, end: int = 1 << 42) -> list[dict[str, Any]]:
    """All clicks in a range, in order."""
    buckets = [bucket.start_ms for bucket in store.buckets()]
    parts = [part for split in store.splits(buckets) for part in store.read(split, start, end)]
    assert all(part.schema.equals(CLICK_SCHEMA) for part in parts)
    return in_order(pa.concat_tables([CLICK_SCHEMA.empty_table(), *parts]))


def in_order(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.select(CLICK_SCHEMA.names).to_pylist()
    return sorted(rows, key=lambda row: (row["timestamp"], row["user_id"], row["row_key"]))


def put(store: RawStore, table: pa.Table) -> None:
    assert store.write(table) == {}
    store.mark(table["bucket"].unique().to_pylist())


def test_what_is_written_comes_back_once(store) -> None:
    table = clicks(*SOME)
    put(store, table)
    put(store, table)
    put(store, table.slice(3, 20))
    assert everything(store) == in_order(table)
    middle = START + BUCKET_MS + 1000
    assert everything(store, START + 1002, middle) == [
        row for row in in_order(table) if START + 1002 <= row["timestamp"].timestamp() * 1000 < middle
    ]


def test_marks_tell_what_is_new(store) -> None:
    first, second = START, START + BUCKET_MS
    store.mark([second, first])
    before = store.buckets()
    assert [(bucket.start_ms, bucket.is_new) for bucket in before] == [(first, True), (second, True)]
    store.mark([first])
    store.mark_reprocessed({bucket.start_ms: bucket.changed for bucket in before})
    assert [(bucket.start_ms, bucket.is_new) for bucket in store.buckets()] == [(first, True), (second, False)]


@pytest.mark.parametrize("user", ODD)
def test_a_user_is_found_and_removed_alone(store, user) -> None:
    table = clicks(*SOME)
    put(store, table)
    times = [START + 1000 + number for number, each in enumerate(ODD) if each == user]
    assert store.user_times(user, START) == times
    assert store.user_times(user, START + BUCKET_MS) == []
    store.delete_user(user, START)
    assert store.user_times(user, START) == []
    assert everything(store) == [row for row in in_order(table) if row["user_id"] != user]
    put(store, table)  # and comes back if it is sent again
    assert everything(store) == in_order(table)


def test_a_bucket_is_dropped_whole(store) -> None:
    table = clicks(*SOME)
    put(store, table)
    store.drop_bucket(START)
    assert [bucket.start_ms for bucket in store.buckets()] == [START + BUCKET_MS]
    store.mark([START])
    assert everything(store) == [
        row for row in in_order(table) if row["timestamp"].timestamp() * 1000 >= START + BUCKET_MS
    ]


def test_one_job_at_a_time(store, where) -> None:
    other = where.open()
    with store.lease():
        with pytest.raises(UserError, match="another job reprocesses"), other.lease():
            pass
        put(store, clicks(*SOME[:3]))  # which hinders nobody else
    with other.lease():
        pass
    other.close()


def test_without_tables_the_cure_is_said(where) -> None:
    opened = where.open()
    with pytest.raises(UserError, match="setup-sinks") as caught:
        opened.check()
    assert "\n" not in str(caught.value)
    opened.close()
