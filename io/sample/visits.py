"""Visitors going about the made-up site: sessions by a daily curve, and their clicks as rows of numbers, by arrival."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from clickstream.io.sample.options import SampleOptions
from clickstream.io.sample.tables import BROKEN_KINDS, DRESSES, HOURS

Rows: TypeAlias = npt.NDArray[Any]  # of ROW, or of numbers

LONGEST_DWELL = 1_500.0  # seconds: below the usual session gap of half an hour
_SLICE = 50_000  # clicks whose sessions are opened together
_MEAN_CLICKS = 4  # in a session

_SESSION = np.dtype([("time", "f8"), ("user", "i4"), ("left", "i4"), ("landing", "?")])  # time: seconds after the start
# A click.
ROW = np.dtype(
    [
        ("arrival", "i8"),  # ms since the epoch, as is time
        ("time", "i8"),
        ("user", "i4"),
        ("page", "i4"),
        ("dress", "i1"),  # which of DRESSES the URL wears
        ("spent", "i4"),  # tenths of a second; 0: not reported
        ("ends", "i4"),  # ms from the click to the session's end; 0: not reported
        ("broken", "i1"),  # which of BROKEN_KINDS; -1: sound
    ],
    align=True,
)


def daily_curve(options: SampleOptions) -> Callable[[Rows], Rows]:
    """When sessions begin: maps shares of all sessions to seconds after the start."""
    grid = np.linspace(0, options.duration_seconds, int(options.duration_seconds // 600) + 2)
    hours = (options.start.timestamp() + grid) / 3_600 % 24
    weight = np.interp(hours, np.arange(25), [*HOURS, HOURS[0]])
    shares = np.concatenate([[0.0], np.cumsum((weight[1:] + weight[:-1]) / 2)])
    return lambda asked: np.interp(asked, shares / shares[-1], grid)


class Visits:
    """Visitors going about the site. `opening` maps shares of all clicks to seconds after the start."""

    def __init__(self, options: SampleOptions, opening: Callable[[Rows], Rows]) -> None:
        self._options = options
        self._opening = opening
        self._random = np.random.default_rng(options.seed)
        self._start = round(options.start.timestamp() * 1000)
        self._pages = _shares(1 / np.arange(1, options.pages + 1))
        self._first_dress, self._other_dress = (
            _shares([float(dress.split("|")[i]) for dress in DRESSES]) for i in (0, 1)
        )

    def rows(self) -> Iterator[Rows]:
        """Yields clicks (ROW) by arrival; memory holds the open sessions and the records on their way."""
        opened, sessions, on_the_way = 0, np.empty(0, _SESSION), np.empty(0, ROW)
        while opened < self._options.events or len(sessions):
            last = min(opened + _SLICE, self._options.events)
            if opened < last:
                sessions = np.concatenate([sessions, self._opened(opened, last)])
            until, opened = self._until(last, sessions), last
            sessions, clicks = self._browse(sessions, until)
            rows = np.concatenate([on_the_way, *clicks])
            ready = rows["arrival"] < np.floor(self._start + until * 1000)
            arrived, on_the_way = rows[ready], rows[~ready]
            yield arrived[np.argsort(arrived["arrival"], kind="stable")]

    def _until(self, opened: int, sessions: Rows) -> float:
        """Seconds after the start before which all sessions are open; infinite for the last ones."""
        if opened < self._options.events:
            return float(self._opening(np.float64(opened / self._options.events)))
        return float(np.partition(sessions["time"], _SLICE)[_SLICE]) if len(sessions) > _SLICE else np.inf

    def _opened(self, first: int, last: int) -> Rows:
        """New sessions that will have `last - first` clicks between them."""
        ends = np.cumsum(self._random.geometric(1 / _MEAN_CLICKS, last - first))
        count = int(np.searchsorted(ends, last - first)) + 1
        ends[count - 1] = last - first
        sessions = np.empty(count, _SESSION)
        sessions["left"] = np.diff(ends[:count], prepend=0)
        sessions["time"] = self._opening((first + self._random.random(count) * (last - first)) / self._options.events)
        sessions["user"] = self._options.users * self._random.random(count) ** 2
        sessions["landing"] = True
        return sessions

    def _browse(self, sessions: Rows, until: float) -> tuple[Rows, list[Rows]]:
        """Lets visitors click until then. Returns the sessions still open, and the clicks."""
        waiting, clicks = [], []
        while len(sessions):
            due = sessions["time"] < until
            waiting.append(sessions[~due])
            sessions = sessions[due]
            clicks.append(self._click(sessions))
            sessions = sessions[sessions["left"] > 0]
        return np.concatenate(waiting), clicks

    def _click(self, sessions: Rows) -> Rows:
        """One click in each session, which then waits for its next."""
        draw, options, count = self._random, self._options, len(sessions)
        dwell = np.clip(draw.lognormal(3.2, 1.1, count), 1.0, LONGEST_DWELL)
        stays, chance = sessions["left"] > 1, draw.random(count)
        first, other = np.searchsorted(self._first_dress, chance), np.searchsorted(self._other_dress, chance)
        rows = np.empty(count, ROW)
        rows["time"] = self._start + sessions["time"] * 1000
        rows["arrival"] = rows["time"] + self._delay(count)
        rows["user"] = sessions["user"]
        rows["page"] = np.searchsorted(self._pages, draw.random(count))
        rows["dress"] = np.where(sessions["landing"], first, other)
        rows["spent"] = np.where(stays, dwell * 10, 0)
        rows["ends"] = np.where(~stays & (draw.random(count) < 0.6), dwell * 1000, 0)
        rows["broken"] = np.where(
            draw.random(count) < options.broken_share, draw.integers(len(BROKEN_KINDS), size=count), -1
        )
        sessions["time"] += dwell
        sessions["left"] -= 1
        sessions["landing"] = False
        return rows

    def _delay(self, count: int) -> Rows:
        """From click to arrival, ms."""
        draw, options = self._random, self._options
        late = np.where(draw.random(count) < options.late_share, draw.random(count) * options.late_by_seconds, 0)
        return (late + draw.random(count) * options.disorder_seconds) * 1000


def _shares(weights: npt.ArrayLike) -> Rows:
    """Cumulated shares, for drawing by `searchsorted`."""
    sums = np.cumsum(weights)
    return sums / sums[-1]
