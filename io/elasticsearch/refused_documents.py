"""Documents of result rows that Elasticsearch refused, as the dead letters hold them, written once more."""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa

from clickstream.io.elasticsearch.actions import action_batches
from clickstream.io.elasticsearch.bundle import BulkSender, patience_of
from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.names import check_index_name, kind_in

_RETRY_SECONDS = 60.0
_TIMES, _OBJECTS = ("window_start", "window_end"), ("time_spent_histogram", "users_sketch")


def write_refused_documents(connection: ElasticsearchConnection, index: str, raws: Sequence[bytes]) -> list[bool]:
    """Writes documents into an index under the `_id`s that they would have had; a later version that is there stands.

    Args:
        connection: The cluster.
        index: As the sink's.
        raws: JSON of the documents.

    Returns:
        For each whether it is in now; one that the server still refuses, or that is no such document, isn't.

    Raises:
        ElasticsearchError: The server can't be reached or written.
    """
    schema = kind_in(index).schema
    rows = [_row(raw, schema) for raw in raws]
    table = pa.Table.from_pylist([row for row in rows if row is not None], schema)
    stored: list[bool] = []
    with closing(connection.connect()) as client:
        sender = BulkSender(client, lambda: patience_of(_RETRY_SECONDS))
        for actions in action_batches(table, check_index_name(index)):
            refused = sender.send(actions)
            stored += [place not in refused for place in range(len(actions))]
    found = iter(stored)
    return [row is not None and next(found) for row in rows]


def _row(raw: bytes, schema: pa.Schema) -> dict[str, Any] | None:
    """The row of this schema of which the document was made; None if it is of none."""
    try:
        found = orjson.loads(raw)
        row = {name: found[name] for name in schema.names}
        row |= {name: datetime.fromisoformat(found[name].replace("Z", "+00:00")) for name in _TIMES}
        row |= {name: orjson.dumps(found[name]).decode() for name in _OBJECTS if found[name] is not None}
        pa.Table.from_pylist([row], schema).validate(full=True)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return row if all(row[field.name] is not None for field in schema if not field.nullable) else None
