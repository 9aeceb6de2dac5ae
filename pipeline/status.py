"""A live job's status line: what Beam's metrics say, once a second, on a terminal only."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, NamedTuple

from apache_beam.metrics.metric import MetricsFilter
from apache_beam.runners.runner import PipelineResult

_SHOW_SECONDS = 1.0
_ASK_SECONDS = 1.0


class LiveFigures(NamedTuple):
    """Where a live job stands. Counts are since its start; `lag` is records behind the end, by partition; the watermark is in ms."""

    read: int = 0
    accepted: int = 0
    rows_written: int = 0
    rejected: int = 0
    too_late: int = 0
    retries: int = 0
    lag: Mapping[str, int] = {}
    watermark_ms: int | None = None


def read_figures(result: PipelineResult) -> LiveFigures:
    """Asks the runner for the job's metrics, and adds them up over steps."""
    if hasattr(result, "_metrics"):
        result._metrics = None  # noqa: SLF001 (a portable runner's result remembers its first answer for ever)
    found = result.metrics().query(MetricsFilter())
    totals: Counter[str] = Counter()
    for counter in found["counters"]:
        name = "rejected" if counter.key.metric.namespace == "clickstream.rejected" else counter.key.metric.name
        if counter.key.metric.namespace.startswith("clickstream"):
            totals[f"{counter.key.metric.namespace}:{name}"] += counter.result or 0
    gauges = {g.key.metric.name: g.result.value for g in found["gauges"] if g.result is not None}
    return LiveFigures(
        read=totals["clickstream:records_read"],
        accepted=totals["clickstream:clicks_accepted"],
        rows_written=max(totals["clickstream.sql:rows_written"], totals["clickstream.elasticsearch:documents_written"]),
        rejected=totals["clickstream.rejected:rejected"],
        too_late=totals["clickstream:clicks_too_late"],
        retries=totals["clickstream.sql:retries"] + totals["clickstream.elasticsearch:retries"],
        lag={name.removeprefix("lag_"): value for name, value in sorted(gauges.items()) if name.startswith("lag_")},
        watermark_ms=min((v for name, v in gauges.items() if name.startswith("watermark_ms")), default=None),
    )


class StatusLine:
    """Rewrites one line of the terminal; says nothing when piped."""

    def __init__(self) -> None:
        self.figures = LiveFigures()
        self._terminal = sys.stderr.isatty()
        self._asked = 0.0
        self._rate = 0.0

    def __enter__(self) -> "StatusLine":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._terminal:
            sys.stderr.write("\n")

    @property
    def rows_written(self) -> int:
        """Rows that a sink has."""
        return self.figures.rows_written

    def show(self, result: PipelineResult) -> None:
        """Refreshes the figures, at most once a second, and the line."""
        now = time.monotonic()
        if now - self._asked < _ASK_SECONDS:
            return
        figures = read_figures(result)
        self._rate = (figures.read - self.figures.read) / (now - self._asked) if self._asked else 0.0
        self.figures, self._asked = figures, now
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{status_text(figures, self._rate)}")
            sys.stderr.flush()

    def summary(self, result: Any) -> None:
        """Prints what a run did, so far if it is being stopped."""
        figures = read_figures(result)
        sys.stdout.write(
            f"read {figures.read} = accepted {figures.accepted} + rejected {figures.rejected} + too late {figures.too_late}\n"
            f"rows written {figures.rows_written}\n"
        )
        sys.stdout.flush()


def status_text(figures: LiveFigures, rate: float) -> str:
    """The line: events a second, lag by partition, watermark, rows, rejected, retries."""
    lag = " ".join(f"{partition}:{behind}" for partition, behind in figures.lag.items()) or "-"
    return (
        f"{rate:,.0f} events/s | lag {lag} | watermark {_time(figures.watermark_ms)} | rows written {figures.rows_written:,}"
        f" | rejected {figures.rejected:,} | too late {figures.too_late:,} | retries {figures.retries:,}"
    )


def _time(millis: int | None) -> str:
    return (
        f"{datetime.fromtimestamp(millis / 1000, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
        if millis is not None and millis > 0
        else "-"
    )
