"""Values as they stand in Kafka to records: unpacked, and decoded by a Schema Registry."""

import gzip
import io
import zlib
from collections.abc import Sequence
from itertools import repeat

import pyarrow as pa

from clickstream.io.schemas.frames import Decoded, FrameDecoder
from clickstream.io.schemas.registry import SchemaRegistry

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MOST_BYTES = (1 << 20) + 1  # one more than a record may have


class ValueDecoder:
    """Unpacks values that are packed by gzip or zstd, and decodes those with a frame if there is a registry. No JSON begins like either."""

    def __init__(self, registry: SchemaRegistry | None) -> None:
        self._frames = FrameDecoder(registry) if registry else None

    def decode(self, values: list[bytes]) -> Decoded:
        """Records of values; plain ones are what they were. Of one that unpacks to more than a record may have, the first MiB and a byte are kept.

        Raises:
            RegistryError: As `FrameDecoder.decode`.
        """
        broken: dict[int, tuple[str, str]] = {}
        if any(map(bytes.startswith, values, repeat((_GZIP, _ZSTD)))):
            values, broken = _unpacked(values)
        found = self._frames.decode(values) if self._frames else Decoded(values)
        if not broken:
            return found
        undecoded = {number: why for number, *why in found.undecoded} | broken
        return Decoded(found.values, tuple((number, *undecoded[number]) for number in sorted(undecoded)))


def _unpacked(values: Sequence[bytes]) -> tuple[list[bytes], dict[int, tuple[str, str]]]:
    """Unpacked values, and why others couldn't be."""
    found, broken = list(values), {}
    for number, value in enumerate(values):
        if value.startswith((_GZIP, _ZSTD)):
            try:
                found[number] = _gunzip(value) if value.startswith(_GZIP) else _unzstd(value)
            except (zlib.error, EOFError, OSError, pa.ArrowException) as error:
                broken[number] = ("invalid_packing", f"{type(error).__name__}: packed, and doesn't unpack")
    return found, broken


def _gunzip(value: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(value)) as stream:
        return stream.read(_MOST_BYTES)


def _unzstd(value: bytes) -> bytes:
    """Arrow's reader says when the end is missing; zstandard's takes it for an end."""
    with pa.CompressedInputStream(pa.BufferReader(value), "zstd") as stream:
        return bytes(stream.read(_MOST_BYTES))
