"""When waiting clicks are looked at. Any times give the same rows in the end: what is chosen here is how soon, and at what cost."""

from typing import NamedTuple

from clickstream.transforms.measure.waiting import Times

STEP_MS = 2_000  # of event time between looks while event time goes at the pace of the clock
_BACKLOG = 4  # times as fast as the clock: what is read then is the past, and waits for nobody


class Pace(NamedTuple):
    """How event time goes by.

    Attributes:
        looked_ms: When waiting clicks were last looked at, by the clock (ms since the epoch).
        step_ms: So much event time goes by in the time of a look: `STEP_MS`, or what a backlog takes two seconds for.
    """

    looked_ms: int
    step_ms: int

    def after(self, gained_ms: int, now_ms: int, window_ms: int) -> "Pace":
        """The pace behind a look that got ahead by so much event time."""
        step = STEP_MS * gained_ms // max(1, now_ms - self.looked_ms)
        return Pace(now_ms, min(step, window_ms) if step > _BACKLOG * STEP_MS else STEP_MS)

    def at(self, now_ms: int) -> "Pace":
        """The pace when clicks come: a backlog whose looks fail to come is none any more."""
        return self if now_ms - self.looked_ms < 2 * STEP_MS else Pace(self.looked_ms, STEP_MS)


def look_at(times: Times, *, done_until_ms: int, pace: Pace, window_ms: int) -> int:
    """When to look at clicks that wait: event time, ms since the epoch.

    Never behind the end of the window that the first is in, or its row would come short at first. Until then not for each batch, as a look costs
    some milliseconds whatever it takes; and in a backlog only once there is as much as is read in two seconds by the clock.

    Args:
        times: Theirs.
        done_until_ms: That up to which all were looked at. What lies before it is late: at once, but for a backlog.
        pace: How event time goes by.
        window_ms: The length of windows.
    """
    soon, first_ms = (times.most_ms // STEP_MS + 1) * STEP_MS, times.first_ms
    if pace.step_ms > STEP_MS:
        first_ms = max(first_ms, done_until_ms)
        soon = max(soon, first_ms + pace.step_ms)
    return min(soon, (first_ms // window_ms + 1) * window_ms)
