"""Which rows answer for a range with the least to read: days and hours where they are there and say the same as the windows."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from clickstream.transforms.arrays import Floats, Int64s

_HOUR_MS, _SECOND_MS = 3_600_000, 1_000
_EXACT = ("clicks", "timed_clicks", "sessions", "bounces")


class Stretch(NamedTuple):
    """Rows of a table that start in [start, end): of the windows (a blank name) or of a roll-up. `state` changes when any of them does."""

    table: str
    start: int
    end: int
    rows: int
    state: tuple[float, ...]


def cover(windows: pa.Table, rollups: Mapping[str, pa.Table], edges: Sequence[datetime]) -> list[Stretch]:
    """Stretches that together hold each window's clicks once, in order.

    Args:
        windows: Sums by start: `window_start`, `window_end`, `rows`, `time_spent_seconds` and the counts.
        rollups: The same of roll-ups, the longest first. Of one that isn't there: nothing.
        edges: A stretch must not reach beyond one of these.
    """
    starts, sums = _starts(windows), _sums(windows)
    bounds = np.array([round(edge.timestamp() * 1000) for edge in edges])
    taken = np.zeros(len(starts), np.bool_)
    found = list[Stretch]()
    for name, table in rollups.items():
        ends, own = table["window_end"].cast(pa.int64()).to_numpy(), _sums(table)
        for i, start in enumerate(_starts(table)):
            first, last = np.searchsorted(starts, (start, ends[i]))
            whole = bounds[np.searchsorted(bounds, start, "right") % len(bounds)] >= ends[i]
            if whole and last > first and not taken[first:last].any() and _same(own[i], sums[first:last].sum(axis=0)):
                taken[first:last] = True
                found.append(Stretch(name, int(start), int(start) + _SECOND_MS, int(own[i][0]), tuple(own[i].tolist())))
    return sorted([*found, *_hours(starts, sums, np.flatnonzero(~taken))], key=lambda stretch: stretch.start)


def _hours(starts: Int64s, sums: Floats, places: Int64s) -> Iterator[Stretch]:
    """Windows at these places by the hour, so that little is read again when one of them changes; each stretch without gaps."""
    numbered = enumerate(places.tolist())
    for _, run in groupby(numbered, key=lambda pair: (int(starts[pair[1]]) // _HOUR_MS, pair[1] - pair[0])):
        of = [place for _, place in run]
        total = sums[of].sum(axis=0)
        yield Stretch("", int(starts[of[0]]), int(starts[of[-1]]) + _SECOND_MS, int(total[0]), tuple(total.tolist()))


def _starts(table: pa.Table) -> Int64s:
    return table["window_start"].cast(pa.int64()).to_numpy()


def _sums(table: pa.Table) -> Floats:
    columns = [table[name].to_numpy().astype(np.float64) for name in ("rows", *_EXACT, "time_spent_seconds")]
    return np.nan_to_num(np.column_stack(columns), nan=-1.0)


def _same(rolled_up: Floats, windows: Floats) -> bool:
    """Whether a roll-up says what its windows do; the number of rows is another, and of unknown counts too."""
    known = rolled_up[1:5] >= 0
    return bool(
        (rolled_up[1:5][known] == windows[1:5][known]).all()
        and abs(rolled_up[5] - windows[5]) <= 1e-6 * max(1.0, windows[5])
    )
