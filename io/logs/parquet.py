"""Parquet files: their rows as records of JSON, by columns."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clickstream.io.plain_json import text_of
from clickstream.transforms.lines import Lines
from clickstream.transforms.schema import RawBatch

_ROWS = 10_000
_ISO = "%Y-%m-%dT%H:%M:%S"  # with the fraction that the unit has


def row_groups(handle: Any) -> int:
    """How many stretches of rows a file has, which can be read apart."""
    return int(pq.ParquetFile(handle).metadata.num_row_groups)


def read_parquet(handle: Any, path: str, groups: range) -> Iterator[RawBatch]:
    """Yields the rows of some of a file's row groups; positions are their numbers in it, from 0.

    Raises:
        pa.ArrowException, OSError: The file is damaged.
    """
    file = pq.ParquetFile(handle)
    position = sum(file.metadata.row_group(number).num_rows for number in range(groups.start))
    for batch in file.iter_batches(_ROWS, row_groups=list(groups)):
        if batch.num_rows:
            yield RawBatch(Lines(json_of(batch)), path, position + np.arange(batch.num_rows), last_stored=b"")
        position += batch.num_rows


def json_of(batch: pa.RecordBatch) -> bytes:
    """The rows as one JSON object a line.

    Times are ISO 8601 and decimals text, with all their digits; bytes are text, null where they aren't UTF-8; a map is an array of objects
    with `key` and `value`.
    """
    columns = [_plain(column) for column in batch.columns]
    table = pa.table(columns, names=batch.schema.names)
    lines = io.BytesIO()
    pl.DataFrame(table).write_ndjson(lines)
    return lines.getvalue()


def _plain(column: pa.Array) -> pa.Array:
    """The same in the types of JSON."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.dictionary_decode())
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(column.storage)
    if pa.types.is_struct(kind):
        fields = [_plain(each) for each in column.flatten()]
        names = [kind.field(number).name for number in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, names, mask=column.is_null())
    if pa.types.is_map(kind):
        return _map(column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _list(column)
    return _scalar(column)


def _map(column: pa.Array) -> pa.Array:
    pairs = pa.StructArray.from_arrays([column.keys, column.items], ["key", "value"])
    return _list(pa.ListArray.from_arrays(column.offsets, pairs, mask=column.is_null()))


def _list(column: pa.Array) -> pa.Array:
    lengths = pc.list_value_length(column)
    ends = pc.cumulative_sum(lengths.fill_null(0).cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.ListArray.from_arrays(offsets, _plain(pc.list_flatten(column)), mask=column.is_null())


def _scalar(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return _time(column)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _text(column)
    if pa.types.is_decimal(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        return column.cast(pa.string())
    if pa.types.is_duration(kind):
        return column.cast(pa.int64())
    return column.cast(pa.float32()) if pa.types.is_float16(kind) else column


def _time(column: pa.Array) -> pa.Array:
    """A zone says how a time is shown, not which it is; without one it's left open, as the format may know it."""
    if column.type.tz is None:
        return pc.strftime(column, _ISO)
    utc = pc.strftime(column.cast(pa.timestamp(column.type.unit, "UTC")), _ISO)
    return pc.binary_join_element_wise(utc, "Z", "")


def _text(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array(map(text_of, column.to_pylist()), pa.string())
