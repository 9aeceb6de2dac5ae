"""The two sketches of a result row, which add up over any windows, pages and countries: users (theta), and times (a histogram).

Users: Dasgupta, Lang, Rhodes, Thaler, "A Framework for Estimating Stream Expression Cardinalities" (2016), with the hashes of
Apache DataSketches. Times: DDSketch (Masson, Rim, Lee, VLDB 2019), whose buckets don't depend on what was seen before: any
order of adding gives the same counts, and what was added can be taken back.
"""

from collections.abc import Iterable
from decimal import Decimal
from math import ceil, floor, sqrt
from typing import NamedTuple

import mmh3
import numpy as np
import numpy.typing as npt

from clickstream.transforms.arrays import Floats, Int64s
from clickstream.transforms.limits import LONGEST_SECONDS, MAX_TEXT_LENGTH
from clickstream.transforms.memo import Memo

MAX_THETA = 2**63 - 1  # of a sketch that holds every user
RELATIVE_ACCURACY = 0.01
_SEED = 9001
_MOST_WAITING = 1 << 16
_DIGITS = 5  # of a bucket's value
_ROUNDED = 6e-5  # more than the rounding to five digits moves a value, as a share of it
_GAMMA = (1 + RELATIVE_ACCURACY - _ROUNDED) / (1 - RELATIVE_ACCURACY + _ROUNDED)


def _buckets() -> tuple[list[int], list[str]]:
    """Each bucket's largest time in ms, and its value in seconds. Not a logarithm, nor a power: they differ between machines."""
    edges, texts, power = [0], ["0.0"], 1.0
    while edges[-1] < LONGEST_SECONDS * 1000:
        edges.append(floor(power))
        texts.append(repr(float(f"{2 * power / (_GAMMA + 1) / 1000:.{_DIGITS}g}")))
        power *= _GAMMA
    return edges, texts


_edges, BUCKET_TEXTS = _buckets()
_EDGES = np.array(_edges, np.int64)
bucket_seconds: Floats = np.array(BUCKET_TEXTS, np.float64)


def _hash(user: str) -> int:
    return mmh3.hash64(user, _SEED, signed=False)[0] >> 1


_hashes = Memo(_hash, longest=MAX_TEXT_LENGTH)


class Users(NamedTuple):
    """How many distinct users there are: `estimate`, between `low` and `high` with 95 % certainty; all equal where `exact`."""

    estimate: int
    low: int
    high: int
    exact: bool


def hash_users(users: Iterable[str]) -> Int64s:
    """Each user's hash of 63 bits, as Apache DataSketches makes it: MurmurHash3 (x64, 128 bits, seed 9001) of the UTF-8."""
    return np.fromiter(map(_hashes.__getitem__, users), np.int64)


def time_buckets(millis: Int64s) -> npt.NDArray[np.int16]:
    """The histogram's bucket of each time, in whole ms from 0 to `LONGEST_SECONDS`.

    `bucket_seconds[bucket]` is within 1 % of it; `BUCKET_TEXTS[bucket]` is that number as it stands in JSON.
    """
    return np.searchsorted(_EDGES, millis).astype(np.int16)


class UserUnion:
    """Distinct users of any number of rows, a row or many at a time; remembers each user's hash once."""

    def __init__(self) -> None:
        self._theta, self._known = MAX_THETA, np.empty(0, np.int64)
        self._new: list[Int64s] = []
        self._waiting = 0

    def add(self, theta: int, hashes: Int64s) -> None:
        """Adds sketches: the smallest of their thetas, and all their hashes, in any order."""
        self._theta = min(self._theta, theta)
        self._new.append(hashes)
        self._waiting += len(hashes)
        if self._waiting > max(len(self._known), _MOST_WAITING):
            self._compact()

    def _compact(self) -> None:
        known = np.unique(np.concatenate([self._known, *self._new]))
        # An exact sketch holds every user, also the one, should there be one, whose hash is the largest.
        self._known = known if self._theta == MAX_THETA else known[: np.searchsorted(known, self._theta)]
        self._new, self._waiting = [], 0

    def users(self) -> Users:
        """How many they are; the bounds are two standard deviations of the estimate away."""
        self._compact()
        return users_of(len(self._known), self._theta)


def users_of(count: int, theta: int) -> Users:
    """How many users there are, of whom `count` have hashes below `theta`, the smallest of their sketches'."""
    if theta == MAX_THETA:
        return Users(count, count, count, exact=True)
    share = theta / 2**63
    estimate, error = count / share, 2 * sqrt(count * (1 - share)) / share
    return Users(round(estimate), max(count, floor(estimate - error)), ceil(estimate + error), exact=False)


def merge_histograms(histograms: Iterable[tuple[Floats, Int64s]]) -> tuple[Floats, Int64s]:
    """Values (seconds, ascending) and counts of all together; a value whose counts add up to nothing is left out."""
    parts = [(np.empty(0), np.empty(0, np.int64)), *histograms]
    values, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    distinct, places = np.unique(values, return_inverse=True)
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, places.reshape(-1), counts)
    return distinct[totals != 0], totals[totals != 0]


def quantile(values: Floats, counts: Int64s, q: float) -> float | None:
    """The smallest value that at least the share `q` (0 to 1, as it is written in decimal) doesn't exceed; None of nothing."""
    if not len(values):
        return None
    up_to = np.cumsum(counts)
    rank = max(ceil(Decimal(repr(float(q))) * int(up_to[-1])), 1)
    return float(values[np.searchsorted(up_to, rank)])
