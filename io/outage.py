"""What a log and the metrics say while a server is away: that it is, once a minute, and that it's back; not each attempt."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from apache_beam.metrics import Metrics

from clickstream.io.watchdog import WATCHDOG

FAILING_SINCE = "failing_since_ms"
WAITING_SINCE = "waiting_since_ms"
GOOD_NEWS = "good_news"  # set in the log's record of a server that is back
_EVERY_SECONDS = 60.0


@dataclass
class OutageLog:
    """One server's outage, as all threads of a process that talk to it see it.

    Beside the log it sets gauges. `failing_since_ms`: epoch ms since when writes fail, 0 when one went well. Set on each attempt, so that it
    shows while a bundle is still trying, and is put right by whichever worker is the first to get through. `waiting_since_ms`: since when an
    attempt is under way, 0 when it has ended.

    Attributes:
        logger: Where to.
        name: The server, as the reader calls it.
        namespace: The gauge's.
        silence: What may be wrong with a server that doesn't answer at all.
        clock: Seconds, for tests.
    """

    logger: logging.Logger
    name: str
    namespace: str
    silence: str = "it hangs, or the network between"
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _began: float | None = field(default=None, init=False)
    _told: float = field(default=0.0, init=False)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around an attempt: one that takes 10 s is told, so that nobody looks for what is held up elsewhere."""
        self._set_gauge(WAITING_SINCE, int(time.time() * 1000))
        with WATCHDOG.over(self._waited):
            try:
                yield
            finally:
                self._set_gauge(WAITING_SINCE, 0)

    def _waited(self, seconds: float) -> None:
        """Called from a thread of the watchdog's, which has no metrics."""
        if self._tell(seconds)[1]:
            self.logger.warning("%s: no answer for %.0f s, still waiting: %s.", self.name, seconds, self.silence)

    def failed(self, cause: str) -> None:
        """Takes note of a failed attempt that will be repeated; `cause` is one line."""
        seconds, tell = self._tell(0.0)
        self._set_gauge(FAILING_SINCE, int((time.time() - seconds) * 1000))
        if tell:
            since = f", for {seconds:.0f} s so far" if seconds else ""
            self.logger.warning("%s: trying again%s. %s", self.name, since, cause)

    def _tell(self, ago: float) -> tuple[float, bool]:
        """Since how many seconds it lasts, which began so many ago if it's new; and whether that is to be told now."""
        with self._lock:
            now = self.clock()
            new = self._began is None
            began = self._began = now - ago if self._began is None else self._began
            tell = new or now - self._told >= _EVERY_SECONDS
            self._told = now if tell else self._told
        return now - began, tell

    def worked(self) -> None:
        """Takes note of an attempt that went well."""
        self._set_gauge(FAILING_SINCE, 0)
        if self._began is None:
            return
        with self._lock:
            began, self._began = self._began, None
        if began is not None:
            self.logger.warning("%s: back after %.0f s.", self.name, self.clock() - began, extra={GOOD_NEWS: True})

    def _set_gauge(self, name: str, since_ms: int) -> None:
        Metrics.gauge(self.namespace, name).set(since_ms)
