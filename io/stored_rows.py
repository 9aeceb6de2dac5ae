"""Which result rows a sink has stored already: a pane repeats its whole window, and most of it is as it was."""

import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

MOST_ROWS = 4_000_000  # 8 bytes each
_MOST_WINDOWS = 100_000


class StoredRows:
    """Rows that one worker's sink has stored, by a hash of 64 bits over all fields.

    It only ever saves a write: what it has forgotten, or another worker has stored, is written again, and replaces its equal.

    Args:
        most_rows: How many are remembered; the windows stored longest ago are forgotten first.
    """

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows, self._rows = most_rows, 0
        self._hashes: dict[int, npt.NDArray[np.uint64]] = {}  # by window start

    def others(self, table: pa.Table) -> pa.Table:
        """The rows of a table (PAGE_METRICS_SCHEMA, of one window) that aren't known to be stored, equal in every field."""
        known = self._hashes.get(_window(table)) if table.num_rows else None
        return table if known is None else table.filter(pa.array(~np.isin(_hashes(table), known)))

    def add(self, table: pa.Table) -> None:
        """Takes note of a table's rows. Call it when they are stored, not before: a bundle that fails is sent again."""
        if table.num_rows == 0:
            return
        window = _window(table)
        known = self._hashes.pop(window, np.empty(0, np.uint64))
        self._hashes[window] = np.union1d(known, _hashes(table))
        self._rows += len(self._hashes[window]) - len(known)
        while self._rows > self._most_rows:
            self._rows -= len(self._hashes.pop(next(iter(self._hashes))))


class StoredWindows:
    """Windows of which a sink has stored rows. One for all threads of a process (`apache_beam.utils.shared`), so that each counts once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: dict[int, None] = {}

    def count_new(self, tables: Iterable[pa.Table]) -> int:
        """Takes note of the windows of stored tables, one each. Returns how many of them are new."""
        starts = {_window(table) for table in tables if table.num_rows}
        with self._lock:
            new = starts - self._starts.keys()
            self._starts.update(dict.fromkeys(sorted(new)))
            while len(self._starts) > _MOST_WINDOWS:
                del self._starts[next(iter(self._starts))]
        return len(new)


def _window(table: pa.Table) -> int:
    return int(table["window_start"][0].value)


def _hashes(table: pa.Table) -> npt.NDArray[np.uint64]:
    return pl.DataFrame(pl.from_arrow(table)).hash_rows(seed=17).to_numpy()
