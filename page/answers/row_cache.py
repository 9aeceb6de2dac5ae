"""The rows behind a view, kept from one look to the next: only hours that have changed are read again."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import groupby

import polars as pl
import pyarrow as pa

from clickstream.io.results import RowFilter, Store
from clickstream.transforms.answer import GROUPED_COLUMNS, Stretch, read_sketches

MOST_ROWS = 1_500_000  # in memory; some 150 bytes each where rows have five users
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_Key = tuple[str | None, str | None, str, int, int]


class RowCache:
    """Rows of a store's tables, read once for as long as their sums stay as they are. Threads take turns.

    Args:
        stores: The table of the windows by a blank name, and those of the roll-ups.
    """

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = stores
        self._known: dict[_Key, tuple[Stretch, pl.DataFrame]] = {}
        self._lock = threading.Lock()

    def rows(self, wanted: RowFilter, stretches: Sequence[Stretch]) -> pl.DataFrame:
        """The rows of these stretches, of the page and country that are wanted.

        Raises:
            UserError: The store can't be read.
        """
        with self._lock:
            missing = [each for each in stretches if self._kept(wanted, each) is None]
            if sum(frame.height for _, frame in self._known.values()) + sum(each.rows for each in missing) > MOST_ROWS:
                self._known = {key: kept for key, kept in self._known.items() if kept[0] in stretches}
            for _, run in groupby(missing, key=lambda each: each.table):
                self._read(wanted, list(run))
            frames = [self._known[_key(wanted, each)][1] for each in stretches]
        return pl.concat([_EMPTY, *frames])

    def _kept(self, wanted: RowFilter, stretch: Stretch) -> pl.DataFrame | None:
        kept, frame = self._known.get(_key(wanted, stretch), (None, None))
        return frame if kept == stretch else None

    def _read(self, wanted: RowFilter, stretches: Sequence[Stretch]) -> None:
        """Reads stretches of one table at once, and takes them apart: those between them, unasked, go."""
        first, last = stretches[0], stretches[-1]
        span = wanted._replace(start=_utc(first.start), end=_utc(last.end))
        tables = self._stores[first.table].rows(span, GROUPED_COLUMNS)
        whole = pl.concat([_EMPTY, *map(read_sketches, tables)]).sort("window_start", maintain_order=True)
        starts = whole["window_start"].dt.epoch("ms")
        for each in stretches:
            begin, end = starts.search_sorted(each.start), starts.search_sorted(each.end)
            self._known[_key(wanted, each)] = (each, whole[begin:end])


def _key(wanted: RowFilter, stretch: Stretch) -> _Key:
    return (wanted.url, wanted.country, stretch.table, stretch.start, stretch.end)


def _utc(millis: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=millis)


def _nothing() -> pl.DataFrame:
    from clickstream.transforms.schema import PAGE_METRICS_SCHEMA

    return read_sketches(pa.schema([PAGE_METRICS_SCHEMA.field(name) for name in GROUPED_COLUMNS]).empty_table())


_EMPTY = _nothing()
