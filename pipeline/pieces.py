"""Runs over pieces of a log that come to what one run over all would: windows that earlier clicks have a part in are computed from all of them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.dead_letter_key import dead_letter_key
from clickstream.io.logs import KnownLog, LogFile, Unread, unread_of
from clickstream.io.raw import BUCKET_MS, LeaseTakenError, RawStore, RawStoreConnection
from clickstream.io.raw.files import FileRawStore, FileRawStoreConnection, NotePiece, Piece, read_piece
from clickstream.io.sql import SqlConnection, delete_dead_letters
from clickstream.pipeline.raw_store import opened, raw_store_of, set_up_raw_store
from clickstream.pipeline.restating import Restating, leased, stretches
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.sinks import Sinks
from clickstream.transforms.restate import OnlyWhole, WindowChange, reached

_PATIENCE_SECONDS, _POLL_SECONDS = 300.0, 0.5
_LONGEST_PERIOD_MS = 26 * 3_600_000  # of a day, whose clocks may be put back


@dataclass
class Pieces:
    """What one run adds to earlier ones.

    Attributes:
        options, settings, sinks: Of the run.
        connection: The store of clicks; None: there is none, and each run stands alone.
        unread: What there is to read; None: all that is named.
        earlier: Buckets that held clicks before the run, and their marks.
        unfinished: Those of them that a run which died left unpublished.
    """

    options: PipelineOptions
    settings: Settings
    sinks: Sinks
    connection: RawStoreConnection | None = None
    unread: Unread | None = None
    earlier: Mapping[int, bytes] | None = None
    unfinished: frozenset[int] = frozenset()

    @property
    def is_first(self) -> bool:
        """Whether the run's own clicks are all there are."""
        return not self.earlier

    @property
    def files(self) -> FileRawStoreConnection | None:
        """The store, if it is one in files."""
        return self.connection if isinstance(self.connection, FileRawStoreConnection) else None

    def only_whole(self) -> OnlyWhole | None:
        """Keeps rows back that need earlier clicks too."""
        return OnlyWhole(list(self.earlier), BUCKET_MS, self.settings.around_ms) if self.earlier else None

    def note_piece(self, folder: Path) -> NotePiece | None:
        """Tells what was kept and read, in a temporary folder."""
        return NotePiece(str(folder / "piece")) if self.files else None

    def complete(self, folder: Path) -> list[WindowChange]:
        """Takes in the piece, computes from all clicks what it shares with earlier ones, and returns what that changed."""
        if self.connection is None:
            return []
        with opened(self.connection) as store:
            if isinstance(store, FileRawStore):
                store.add(*self._piece(folder))
                self._drop_halves()
            now = {bucket.start_ms: bucket.changed for bucket in store.buckets()}
            touched = [start for start, mark in now.items() if mark != (self.earlier or {}).get(start)]
            shared = [*self._shared(touched), *self.unfinished]
            changes = self._restate(shared)
            if self.files:
                store.mark_reprocessed({start: now[start] for start in {*touched, *self.unfinished}})
        return changes

    def _piece(self, folder: Path) -> tuple[Piece, list[KnownLog]]:
        if self.unread is None or not self.unread.files:
            return Piece(), []
        piece = read_piece(folder / "piece")
        return piece, self.unread.read_to(piece.last_lines)

    def _drop_halves(self) -> None:
        """Lines that were rejected because only half of them was written are no dead letters any more."""
        if self.unread and self.unread.halves and isinstance(self.sinks.dead_letters, SqlConnection):
            keys = [dead_letter_key(*half) for half in self.unread.halves]
            delete_dead_letters(self.sinks.dead_letters, keys)

    def _shared(self, touched: Sequence[int]) -> list[int]:
        """Those of the run's buckets in whose reach there are earlier clicks: at least those whose rows `only_whole` keeps back."""
        longest = self.settings.window_seconds * 1000
        longest = max(longest, _LONGEST_PERIOD_MS if self.settings.rollups else 0)
        reach, starts = self.settings.around_ms + longest, np.array(touched, np.int64)
        near = reached(
            np.array(sorted(self.earlier or ()), np.int64), BUCKET_MS, starts - reach, starts + BUCKET_MS + reach
        )
        return list(np.array(touched, np.int64)[near].tolist())

    def _restate(self, buckets: Sequence[int]) -> list[WindowChange]:
        if not buckets or self.connection is None:
            return []
        work = Restating(self.options, self.settings, self.connection, self.sinks, write=True)
        # Of a store in files the lease is held all along.
        with nullcontext() if self.files else _waited_for(work):
            covered = stretches(buckets, self.settings.around_ms)
            return [change for stretch in covered for change in work.run(*stretch)]


@contextmanager
def pieces_of(options: PipelineOptions, settings: Settings, sinks: Sinks, files: Sequence[LogFile]) -> Iterator[Pieces]:
    """What the run adds, from what is kept of earlier ones; while the block lasts, no other run adds to the same files.

    Raises:
        UserError: Another run does.
    """
    connection = raw_store_of(options)
    if connection is None:
        yield Pieces(options, settings, sinks)
        return
    set_up_raw_store(connection)
    with opened(connection) as store:
        if isinstance(store, FileRawStore):
            with store.lease():
                store.sweep()
                unread = unread_of(files, store.known_logs())
                yield _added(Pieces(options, settings, sinks, connection, unread), store)
        else:
            yield _added(Pieces(options, settings, sinks, connection), store)


@contextmanager
def _waited_for(work: Restating) -> Iterator[None]:
    """The lease, once a periodic job that holds it has done its turn."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(leased(work))
                break
            except LeaseTakenError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)
        yield


def _added(pieces: Pieces, store: RawStore) -> Pieces:
    """With what the store held before."""
    buckets = store.buckets()
    # Of another store, which a live job may fill too, all buckets may be new.
    unfinished = frozenset(bucket.start_ms for bucket in buckets if bucket.is_new) if pieces.unread else frozenset()
    return replace(pieces, earlier={b.start_ms: b.changed for b in buckets}, unfinished=unfinished)
