"""How long a page was looked at: a named policy."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.limits import LONGEST_SECONDS

_KNOWN = f"dwell, fixed:SECONDS (0 to {LONGEST_SECONDS}), such as fixed:300, or reported"


@dataclass(frozen=True)
class TimeSpentPolicy:
    """How the time spent on a click's page is known.

    Attributes:
        name: `dwell`: until the same user's next click, if that is in the same session; of a session's last click the time is unknown. `fixed`: each
            click counts the same time, as the reference reports do (300 s). `reported`: what the event says, `time_spent`, or else `session_end` less
            `timestamp`; without either the time is unknown.
        seconds: The time of `fixed`.
    """

    name: str
    seconds: float | None = None

    def __post_init__(self) -> None:
        fixed = self.name == "fixed" and self.seconds is not None and 0 <= self.seconds <= LONGEST_SECONDS
        if not fixed and (self.name not in ("dwell", "reported") or self.seconds is not None):
            message = f"Time spent {self} is not known: write {_KNOWN}."
            raise ValueError(message)

    @classmethod
    def from_text(cls, text: str) -> "TimeSpentPolicy":
        """Reads `dwell`, `fixed:SECONDS` or `reported`.

        Raises:
            ValueError: It is none of them.
        """
        name, _, seconds = text.partition(":")
        try:
            return cls(name, float(seconds) if seconds else None)
        except ValueError:
            message = f"Time spent {text!r} is not known: write {_KNOWN}."
            raise ValueError(message) from None

    def __str__(self) -> str:
        return self.name if self.seconds is None else f"{self.name}:{self.seconds:.15g}"


def measure_time_spent(clicks: pa.Table, policy: TimeSpentPolicy) -> pa.Table:
    """Adds the column `time_spent_ms` (int64; null: not known) to a table of clicks, for the policies that need no other clicks.

    Whole milliseconds, so that sums don't depend on the order in which they are added.
    """
    if policy.seconds is not None:
        millis = pa.array(np.full(clicks.num_rows, round(policy.seconds * 1000), np.int64))
    else:
        reported = pc.round(pc.multiply(clicks["time_spent"], 1000.0)).cast(pa.int64())
        until_end = pc.subtract(clicks["session_end"].cast(pa.int64()), clicks["timestamp"].cast(pa.int64()))
        millis = pc.coalesce(reported, until_end)
    return clicks.append_column("time_spent_ms", millis)
