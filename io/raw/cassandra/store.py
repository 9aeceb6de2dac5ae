"""The raw store in Cassandra: clicks by time bucket and shard of users, a partition each."""

import os
import secrets
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from clickstream.io.errors import UserError
from clickstream.io.raw import clicks as raw_clicks
from clickstream.io.raw.cassandra import rows as rows_of
from clickstream.io.raw.cassandra.session import CassandraPlace, one_line_errors, session_at
from clickstream.io.raw.lease import taken
from clickstream.io.raw.store import Bucket, Split
from clickstream.io.sql import check_name

_IN_FLIGHT, _PAGE_ROWS = 16, 5_000
_LEASE_SECONDS, _RENEW_SECONDS = 60, 15.0
_MOST_COPIES = 3


@dataclass(frozen=True)
class CassandraRawStoreConnection:
    """A raw store in Cassandra.

    Attributes:
        hosts: `HOST:PORT`, several with commas, all of one port.
        keyspace: Made if missing, with up to three copies, in the data centre that the hosts are in.
        table: The table of clicks; beside it `TABLE_buckets` and `TABLE_lease`.
        user, password, tls_ca: See `CassandraPlace`.

    Raises:
        UserError: A name or place can't be.
    """

    hosts: str
    keyspace: str = "clickstream"
    table: str = "clickstream_data"
    user: str | None = None
    password: str | None = None
    tls_ca: str | None = None

    def __post_init__(self) -> None:
        check_name(self.keyspace)
        check_name(self.table)
        self.server()

    def server(self) -> CassandraPlace:
        """The cluster."""
        return CassandraPlace(self.hosts, self.user, self.password, self.tls_ca)

    @property
    def place(self) -> str:
        """The store, for people to read."""
        return f"Cassandra at {self.hosts}, table {self.keyspace}.{self.table}"

    def open(self) -> "CassandraRawStore":
        """Connects at the first use."""
        return CassandraRawStore(self)


