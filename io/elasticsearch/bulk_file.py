"""The bulk file of a run without a server: what would be sent, in one local file."""

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from clickstream.io.elasticsearch import actions as bulk
from clickstream.io.elasticsearch.bundle import count
from clickstream.io.elasticsearch.errors import BulkFileError
from clickstream.io.elasticsearch.names import DEFAULT_INDEX, check_index_name


@dataclass(eq=False)
class WriteBulkFile(beam.PTransform):
    """Tables of result rows (PAGE_METRICS_SCHEMA, any windows, bounded) into one local file: what `_bulk` would get.

    The file is there, whole, once the pipeline has ended, and replaces an earlier one; until then, or if the pipeline
    fails, the earlier one stands. Gives the file's path, when it is there.

    Attributes:
        path: The file. Its folder must exist and be shared by all workers.
        index: The index that the actions name.
    """

    path: str
    index: str = DEFAULT_INDEX

    def __post_init__(self) -> None:
        check_index_name(self.index)

    def expand(self, tables: beam.PCollection[pa.Table]) -> beam.PCollection[str]:
        path = Path(self.path)
        folder = path.with_name(f".{path.name}.{uuid.uuid4().hex}.pieces")
        pieces = (
            tables
            | "Forget windows" >> beam.WindowInto(GlobalWindows())
            | "Write pieces" >> beam.ParDo(_WritePieces(str(folder), self.index)).with_output_types(str)
        )
        start = tables.pipeline | "Once" >> beam.Create([self.path])
        return start | "Join pieces" >> beam.Map(_join_pieces, str(folder), beam.pvalue.AsList(pieces))


class _WritePieces(beam.DoFn):
    """Writes a bundle's actions to a file of its own, and gives its name once it is closed."""

    def __init__(self, folder: str, index: str) -> None:
        self._folder, self._index = folder, index

    def start_bundle(self) -> None:
        self._piece: IO[bytes] | None = None

    def process(self, table: pa.Table) -> None:
        with _told(self._folder):
            if self._piece is None:
                Path(self._folder).mkdir(exist_ok=True)
                self._piece = Path(self._folder, uuid.uuid4().hex).open("xb")  # noqa: SIM115 - closed with the bundle
            for actions in bulk.action_batches(table, self._index):
                self._piece.write(bulk.action_bytes(actions))
                count("documents_written", len(actions))

    def finish_bundle(self) -> Iterator[Any]:
        if self._piece is not None:
            with _told(self._folder):
                self._piece.close()
            yield WindowedValue(self._piece.name, MIN_TIMESTAMP, (GlobalWindow(),))


@contextmanager
def _told(pieces: str) -> Iterator[None]:
    """Says in one line why nothing more can be written, and leaves nothing of what can't be used on a disk that is full."""
    try:
        yield
    except OSError as error:
        remove_pieces(Path(pieces).with_name(Path(pieces).name.split(".", 1)[1].rsplit(".", 2)[0]))
        folder = Path(pieces).parent
        message = f"The bulk file can't be written to {folder} ({error.strerror}): make room there, or name another folder with --output_dir."
        raise BulkFileError(message) from None


def _join_pieces(path: str, folder: str, pieces: list[str]) -> str:
    with _told(folder):
        os.replace(pieces[0] if len(pieces) == 1 else _joined(folder, pieces), path)
    remove_pieces(Path(path))
    return path


def remove_pieces(target: Path) -> None:
    """Removes what a run that failed, or died, has left of this bulk file. No run may be under way."""
    for left in target.parent.glob(f".{target.name}.*"):
        if left.suffix == ".pieces":
            shutil.rmtree(left, ignore_errors=True)
        elif left.suffix == ".part":
            left.unlink(missing_ok=True)


def _joined(folder: str, pieces: list[str]) -> Path:
    Path(folder).mkdir(exist_ok=True)
    joined = Path(folder, "joined")
    with joined.open("wb") as out:
        for piece in pieces:
            with Path(piece).open("rb") as part:
                shutil.copyfileobj(part, out, 1 << 20)
    return joined


def write_bulk_file(path: Path, tables: Iterable[pa.Table], index: str) -> None:
    """Writes tables of result rows to one file, as `WriteBulkFile` does; until it is whole, an earlier one stands."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    with _told(str(unfinished)), unfinished.open("xb") as file:
        for table in tables:
            for actions in bulk.action_batches(table, check_index_name(index)):
                file.write(bulk.action_bytes(actions))
    unfinished.replace(path)
