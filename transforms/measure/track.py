"""Visits in Beam: clicks wait until the watermark has passed them, so that they are looked at in order, a user's shard at a time."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.coders import BytesCoder, TupleCoder, VarIntCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from clickstream.transforms.arrow import pack, unpack
from clickstream.transforms.measure.history import recent, settle
from clickstream.transforms.measure.visits import VISIT_SCHEMA, VisitRules, millis_of, visit_columns
from clickstream.transforms.shards import checksums

_REPEATING = ("url", "country")
_MOST = 0.9  # of a batch's clicks are looked at together; a clock far ahead mustn't delay the others
_STEP_MS = 2_000
_AHEAD_MS = 10  # a timer's hold on the watermark must lie before the last instant of a window that ends there
_ROWS_TOGETHER, _MOST_UNMERGED = 50_000, 100_000
_END_MS = GlobalWindow().max_timestamp().micros // 1000
_NEVER_MS = _END_MS + 1
_WAITING_CODER = TupleCoder([VarIntCoder(), VarIntCoder(), BytesCoder()])
_FLUSH = TimerSpec("flush", TimeDomain.WATERMARK)
_FLUSH_TIMER = beam.DoFn.TimerParam(_FLUSH)
_PENDING = beam.DoFn.StateParam(BagStateSpec("pending", _WAITING_CODER))
_HISTORY = beam.DoFn.StateParam(BagStateSpec("history", BytesCoder()))
_LATEST = beam.DoFn.StateParam(ReadModifyWriteStateSpec("latest", BytesCoder()))
# Next flush and until when all is done, ms; rows of the history, and how many there were when it was last cleaned up.
_PLACE = beam.DoFn.StateParam(ReadModifyWriteStateSpec("place", TupleCoder([VarIntCoder()] * 4)))


class Waiting(NamedTuple):
    """Clicks that wait for the watermark: the time of the first, that up to which most of them lie, and the packed table (VISIT_SCHEMA)."""

    first_ms: int
    most_ms: int
    packed: bytes

    @classmethod
    def of(cls, visits: pa.Table) -> "Waiting":
        """Packs a table."""
        millis = np.sort(millis_of(visits))
        return cls(int(millis[0]), int(millis[int(_MOST * (len(millis) - 1))]), pack(visits, repeating=_REPEATING))


class ByUser(beam.DoFn):
    """Tables of clicks to `(shard, Waiting)`: all of a user's clicks go to the same shard. On bounded input, several tables together."""

    def __init__(self, shards: int, *, counted: bool, bounded: bool) -> None:
        self._shards, self._counted, self._rows_together = shards, counted, _ROWS_TOGETHER if bounded else 1

    def start_bundle(self) -> None:
        self._tables: list[pa.Table] = []
        self._rows = 0

    def process(
        self, clicks: pa.Table, timestamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[tuple[int, tuple[int, int, bytes]]]:
        self._timestamp = timestamp
        self._tables.append(visit_columns(clicks, counted=self._counted))
        self._rows += clicks.num_rows
        if self._rows >= self._rows_together:
            yield from self._divided()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for divided in self._divided():
            yield WindowedValue(divided, self._timestamp, [GlobalWindow()])

    def _divided(self) -> Iterator[tuple[int, tuple[int, int, bytes]]]:
        tables = self._tables
        self.start_bundle()
        if tables:
            visits = pa.concat_tables(tables).combine_chunks()
            shard = checksums(visits["user_id"]) % self._shards if self._shards > 1 else np.zeros(len(visits), np.int64)
            for number in np.unique(shard).tolist():
                yield number, Waiting.of(visits.filter(pa.array(shard == number)))


class TrackVisits(beam.DoFn):
    """`(shard, Waiting)` to what is to be counted, as of `visits.changes`: stateful, by shard, in the global window.

    A click is looked at once the watermark has passed it, and holds it back until then. Clicks as late as `lateness_seconds` are put where they
    belong.
    """

    def __init__(self, rules: VisitRules, *, window_seconds: int, lateness_seconds: int, bounded: bool) -> None:
        self._rules, self._window_ms, self._bounded = rules, window_seconds * 1000, bounded
        # A click may lie a window's length before what is too late; twice that, because the watermark moves on while it travels.
        self._memory_ms = (lateness_seconds + 2 * window_seconds) * 1000

    def process(
        self,
        shard: tuple[int, tuple[int, int, bytes]],
        pending: Any = _PENDING,
        place: Any = _PLACE,
        flush: Any = _FLUSH_TIMER,
    ) -> None:
        waiting = Waiting(*shard[1])
        pending.add(waiting)
        next_flush, *rest = place.read() or (_NEVER_MS, 0, 0, 0)
        wanted = self._flush_at(waiting)
        if wanted < next_flush:
            place.write((wanted, *rest))
            flush.set(_timer_at(wanted))

    def _flush_at(self, waiting: Waiting) -> int:
        """When to look at these clicks: not behind the end of the window that the first is in, or its row would come short at first.

        Until then not for each batch: whatever waits is read and written again each time.
        """
        if self._bounded:
            return _END_MS
        return min(
            (waiting.most_ms // _STEP_MS + 1) * _STEP_MS, (waiting.first_ms // self._window_ms + 1) * self._window_ms
        )

    @on_timer(_FLUSH)  # type: ignore[untyped-decorator]
    def flush(
        self,
        pending: Any = _PENDING,
        latest: Any = _LATEST,
        history: Any = _HISTORY,
        place: Any = _PLACE,
        flush: Any = _FLUSH_TIMER,
    ) -> Iterator[pa.Table]:
        wanted, done_until, *sizes = place.read()
        until = max(wanted, done_until)
        ready, waiting = _divide(list(pending.read()), until)
        pending.clear()
        for item in waiting:
            pending.add(item)
        next_flush = min(map(self._flush_at, waiting), default=_NEVER_MS)
        if waiting:
            flush.set(_timer_at(next_flush))
        settled = settle(
            ready,
            _table([latest.read()] if latest.read() else []),
            lambda: _table(history.read()),
            done_until_ms=done_until,
            until_ms=until,
            rules=self._rules,
        )
        latest.write(pack(settled.latest, repeating=_REPEATING))
        if not self._bounded:
            sizes = self._remember(settled.processed, history, until, *sizes)
        place.write((next_flush, until, *sizes))
        if settled.rows.num_rows:
            yield settled.rows

    def _remember(self, processed: pa.Table, history: Any, until: int, rows: int, merged_rows: int) -> tuple[int, int]:
        """Adds to the history; once it has doubled, forgets what no late click can meet."""
        history.add(pack(processed, repeating=_REPEATING))
        rows += processed.num_rows
        if rows <= merged_rows + max(merged_rows, _MOST_UNMERGED):
            return rows, merged_rows
        kept = recent(_table(history.read()), since_ms=until - self._memory_ms, rules=self._rules)
        history.clear()
        history.add(pack(kept, repeating=_REPEATING))
        return kept.num_rows, kept.num_rows


def _divide(items: list[Waiting], until_ms: int) -> tuple[pa.Table, list[Waiting]]:
    """The clicks before a time, and those that wait on."""
    ready, waiting = [VISIT_SCHEMA.empty_table()], []
    for item in items:
        if item[0] >= until_ms:
            waiting.append(Waiting(*item))
            continue
        visits = unpack(item[2])
        now = millis_of(visits) < until_ms
        ready.append(visits.filter(pa.array(now)))
        if not now.all():
            waiting.append(Waiting.of(visits.filter(pa.array(~now))))
    return pa.concat_tables(ready).combine_chunks(), waiting


def _table(packed: Iterable[bytes]) -> pa.Table:
    return pa.concat_tables([VISIT_SCHEMA.empty_table(), *map(unpack, packed)]).combine_chunks()


def _timer_at(millis: int) -> Timestamp:
    return Timestamp(micros=(millis if millis == _END_MS else millis - _AHEAD_MS) * 1000)
