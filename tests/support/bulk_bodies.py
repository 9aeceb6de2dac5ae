"""Elasticsearch's bulk bodies as tests want them: whole, and the id that a document should have."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from clickstream.io.elasticsearch.actions import (
    MAX_BODY_ACTIONS,
    MAX_BODY_BYTES,
    action_batches,
    action_bytes,
    cut,
    id_of,
)


class BulkChunk(NamedTuple):
    """A bulk body, and the rows of the table that it holds."""

    body: bytes
    rows: range


def document_id(window_start: datetime, url: str, country: str) -> str:
    """The `_id` of a row: 18 bytes of SHA-256 over its key, in URL-safe base64.

    Args:
        window_start: Aware, in whole seconds.
        url: As in the row.
        country: As in the row.
    """
    key = f"{int(window_start.timestamp())}\0{url}\0{country}"
    return id_of(key.encode())


def bulk_body(table: pa.Table, index: str) -> bytes:
    """The whole table as one bulk body, NDJSON."""
    return b"".join(map(action_bytes, action_batches(table, index)))


def bulk_chunks(
    table: pa.Table, index: str, max_bytes: int = MAX_BODY_BYTES, max_actions: int = MAX_BODY_ACTIONS
) -> Iterator[BulkChunk]:
    """The table as bulk bodies in order, each row in one of them.

    A body has at most `max_actions` actions and `max_bytes` bytes; a single action beyond that is a body of its own.
    """
    first = 0
    for actions in action_batches(table, index):
        for rows in cut(actions, max_bytes, max_actions):
            body = action_bytes(actions[rows.start : rows.stop])
            yield BulkChunk(body, range(first + rows.start, first + rows.stop))
        first += len(actions)
