"""What MariaDB, MySQL and Elasticsearch add up, as SQLite does in tests/io/results/test_sums.py."""

import secrets

import pytest
from bulk_bodies import bulk_body
from crowd import crowd, table_of
from rows import UNMEASURED, metric
from rows import table_of as table_of_rows
from sums import HOSTILE, check_store

from clickstream.io import sql
from clickstream.io.elasticsearch.connection import ElasticsearchConnection, send_bulk
from clickstream.io.elasticsearch.errors import ElasticsearchError
from clickstream.io.elasticsearch.index import setup_elasticsearch
from clickstream.io.results import elasticsearch_sums
from clickstream.io.results.elasticsearch_sums import ElasticsearchStore
from clickstream.io.results.row_filter import RowFilter
from clickstream.io.results.sql_sums import SqlStore
from clickstream.io.sql import mysql as mysql_sink
from clickstream.io.sql import tables

SEEN = [*crowd(3, windows=40), HOSTILE]
UNKNOWN = [metric(0, 0, **UNMEASURED | {"timed_clicks": 0, "time_spent_seconds": 0.0}), metric(1, 0)]


def sql_store(server, table, monkeypatch):
    monkeypatch.setenv("SUMS_PASSWORD", server.password)
    connection = mysql_sink.connect_by_url(server.url(server.create_database()), password="env:SUMS_PASSWORD")
    sql.setup_sql(connection)
    writer = sql.metrics_writer(connection)
    assert writer.write(tables.metric_columns(table)) == []
    writer.close()
    return SqlStore(connection)


def elasticsearch_store(server, table):
    connection, index = ElasticsearchConnection(server.address), f"sums_{secrets.token_hex(6)}"
    client = connection.connect()
    setup_elasticsearch(client, index)
    if len(table):
        send_bulk(client, bulk_body(table, index))
    client.perform_request("POST", f"/{index}/_refresh", headers={"accept": "application/json"})
    client.close()
    return ElasticsearchStore(connection, index)


def test_sums_of_sql_servers_are_those_of_the_rows(sql_server, monkeypatch) -> None:
    check_store(sql_store(sql_server, table_of(SEEN), monkeypatch), SEEN)
    store = sql_store(sql_server, table_of_rows(UNKNOWN), monkeypatch)
    assert store.by_time(RowFilter())["sessions"].to_pylist() == [None, 2]


def test_sums_of_elasticsearch_are_those_of_the_rows(elasticsearch, monkeypatch) -> None:
    """Also when they come in many answers."""
    store = elasticsearch_store(elasticsearch, table_of(SEEN))
    check_store(store, SEEN)
    monkeypatch.setattr(elasticsearch_sums, "_PAGE", 7)
    check_store(store, SEEN, filters=4)
    store = elasticsearch_store(elasticsearch, table_of_rows(UNKNOWN))
    assert store.by_time(RowFilter())["sessions"].to_pylist() == [None, 2]


def test_an_index_that_is_empty_or_not_there(elasticsearch) -> None:
    store = elasticsearch_store(elasticsearch, table_of([]))
    assert (store.extent(), store.by_time(RowFilter()).num_rows, store.top("url", RowFilter(), 5)) == (None, 0, (0, []))
    with pytest.raises(ElasticsearchError, match="404 index_not_found_exception"):
        ElasticsearchStore(store.connection, "no_such_index").extent()
