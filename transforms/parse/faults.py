"""The last line of defence: of a batch that makes the program raise, the one record at fault is found by halving, and the others count."""

import logging
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias, TypeVar

from clickstream.transforms.schema import RawBatch, Span

Result = TypeVar("Result")
Work: TypeAlias = Callable[[RawBatch], Result]

FAULT = "internal_error"
_PLAIN = b'{"user_id":"u","timestamp":0,"url":"http://a.example/","country":"C"}'
_plain = RawBatch([_PLAIN], "a plain click", range(1))
_log = logging.getLogger(__name__)


def narrowed(
    batch: RawBatch, error: Exception, work: Work[Result], refuse: Callable[[RawBatch, str], Result]
) -> list[Result]:
    """The results of `work` over parts of the batch, in order; where it raises for a single record, that of `refuse`, and a line in the log.

    Args:
        batch: Records, for which `work` raised.
        error: What it raised.
        work: What is done with a batch, or a part of it.
        refuse: What is done with a batch of one record, with a detail that names where the program failed, and no value.

    Raises:
        Exception: The error, if there is one for a plain click too, or no memory: the fault is not a record's.
    """
    if isinstance(error, MemoryError) or not batch.values:
        raise error
    if len(batch.values) == 1:
        _check_by_plain(error, work)
        detail = _detail(error)
        _tell(detail)
        return [refuse(batch, detail)]
    return [result for half in _halves(batch) for result in _results(half, work, refuse)]


def _results(batch: RawBatch, work: Work[Result], refuse: Callable[[RawBatch, str], Result]) -> list[Result]:
    try:
        return [work(batch)]
    except Exception as error:
        return narrowed(batch, error, work, refuse)


def _check_by_plain(error: Exception, work: Work[Result]) -> None:
    try:
        work(_plain)
    except Exception:
        raise error from None


def _halves(batch: RawBatch) -> tuple[RawBatch, RawBatch]:
    middle = len(batch.values) // 2
    span = batch.span
    spans: tuple[Span | None, Span | None] = (None, None)
    if span is not None:
        cut = int(batch.positions[middle])
        spans = span._replace(end=cut), span._replace(start=cut)
    return _part(batch, slice(middle), spans[0]), _part(batch, slice(middle, None), spans[1])


def _part(batch: RawBatch, rows: slice, span: Span | None) -> RawBatch:
    stamps = batch.record_timestamps
    first, behind, _ = rows.indices(len(batch.values))
    return batch._replace(
        undecoded=tuple((n - first, reason, why) for n, reason, why in batch.undecoded if first <= n < behind),
        values=batch.values[rows],
        positions=batch.positions[rows],
        record_timestamps=None if stamps is None else stamps[rows],
        span=span,
    )


def _detail(error: Exception) -> str:
    """What was raised and where. An error's own text may hold a value."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name} ({Path(last.filename).name}, line {last.lineno})"


@lru_cache(maxsize=1024)
def _tell(detail: str) -> None:
    """Once a process and place: others like it are only counted."""
    _log.error(
        "A record that made the program fail is a dead letter with the reason %s: %s. The others count. Please report it, "
        "and send the record again (replay-dead-letters) when it's mended.",
        FAULT,
        detail,
    )
