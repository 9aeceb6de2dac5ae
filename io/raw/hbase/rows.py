"""Clicks as rows of HBase and back: keys, columns, cells. Pure, no server."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.io.raw import clicks as raw_clicks
from clickstream.io.raw.hbase.wire import fixed_bytes
from clickstream.transforms.arrays import millis_of
from clickstream.transforms.schema import CLICK_SCHEMA

COLUMNS = {name: f"{family}:{name}".encode() for name, (family, _) in raw_clicks.family_columns().items()}
FAMILIES = [family.encode() for family in raw_clicks.FAMILIES]
CHANGED, REPROCESSED = b"state:changed", b"state:reprocessed"
STATE = b"state"
KEYS_ONLY = b"FirstKeyOnlyFilter() AND KeyOnlyFilter()"
_KEY_BYTES = 25


def row_keys(clicks: pa.Table) -> pa.Array:
    """Shard, time and click_id: a bucket's shard is a range, and a user's clicks lie in one of them."""
    shards = fixed_bytes(np.asarray(clicks["shard"]).astype(np.uint8))
    times = fixed_bytes(millis_of(clicks).astype(">i8"))
    return pc.binary_join_element_wise(shards, times, clicks["click_id"].combine_chunks(), b"")


def row_range(shard: int, start_ms: int, end_ms: int) -> tuple[bytes, bytes]:
    """The first key in it, and the first behind it."""
    return bytes([shard]) + bucket_key(start_ms), bytes([shard]) + bucket_key(end_ms)


def bucket_key(millis: int) -> bytes:
    """The row of a bucket. Clicks are not from before 1970."""
    return millis.to_bytes(8, "big")


def shard_of(user_id: str) -> int:
    """Where the user's clicks are."""
    return int(raw_clicks.shards_of(pa.chunked_array([[user_id]], pa.string()))[0])


def cells(clicks: pa.Table) -> dict[bytes, pa.Array]:
    """Cells of clicks (RAW_CLICK_SCHEMA), by column; null: none."""
    found = {name: clicks[name].combine_chunks() for name in COLUMNS}
    found["timestamp"] = _iso(found["timestamp"])
    found["session_end"] = _packed(found["session_end"].cast(pa.int64()), ">i8")
    found["time_spent"] = _packed(found["time_spent"], ">f8")
    return {COLUMNS[name]: values.cast(pa.binary()) for name, values in found.items()}


def _iso(times: pa.Array) -> pa.Array:
    """For people who look into the table: what counts is in the key. A tenth of what `strftime` costs."""
    texts = times.cast(pa.timestamp("ms")).cast(pa.string())
    return pc.binary_join_element_wise(pc.replace_substring(texts, " ", "T"), "Z", "")


def _packed(numbers: pa.Array, kind: str) -> pa.Array:
    packed = fixed_bytes(np.asarray(numbers.fill_null(0)).astype(kind))
    return pc.if_else(numbers.is_valid(), packed, pa.scalar(None, pa.binary()))


def from_rows(rows: Iterable[Any]) -> pa.Table:
    """What a scan gave (`TRowResult`), as clicks (CLICK_SCHEMA)."""
    found = [row for row in rows if COLUMNS["row_key"] in row.columns and len(row.row) == _KEY_BYTES]
    maps = [row.columns for row in found]
    written = [cells[COLUMNS["row_key"]].timestamp for cells in maps]
    keys = np.frombuffer(b"".join(row.row for row in found), np.uint8).reshape(-1, _KEY_BYTES)
    times = np.frombuffer(keys[:, 1:9].tobytes(), ">i8").astype(np.int64)
    columns = [
        pa.array(times, field.type) if field.name == "timestamp" else _column(field, maps, written)
        for field in CLICK_SCHEMA
    ]
    return pa.table(columns, schema=CLICK_SCHEMA)


def _column(field: pa.Field, maps: Sequence[Any], written: Sequence[int]) -> pa.Array:
    """One older than its row's put is of an equal click stored before, and null in the last."""
    column = COLUMNS[field.name]
    values = [
        cell.value if (cell := cells.get(column)) is not None and cell.timestamp >= since else None
        for cells, since in zip(maps, written, strict=True)
    ]
    if field.name == "session_end":
        return _unpacked(values, ">i8", np.int64).cast(field.type)
    if field.name == "time_spent":
        return _unpacked(values, ">f8", np.float64)
    return pa.array(values, pa.binary()).cast(field.type)


def _unpacked(values: Sequence[bytes | None], packed: str, kind: type[np.generic]) -> pa.Array:
    numbers = np.frombuffer(b"".join(value or bytes(8) for value in values), packed).astype(kind)
    return pa.array(numbers, mask=np.asarray([value is None for value in values], np.bool_))


def user_filter(user_id: str) -> bytes:
    """Lets through the rows of one user; in this language a quote is written twice, and all else stands for itself."""
    family, qualifier = COLUMNS["user_id"].split(b":")
    value = user_id.encode().replace(b"'", b"''")
    return b"SingleColumnValueFilter('%b','%b',=,'binary:%b',true,true)" % (family, qualifier, value)
