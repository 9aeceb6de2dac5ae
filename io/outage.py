"""What a log says while a server is away: that it is, once a minute, and that it's back; not each attempt."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_EVERY_SECONDS = 60.0


@dataclass
class OutageLog:
    """One server's outage, as all threads of a process that talk to it see it.

    Attributes:
        logger: Where to.
        name: The server, as the reader calls it.
        clock: Seconds, for tests.
    """

    logger: logging.Logger
    name: str
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
            elif now - self._told < _EVERY_SECONDS:
                return
            self._told, seconds = now, now - self._began
        since = f", for {seconds:.0f} s so far" if seconds else ""
        self.logger.warning("%s: trying again%s. %s", self.name, since, cause)

    def worked(self) -> None:
        """Takes note of an attempt that went well."""
        if self._began is None:
            return
        with self._lock:
            began, self._began = self._began, None
        if began is not None:
            self.logger.warning("%s: back after %.0f s.", self.name, self.clock() - began)
