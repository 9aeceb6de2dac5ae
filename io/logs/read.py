"""Click logs: files of JSON records, read as batches."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from clickstream.io.errors import UserError
from clickstream.io.file_systems import check_file_system
from clickstream.io.logs.avro import read_avro
from clickstream.io.logs.form import UNREADABLE, LogForm, form_of, open_text
from clickstream.io.logs.json_values import KEPT_BYTES, LONGEST_RECORD, Value, ValueCutter
from clickstream.io.logs.parquet import read_parquet, row_groups
from clickstream.io.logs.table import read_table
from clickstream.transforms.lines import Lines
from clickstream.transforms.schema import RawBatch

_SKIPPED_BYTES = 1 << 20
_LOOKED_AT_ONCE = 16


class LogFile(NamedTuple):
    """A click log, its size in bytes, as stored, how it is written, and where in its text to begin."""

    path: str
    size: int
    form: LogForm = LogForm()
    start: int = 0


class LogSplit(NamedTuple):
    """The records of a file that start in `[start, end)`; `end` None: all from there, where one starts. Of Parquet: row groups."""

    path: str
    start: int
    end: int | None
    form: LogForm = LogForm()


def match_logs(pattern: str, container: str = "auto") -> list[LogFile]:
    """The non-empty files that a path or glob names, of any file system that Beam knows; `container` as for `form_of`.

    Raises:
        UserError: There is none, they are empty, it's a directory or a pipe, one is of a kind that isn't read, or the
            file system needs a package or credentials.
    """
    check_file_system(pattern)
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
    with ThreadPoolExecutor(_LOOKED_AT_ONCE) as pool:  # another system's files take their time each
        return list(pool.map(partial(_with_form, container=container), filled))


def _with_form(file: LogFile, container: str) -> LogFile:
    return file._replace(form=form_of(file.path, container))


def _refuse_pipe(pattern: str) -> None:
    """A pipe can't be read by several workers, nor again where a worker dies."""
    path = Path(pattern)
    if path.is_fifo() or path.is_socket() or path.is_char_device():
        message = (
            f"--input={pattern} is no file, and can be read once only: write what comes from it to a file "
            "(… > clicks.ndjson), and name that."
        )
        raise UserError(message)


def _absolute(pattern: str) -> str:
    """A local path from the root: Beam finds nothing by a relative glob, and dead letters name their source for good."""
    if FileSystems.get_scheme(pattern):
        return pattern
    _refuse_pipe(pattern)
    # A worker's /dev/stdin is another one.
    return str(Path(pattern).resolve() if pattern.startswith(("/dev/", "/proc/")) else Path(pattern).absolute())


@contextmanager
def open_behind(path: str, start: int, form: LogForm) -> Iterator[Any]:
    """Opens a log's text, placed at a byte of it, and able to read line by line. One that isn't stored as UTF-8 is read up to there."""
    with open_text(path, form) as handle:
        if form.is_as_stored:
            handle.seek(start)
            yield handle
            return
        lines = io.BufferedReader(handle)
        while start and (read := len(lines.read(min(start, _SKIPPED_BYTES)))):
            start -= read
        yield lines


def split_log(file: LogFile, split_bytes: int) -> list[LogSplit]:
    """Cuts a plain file of lines, or a Parquet file, into stretches that workers can read apart; others can't be cut."""
    if file.form.container == "parquet":
        return [LogSplit(file.path, n, n + 1, file.form) for n in range(_row_groups(file))]
    if not file.form.is_plain:
        return [LogSplit(file.path, file.start, None, file.form)]
    starts = range(file.start, file.size, split_bytes)
    return [LogSplit(file.path, start, min(start + split_bytes, file.size)) for start in starts]


def _row_groups(file: LogFile) -> int:
    try:
        with open_text(file.path, file.form) as handle:
            return row_groups(handle)
    except UNREADABLE as error:
        raise _unread(file.path, error) from error


def _unread(path: str, error: Exception) -> UserError:
    cause = str(error).partition("\n")[0]
    return UserError(f"{path} can't be read to its end ({cause}): is it whole, and readable for this user?")


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
        if len(rest) > LONGEST_RECORD and (split.end is None or position < split.end):
            yield RawBatch([rest[:KEPT_BYTES]], split.path, np.array([position]))
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
    while piece := handle.readline(KEPT_BYTES):  # a line may be longer than memory
        at += len(piece)
        if piece.endswith(b"\n"):
            break
    return at


