"""A job that was submitted to Flink: how it is doing, and how it ends."""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from clickstream.io.errors import UserError, user_error_in
from clickstream.io.flink import ENDED, FlinkCluster, FlinkUnavailableError, cause_in
from clickstream.io.outage import FAILING_SINCE
from clickstream.pipeline.watch import LiveFigures

_SPACES = ("kafka", "sql", "elasticsearch", "raw_store", "rejected")
_EARLIEST = ("watermark_ms_", "answered_ms_")
_GAUGES = (*_EARLIEST, "lag_", "committed_offset_", FAILING_SINCE)
_ASK_SECONDS = 2.0
_PATIENCE_SECONDS = 120.0  # a job manager that restarts comes back, and with high availability its jobs too
_FIRST_RECORDS_SECONDS = 120.0
_UNKNOWN, _ASK_AGAIN = "unknown", 10


class Metric(NamedTuple):
    """A metric's namespace and name, as of Beam."""

    namespace: str
    name: str


class Key(NamedTuple):
    """What Beam calls a metric's key."""

    metric: Metric


class Gauge(NamedTuple):
    """A gauge's value, and when it was asked for."""

    timestamp: float
    value: int


class Told(NamedTuple):
    """What Flink tells of a metric, in the form of Beam's results."""

    key: Key
    result: int | None = None
    committed: Gauge | None = None
    attempted: Gauge | None = None


class FlinkJob:
    """Watches one job; says in a line each when Flink restarts it, and why. Its metrics are Beam's in form.

    Args:
        cluster: Where it runs.
        identity: Its id there.
        max_restarts: So many restarts in a row without a row written are too many.
        say: Takes a line.
    """

    def __init__(self, cluster: FlinkCluster, identity: str, max_restarts: int, say: Callable[[str], None]) -> None:
        self.cluster, self.identity, self._max_restarts, self._say = cluster, identity, max_restarts, say
        self._restarts = self._without_rows = self._written = self._asked = 0
        self._begun = self._heard = time.monotonic()
        self._quiet = True
        self._told: tuple[float, dict[str, list[Told]]] = (0.0, {"counters": [], "gauges": []})

    def metrics(self) -> "FlinkJob":
        """Itself: see `query`."""
        return self

    def query(self, _filter: object = None) -> dict[str, list[Told]]:
        """Counters and gauges of our steps since Flink has started them last; asked for every other second at most."""
        now = time.time()
        if now - self._told[0] >= _ASK_SECONDS:
            with suppress(FlinkUnavailableError, OSError):
                self._told = now, _as_beam(self.cluster.metrics(self.identity), now)
        return self._told[1]

    def note(self, figures: LiveFigures) -> None:
        """Takes in what was counted: rows written are progress."""
        self._quiet = self._quiet and not figures.read
        if figures.rows_written > self._written:
            self._without_rows = 0
        self._written = figures.rows_written  # less than before where Flink has started the steps anew

    def ended(self) -> str | None:
        """How it ended; None while it goes on.

        Raises:
            UserError: It fails again and again.
        """
        try:
            state = self.cluster.state(self.identity)
            restarts = self.cluster.restarts(self.identity) if state not in (*ENDED, "LOST") else self._restarts
        except (FlinkUnavailableError, OSError):
            return "LOST" if time.monotonic() - self._heard > _PATIENCE_SECONDS else None
        self._heard = time.monotonic()
        self._look_for_workers(state)
        if restarts > self._restarts:
            self._tell(restarts)
        if self._without_rows > self._max_restarts:
            self.cluster.cancel(self.identity)
            message = f"Given up after {self._max_restarts} restarts without progress (--max_restarts): {self.cause()}"
            raise UserError(message)
        return state if state in (*ENDED, "LOST") else None

    def _tell(self, restarts: int) -> None:
        cause = self.cause()
        self._asked += 1
        if cause == _UNKNOWN and self._asked < _ASK_AGAIN:  # Flink has it a moment later
            return
        self._say(f"Flink restarts the job from its last checkpoint ({restarts}): {cause}")
        self._without_rows += restarts - self._restarts
        self._restarts, self._asked = restarts, 0

    def _look_for_workers(self, state: str) -> None:
        if not self._quiet or state != "RUNNING" or time.monotonic() - self._begun < _FIRST_RECORDS_SECONDS:
            return
        self._quiet = False
        self._say(
            "Nothing was read so far. If the topic isn't empty: do the workers of --environment_type start, with this package installed?"
        )

    def cause(self) -> str:
        """Why it failed last, in a line."""
        try:
            trace = self.cluster.cause(self.identity)
        except (FlinkUnavailableError, OSError):
            return _UNKNOWN
        return str(user_error_in(Exception(trace)) or cause_in(trace))


def _as_beam(metrics: Mapping[str, Mapping[str, float]], now: float) -> dict[str, list[Told]]:
    found: dict[str, list[Told]] = {"counters": [], "gauges": []}
    for name, values in metrics.items():
        key = Key(Metric(*_split(name)))
        if key.metric.name.startswith(_GAUGES):
            value = values["min" if key.metric.name.startswith(_EARLIEST) else "max"]
            found["gauges"].append(Told(key, attempted=Gauge(now, int(value))))
        else:
            found["counters"].append(Told(key, int(values["sum"])))
    return found


def _split(name: str) -> tuple[str, str]:
    """Namespace and name of a metric, which Flink runs together."""
    own = name.removeprefix("clickstream_")
    for space in _SPACES:
        if own.startswith(f"{space}_"):
            return f"clickstream.{space}", own.removeprefix(f"{space}_")
    return "clickstream", own


def say(line: str) -> None:
    """A line for whoever watches."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
