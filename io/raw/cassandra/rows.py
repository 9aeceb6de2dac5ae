"""The Cassandra tables of a raw store, and how clicks become bound rows and back: pure, no server."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.io.raw.sql import COLUMNS
from clickstream.transforms.schema import CLICK_SCHEMA, UTC_MS

KEY = ("bucket", "shard", "click_data_timestamp", "click_id")
_TYPES = {
    **{COLUMNS[name]: "text" for name in CLICK_SCHEMA.names},
    **{COLUMNS[name]: "timestamp" for name in ("timestamp", "session_end")},
    COLUMNS["time_spent"]: "double",
}
CLICK_TYPES = {"bucket": "timestamp", "shard": "smallint", "click_id": "blob", **_TYPES}
BUCKET_TYPES = {"part": "smallint", "bucket": "timestamp", "changed": "blob", "reprocessed": "blob"}
LEASE_TYPES = {"name": "text", "owner": "text"}
_ROWS, _BYTES = 200, 128 << 10  # of a batch; being of one partition, it is one write to the server


def create_statements(table: str) -> list[str]:
    """The tables of clicks, of buckets (all in one partition, by time) and of the lease, where they are missing."""
    return [
        _create(table, CLICK_TYPES, "(bucket, shard), click_data_timestamp, click_id"),
        _create(f"{table}_buckets", BUCKET_TYPES, "part, bucket"),
        _create(f"{table}_lease", LEASE_TYPES, "name"),
    ]


def _create(table: str, types: dict[str, str], key: str) -> str:
    columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
    return f"CREATE TABLE IF NOT EXISTS {table} ({columns}, PRIMARY KEY ({key}))"


def insert_click(table: str) -> str:
    """The statement that takes a row of `bound_rows`."""
    return f"INSERT INTO {table} ({', '.join(CLICK_TYPES)}) VALUES ({', '.join('?' * len(CLICK_TYPES))})"  # noqa: S608


def select_clicks(table: str) -> str:
    """Asks for a split's clicks in a range, times as numbers: no object a row for them."""
    times = ("timestamp", "session_end")
    columns = (f"toUnixTimestamp({COLUMNS[name]})" if name in times else COLUMNS[name] for name in CLICK_SCHEMA.names)
    within = "bucket = ? AND shard = ? AND click_data_timestamp >= ? AND click_data_timestamp < ?"
    return f"SELECT {', '.join(columns)} FROM {table} WHERE {within}"  # noqa: S608


def bound_rows(clicks: pa.Table, unset: Any) -> list[tuple[Any, ...]]:
    """Clicks (RAW_CLICK_SCHEMA) as rows for `insert_click`; `unset` for null, which would be stored as a deletion."""
    columns = [clicks[name] for name in ("bucket", "shard", "click_id", *CLICK_SCHEMA.names)]
    return list(zip(*(_cells(column, unset) for column in columns), strict=True))


def _cells(column: pa.ChunkedArray, unset: Any) -> list[Any]:
    cells = (column.cast(pa.int64()) if column.type == UTC_MS else column).to_pylist()
    return [unset if cell is None else cell for cell in cells] if column.null_count else cells


def batches(clicks: pa.Table) -> Iterator[slice]:
    """Stretches of rows of one partition each, so long as a batch may be. Rows come sorted by partition."""
    partition = np.asarray(clicks["bucket"]) + np.asarray(clicks["shard"])
    sizes = sum(np.asarray(pc.fill_null(pc.binary_length(clicks[name]), 0)) for name in _texts(clicks))
    number = np.arange(clicks.num_rows)
    begins = np.maximum.accumulate(np.where(np.append(True, np.diff(partition) != 0), number, 0))
    before = np.cumsum(sizes + 100) - (sizes + 100)
    part = np.maximum((number - begins) // _ROWS, (before - before[begins]) // _BYTES)
    starts = np.flatnonzero(np.append(True, (np.diff(begins) != 0) | (np.diff(part) != 0)))
    yield from map(slice, starts.tolist(), [*starts[1:].tolist(), clicks.num_rows])


def _texts(clicks: pa.Table) -> list[str]:
    return [field.name for field in clicks.schema if pa.types.is_string(field.type)]


def from_rows(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """What `select_clicks` gave, as CLICK_SCHEMA."""
    cells = list(zip(*rows, strict=True)) or [()] * len(CLICK_SCHEMA)
    columns = [
        pa.array(column, pa.int64()).cast(UTC_MS) if field.type == UTC_MS else pa.array(column, field.type)
        for column, field in zip(cells, CLICK_SCHEMA, strict=True)
    ]
    return pa.table(columns, schema=CLICK_SCHEMA)


def difference(table: str, needed: dict[str, str], found: dict[str, str], key: Sequence[str] | None) -> str | None:
    """What is wrong with a table's columns, or with its primary key (None: not compared); None if nothing is."""
    cure = f"Cure: rename or drop {table}, then run setup-sinks."
    for name, kind in needed.items():
        if found.get(name) != kind:
            return f", column {name}: found {found.get(name, 'none of this name')}, needed {kind}. {cure}"
    if key is not None and tuple(key) != KEY:
        return f": found primary key ({', '.join(key)}), needed ({', '.join(KEY)}). {cure}"
    return None
