"""Click logs: files of newline-delimited JSON, read as batches of lines."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from clickstream.io.errors import UserError
from clickstream.transforms.lines import Lines
from clickstream.transforms.schema import RawBatch

_LONGEST_LINE, _KEPT = 16 << 20, (1 << 20) + 1  # of a longer line so much is kept: more than a record may have
_SKIPPED_BYTES = 1 << 20
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}


class LogFile(NamedTuple):
    """A click log, its size in bytes, as stored, and where in its unpacked text to begin."""

    path: str
    size: int
    start: int = 0


class LogSplit(NamedTuple):
    """The lines of a file that start in `[start, end)`; `end` None: all from there, where a line starts."""

    path: str
    start: int
    end: int | None


def match_logs(pattern: str) -> list[LogFile]:
    """The non-empty files that a path or glob names, of any file system that Beam knows.

    Raises:
        UserError: There is none, or they are empty, or it's a directory.
    """
    try:
        found = FileSystems.match([_absolute(pattern)])[0].metadata_list
    except BeamIOError as error:
        message = f"--input={pattern} can't be looked up ({error.args[0]}): check the path."
        raise UserError(message) from None
    if Path(pattern).is_dir():
        message = f"--input={pattern} is a directory: name its files, such as {pattern.rstrip('/')}/*.ndjson."
        raise UserError(message)
    if not found:
        message = f"--input={pattern} matches no file: check the path."
        raise UserError(message)
    filled = sorted(LogFile(f.path, f.size_in_bytes) for f in found if f.size_in_bytes)
    if not filled:
        message = f"--input={pattern} is empty: there is nothing to read."
        raise UserError(message)
    return filled


def _absolute(pattern: str) -> str:
    """A local path from the root: Beam finds nothing by a relative glob, and dead letters name their source for good."""
    return pattern if FileSystems.get_scheme(pattern) else str(Path(pattern).absolute())


def compression_of(path: str) -> str | None:
    """How a file is packed, by its name; None if it's plain."""
    return next((kind for ending, kind in _COMPRESSIONS.items() if path.lower().endswith(ending)), None)


@contextmanager
def open_log(path: str) -> Iterator[Any]:
    """Opens a log of any file system that Beam knows, and unpacks it. Arrow does that, as it alone finds out when an archive is cut off."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as handle:
        kind = compression_of(path)
        yield handle if kind is None else pa.input_stream(handle, compression=kind)


@contextmanager
def open_behind(path: str, start: int) -> Iterator[Any]:
    """The same, placed at a byte of the unpacked text, and able to read line by line; a packed log is unpacked up to there."""
    with open_log(path) as handle:
        if compression_of(path) is None:
            handle.seek(start)
            yield handle
            return
        lines = io.BufferedReader(handle)
        while start and (read := len(lines.read(min(start, _SKIPPED_BYTES)))):
            start -= read
        yield lines


def split_log(file: LogFile, split_bytes: int) -> list[LogSplit]:
    """Cuts a plain file into stretches that workers can read apart; a compressed one can't be cut."""
    if compression_of(file.path):
        return [LogSplit(file.path, file.start, None)]
    starts = range(file.start, file.size, split_bytes)
    return [LogSplit(file.path, start, min(start + split_bytes, file.size)) for start in starts]


def read_split(handle: Any, split: LogSplit, batch_bytes: int) -> Iterator[RawBatch]:
    """Yields the split's lines in batches of about `batch_bytes`. Splits of a file share no line and lose none.

    A split without end is read from where the handle stands.

    A line's bytes are all but its newline; a last line without newline counts. Of a line of more than 16 MiB only the first MiB and a byte are
    kept, which no parser of ours takes: the rest is read over, not into memory.
    """
    position = split.start if split.end is None else _first_line(handle, split.start)
    rest = b""
    while split.end is None or position < split.end:
        text, ended = _read_behind(rest, handle, batch_bytes)
        lines, rest = Lines(text), b""
        if not ended and bytes(text[-1:]) != b"\n":
            rest, lines = lines[-1], lines.first(len(lines) - 1)
        starts = position + lines.starts
        count = len(lines) if split.end is None else int(np.searchsorted(starts, split.end))
        if count:
            yield RawBatch(lines.first(count), split.path, starts[:count])
        if ended:
            return
        position += len(text) - len(rest)
        if len(rest) > _LONGEST_LINE and (split.end is None or position < split.end):
            yield RawBatch([rest[:_KEPT]], split.path, np.array([position]))
            position += len(rest)
            skipped, rest = _to_line_end(handle, batch_bytes)
            position += skipped


def _to_line_end(handle: Any, size: int) -> tuple[int, bytes]:
    """Reads over the rest of a line: how many bytes that were, its newline among them, and what was read behind it."""
    skipped = 0
    while piece := handle.read(size):
        end = piece.find(b"\n") + 1
        if end:
            return skipped + end, bytes(piece[end:])
        skipped += len(piece)
    return skipped, b""


def _read_behind(rest: bytes, handle: Any, size: int) -> tuple[memoryview, bool]:
    """The rest of the last read and what comes behind it, in one piece; and whether the file is at its end.

    Arrow's memory, because a `bytes` of this size is given back to the system and faulted in again for every batch: a fifth of all time.
    """
    text = memoryview(pa.allocate_buffer(len(rest) + size)).cast("B")
    text[: len(rest)] = rest
    count = handle.readinto(text[len(rest) :])
    return text[: len(rest) + count], count == 0


def _first_line(handle: Any, start: int) -> int:
    """Where the first line at or behind `start` begins: the line before belongs to the split before."""
    if start == 0:
        return 0
    handle.seek(start - 1)
    at = start - 1
    while piece := handle.readline(_KEPT):  # a line may be longer than memory
        at += len(piece)
        if piece.endswith(b"\n"):
            break
    return at


@dataclass(eq=False)
class ReadClickLogs(beam.PTransform):
    """Reads newline-delimited JSON, plain or compressed, as batches of raw lines.

    Out: a bounded PCollection of `RawBatch`; `source` is the file's path, `positions` are byte offsets (in the unpacked text).
    Large plain files are shared by several workers.

    Attributes:
        pattern: Path or glob.
        logs: What to read instead of all that it names.
        batch_bytes: Size of a batch; 3 MiB are about 10,000 clicks.
        split_bytes: The largest stretch of a plain file that one worker reads at a time.

    Raises:
        UserError: While the graph is built: nothing to read there.
    """

    pattern: str = ""
    logs: Sequence[LogFile] | None = None
    batch_bytes: int = 3 << 20
    split_bytes: int = 32 << 20

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        splits = [split for file in self._logs() for split in split_log(file, self.split_bytes)]
        return (
            root
            | "Splits" >> beam.Create(splits, reshuffle=False)
            | "ShareOut" >> beam.Reshuffle()
            | "Lines" >> beam.ParDo(_ReadSplit(self.batch_bytes)).with_output_types(RawBatch)
        )

    def _logs(self) -> Sequence[LogFile]:
        return match_logs(self.pattern) if self.logs is None else self.logs


class _ReadSplit(beam.DoFn):
    def __init__(self, batch_bytes: int) -> None:
        self._batch_bytes = batch_bytes

    def process(self, split: LogSplit) -> Iterator[RawBatch]:
        try:
            with open_log(split.path) if split.end or not split.start else open_behind(*split[:2]) as handle:
                yield from read_split(handle, split, self._batch_bytes)
        except OSError as error:
            message = f"{split.path} can't be read to its end ({error}): is it whole, and readable for this user?"
            raise UserError(message) from error
