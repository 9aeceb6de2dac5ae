"""Clicks as a raw store keeps them: their key, their families, their buckets and shards. Pure, no server."""

from hashlib import blake2b

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Int64s, millis_of
from clickstream.transforms.schema import CLICK_SCHEMA
from clickstream.transforms.shards import checksums

FAMILIES = {
    "click_data": ("row_key", "user_id", "timestamp", "url", "session_end", "time_spent"),
    "geo_data": ("country", "city"),
    "user_agent_data": ("browser", "os", "device"),
}
BUCKET_MS = (
    600_000  # at 10,000 clicks/s, the 16 shards of one hold 375,000 clicks each: what a Cassandra partition bears
)
SHARDS = 16
_SAME_CLICK = ("user_id", "url", "country", "row_key")  # and the timestamp, as where equal clicks count once
RAW_CLICK_SCHEMA = pa.schema(
    [
        *CLICK_SCHEMA,
        pa.field("click_id", pa.binary(), nullable=False),  # 16 bytes; with the timestamp, the key
        pa.field("bucket", pa.int64(), nullable=False),  # its start, ms since the epoch
        pa.field("shard", pa.int64(), nullable=False),  # of the user
    ]
)


def family_columns() -> dict[str, tuple[str, str]]:
    """Family and qualifier of each column of a click."""
    return {name: (family, name) for family, names in FAMILIES.items() for name in names}


def keyed(clicks: pa.Table) -> pa.Table:
    """Clicks (CLICK_SCHEMA) as they are stored (RAW_CLICK_SCHEMA): sorted by bucket, shard and key, each click once.

    Clicks are the same if user, time, URL, country and row key are; of those the last stays.
    """
    millis = millis_of(clicks)
    ids = click_ids(clicks)
    columns = [
        *(clicks[name] for name in CLICK_SCHEMA.names),
        *(pa.array(ids, pa.binary()), pa.array(buckets_of(millis)), pa.array(shards_of(clicks["user_id"]))),
    ]
    table = pa.table(columns, schema=RAW_CLICK_SCHEMA)
    order = pl.DataFrame(pl.from_arrow(table.select(["bucket", "shard", "timestamp", "click_id"]))).with_row_index()
    order = order.sort("bucket", "shard", "timestamp", "click_id", "index")
    order = order.unique("click_id", keep="last", maintain_order=True)
    return table.take(pa.array(order["index"].to_numpy()))


def click_ids(clicks: pa.Table) -> list[bytes]:
    """BLAKE2b, 16 bytes, over time, user, URL, country and row key, each text with its length before it."""
    millis = clicks["timestamp"].cast(pa.int64()).cast(pa.string()).cast(pa.binary())
    parts = [millis]
    for name in _SAME_CLICK:
        text = clicks[name].cast(pa.binary())
        parts += [pc.binary_length(text).cast(pa.string()).cast(pa.binary()), text]
    framed = pc.binary_join_element_wise(*parts, b"\0").to_pylist()
    return [blake2b(each, digest_size=16).digest() for each in framed]


def buckets_of(millis: Int64s) -> Int64s:
    """The bucket of each time: its start. All ms since the epoch."""
    return millis // BUCKET_MS * BUCKET_MS


def shards_of(users: pa.ChunkedArray) -> Int64s:
    """The shard of each user."""
    return checksums(users) % SHARDS
