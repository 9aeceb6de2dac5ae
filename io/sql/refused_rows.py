"""Result rows that a database refused, as its dead letters hold them, written once more."""

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import orjson
import pyarrow as pa

from clickstream.io.sql import tables
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.writer import metrics_writer

_RETRY_SECONDS = 60.0
_TIMES = ("window_start", "window_end")


def write_refused_rows(connection: SqlConnection, raws: Sequence[bytes]) -> list[bool]:
    """Writes rows into `connection.metrics_table`; a later version that is there stands.

    Args:
        connection: The database.
        raws: JSON of `tables.row_json`.

    Returns:
        For each whether it is in now; one that the database still refuses, or that is no such JSON, isn't.

    Raises:
        UserError: The database can't be reached or written.
    """
    rows = [_row(raw, connection.kind.schema) for raw in raws]
    key = connection.kind.key
    known = [row for row in rows if row is not None]
    if not known:
        return [False] * len(raws)
    keyable, unkeyable = tables.split_unkeyable(pa.Table.from_pylist(known, connection.kind.schema))
    refused = {(row[0], row[3], row[4]) for row in tables.metric_rows(unkeyable)} if unkeyable.num_rows else set()
    if keyable.num_rows:
        writer = metrics_writer(connection, retry_seconds=_RETRY_SECONDS)
        try:
            found = writer.write(tables.metric_columns(keyable))
        finally:
            writer.close()
        refused |= {(each.row[0], each.row[3], each.row[4]) for each in found}
    return [row is not None and (_text(row["window_start"]), row[key[0]], row[key[1]]) not in refused for row in rows]


def _row(raw: bytes, schema: pa.Schema) -> dict[str, Any] | None:
    """The row of this schema; None if it is none: a number that isn't finite is null in JSON, say."""
    try:
        found = orjson.loads(raw)
        row = {name: found[name] for name in schema.names}
        row |= {name: datetime.fromisoformat(found[name]).replace(tzinfo=timezone.utc) for name in _TIMES}
        pa.Table.from_pylist([row], schema).validate(full=True)
    except (ValueError, KeyError, TypeError):  # Arrow's errors are of these
        return None
    return row if all(row[field.name] is not None for field in schema if not field.nullable) else None


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
