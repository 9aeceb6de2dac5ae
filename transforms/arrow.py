"""Tables between steps: Arrow streams instead of pickles."""

import pyarrow as pa
from apache_beam.coders import Coder, registry

_PLAIN = pa.ipc.IpcWriteOptions()
_LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")
_WORTH_COMPRESSING = 64 << 10  # bytes: below, the compressor's start-up (150 µs a table) costs more than it saves


def pack(table: pa.Table) -> bytes:
    """The table as one Arrow stream, compressed if it is large."""
    sink = pa.BufferOutputStream()
    options = _LZ4 if table.nbytes > _WORTH_COMPRESSING else _PLAIN
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(memoryview(sink.getvalue()))


def unpack(stream: bytes) -> pa.Table:
    """The table that `pack` packed."""
    with pa.ipc.open_stream(pa.py_buffer(stream)) as reader:
        return reader.read_all()


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
