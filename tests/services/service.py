"""What all servers have in common: an address, and a life that a test may interrupt."""

import os
from abc import ABC, abstractmethod
from typing import ClassVar

from tests.services.daemon import Daemon
from tests.services.errors import ServiceError
from tests.services.run import Run


class Service(ABC):
    """A server: one that this harness starts, or one that runs elsewhere and is named by `$CLICKSTREAM_TEST_NAME`."""

    name: ClassVar[str]
    address: str

    def __init__(self, run: Run) -> None:
        self._daemon: Daemon | None = None
        external = self.external()
        if external:
            self.use(external)
        else:
            self._daemon = self.prepare(run)

    @classmethod
    def variable(cls) -> str:
        """The variable that names a server to use instead."""
        return f"CLICKSTREAM_TEST_{cls.name.upper()}"

    @classmethod
    def external(cls) -> str | None:
        """The address given from outside."""
        return os.environ.get(cls.variable()) or None

    @classmethod
    @abstractmethod
    def install(cls) -> None:
        """Fills the cache with all that a start needs."""

    @abstractmethod
    def use(self, address: str) -> None:
        """Takes a server that runs already."""

    @abstractmethod
    def prepare(self, run: Run) -> Daemon:
        """Chooses ports, writes the configuration and an empty data folder: a server ready to start."""

    def start(self) -> None:
        """Starts it, again on the same ports and data after a stop; returns when it answers."""
        self._own().start()

    def stop(self) -> None:
        """Stops it in order; its data and ports stay for the next start."""
        self._own().stop()

    def kill(self) -> None:
        """Ends it at once, as a crash would; its data and ports stay for the next start."""
        self._own().kill()

    def variables(self) -> dict[str, str]:
        """The environment with which another process uses this server instead of starting one."""
        return {self.variable(): self.address}

    @property
    def pid(self) -> int | None:
        """The process that leads the server's process group; None while it is stopped."""
        process = self._own().process
        return process.pid if process else None

    def _own(self) -> Daemon:
        if not self._daemon:
            message = f"This {self.name} server is not ours to start or stop: unset {self.variable()} for this test."
            raise ServiceError(message)
        return self._daemon
