"""Whether a live job is well, told by its figures: pure arithmetic."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from clickstream.pipeline.watch.figures import LiveFigures

_BLIP_SECONDS = 5  # a write that goes well the second time isn't worth an alarm
_ENOUGH_RECORDS = 1_000
_FRESH_SECONDS = 30  # for so long what the brokers said last is taken to hold
_SILENT_SECONDS = 10  # a write that has no answer for so long is held up
SINK_NAMES = {"sql": "the database", "elasticsearch": "Elasticsearch", "raw_store": "the raw store"}


class Limits(NamedTuple):
    """Beyond which a job isn't well.

    Attributes:
        max_watermark_age: Seconds by which the watermark may be behind the clock while there is something to read.
        max_rejected_share: Of the records read since the start, once there are enough of them.
    """

    max_watermark_age: float
    max_rejected_share: float = 1.0


class LastError(NamedTuple):
    """What went wrong last, in one line, and when (epoch ms)."""

    text: str
    at_ms: int


def default_limits(*, window_seconds: float, disorder_seconds: float, idle_seconds: float) -> Limits:
    """A watermark is always behind by the disorder, and by the idle bound while a partition falls silent. More than a window beyond: late."""
    return Limits(window_seconds + disorder_seconds + idle_seconds + 60)


def classify(figures: LiveFigures, limits: Limits, now_ms: int) -> tuple[str, str]:
    """State and reason: `ok` and nothing, `failing` (a sink), `rejecting` (the records) or `behind` (the source), and why.

    An idle topic is well: where the brokers have just said that there is nothing more to read, an old watermark is the age of the events.
    """
    failing = " ".join(_failing(figures, now_ms))
    if failing:
        return "failing", failing
    if refused := too_many_rejected(figures.read, figures.rejected, limits.max_rejected_share):
        return "rejecting", refused
    silent = _seconds(figures.answered_ms, now_ms)
    if silent > limits.max_watermark_age:
        return "behind", f"Kafka has not answered for {silent:.0f} s, or the job is too busy to ask."
    age, lag = _seconds(figures.watermark_ms, now_ms), sum(figures.lag.values())
    all_read = lag == 0 and figures.answered_ms is not None and silent <= _FRESH_SECONDS
    if age <= limits.max_watermark_age or all_read:
        return "ok", ""
    unheard = f"; Kafka has not answered for {silent:.0f} s" if silent > _FRESH_SECONDS else ""
    bound = f"more than {limits.max_watermark_age:.0f} s (--max_watermark_age)"
    return "behind", f"The watermark is {age:.0f} s behind, {bound}, with {lag:,} records to read{unheard}."


def too_many_rejected(read: int, rejected: Mapping[str, int], most: float) -> str:
    """What to say where more than a share of the records was rejected; empty: it wasn't, or there are fewer than 1,000."""
    count = sum(rejected.values())
    if read < _ENOUGH_RECORDS or count <= most * read:
        return ""
    usual = max(rejected, key=rejected.__getitem__)
    return (
        f"{count:,} of {read:,} records were rejected, more than {most:.3g} of them (--max_rejected_share), mostly as {usual}: "
        "look at the dead letters, and at what writes these records."
    )


def _failing(figures: LiveFigures, now_ms: int) -> Iterator[str]:
    for name, sink in figures.sinks.items():
        seconds = _seconds(sink.failing_since_ms or None, now_ms)
        if seconds > _BLIP_SECONDS:
            yield f"{_at_start(name)}: writes have failed for {seconds:.0f} s."
            continue
        seconds = _seconds(sink.waiting_since_ms or None, now_ms)
        if seconds > _SILENT_SECONDS:
            yield f"{_at_start(name)} has not answered a write for {seconds:.0f} s: it hangs, or somebody holds locks."


def _at_start(name: str) -> str:
    return SINK_NAMES[name][0].upper() + SINK_NAMES[name][1:]


def _seconds(since_ms: int | None, now_ms: int) -> float:
    return 0.0 if since_ms is None else max(0.0, (now_ms - since_ms) / 1000)


def report(
    topic: str, figures: LiveFigures, rate: float, limits: Limits, error: LastError | None, now_ms: int
) -> dict[str, Any]:
    """The figures with the state, as `/status.json` shows them. Plain JSON; times in epoch ms, counts since the job's last start."""
    state, reason = classify(figures, limits, now_ms)
    return {
        "state": state,
        "reason": reason,
        "topic": topic,
        "events_per_second": round(rate, 1),
        "lag": sum(figures.lag.values()),
        "lag_by_partition": dict(figures.lag),
        "watermark_ms": figures.watermark_ms,
        "answered_ms": figures.answered_ms,
        "windows_written": figures.windows_written,
        "rows_written": figures.rows_written,
        "read": figures.read,
        "accepted": figures.accepted,
        "rejected": sum(figures.rejected.values()),
        "rejected_by_reason": dict(figures.rejected),
        "mended": dict(figures.mended),
        "too_late": figures.too_late,
        "not_clicks": figures.not_clicks,
        "sink_retries": figures.retries,
        "rows_refused": figures.refused,
        "sinks": {name: sink._asdict() for name, sink in figures.sinks.items()},
        "last_error": error and error.text,
        "last_error_at_ms": error and error.at_ms,
        "at_ms": now_ms,
    }
