"""Result rows to Elasticsearch's bulk actions, and its answer back to rows: pure, a column at a time.

An action is two lines: what to do (`index`, under a fixed `_id`, guarded by `version`), and the document. A write
replaces a document only if its version is not smaller, so a batch may be sent any number of times, in any order.
"""

import binascii
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.io.elasticsearch.errors import CURES, ElasticsearchError, explain, is_of_content
from clickstream.io.elasticsearch.names import index_at, is_by_time
from clickstream.transforms.schema import ResultColumn, RowKind, kind_of
from clickstream.transforms.sketches import MAX_THETA

MAX_BODY_BYTES = 5 << 20
MAX_BODY_ACTIONS = 5_000
_BATCH_ROWS = 2 * MAX_BODY_ACTIONS  # bounds the memory for a table; with a tenth of it, the calls begin to cost
_BATCH_BYTES = 32 << 20  # likewise, where rows hold large sketches
_ID_BYTES = 18  # a multiple of three: base64 without padding
_DIGEST_BYTES = sha256().digest_size
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_PLAIN_BYTES = bytes(set(range(0x20, 0x100)) - set(b'"\\'))  # stand for themselves in a JSON string


class BulkAnswer(NamedTuple):
    """What became of a bulk body's actions, by their place in it.

    Attributes:
        written: How many were stored.
        already_newer: How many found a better version in their place, which is success.
        again: Those to send again: the server was too busy, or broken, or refuses them for no fault of theirs.
        cause: Why, of the first of `again`.
        refused: Those that the server will never take, for their content, and why (no values in it).
    """

    written: int
    already_newer: int
    again: list[int]
    cause: str
    refused: dict[int, str]


class _Error(msgspec.Struct):
    type: str = "unknown_error"
    reason: str | None = None
    caused_by: "_Error | None" = None

    def kinds(self) -> Iterator[str]:
        """Its type and those of its causes."""
        yield self.type
        if self.caused_by is not None:
            yield from self.caused_by.kinds()


class _Result(msgspec.Struct, gc=False):
    status: int
    error: _Error | None = None


class _Item(msgspec.Struct, gc=False):
    index: _Result


class _Answer(msgspec.Struct):
    errors: bool = True
    items: list[_Item] = []


_ANSWER_DECODER = msgspec.json.Decoder(_Answer)


def id_of(key: bytes) -> str:
    """The `_id` of what a key tells apart."""
    return urlsafe_b64encode(sha256(key).digest()[:_ID_BYTES]).decode()


def bulk_actions(rows: pa.RecordBatch, index: str) -> pa.StringArray:
    """One action a row: both its lines, each with its newline, so that the array's bytes, end to end, are a bulk body.

    Args:
        rows: PAGE_METRICS_SCHEMA or BREAKDOWN_SCHEMA; any number of windows, in whole seconds UTC.
        index: Where to write; each row into its own of indices by time.
    """
    kind = kind_of(rows.schema.names)
    first, second = (rows[name] for name in kind.key)
    seconds = _per_value(rows["window_start"], lambda start: str(_epoch_seconds(start)))
    keys = pc.binary_join_element_wise(seconds, first, second, "\0").cast(pa.binary()).to_pylist()
    if len(b"".join(keys).translate(None, _PLAIN_BYTES)) > 2 * len(keys):  # more than the keys' own separators: rare
        first, second = _escaped(first), _escaped(second)
    names = _per_value(rows["window_start"], partial(index_at, index)) if is_by_time(index) else index
    return _join(rows, kind, names, _document_ids(keys), (first, second))


def action_batches(table: pa.Table, index: str) -> Iterator[pa.StringArray]:
    """The whole table's actions in order, some thousands at a time, or fewer large ones."""
    batches = chain.from_iterable(map(_pieces, table.combine_chunks().to_batches(_BATCH_ROWS)))
    return (bulk_actions(rows, index) for rows in batches)


