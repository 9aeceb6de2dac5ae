"""What a run did, from Beam's metrics."""

from dataclasses import dataclass, field

from apache_beam.metrics.metric import MetricsFilter
from apache_beam.runners.runner import PipelineResult


@dataclass(frozen=True)
class Counts:
    """What became of the records of a run; `read` is `accepted + rejected + too_late + not_clicks`."""

    read: int
    accepted: int
    too_late: int
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    not_clicks: int = 0
    mended: dict[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """Records that are in the dead letters."""
        return sum(self.rejected_by_reason.values())


def count_records(result: PipelineResult) -> Counts:
    """Reads the counters of `ParseClicks`."""
    counters = result.metrics().query(MetricsFilter())["counters"]
    totals: dict[tuple[str, str], int] = {}
    for counter in counters:
        name = (counter.key.metric.namespace, counter.key.metric.name)
        totals[name] = totals.get(name, 0) + counter.result
    names = ("records_read", "clicks_accepted", "clicks_too_late", "not_a_click")
    read, accepted, too_late, not_clicks = (totals.get(("clickstream", name), 0) for name in names)
    rejected, mended = (_most_first(_named(totals, kind)) for kind in ("rejected", "mended"))
    return Counts(read, accepted, too_late, rejected, not_clicks, mended)


def _named(totals: dict[tuple[str, str], int], kind: str) -> dict[str, int]:
    return {name: count for (space, name), count in totals.items() if space == f"clickstream.{kind}"}


def _most_first(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
