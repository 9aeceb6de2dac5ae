"""Avro object container files: their rows as records of JSON."""

from collections.abc import Iterator
from typing import Any

import fastavro
import numpy as np

from clickstream.io.plain_json import json_line
from clickstream.transforms.lines import Lines
from clickstream.transforms.schema import RawBatch


def read_avro(handle: Any, path: str, batch_bytes: int) -> Iterator[RawBatch]:
    """Yields the rows of a file; positions are their numbers in it, from 0.

    A row that doesn't decode is refused as `invalid_avro`, with all that stands behind it in its block, as its end isn't known.

    Raises:
        OSError: The file is cut off or damaged, or packed by what isn't installed.
    """
    rows = _Rows(path)
    blocks = _blocks(handle)
    for block in blocks:
        rows.add(block)
        if rows.size >= batch_bytes:
            yield rows.take()
    if rows.values:
        yield rows.take()


def _blocks(handle: Any) -> Iterator[Any]:
    try:
        yield from fastavro.block_reader(handle)
    except (ValueError, EOFError, KeyError, IndexError) as error:
        message = f"no sound Avro: {error}"
        raise OSError(message) from error


class _Rows:
    """What is gathered for a batch."""

    def __init__(self, path: str) -> None:
        self._path, self._next = path, 0
        self._clear()

    def _clear(self) -> None:
        self.values, self.size = list[bytes](), 0
        self._positions, self._refused = list[int](), list[tuple[int, str, str]]()

    def add(self, block: Any) -> None:
        """Decodes a block row by row."""
        records, began = iter(block), self._next
        self._next += block.num_records
        for number in range(began, self._next):
            start = block.bytes_.tell()
            try:
                value = json_line(next(records))
            except Exception as error:  # whatever a decoder raises on what isn't of its schema
                left = self._next - number
                detail = f"{type(error).__name__} in row {number}; rows lost with it, to the end of its block: {left}"
                self._refused.append((len(self.values), "invalid_avro", detail))
                self._keep(number, block.bytes_.getvalue()[start:])
                return
            self._keep(number, value)

    def _keep(self, number: int, value: bytes) -> None:
        self.values.append(value)
        self._positions.append(number)
        self.size += len(value)

    def take(self) -> RawBatch:
        """The batch."""
        values = self.values if self._refused else Lines(b"\n".join(self.values) + b"\n")
        batch = RawBatch(values, self._path, np.array(self._positions), undecoded=tuple(self._refused), last_stored=b"")
        self._clear()
        return batch
