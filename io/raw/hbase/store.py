"""The raw store in HBase, over its Thrift server: a table of clicks with a family for each group of fields, and one of buckets."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from clickstream.io.errors import UserError
from clickstream.io.raw import clicks as raw_clicks
from clickstream.io.raw.hbase import rows as rows_of
from clickstream.io.raw.hbase import wire
from clickstream.io.raw.hbase.client import HBaseClient, host_and_port
from clickstream.io.raw.hbase.errors import ContentRefusedError
from clickstream.io.raw.hbase.lease import hbase_lease
from clickstream.io.raw.hbase.setup import check_tables, setup_tables
from clickstream.io.raw.store import Bucket, Split

_BATCH_ROWS = 2_000
_TABLE = re.compile(r"(\w+:)?\w[\w.-]*", re.ASCII)


@dataclass(frozen=True)
class HBaseRawStoreConnection:
    """A raw store in HBase.

    Attributes:
        address: HOST:PORT of HBase's Thrift server (Thrift 1, binary protocol, buffered transport).
        table: The table of clicks; that of the buckets is named `TABLE_buckets`.

    Raises:
        UserError: The table's name or the address can't be.
    """

    address: str
    table: str = "clickstream_data"

    def __post_init__(self) -> None:
        host_and_port(self.address)
        if not _TABLE.fullmatch(self.table):
            message = (
                f"{self.table!r} can't name a table in HBase: use letters, digits and _ (and NAMESPACE: before it)."
            )
            raise UserError(message)

    @property
    def place(self) -> str:
        """The store, for people to read."""
        return f"HBase at {self.address}, table {self.table}"

    def open(self) -> "HBaseRawStore":
        """The store; connects when it is used.

        Raises:
            UserError: happybase isn't installed.
        """
        return HBaseRawStore(self)


class HBaseRawStore:
    """An open raw store in HBase (see `RawStore`), for one thread. After an outage the next call connects again."""

    def __init__(self, where: HBaseRawStoreConnection) -> None:
        self.place, self._where = where.place, where
        self._client = self._new_client()
        self._clicks, self._buckets = where.table.encode(), f"{where.table}_buckets".encode()
        self._tables = {self._clicks: rows_of.FAMILIES, self._buckets: [rows_of.STATE]}

    def _new_client(self) -> HBaseClient:
        return HBaseClient(self._where.address, self._where.table)

    def set_up(self) -> None:
        """Creates the tables that are missing."""
        setup_tables(self._client, self._tables)

    def check(self) -> None:
        """Compares the tables' families with what is written."""
        check_tables(self._client, self._tables)

    def write(self, clicks: pa.Table) -> dict[int, str]:
        """Puts them, a row each."""
        refused: dict[int, str] = {}
        for start in range(0, clicks.num_rows, _BATCH_ROWS):
            part = clicks.slice(start, _BATCH_ROWS)
            for first, rows in wire.calls(wire.row_mutations(rows_of.row_keys(part), rows_of.cells(part))):
                refused |= self._put(rows, start + first)
        return refused

    def _put(self, rows: pa.Array, first: int) -> dict[int, str]:
        """What is refused is found by halving."""
        try:
            self._client.mutate(wire.message(self._clicks, rows))
        except ContentRefusedError as error:
            if len(rows) == 1:
                return {first: str(error)}
            half = len(rows) // 2
            return self._put(rows[:half], first) | self._put(rows[half:], first + half)
        return {}

    def mark(self, buckets: Collection[int]) -> None:
        """Gives buckets a new mark."""
        self._note({bucket: os.urandom(16) for bucket in buckets}, rows_of.CHANGED)

    def mark_reprocessed(self, marks: Mapping[int, bytes]) -> None:
        """Notes the marks that were read before the buckets were reprocessed."""
        self._note(marks, rows_of.REPROCESSED)

    def _note(self, marks: Mapping[int, bytes], column: bytes) -> None:
        if marks:
            keys = pa.array([rows_of.bucket_key(bucket) for bucket in marks], pa.binary())
            rows = wire.row_mutations(keys, {column: pa.array(marks.values(), pa.binary())})
            self._client.mutate(wire.message(self._buckets, rows))

    def buckets(self) -> list[Bucket]:
        """All buckets, by time."""
        columns = (rows_of.CHANGED, rows_of.REPROCESSED)
        pages = self._client.pages(self._buckets, b"", b"", columns)
        found = [(int.from_bytes(row.row, "big"), *map(row.columns.get, columns)) for page in pages for row in page]
        # One without `changed` was dropped while it was reprocessed.
        return [Bucket(at, new.value, old.value if old else None) for at, new, old in found if new]

    def splits(self, buckets: Sequence[int]) -> list[Split]:
        """Each shard of a bucket: a range of keys."""
        return [Split(bucket, shard) for bucket in buckets for shard in range(raw_clicks.SHARDS)]

    def read(self, split: Split, start_ms: int, end_ms: int) -> Iterator[pa.Table]:
        """Yields the clicks in pages."""
        first, end = max(start_ms, split.bucket_ms), min(end_ms, split.bucket_ms + raw_clicks.BUCKET_MS)
        shards = range(raw_clicks.SHARDS) if split.shard is None else [split.shard]
        for shard in shards if first < end else ():
            for page in self._client.pages(self._clicks, *rows_of.row_range(shard, first, end)):
                yield rows_of.from_rows(page)

    def user_times(self, user_id: str, bucket_ms: int) -> list[int]:
        """Times of the user's clicks, by the range of its shard: there is no index by user."""
        return [int.from_bytes(row.row[1:9], "big") for page in self._of_user(user_id, bucket_ms) for row in page]

    def delete_user(self, user_id: str, bucket_ms: int) -> None:
        """Removes the user's clicks of a bucket."""
        for page in self._of_user(user_id, bucket_ms):
            self._client.delete(self._clicks, rows_of.FAMILIES, page)

    def _of_user(self, user_id: str, bucket_ms: int) -> Iterator[list[Any]]:
        rows = rows_of.row_range(rows_of.shard_of(user_id), bucket_ms, bucket_ms + raw_clicks.BUCKET_MS)
        column = rows_of.COLUMNS["user_id"]
        return self._client.pages(self._clicks, *rows, [column], rows_of.user_filter(user_id))

    def drop_bucket(self, bucket_ms: int) -> None:
        """Removes a bucket, as far as it isn't written to meanwhile: its row was read before its clicks are removed."""
        key = rows_of.bucket_key(bucket_ms)
        noted = [row for page in self._client.pages(self._buckets, key, key + b"\0") for row in page]
        for shard in range(raw_clicks.SHARDS):
            rows = rows_of.row_range(shard, bucket_ms, bucket_ms + raw_clicks.BUCKET_MS)
            for page in self._client.pages(self._clicks, *rows, only=rows_of.KEYS_ONLY):
                self._client.delete(self._clicks, rows_of.FAMILIES, page)
        self._client.delete(self._buckets, [rows_of.STATE], noted)

    def lease(self) -> AbstractContextManager[None]:
        """Held as long as the process lives and reaches the server."""
        return hbase_lease(self._new_client(), self._buckets)

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()
