"""How far a bounded job is: workers of any process append to one file, and whoever waits adds it up."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa

from clickstream.transforms.lines import total_bytes
from clickstream.transforms.schema import RawBatch


class Progress(NamedTuple):
    """Records and bytes read, and records rejected, so far."""

    records: int
    bytes_read: int
    rejected: int


def read_progress(path: Path) -> Progress:
    """Adds up what the workers have noted."""
    notes = path.read_bytes().split() if path.exists() else []
    whole = len(notes) - len(notes) % 3
    return Progress(*(sum(map(int, notes[column:whole:3])) for column in range(3)))


class NoteProgress(beam.DoFn):
    """Notes each raw batch or table of rejected records in a file, a line each, and passes it on. A note is for show: it may be lost."""

    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, element: Any) -> Iterator[Any]:
        note = self._note(element)
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, note.encode())  # short appends are whole, whichever process writes
        finally:
            os.close(file)
        yield element

    @staticmethod
    def _note(element: RawBatch | pa.Table) -> str:
        if isinstance(element, RawBatch):
            return f"{len(element.values)} {total_bytes(element.values) + len(element.values)} 0\n"
        return f"0 0 {element.num_rows}\n"
