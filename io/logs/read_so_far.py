"""Which of the given logs were read before, and how far: a log is known by its content, whatever its name is by now."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from clickstream.io.errors import UserError
from clickstream.io.logs.form import UNREADABLE, LogForm, form_of, read_exactly
from clickstream.io.logs.read import LogFile, first_value, open_behind
from clickstream.transforms.schema import RawBatch

_HEAD_BYTES, _END_BYTES = 4096, 1 << 20


class LastLine(NamedTuple):
    """The last line that was read of a log: where it starts and how long it is, in bytes of the unpacked text, and its hash."""

    path: str
    start: int
    length: int
    digest: bytes

    @property
    def end(self) -> int:
        """Where it ends, its line end not counted."""
        return self.start + self.length


class KnownLog(NamedTuple):
    """A log that was read.

    Attributes:
        path, size: Its name and its stored size, when it was read last.
        head_length, head: How much of its beginning is compared, and the hash of that.
        last: The last line of what was read.
        number: Its number in the store; None: it is new.
    """

    path: str
    size: int
    head_length: int
    head: bytes
    last: LastLine
    number: int | None = None


class Unread(NamedTuple):
    """What there is to read.

    Attributes:
        files: The logs that have something new, and from where.
        heads: The beginnings of them, by path.
        numbers: Which known logs they are, by path.
        unchanged: How many hold nothing new.
        wholes: Of containers, which are read once and whole, their last MiB, by path.
        halves: Lines that were half written when they were read, and are read again: the log's path then, where they start, what was there.
    """

    files: list[LogFile]
    heads: dict[str, bytes]
    numbers: dict[str, int | None]
    unchanged: int
    halves: list[tuple[str, int, bytes]]
    wholes: dict[str, LastLine]

    def read_to(self, last_lines: Sequence[LastLine]) -> list[KnownLog]:
        """What is known of these logs once the lines up to the last ones of them are read."""
        last = {line.path: line for line in sorted(last_lines, key=lambda line: line.start)}
        known = []
        for file in self.files:
            if line := last.get(file.path) or self.wholes.get(file.path):
                head = self.heads[file.path][: line.end]
                fields = (file.path, file.size, len(head), _digest(head), line)
                known.append(KnownLog(*fields, self.numbers.get(file.path)))
        return known


def unread_of(files: Sequence[LogFile], known: Sequence[KnownLog]) -> Unread:
    """Compares logs with those that were read before.

    A log that begins with all that was read of a known one is that one, grown or renamed, unless the known one still stands under its own
    name: then there are two of the same content. What lies behind is new; another log is new from its beginning.
    """
    found = Unread([], {}, {}, 0, [], {})
    free = {log.number: log for log in known}
    unchanged = 0
    for file, own_name in _own_names_first(files, known):
        head = _head(file)
        alike = [log for log in free.values() if _digest(head[: log.head_length]) == log.head]
        start: int | None = 0
        match = _match(file, alike, own_name=own_name)
        if match is not None:
            log, start = match
            del free[log.number]
            found.numbers[file.path] = log.number
            if start == log.last.start:
                found.halves.append((log.path, start, _line(file, log.last)))
        if start is None or (start >= file.size and file.form.is_as_stored):
            unchanged += 1
            continue
        found.files.append(file._replace(start=start))
        found.heads[file.path] = head
        if file.form.is_binary:
            found.wholes[file.path] = _end_of(file)
    return found._replace(unchanged=unchanged)


def _head(file: LogFile) -> bytes:
    try:
        return _read(file.path, file.form, _HEAD_BYTES)
    except UNREADABLE:  # the job itself says so, when it reads the file
        return b""


def _end_of(file: LogFile) -> LastLine:
    start = max(0, file.size - _END_BYTES)
    length = file.size - start
    # Where it can't be read, the job says so.
    with suppress(*UNREADABLE), open_behind(file.path, start, file.form) as handle:
        return LastLine(file.path, start, length, _digest(read_exactly(handle, length)))
    return LastLine(file.path, start, length, b"")


def _own_names_first(files: Sequence[LogFile], known: Sequence[KnownLog]) -> Iterator[tuple[LogFile, bool]]:
    names = {log.path for log in known}
    for own_name in (True, False):
        yield from ((file, own_name) for file in files if (file.path in names) == own_name)


def _match(file: LogFile, alike: Sequence[KnownLog], *, own_name: bool) -> tuple[KnownLog, int | None] | None:
    """The known log that a file is, and where its new lines begin (None: there are none)."""
    for log in sorted(alike, key=lambda log: (log.path == file.path, log.last.end), reverse=True):
        if log.path == file.path and log.size == file.size:
            return log, None
        if log.path != file.path and _stands(log):
            continue
        start = _new_from(file.path, file.form, log.last)
        if start is not None:
            return log, start if start >= 0 else None
    return None


def _stands(log: KnownLog) -> bool:
    """Whether the known log is there under its own name."""
    with suppress(Exception):  # gone, or not to be read: whatever a file system says then
        form = form_of(log.path)
        is_alike = _digest(_read(log.path, form, log.head_length)) == log.head
        return is_alike and _new_from(log.path, form, log.last) is not None
    return False


def _new_from(path: str, form: LogForm, last: LastLine) -> int | None:
    """Where the lines behind a last line begin; -1: there are none; None: the line isn't there.

    A line that had no end then, and goes on now, is new from its beginning. The same of values that have no lines.
    """
    with open_behind(path, last.start, form) as handle:
        if _digest(read_exactly(handle, last.length)) != last.digest:
            return None
        if form.is_binary:
            return _nothing_behind(path, handle)
        if not (form.in_lines or form.container):
            return _value_from(path, form, last)
        more = handle.readline()
        if not more:
            return -1
        if more.strip():
            return last.start
        behind = last.end + len(more)
        return behind if read_exactly(handle, 1) else -1


def _nothing_behind(path: str, handle: Any) -> int:
    if not handle.read(1):
        return -1
    message = (
        f"{path} was read before, and has grown since: an Avro or Parquet file is read once, as a whole. "
        "Write new rows to a file of their own."
    )
    raise UserError(message)


def _value_from(path: str, form: LogForm, last: LastLine) -> int:
    with open_behind(path, last.start, form) as handle:
        value = first_value(handle, last.start)
    if value is None or value.start > last.start or len(value.text) > last.length:
        return last.start
    with open_behind(path, last.end, form) as handle:
        return last.end if first_value(handle, last.end) else -1


def _line(file: LogFile, last: LastLine) -> bytes:
    with open_behind(file.path, last.start, file.form) as handle:
        return read_exactly(handle, last.length)


def _read(path: str, form: LogForm, count: int) -> bytes:
    with open_behind(path, 0, form) as handle:
        return read_exactly(handle, count)


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()


class NoteLastLines(beam.DoFn):
    """Passes on raw batches, and gives at a bundle's end, as `last_lines`, the last line of each log in it."""

    def start_bundle(self) -> None:
        self._last: dict[str, tuple[int, bytes]] = {}

    def process(self, batch: RawBatch) -> Iterator[RawBatch]:
        line = bytes(batch.values[-1]) if batch.last_stored is None else batch.last_stored
        position = int(batch.positions[-1])
        if line and position >= self._last.get(batch.source, (0, b""))[0]:
            self._last[batch.source] = position, line
        yield batch

    def finish_bundle(self) -> Iterator[Any]:
        for path, (start, line) in self._last.items():
            last = LastLine(path, start, len(line), _digest(line))
            yield beam.pvalue.TaggedOutput("last_lines", WindowedValue(last, MIN_TIMESTAMP, (GlobalWindow(),)))
