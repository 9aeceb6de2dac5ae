"""Sample clicks of a made-up site, the same for the same seed: as records or as a log file.

Visitors come by a daily curve and stay for a session: several pages in a row, each for a while. A few pages get most
of the clicks (Zipf). Some URLs carry tracking parameters or an upper-case host, and some records are broken, each in
one of BROKEN_KINDS.
"""

import contextlib
import gzip
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from os import getpid
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import zstandard

from clickstream.io.errors import UserError
from clickstream.io.sample.options import SampleOptions
from clickstream.io.sample.texts import Texts
from clickstream.io.sample.visits import ROW, Rows, Visits, daily_curve

Progress: TypeAlias = Callable[[int, int], None]
Stop: TypeAlias = Callable[[], bool]

BATCH = 10_000
_TICK_SECONDS = 0.05
_OTHER_PACKERS = (".bz2", ".xz", ".lzma", ".deflate", ".zip", ".lz4", ".7z")


def never() -> bool:
    """A Stop that doesn't."""
    return False


def sample_records(options: SampleOptions) -> Iterator[list[bytes]]:
    """Yields the sample in order of arrival, 10,000 JSON records a batch, none with a newline inside.

    Event times are nearly in order: see `disorder_seconds` and `late_share`.
    """
    texts = Texts(options, first_key=options.seed << 40)
    for rows in _batches(Visits(options, daily_curve(options)).rows()):
        yield texts.records(rows)


def live_records(options: SampleOptions, rate: float, stop: Stop = never) -> Iterator[list[bytes]]:
    """Yields records stamped with the present time, `rate` a second, until `events` are out or `stop` returns True.

    A batch comes every 50 ms, or as soon as the reader asks if it fell behind. `start` and `duration_seconds` play no
    part; late records carry an older time. Row keys differ from run to run.
    """
    visits = Visits(options, lambda shares: shares * (options.events / rate))
    texts = Texts(options, first_key=time.time_ns())
    began, sent = time.monotonic(), 0
    for rows in visits.rows():
        done = 0
        while done < len(rows):
            if stop():
                return
            due = int((time.monotonic() - began) * rate) + 1 - sent
            if due <= 0:
                time.sleep(_TICK_SECONDS)
                continue
            taken = rows[done : done + min(due, BATCH)]
            taken["time"] += _stamps(len(taken), rate) - taken["arrival"]
            yield texts.records(taken)
            done, sent = done + len(taken), sent + len(taken)


def write_log(path: str | Path, options: SampleOptions, progress: Progress | None = None) -> int:
    """Writes the sample as newline-delimited JSON, packed if the name ends in .gz or .zst.

    The same options give the same bytes. The file appears under its name when it is whole: an interrupted run leaves
    none, and an earlier one as it was.

    Args:
        path: The file; its folder must be there.
        options: What it holds.
        progress: Called after each batch with the records and bytes (unpacked) so far.

    Returns:
        The number of records.

    Raises:
        UserError: The file can't be written there.
    """
    target = _checked_target(Path(path))
    unfinished = target.with_name(f".{target.name}.{getpid()}.part")
    meter = Meter(progress)
    try:
        with _packed(unfinished, target.suffix.lower()) as file:
            for batch in sample_records(options):
                file.write(b"\n".join(batch) + b"\n")
                meter.count(batch, line_ends=True)
        unfinished.replace(target)
    except OSError as error:
        message = f"{path} can't be written ({error.strerror or error}): check permissions and the space left."
        raise UserError(message) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return meter.records


@dataclass
class Meter:
    """Counts records and bytes, and tells."""

    progress: Progress | None
    records: int = field(default=0, init=False)
    size: int = field(default=0, init=False)

    def count(self, batch: list[bytes], *, line_ends: bool = False) -> None:
        """Adds a batch, with a byte for each line's end if asked."""
        self.records += len(batch)
        self.size += sum(map(len, batch)) + len(batch) * line_ends
        if self.progress:
            self.progress(self.records, self.size)


def _batches(chunks: Iterable[Rows]) -> Iterator[Rows]:
    rest = np.empty(0, ROW)
    for chunk in chunks:
        rows = np.concatenate([rest, chunk])
        whole = len(rows) - len(rows) % BATCH
        yield from np.split(rows[:whole], range(BATCH, whole, BATCH)) if whole else ()
        rest = rows[whole:]
    if len(rest):
        yield rest


def _stamps(count: int, rate: float) -> Rows:
    """Arrival times of records that fell due just now, ms since the epoch."""
    ages = np.minimum(np.arange(count)[::-1] * 1000 / rate, _TICK_SECONDS * 1000)
    return (time.time() * 1000 - ages).astype(np.int64)


def _checked_target(path: Path) -> Path:
    """The file itself, behind links.

    Raises:
        UserError: It can't be a sample's file.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        message = f"{path} is a folder or a device: name a file, such as clicks.ndjson."
    elif not target.parent.is_dir():
        message = f"{path} can't be written: there is no folder {target.parent}; create it first."
    elif target.suffix.lower() in _OTHER_PACKERS:
        message = f"{path} can't be written: samples are packed as .gz or .zst, or not at all (.ndjson)."
    else:
        return target
    raise UserError(message)


@contextlib.contextmanager
def _packed(path: Path, kind: str) -> Iterator[BinaryIO]:
    """A new file to write to, which packs as `kind` (.gz, .zst, other: not) says."""
    with path.open("xb") as file:
        if kind == ".gz":
            # Name and time stay out of the header, so that the same sample gives the same file.
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packer:
                yield packer  # type: ignore[misc]
        elif kind == ".zst":
            with zstandard.ZstdCompressor(level=1).stream_writer(file, closefd=False) as packer:
                yield packer
        else:
            yield file
