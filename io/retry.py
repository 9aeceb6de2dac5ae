"""How long to go on trying what may pass by itself."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from clickstream.io.errors import UserError
from clickstream.io.outage import OutageLog

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds


@dataclass
class Patience:
    """Pauses of full jitter, whose bound doubles, until `seconds` from now are over.

    Attributes:
        seconds: How long to go on.
        outage: Where failed attempts are told.
        give_up: Makes the error that is raised in the end.
        on_retry: Called before each further attempt.
    """

    seconds: float
    outage: OutageLog
    give_up: Callable[[str], UserError]
    on_retry: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = random.uniform
    _attempts: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._end = self.clock() + self.seconds

    def wait(self, cause: str) -> None:
        """Sleeps before the next attempt.

        Raises:
            UserError: As `give_up` makes it: the time is over.
        """
        pause = self.jitter(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._attempts, 16)))
        self._attempts += 1
        if self.clock() + pause > self._end:
            message = f"Gave up after {self._attempts} failed attempts in {self.seconds:.0f} s: {cause}"
            raise self.give_up(message)
        self.on_retry()
        self.outage.failed(cause)
        self.sleep(pause)
