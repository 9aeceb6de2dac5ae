"""Each user's latest clicks in memory: found, and replaced, at a cost that follows the users asked for, not those that there are."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from clickstream.transforms.measure.visits import VISIT_SCHEMA, millis_of

_GROWTH = 2  # a level is merged into the one before once it is half as large
Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]


class _Level(NamedTuple):
    """Clicks, and where to find those of a user: hashes in order, and the row of each."""

    hashes: Hashes
    rows: Rows
    clicks: pa.Table

    @classmethod
    def of(cls, hashes: Hashes, clicks: pa.Table) -> "_Level":
        order = np.argsort(hashes)
        return cls(hashes[order], order, clicks)

    def without(self, hashes: Hashes, since_ms: int) -> tuple[Hashes, pa.Table]:
        """What is left of it, less these users and what is older: hashes by row."""
        by_row = np.empty_like(self.hashes)
        by_row[self.rows] = self.hashes
        keep = (millis_of(self.clicks) >= since_ms) & ~_among(by_row, hashes)
        return by_row[keep], self.clicks.filter(pa.array(keep))


class LatestClicks:
    """What is remembered of users: sorted levels, each a few times larger than the next, of which the newer holds.

    Users are told apart by a hash of their id. Two that share one are given out together, which a caller must stand, and replaced together.
    """

    def __init__(self) -> None:
        self._levels: list[_Level] = []

    def of(self, users: pa.ChunkedArray) -> pa.Table:
        """The remembered clicks of these users (VISIT_SCHEMA), maybe some of others."""
        left = np.unique(hashes_of(users))
        found = [VISIT_SCHEMA.empty_table()]
        for level in reversed(self._levels):
            start, end = (np.searchsorted(level.hashes, left, side) for side in ("left", "right"))
            there = end > start
            if there.any():
                found.append(level.clicks.take(pa.array(level.rows[_ranges(start[there], end[there])])))
                left = left[~there]
        return pa.concat_tables(found)

    def replace(self, clicks: pa.Table, *, since_ms: int) -> None:
        """Takes in all that is to be remembered of some users, instead of what was. What is older than `since_ms` may be forgotten."""
        if not clicks.num_rows:
            return
        hashes = hashes_of(clicks["user_id"])
        while self._levels and len(self._levels[-1].hashes) <= _GROWTH * len(hashes):
            kept, older = self._levels.pop().without(np.unique(hashes), since_ms)
            hashes, clicks = np.concatenate([kept, hashes]), pa.concat_tables([older, clicks])
        self._levels.append(_Level.of(hashes, clicks.combine_chunks()))


def hashes_of(users: pa.ChunkedArray) -> Hashes:
    """A hash of each user's id, of use in this process only."""
    return pl.Series(values=users, dtype=pl.String).hash().to_numpy()


def _among(values: Hashes, some: Hashes) -> npt.NDArray[np.bool_]:
    """Which values are among some sorted ones."""
    place = np.minimum(np.searchsorted(some, values), len(some) - 1)
    return some[place] == values if len(some) else np.zeros(len(values), np.bool_)


def _ranges(start: Rows, end: Rows) -> Rows:
    """All whole numbers of the ranges `[start, end)`, none of which is empty."""
    lengths = end - start
    steps = np.ones(int(lengths.sum()), np.int64)
    steps[0] = start[0]
    steps[np.cumsum(lengths)[:-1]] = start[1:] - end[:-1] + 1
    return np.cumsum(steps)
