# ruff: noqa: S608 - tables and columns of our own
"""The client libraries' own bulk write and read of the same rows, into tables that the raw store has made: what its speed is held against."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from clickstream.io.raw import clicks as raw_clicks
from clickstream.io.raw.sql.rows import COLUMNS, clicks_table, to_columns
from clickstream.io.raw.sql.store import SqlRawStoreConnection
from clickstream.transforms.schema import CLICK_SCHEMA

Write = Callable[[], None]
Read = Callable[[], int]


def mysql_client(where: SqlRawStoreConnection, clicks: pa.Table) -> tuple[Write, Read]:
    """PyMySQL: `executemany`, 5,000 rows a transaction; one SELECT, unbuffered."""
    from pymysql.cursors import SSCursor

    names = [column.name for column in clicks_table(where.table).columns]
    rows = list(zip(*to_columns(clicks), strict=True))
    insert = f"INSERT INTO {where.table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) ON DUPLICATE KEY UPDATE click_id = click_id"

    def write() -> None:
        opened = where.connection.engine().raw_connection()
        for start in range(0, len(rows), 5000):
            opened.cursor().executemany(insert, rows[start : start + 5000])
            opened.commit()
        opened.close()

    def read() -> int:
        opened = where.connection.engine().raw_connection()
        cursor = opened.cursor(SSCursor)
        cursor.execute(f"SELECT * FROM {where.table}")
        count = sum(1 for _ in cursor)
        cursor.close()
        opened.close()
        return count

    return write, read


def cassandra_client(where: Any, clicks: pa.Table) -> tuple[Write, Read]:
    """The driver: prepared single-row inserts by `execute_concurrent_with_args`; one SELECT, paged."""
    from cassandra.cluster import Cluster
    from cassandra.concurrent import execute_concurrent_with_args

    host, _, port = where.hosts.partition(":")
    session = Cluster([host], port=int(port)).connect(where.keyspace)
    names = ["bucket", "shard", "click_id", *(COLUMNS[name] for name in CLICK_SCHEMA.names)]
    table = clicks.select(["bucket", "shard", "click_id", *CLICK_SCHEMA.names])
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    insert = session.prepare(f"INSERT INTO {where.table} ({', '.join(names)}) VALUES ({', '.join(['?'] * len(names))})")

    def write() -> None:
        execute_concurrent_with_args(session, insert, rows, concurrency=100)

    def read() -> int:
        return sum(1 for _ in session.execute(f"SELECT * FROM {where.table}", timeout=600))

    return write, read


def hbase_client(where: Any, clicks: pa.Table) -> tuple[Write, Read]:
    """happybase: `Table.batch`, 2,000 rows each; one scan, 5,000 rows each."""
    import happybase

    host, _, port = where.address.partition(":")
    table = happybase.Connection(host, int(port)).table(where.table)
    families = {name: f"{family}:{name}".encode() for name, (family, _) in raw_clicks.family_columns().items()}
    rows = [
        (
            click["shard"].to_bytes(1, "big") + _millis(click).to_bytes(8, "big") + click["click_id"],
            _cells(click, families),
        )
        for click in clicks.to_pylist()
    ]

    def write() -> None:
        with table.batch(batch_size=2000) as batch:
            for key, cells in rows:
                batch.put(key, cells)

    def read() -> int:
        return sum(1 for _ in table.scan(batch_size=5000))

    return write, read


def _millis(click: dict[str, Any]) -> int:
    return round(click["timestamp"].timestamp() * 1000)


def _cells(click: dict[str, Any], families: dict[str, bytes]) -> dict[bytes, bytes]:
    return {families[name]: str(click[name]).encode() for name in CLICK_SCHEMA.names if click[name] is not None}
