"""Clicks for the tests of the raw store in HBase."""

import itertools
from datetime import datetime, timezone
from uuid import uuid4

import pyarrow as pa

from clickstream.io.raw.clicks import BUCKET_MS, keyed
from clickstream.transforms.schema import CLICK_SCHEMA

KEY = [(name, "ascending") for name in ("timestamp", "user_id", "url", "country", "row_key")]
BUCKETS = itertools.count(1_790_000_400_000 // BUCKET_MS * BUCKET_MS, BUCKET_MS)
FULL = {"city": "Köln", "browser": "Firefox", "os": "Linux", "device": "desktop", "time_spent": 12.5}
ODD_USERS = [
    "",
    "'",
    "''",
    "a'",
    "'a",
    " a",
    "a ",
    "\0",
    "a\0",
    "') OR (",
    "','",
    ":",
    "\\'",
    "\n",
    "😀",
    "x" * 3000,
    " AND ",
]


def click(user="u", at=0, **others):
    time_of = datetime.fromtimestamp(at / 1000, timezone.utc)
    texts = dict.fromkeys(("row_key", "url", "country"), "")
    return {"user_id": user, "timestamp": time_of, **texts, **others}


def clicks(*rows):
    return keyed(pa.Table.from_pylist(list(rows), CLICK_SCHEMA))


def plain(table):
    return table.select(CLICK_SCHEMA.names).sort_by(KEY)


def read(store, *buckets, start=0, end=1 << 45):
    parts = [part for split in store.splits(buckets) for part in store.read(split, start, end)]
    assert all(part.schema == CLICK_SCHEMA for part in parts)
    return plain(pa.concat_tables([CLICK_SCHEMA.empty_table(), *parts]))


def many(bucket, number=2_000):
    ends = [None, datetime(2026, 10, 1, 2, 3, 4, 567_000, timezone.utc)]
    return clicks(
        *(
            click(f"user-{i % 97}", bucket + i * 7 % BUCKET_MS, url=f"https://x/{i}", session_end=ends[i % 2], **FULL)
            for i in range(number)
        )
    )


def new_name() -> str:
    return f"raw_{uuid4().hex[:12]}"
