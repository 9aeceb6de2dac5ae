"""Where a live job stands, from Beam's metrics: of bundles that are done, and of those that are still running."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from apache_beam.metrics.metric import MetricsFilter

from clickstream.io.outage import FAILING_SINCE, WAITING_SINCE
from clickstream.pipeline.watch import LiveFigures, SinkFigures


class LiveMetrics:
    """Reads a job's figures again and again.

    A gauge is its latest value by time: while a bundle runs, a runner shows what it has set as attempted, but also forgets that for the next
    bundle which sets nothing. Counters are of bundles that are done, where the runner tells these apart.
    """

    def __init__(self) -> None:
        self._gauges: dict[Any, tuple[float, int]] = {}  # by step and name: when it was set, and to what

    def read(self, result: Any) -> LiveFigures:
        """Asks the runner, and adds up over steps."""
        if hasattr(result, "_metrics"):
            result._metrics = None  # noqa: SLF001 (a portable runner's result remembers its first answer for ever)
        found = result.metrics().query(MetricsFilter())
        for gauge in found["gauges"]:
            for told in filter(None, (gauge.committed, gauge.attempted)):
                if told.timestamp and told.timestamp >= self._gauges.get(gauge.key, (0.0, 0))[0]:
                    self._gauges[gauge.key] = told.timestamp, told.value
        return self._figures(_added_up(found["counters"]))

    def _figures(self, counts: Mapping[tuple[str, str], int]) -> LiveFigures:
        kafka = {k.metric.name: v for k, (_, v) in self._gauges.items() if k.metric.namespace == "clickstream.kafka"}
        return LiveFigures(
            read=counts["clickstream", "records_read"],
            accepted=counts["clickstream", "clicks_accepted"],
            too_late=counts["clickstream", "clicks_too_late"],
            not_clicks=counts["clickstream", "not_a_click"],
            rejected={name: n for (space, name), n in sorted(counts.items()) if space == "clickstream.rejected"},
            mended={name: n for (space, name), n in sorted(counts.items()) if space == "clickstream.mended"},
            sinks=self._sinks(counts),
            lag={name.removeprefix("lag_"): value for name, value in sorted(kafka.items()) if name.startswith("lag_")},
            watermark_ms=_earliest(kafka, "watermark_ms_"),
            answered_ms=_earliest(kafka, "answered_ms_"),
        )

    def _sinks(self, counts: Mapping[tuple[str, str], int]) -> dict[str, SinkFigures]:
        failing, waiting = self._since(FAILING_SINCE), self._since(WAITING_SINCE)
        present = {space for space, _ in counts} | set(failing) | set(waiting)
        return {
            name: SinkFigures(
                counts[space, written],
                counts[space, "windows_written"],
                counts[space, "retries"],
                max(failing.get(space, ()), default=0),
                counts[space, refused],
                min(filter(None, waiting.get(space, ())), default=0),
            )
            for name, (space, written, refused) in _SINKS.items()
            if space in present
        }

    def _since(self, name: str) -> dict[str, list[int]]:
        """The values of a gauge, of all steps that set it, by its namespace."""
        found: dict[str, list[int]] = {}
        for key, (_, since) in self._gauges.items():
            if key.metric.name == name:
                found.setdefault(key.metric.namespace, []).append(since)
        return found


_SINKS = {
    "sql": ("clickstream.sql", "rows_written", "rows_refused"),
    "elasticsearch": ("clickstream.elasticsearch", "documents_written", "documents_refused"),
    "raw_store": ("clickstream.raw_store", "clicks_stored", "clicks_refused"),
}


def _added_up(counters: Any) -> Counter[tuple[str, str]]:
    totals: Counter[tuple[str, str]] = Counter()
    for counter in counters:
        totals[counter.key.metric.namespace, counter.key.metric.name] += counter.result or 0
    return totals


def _earliest(gauges: Mapping[str, int], prefix: str) -> int | None:
    return min((value for name, value in gauges.items() if name.startswith(prefix)), default=None)