def _pieces(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in order, halved until each piece is small enough or a single row."""
    if rows.nbytes <= _BATCH_BYTES or len(rows) == 1:
        yield from (rows,) if len(rows) else ()
    else:
        yield from _pieces(rows.slice(0, len(rows) // 2))
        yield from _pieces(rows.slice(len(rows) // 2))


def cut(actions: pa.StringArray, max_bytes: int, max_actions: int) -> Iterator[range]:
    """Ranges of actions, in order and without gaps, as long as both limits allow and at least one action long."""
    ends = _offsets(actions).astype(np.int64)
    first = 0
    while first < len(actions):
        fitting = int(np.searchsorted(ends, ends[first] + max_bytes, side="right")) - 1
        stop = min(max(fitting, first + 1), first + max_actions)
        yield range(first, stop)
        first = stop


def action_bytes(actions: pa.StringArray) -> bytes:
    """The actions' bytes, end to end: a bulk body."""
    if not len(actions):
        return b""
    ends = _offsets(actions)
    return bytes(memoryview(actions.buffers()[2])[ends[0] : ends[-1]])


def size_of(actions: pa.StringArray) -> int:
    """How many bytes `action_bytes` would give for these, at least one."""
    ends = _offsets(actions)
    return int(ends[-1]) - int(ends[0])


def action_document(action: str) -> bytes:
    """The document of an action: its second line, less the newline."""
    return action.split("\n", 2)[1].encode()


def read_answer(answer: bytes, actions: pa.StringArray) -> BulkAnswer:
    """Sorts a bulk answer's items by what is to be done about them.

    Args:
        answer: JSON, of which `errors`, `items.*.status` and `items.*.error` are needed.
        actions: Those that were sent.

    Raises:
        ElasticsearchError: An item was refused for something other than its content, or the answer doesn't fit.
    """
    try:
        decoded = _ANSWER_DECODER.decode(answer)
    except msgspec.MsgspecError:
        decoded = _Answer()
    items = [item.index for item in decoded.items]
    if len(items) != len(actions):
        found = f"Elasticsearch answered for {len(items)} of {len(actions)} documents"
        message = f"{found}: look for a proxy that alters its answers."
        raise ElasticsearchError(message)
    return _read_items(items, actions) if decoded.errors else BulkAnswer(len(items), 0, [], "", {})


def _read_items(items: list[_Result], actions: pa.StringArray) -> BulkAnswer:
    failed = [(place, item.status, item.error or _Error()) for place, item in enumerate(items) if item.status >= 300]
    conflicts = [place for place, status, _ in failed if status == 409]
    again, refused, cause = list[int](), dict[int, str](), ""
    for place, status, error in failed:
        if status == 409:
            continue
        if status == 429 or status >= 500:
            again.append(place)
        elif status in (401, 403, 404) or error.type in CURES:
            message = f"Elasticsearch refuses to write ({status} {error.type}): {explain(status, error.type)}."
            raise ElasticsearchError(message)
        elif is_of_content(error.kinds()):
            refused[place] = _refusal(status, error, actions[place].as_py())
        else:
            again.append(place)
        if again and not cause:
            cause = f"{status} {error.type}: {explain(status, error.type)}"
    written = len(items) - len(conflicts) - len(again) - len(refused)
    return BulkAnswer(written, len(conflicts), again, cause, refused)


def _refusal(status: int, error: _Error, action: str) -> str:
    """Status, error types, and the field if one is named. Not the reason's text: it quotes the document's values."""
    kinds = error.type + (f", {error.caused_by.type}" if error.caused_by else "")
    names = orjson.loads(action_document(action))
    fields = [name for name in names if f"[{name}]" in (error.reason or "") or f'"{name}"' in (error.reason or "")]
    return f"{status} {kinds}" + (f" (field {', '.join(fields)})" if fields else "")


def _offsets(actions: pa.StringArray) -> Any:
    return np.frombuffer(actions.buffers()[1], np.int32)[actions.offset : actions.offset + len(actions) + 1]


def _epoch_seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _per_value(column: pa.Array, text: Callable[[datetime], str]) -> str | pa.Array:
    """`text` of each row, made once a distinct value; one constant if all are alike, as in a table of one window."""
    encoded = column.dictionary_encode()
    texts = [text(value) for value in encoded.dictionary.to_pylist()]
    return texts[0] if len(texts) == 1 else pa.array(texts, pa.string()).take(encoded.indices)


def _document_ids(keys: list[bytes]) -> pa.StringArray:
    hashes = b"".join([sha256(key).digest() for key in keys])
    heads = np.frombuffer(hashes, np.uint8).reshape(-1, _DIGEST_BYTES)[:, :_ID_BYTES].tobytes()
    ids = binascii.b2a_base64(heads, newline=False).translate(_URL_SAFE)
    ends = np.arange(len(keys) + 1, dtype=np.int32) * (_ID_BYTES // 3 * 4)
    return pa.StringArray.from_buffers(len(keys), pa.py_buffer(ends), pa.py_buffer(ids))


def _escaped(texts: pa.Array) -> pa.Array:
    """The texts as they stand between a JSON string's quotes."""
    return pa.array([orjson.dumps(text)[1:-1].decode() for text in texts.to_pylist()], pa.string())


def _or_null(texts: pa.Array) -> str | pa.Array:
    """JSON as it is, `null` where there is none; one constant if there is none at all, which costs nothing."""
    if texts.null_count == len(texts):
        return "null"
    return pc.fill_null(texts, "null") if texts.null_count else texts


def _integer(values: pa.Array) -> str | pa.Array:
    return _or_null(values.cast(pa.string()))


def _number(values: pa.Array) -> str | pa.Array:
    """JSON numbers; null where there is none, or none that JSON could write. To write one takes 50 to 100 ns: each distinct one is, once."""
    encoded = values.dictionary_encode()
    numbers = encoded.dictionary
    texts = pc.if_else(pc.is_finite(numbers), numbers, None).cast(pa.string())
    if len(texts) == 1 and not values.null_count:
        return texts[0].as_py() or "null"
    return _or_null(texts.take(encoded.indices))


def _theta_and_exact(theta: pa.Array) -> tuple[str | pa.Array, str | pa.Array]:
    """JSON of `users_theta` and `users_exact`: constants if all sketches are exact, as most are."""
    if pc.min(theta).as_py() == MAX_THETA and not theta.null_count:
        return str(MAX_THETA), "true"
    return _integer(theta), _or_null(pc.equal(theta, MAX_THETA).cast(pa.string()))


def _join(
    rows: pa.RecordBatch, kind: RowKind, index: str | pa.Array, ids: pa.Array, key: tuple[pa.Array, pa.Array]
) -> pa.StringArray:
    start, end = _per_value(rows["window_start"], _iso), _per_value(rows["window_end"], _iso)
    quoted = {"window_start": start, "window_end": end, **dict(zip(kind.key, key, strict=True))}
    guard = _integer(pc.max_element_wise(rows["version"], 1))
    return _concat(
        *('{"index":{"_index":"', index, '","_id":"', ids, '","version":', guard, ',"version_type":"external_gte"}}\n'),
        *('{"@timestamp":"', start, '"'),
        *(part for column in kind.columns for part in _field(column, rows, quoted)),
        "}\n",
    )


_WRITTEN = {"count": _integer, "seconds": _number, "histogram": _or_null, "hashes": _or_null}


def _field(
    column: ResultColumn, rows: pa.RecordBatch, quoted: Mapping[str, str | pa.Array]
) -> Iterator[str | pa.Array]:
    """A column as it stands in a document: its name and JSON."""
    yield f',"{column.name}":'
    if column.name in quoted:
        yield from ('"', quoted[column.name], '"')
    elif column.holds == "theta":
        theta, exact = _theta_and_exact(rows[column.name])
        yield from (theta, ',"users_exact":', exact)
    else:
        yield _WRITTEN[column.holds](rows[column.name])


def _concat(*parts: str | pa.Array) -> pa.StringArray:
    """The parts of each row, end to end; neighbouring constants are made one first, since each part costs."""
    merged: list[str | pa.Array] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return pc.binary_join_element_wise(*merged, "")