def read_values(handle: Any, split: LogSplit, batch_bytes: int) -> Iterator[RawBatch]:
    """Yields the JSON values of a file that holds other than lines, from where the handle stands."""
    cutter, ends = ValueCutter(split.start), False
    while not ends:
        piece = bytes(handle.read(batch_bytes))
        ends = not piece
        if values := cutter.values(piece, ends=ends):
            yield RawBatch([value.text for value in values], split.path, np.array([value.start for value in values]))


def first_value(handle: Any, start: int) -> Value | None:
    """The JSON value that begins where the handle stands, or behind it; as far as it's there."""
    cutter, ends, values = ValueCutter(start), False, list[Value]()
    while not ends and not values:
        piece = bytes(handle.read(_SKIPPED_BYTES))
        ends = not piece
        values = cutter.values(piece, ends=ends)
    return values[0] if values else None


@dataclass(eq=False)
class ReadClickLogs(beam.PTransform):
    """Reads records as batches of raw bytes: lines, JSON side by side or in arrays, rows of Parquet, Avro, CSV or TSV as JSON.

    Texts may be packed, and UTF-8, UTF-16 or UTF-32.

    Out: a bounded PCollection of `RawBatch`; `source` is the file's path, `positions` are byte offsets (in the unpacked text, as UTF-8), of
    Parquet and Avro the rows' numbers. Large plain files of lines, and Parquet files of several row groups, are shared by several workers.

    Attributes:
        pattern: Path or glob.
        container: `csv` or `tsv`: tables with a header; `lines`: none; `auto`: tables if they're called so.
        logs: What to read instead of all that it names.
        batch_bytes: Size of a batch; 3 MiB are about 10,000 clicks.
        split_bytes: The largest stretch of a plain file of lines that one worker reads at a time.

    Raises:
        UserError: While the graph is built: nothing to read there.
    """

    pattern: str = ""
    logs: Sequence[LogFile] | None = None
    batch_bytes: int = 3 << 20
    split_bytes: int = 32 << 20
    container: str = "auto"

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        splits = [split for file in self._logs() for split in split_log(file, self.split_bytes)]
        return (
            root
            | "Splits" >> beam.Create(splits, reshuffle=False)
            | "ShareOut" >> beam.Reshuffle()
            | "Lines" >> beam.ParDo(_ReadSplit(self.batch_bytes)).with_output_types(RawBatch)
        )

    def _logs(self) -> Sequence[LogFile]:
        return match_logs(self.pattern, self.container) if self.logs is None else self.logs


def read_logs(logs: Sequence[LogFile], batch_bytes: int = 3 << 20) -> Iterator[RawBatch]:
    """The same without a pipeline, one batch after the other: for a look at the first records.

    Raises:
        UserError: A log can't be read to its end.
    """
    read = _ReadSplit(batch_bytes)
    for file in logs:
        for split in split_log(file, 32 << 20):
            yield from read.process(split)


class _ReadSplit(beam.DoFn):
    def __init__(self, batch_bytes: int) -> None:
        self._batch_bytes = batch_bytes

    def process(self, split: LogSplit) -> Iterator[RawBatch]:
        try:
            with self._opened(split) as handle:
                yield from self._read(handle, split)
        except UNREADABLE as error:
            raise _unread(split.path, error) from error

    def _read(self, handle: Any, split: LogSplit) -> Iterator[RawBatch]:
        form = split.form
        if form.container == "parquet":
            return read_parquet(handle, split.path, range(split.start, split.end or 0))
        if form.container == "avro":
            return read_avro(handle, split.path, self._batch_bytes)
        if form.container:
            lines = read_split(handle, split, self._batch_bytes)
            return read_table(lines, form.separator, form.names, headed=not split.start)
        return (read_split if form.in_lines else read_values)(handle, split, self._batch_bytes)

    def _opened(self, split: LogSplit) -> AbstractContextManager[Any]:
        if split.end or not split.start or split.form.is_binary:
            return open_text(split.path, split.form)
        return open_behind(split.path, split.start, split.form)
