"""The oracle's clicks as tables."""

from collections.abc import Sequence

import pyarrow as pa
from oracle import Click

from clickstream.transforms.schema import CLICK_SCHEMA

COLUMNS = ["row_key", "user_id", "timestamp", "url", "country"]


def click_table(clicks: Sequence[Click]) -> pa.Table:
    """The columns that dwell needs. Parsing derives a missing row key from user, time and URL."""
    keys = [click.row_key or f"{click.user_id} {click.millis} {click.url}" for click in clicks]
    rows = [(key, c.user_id, c.millis, c.url, c.country) for key, c in zip(keys, clicks, strict=True)]
    columns = zip(*rows, strict=True) if rows else [[] for _ in COLUMNS]
    schema = pa.schema([CLICK_SCHEMA.field(name) for name in COLUMNS])
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
