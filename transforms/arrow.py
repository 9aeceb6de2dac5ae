"""Tables between steps: Arrow streams instead of pickles."""

import threading
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import zstandard
from apache_beam.coders import Coder, registry

_WORTH_COMPRESSING = 64 << 10  # bytes
_ZSTD = b"\x28\xb5\x2f\xfd"  # what its frames begin with; an Arrow stream begins otherwise
_WHOLE = b"clickstream.whole_schema"
_own = threading.local()  # a compressor is made for one thread; Arrow's own compression makes one a column, 150 µs each


def pack(table: pa.Table, *, repeating: Collection[str] = ()) -> bytes:
    """The table as one Arrow stream; a large one compressed, `repeating` columns as dictionaries (together an eighth of the bytes)."""
    table = table.combine_chunks()
    if table.nbytes <= _WORTH_COMPRESSING:
        return bytes(memoryview(_stream(table)))
    columns = [_slim(column, name in repeating) for name, column in zip(table.column_names, table.columns, strict=True)]
    slim = pa.table(columns, names=table.column_names)
    stream = _stream(slim.replace_schema_metadata({_WHOLE: table.schema.serialize().to_pybytes()}))
    if not hasattr(_own, "compressor"):
        _own.compressor = zstandard.ZstdCompressor(level=1)
    # zstandard leaves its result in the memory that the worst case would take, four times as much: a copy hasn't more than it needs.
    return bytes(memoryview(_own.compressor.compress(stream)))


def _slim(column: pa.ChunkedArray, repeats: bool) -> pa.Array:
    """The column in fewer bytes: texts by number, numbers as short as they fit."""
    array = column.combine_chunks()
    if repeats:
        texts = array.dictionary_encode()
        return pa.DictionaryArray.from_arrays(_narrow(texts.indices), texts.dictionary)
    return _narrow(array) if pa.types.is_integer(array.type) else array


def _narrow(numbers: pa.Array) -> pa.Array:
    if numbers.null_count:
        return numbers
    values = numbers.to_numpy()
    low, high = values.min(), values.max()
    for narrower in (np.int8, np.int16, np.int32):
        if np.iinfo(narrower).min <= low and high <= np.iinfo(narrower).max:
            return pa.array(values.astype(narrower))
    return numbers


def _stream(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def unpack(stream: bytes) -> pa.Table:
    """The table that `pack` packed, its types as they were."""
    if stream.startswith(_ZSTD):
        if not hasattr(_own, "decompressor"):
            _own.decompressor = zstandard.ZstdDecompressor()
        stream = _own.decompressor.decompress(stream)
    with pa.ipc.open_stream(pa.py_buffer(stream)) as reader:
        table = reader.read_all()
    metadata = table.schema.metadata or {}
    return table.cast(pa.ipc.read_schema(pa.py_buffer(metadata[_WHOLE]))) if _WHOLE in metadata else table


class ArrowTableCoder(Coder):
    """Encodes a `pyarrow.Table` as an Arrow stream; registered for every PCollection whose element type is `pyarrow.Table`."""

    def encode(self, value: pa.Table) -> bytes:
        return pack(value)

    def decode(self, encoded: bytes) -> pa.Table:
        return unpack(encoded)

    def is_deterministic(self) -> bool:
        return False

    def to_type_hint(self) -> type:
        return pa.Table


registry.register_coder(pa.Table, ArrowTableCoder)
