"""`KeepClicks`: clicks pass it, and are written to files on the way; `NotePiece` tells, at the end of the run, which files those are."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from clickstream.io.logs import LastLine
from clickstream.io.raw.files.parts import Batch, Part, write_part
from clickstream.io.raw.files.store import FileRawStoreConnection
from clickstream.io.raw.files.tables import Piece
from clickstream.transforms.outputs import named_outputs

_PART_ROWS = 200_000


@dataclass(eq=False)
class KeepClicks(beam.PTransform):
    """Writes clicks to files of the store, which count once `FileRawStore.add` is told of them.

    In: tables of CLICK_SCHEMA, of any of its columns, bounded. Out, by name: `stored`, the same tables; `rejected`, none; and `parts` (`Part`), the
    files.

    Attributes:
        store: The store, set up beforehand. Its folder must be shared by all workers.
    """

    store: FileRawStoreConnection

    def expand(self, clicks: beam.PCollection) -> Any:
        keep = _KeepClicks(self.store.folder)
        return named_outputs(clicks, "KeepClicks", keep, stored=pa.Table, rejected=pa.Table, parts=Part)


class _KeepClicks(beam.DoFn):
    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def start_bundle(self) -> None:
        self._tables: list[pa.Table] = []
        self._rows = 0

    def process(self, clicks: pa.Table) -> Iterator[Any]:
        if clicks.num_rows:
            self._tables.append(clicks)
            self._rows += clicks.num_rows
        if self._rows >= _PART_ROWS:
            yield beam.pvalue.TaggedOutput("parts", self._written())
        yield clicks

    def finish_bundle(self) -> Iterator[Any]:
        if self._tables:
            part = WindowedValue(self._written(), MIN_TIMESTAMP, (GlobalWindow(),))
            yield beam.pvalue.TaggedOutput("parts", part)

    def _written(self) -> Part:
        clicks = pa.concat_tables(self._tables)
        self.start_bundle()
        return write_part(self._folder, clicks)


@dataclass(eq=False)
class NotePiece(beam.PTransform):
    """In: `{"parts": …, "last_lines": …}`. Writes a file that `read_piece` reads: it is there, whole, once all of them are known.

    Attributes:
        path: The file. Its folder must be shared by all workers.
    """

    path: str

    def expand(self, inputs: Any) -> beam.PCollection[str]:
        sides = [
            beam.pvalue.AsList(inputs[name] | f"Forget {name}" >> beam.WindowInto(GlobalWindows()))
            for name in ("parts", "last_lines")
        ]
        start = inputs["parts"].pipeline | "Once" >> beam.Create([self.path])
        return start | "Note" >> beam.Map(_note, *sides)


def _note(path: str, parts: list[Part], last_lines: list[LastLine]) -> str:
    lines = [[*line[:-1], line.digest.hex()] for line in last_lines]
    unfinished = Path(f"{path}.part")
    unfinished.write_text(json.dumps({"parts": parts, "last_lines": lines}), encoding="utf-8")
    unfinished.replace(path)
    return path


def read_piece(path: Path) -> Piece:
    """What a run noted; an empty piece if it read nothing."""
    noted = json.loads(path.read_text(encoding="utf-8"))
    parts = [Part([Batch(*batch) for batch in batches], buckets) for batches, buckets in noted["parts"]]
    lines = [
        LastLine(name, start, length, bytes.fromhex(digest)) for name, start, length, digest in noted["last_lines"]
    ]
    return Piece(parts, lines)
