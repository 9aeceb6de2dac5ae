"""A live job's status, once a second: a line on a terminal, and the same figures for whoever asks the supervisor."""

import logging
import sys
import time
from collections import deque
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from clickstream.io.outage import GOOD_NEWS
from clickstream.pipeline.live.metrics import LiveMetrics
from clickstream.pipeline.watch import SINK_NAMES, LastError, Limits, LiveFigures, end_status, report

_ASK_SECONDS = 1.0
_RATE_SECONDS = 5.0  # a runner tells its counts by fits and starts


class LiveStatus:
    """What a live job says of itself while the block lasts. The line is rewritten in place; none when piped.

    Args:
        topic: What it reads.
        limits: Beyond which it isn't well.
    """

    def __init__(self, topic: str, limits: Limits) -> None:
        self.figures = LiveFigures()
        self._topic, self._limits = topic, limits
        self._metrics, self._errors = LiveMetrics(), _Errors()
        self._terminal = sys.stderr.isatty()
        self._asked = 0.0
        self._looks: deque[tuple[float, int]] = deque()  # when, and how many records were read
        self._rate = 0.0

    def __enter__(self) -> "LiveStatus":
        logging.getLogger("clickstream").addHandler(self._errors)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        logging.getLogger("clickstream").removeHandler(self._errors)
        if self._terminal:
            sys.stderr.write("\n")

    def refresh(self, result: Any) -> bool:
        """Reads the figures, at most once a second, and rewrites the line. Returns whether it did."""
        now = time.monotonic()
        if now - self._asked < _ASK_SECONDS:
            return False
        figures = self._metrics.read(result)
        self.figures, self._asked = figures, now
        self._rate = self._rate_at(now, figures.read)
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{status_text(figures, self._rate)}")
            sys.stderr.flush()
        return True

    def _rate_at(self, now: float, read: int) -> float:
        """Records a second of late."""
        while len(self._looks) > 1 and self._looks[1][0] <= now - _RATE_SECONDS:
            self._looks.popleft()
        self._looks.append((now, read))
        since, had = self._looks[0]
        return max(0, read - had) / (now - since) if now > since else 0.0

    def report(self) -> dict[str, Any]:
        """The figures as of the last refresh, and whether the job is well: see `health.report`."""
        return report(self._topic, self.figures, self._rate, self._limits, self._errors.last, int(time.time() * 1000))

    def summary(self, result: Any) -> None:
        """Prints what a run did, so far if it is being stopped."""
        self.figures = figures = self._metrics.read(result)
        rejected = sum(figures.rejected.values())
        others = f" + not clicks {figures.not_clicks}" if figures.not_clicks else ""
        sys.stdout.write(
            f"read {figures.read} = accepted {figures.accepted} + rejected {rejected} + too late {figures.too_late}{others}\n"
            f"rows written {figures.rows_written}\n"
        )
        if figures.refused:
            sys.stdout.write(
                f"{_refused(figures)[3:]}: dead letters (sink_refused); replay-dead-letters writes them once they fit\n"
            )
        sys.stdout.flush()

    def at_end(self) -> int:
        """The exit status of a run that has read all there was, as of its summary."""
        return end_status(self.figures.read, self.figures.rejected, self._limits.max_rejected_share)


class _Errors(logging.Handler):
    """Remembers the last warning of the job's own log, such as a store's outage."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last: LastError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if not hasattr(record, GOOD_NEWS):
            self.last = LastError(record.getMessage(), int(record.created * 1000))


def status_text(figures: LiveFigures, rate: float) -> str:
    """The line: events a second, lag by partition, watermark, rows, rejected, retries."""
    lag = " ".join(f"{partition}:{behind}" for partition, behind in figures.lag.items()) or "-"
    others = f" | not clicks {figures.not_clicks:,}" if figures.not_clicks else ""
    return (
        f"{rate:,.0f} events/s | lag {lag} | watermark {_time(figures.watermark_ms)} | rows written {figures.rows_written:,}"
        f" | rejected {sum(figures.rejected.values()):,} | mended {sum(figures.mended.values()):,}"
        f" | too late {figures.too_late:,}{others} | retries {figures.retries:,}"
        f"{_refused(figures)}"
    )


def _refused(figures: LiveFigures) -> str:
    counts = [f"{sink.refused:,} by {SINK_NAMES[name]}" for name, sink in figures.sinks.items() if sink.refused]
    return f" | rows refused {', '.join(counts)}" if counts else ""


def _time(millis: int | None) -> str:
    return (
        f"{datetime.fromtimestamp(millis / 1000, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
        if millis is not None and millis > 0
        else "-"
    )
