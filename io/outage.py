"""What a log and the metrics say while a server is away: that it is, once a minute, and that it's back; not each attempt."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from apache_beam.metrics import Metrics

FAILING_SINCE = "failing_since_ms"
GOOD_NEWS = "good_news"  # set in the log's record of a server that is back
_EVERY_SECONDS = 60.0


@dataclass
class OutageLog:
    """One server's outage, as all threads of a process that talk to it see it.

    Beside the log it sets a gauge, `failing_since_ms`: epoch ms since when writes fail, 0 when one went well. Set on each attempt, so that it
    shows while a bundle is still trying, and is put right by whichever worker is the first to get through.

    Attributes:
        logger: Where to.
        name: The server, as the reader calls it.
        namespace: The gauge's.
        clock: Seconds, for tests.
    """

    logger: logging.Logger
    name: str
    namespace: str
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _began: float | None = field(default=None, init=False)
    _told: float = field(default=0.0, init=False)

    def failed(self, cause: str) -> None:
        """Takes note of a failed attempt that will be repeated; `cause` is one line."""
        with self._lock:
            now = self.clock()
            if self._began is None:
                self._began = now
                self._told, seconds, tell = now, 0.0, True
            else:
                seconds, tell = now - self._began, now - self._told >= _EVERY_SECONDS
                self._told = now if tell else self._told
        self._set_gauge(int((time.time() - seconds) * 1000))
        if tell:
            since = f", for {seconds:.0f} s so far" if seconds else ""
            self.logger.warning("%s: trying again%s. %s", self.name, since, cause)

    def worked(self) -> None:
        """Takes note of an attempt that went well."""
        self._set_gauge(0)
        if self._began is None:
            return
        with self._lock:
            began, self._began = self._began, None
        if began is not None:
            self.logger.warning("%s: back after %.0f s.", self.name, self.clock() - began, extra={GOOD_NEWS: True})

    def _set_gauge(self, since_ms: int) -> None:
        Metrics.gauge(self.namespace, FAILING_SINCE).set(since_ms)
