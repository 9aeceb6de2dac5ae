"""Notices what takes long while it does: a call that hangs can't say so itself."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 10.0


class Watchdog:
    """Calls back, once a second, for whatever is under way for longer than `patience`. One thread for all, which begins with the first.

    Args:
        patience: In seconds.
        clock: Seconds, for tests.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._under_way: dict[object, tuple[float, Callable[[float], None]]] = {}
        self._lock = threading.Lock()
        self._busy = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, waited: Callable[[float], None]) -> Iterator[None]:
        """Watches over the block: `waited` is told how many seconds it takes so far, from another thread."""
        token = object()
        with self._lock:
            self._under_way[token] = self._clock(), waited
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
                self._thread.start()
        self._busy.set()
        try:
            yield
        finally:
            with self._lock:
                del self._under_way[token]

    def look(self) -> None:
        """Calls back for what takes too long."""
        with self._lock:
            now = self._clock()
            late = [(now - began, waited) for began, waited in self._under_way.values()]
            if not late:
                self._busy.clear()
        for seconds, waited in late:
            if seconds >= self._patience:
                waited(seconds)

    def _watch(self) -> None:
        while True:
            self._busy.wait()
            time.sleep(1.0)
            self.look()


WATCHDOG = Watchdog()