class CassandraRawStore:
    """An open raw store in Cassandra (see `RawStore`). Its session is the process's, and stays."""

    def __init__(self, where: CassandraRawStoreConnection) -> None:
        self.place = where.place
        self._where, self._table = where, f"{where.keyspace}.{where.table}"

    @property
    def _session(self) -> Any:
        return session_at(self._where.server())

    @cached_property
    def _insert(self) -> Any:
        return self._prepared(rows_of.insert_click(self._table))

    @cached_property
    def _select(self) -> Any:
        return self._prepared(rows_of.select_clicks(self._table))

    def _prepared(self, statement: str) -> Any:
        prepared = self._session.prepare(statement)
        prepared.is_idempotent = True
        prepared.fetch_size = _PAGE_ROWS
        return prepared

    def _run(self, statement: str, *values: Any) -> Any:
        with one_line_errors(self.place):
            return self._session.execute(statement, values)

    def set_up(self) -> None:
        """Creates keyspace and tables where they are missing."""
        self._run(f"CREATE KEYSPACE IF NOT EXISTS {self._where.keyspace} WITH replication = {self._replication()}")
        for statement in rows_of.create_statements(self._table):
            self._run(statement)

    def _replication(self) -> str:
        hosts = self._session.cluster.metadata.all_hosts()
        near = {host.datacenter for host in hosts if host.address in self._where.server().contact_points()[0]}
        centre = next(iter(near or {host.datacenter for host in hosts}))
        copies = min(_MOST_COPIES, sum(host.datacenter == centre for host in hosts))
        return f"{{'class': 'NetworkTopologyStrategy', '{centre}': {copies}}}"

    def check(self) -> None:
        """Compares the tables' columns and key with what is written."""
        for suffix, needed in (
            ("", rows_of.CLICK_TYPES),
            ("_buckets", rows_of.BUCKET_TYPES),
            ("_lease", rows_of.LEASE_TYPES),
        ):
            name = f"{self._where.table}{suffix}"
            found, key = self._columns(name)
            wrong = rows_of.difference(name, needed, found, None if suffix else key)
            if wrong:
                message = f"{self.place.partition(', ')[0]}, table {self._where.keyspace}.{name}{wrong}"
                raise UserError(message)

    def _columns(self, table: str) -> tuple[dict[str, str], list[str]]:
        asked = "SELECT column_name, type, kind, position FROM system_schema.columns WHERE keyspace_name = %s AND table_name = %s"
        rows = list(self._run(asked, self._where.keyspace, table))
        key = sorted((kind != "partition_key", place, name) for name, _, kind, place in rows if place >= 0)
        return {name: found for name, found, _, _ in rows}, [name for _, _, name in key]

    def write(self, clicks: pa.Table) -> dict[int, str]:
        """Inserts them, a batch a partition, several at once. Cassandra refuses none for its content."""
        with one_line_errors(self.place):
            from cassandra.concurrent import execute_concurrent
            from cassandra.query import UNSET_VALUE

            rows, insert = rows_of.bound_rows(clicks, UNSET_VALUE), self._insert
            statements = ((_batch(insert, rows[part]), ()) for part in rows_of.batches(clicks))
            execute_concurrent(self._session, statements, concurrency=_IN_FLIGHT)
        return {}

    def mark(self, buckets: Collection[int]) -> None:
        """Gives buckets a new mark."""
        insert = f"INSERT INTO {self._table}_buckets (part, bucket, changed) VALUES (0, ?, ?)"  # noqa: S608
        self._for_each(insert, [(bucket, os.urandom(16)) for bucket in buckets])

    def buckets(self) -> list[Bucket]:
        """All buckets, by time."""
        asked = f"SELECT toUnixTimestamp(bucket), changed, reprocessed FROM {self._table}_buckets WHERE part = 0"  # noqa: S608
        return [Bucket(*row) for row in self._run(asked) if row[1] is not None]

    def mark_reprocessed(self, marks: Mapping[int, bytes]) -> None:
        """Notes the marks that were read before the buckets were reprocessed."""
        update = f"UPDATE {self._table}_buckets SET reprocessed = ? WHERE part = 0 AND bucket = ?"  # noqa: S608
        self._for_each(update, [(mark, bucket) for bucket, mark in marks.items()])

    def _for_each(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        with one_line_errors(self.place):
            from cassandra.concurrent import execute_concurrent_with_args

            if values:
                execute_concurrent_with_args(self._session, self._prepared(statement), values)

    def splits(self, buckets: Sequence[int]) -> list[Split]:
        """A partition each."""
        return [Split(bucket, shard) for bucket in buckets for shard in range(raw_clicks.SHARDS)]

    def read(self, split: Split, start_ms: int, end_ms: int) -> Iterator[pa.Table]:
        """Yields the clicks in pages."""
        first, end = max(start_ms, split.bucket_ms), min(end_ms, split.bucket_ms + raw_clicks.BUCKET_MS)
        with one_line_errors(self.place):
            found = self._session.execute(self._select, (split.bucket_ms, split.shard, first, end))
            while True:
                if found.current_rows:
                    yield rows_of.from_rows(found.current_rows)
                if not found.has_more_pages:
                    return
                found.fetch_next_page()

    def user_times(self, user_id: str, bucket_ms: int) -> list[int]:
        """Times of the user's clicks, out of the partition that they are in."""
        return [millis for millis, _ in self._keys_of(user_id, bucket_ms)]

    def _keys_of(self, user_id: str, bucket_ms: int) -> list[tuple[int, bytes]]:
        asked = (
            f"SELECT toUnixTimestamp(click_data_timestamp), click_id FROM {self._table}"  # noqa: S608
            " WHERE bucket = %s AND shard = %s AND click_data_user_id = %s ALLOW FILTERING"
        )
        return list(self._run(asked, bucket_ms, _shard(user_id), user_id))

    def delete_user(self, user_id: str, bucket_ms: int) -> None:
        """Removes the user's clicks of a bucket."""
        delete = (
            f"DELETE FROM {self._table} WHERE bucket = ? AND shard = ? AND click_data_timestamp = ? AND click_id = ?"  # noqa: S608
        )
        self._for_each(delete, [(bucket_ms, _shard(user_id), *key) for key in self._keys_of(user_id, bucket_ms)])

    def drop_bucket(self, bucket_ms: int) -> None:
        """Removes a bucket: its partitions, then its row."""
        delete = f"DELETE FROM {self._table} WHERE bucket = ? AND shard = ?"  # noqa: S608
        self._for_each(delete, [(bucket_ms, shard) for shard in range(raw_clicks.SHARDS)])
        self._run(f"DELETE FROM {self._table}_buckets WHERE part = 0 AND bucket = %s", bucket_ms)  # noqa: S608

    @contextmanager
    def lease(self) -> Iterator[None]:
        """A row that expires unless it is renewed, taken by lightweight transactions."""
        owner, over = secrets.token_hex(16), threading.Event()
        table, ttl = f"{self._table}_lease", f"USING TTL {_LEASE_SECONDS}"
        insert = f"INSERT INTO {table} (name, owner) VALUES ('reprocess', %s) IF NOT EXISTS {ttl}"  # noqa: S608
        if not self._run(insert, owner).was_applied:
            raise taken(self.place)
        update = f"UPDATE {table} {ttl} SET owner = %s WHERE name = 'reprocess' IF owner = %s"  # noqa: S608

        def renew() -> None:
            while not over.wait(_RENEW_SECONDS):
                with suppress(UserError):  # the next renewal may work
                    self._run(update, owner, owner)

        renewing = threading.Thread(target=renew, daemon=True)
        renewing.start()
        try:
            yield
        finally:
            over.set()
            renewing.join()
            self._run(f"DELETE FROM {table} WHERE name = 'reprocess' IF owner = %s", owner)  # noqa: S608

    def close(self) -> None:
        """Nothing: the session is shared."""


def _batch(insert: Any, rows: list[tuple[Any, ...]]) -> Any:
    from cassandra.query import BatchStatement, BatchType

    if len(rows) == 1:
        return insert.bind(rows[0])
    batch = BatchStatement(BatchType.UNLOGGED)
    for row in rows:
        batch.add(insert, row)
    batch.is_idempotent = True
    return batch


def _shard(user_id: str) -> int:
    return int(raw_clicks.shards_of(pa.chunked_array([[user_id]]))[0])
