"""Breakdowns in MySQL or MariaDB and in Elasticsearch, in indices by time too: the rows that SQLite has."""

from dataclasses import replace

import pytest
from breakdown_oracle import as_broken, expected_breakdown, read_with_traits
from e2e.test_breakdowns import DWELL, LOG
from e2e.test_pieces import text
from e2e.test_pieces_servers import Servers

from clickstream.io.elasticsearch import ElasticsearchConnection
from clickstream.io.results import RowFilter, read_elasticsearch_rows, read_sql_rows, refresh
from clickstream.io.sql import connect_by_url
from clickstream.pipeline.__main__ import main
from clickstream.transforms.schema import BREAKDOWN, BREAKDOWN_SCHEMA, PAGE_METRICS_SCHEMA

NAMES = BREAKDOWN_SCHEMA.names


@pytest.fixture
def servers(mariadb, elasticsearch, tmp_path, monkeypatch) -> Servers:
    monkeypatch.setenv("TEST_SQL_PASSWORD", mariadb.password)
    return Servers(None, mariadb, elasticsearch, "", tmp_path)


def read(servers: Servers, index: str, columns: list[str]) -> list[dict]:
    connection = ElasticsearchConnection(servers.elasticsearch.address)
    refresh(connection, index)
    return [
        row for page in read_elasticsearch_rows(connection, index, RowFilter(), columns) for row in page.to_pylist()
    ]


def test_servers_have_the_oracles_rows_and_a_second_piece_restates_them(servers) -> None:
    """Values that fall behind others are taken back from each store."""
    records, index = LOG[:300], f"{servers.index}-{{month}}"
    options = ["--breakdowns=os", "--rollups=1h", "--breakdown_values=2"]
    named = [f"--elasticsearch_index={index}", *options, "--session_gap=10m"]
    for name, piece in (("1", records[:200]), ("2", records[200:])):
        (servers.folder / name).write_bytes(text(piece))
        assert servers.batch(name, *named) == 0
    url = servers.sql_server.url(servers.database)
    clicks = read_with_traits(records)
    for name in ("os",):
        table = f"page_metrics_by_{name}"
        connection = connect_by_url(url, password="env:TEST_SQL_PASSWORD")
        connection = replace(connection, metrics_table=table, kind=BREAKDOWN)
        in_sql = [row for page in read_sql_rows(connection, RowFilter(), NAMES) for row in page.to_pylist()]
        right = expected_breakdown(clicks, name, window_seconds=300, most_values=2, **DWELL)
        assert as_broken(in_sql) == as_broken(read(servers, f"{index}_by_{name}", NAMES)) == right
        hours = read(servers, f"{index}_by_{name}_1h", NAMES)
        assert sum(row["clicks"] for row in hours) == len({click for click, _ in clicks})
    pages = read(servers, index, PAGE_METRICS_SCHEMA.names)  # and nothing of the breakdowns, whose names begin alike
    assert sum(row["clicks"] for row in pages) == sum(row["clicks"] for row in hours)
    kept = ["--raw_store=files", *servers.options("mysql", "elasticsearch"), *named]
    assert main(["verify", *kept, "--from=2026-11-01T22:00:00Z", "--to=2026-11-02T00:00:00Z"]) == 0
    assert (
        main(["setup-sinks", *servers.options("mysql", "elasticsearch"), f"--elasticsearch_index={index}", *options])
        == 0
    )
