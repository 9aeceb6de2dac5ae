"""Where a live job stands, as plain numbers: what its health is told by, and what status line and metrics show."""

from collections.abc import Mapping
from typing import NamedTuple


class SinkFigures(NamedTuple):
    """What one store got.

    Attributes:
        written, windows: Rows (of a raw store clicks), and windows of which there are any.
        retries: Writes that were repeated.
        failing_since_ms: 0 unless writes fail.
        refused: Rows that it refuses for their content, which are dead letters.
        waiting_since_ms: Since when a write is under way; 0: none is.
    """

    written: int = 0
    windows: int = 0
    retries: int = 0
    failing_since_ms: int = 0
    refused: int = 0
    waiting_since_ms: int = 0


class LiveFigures(NamedTuple):
    """Where a live job stands; times in epoch ms.

    Attributes:
        read, accepted, too_late: Records since its start.
        not_clicks: Likewise those that are no clicks by the event format.
        rejected: Likewise, by reason.
        mended: What was cut or made unknown in records that count, by what it was.
        sinks: By name: `sql`, `elasticsearch`, `raw_store`.
        lag: Records behind the end, by partition.
        watermark_ms: The event time up to which all is read; None before the first record.
        answered_ms: When the brokers last had a word for each partition: a record, or that there is none; None if that isn't told.
    """

    read: int = 0
    accepted: int = 0
    too_late: int = 0
    rejected: Mapping[str, int] = {}
    mended: Mapping[str, int] = {}
    sinks: Mapping[str, SinkFigures] = {}
    lag: Mapping[str, int] = {}
    watermark_ms: int | None = None
    answered_ms: int | None = None
    not_clicks: int = 0

    @property
    def rows_written(self) -> int:
        """Rows that the store which has most of them has."""
        return max((sink.written for name, sink in self.sinks.items() if name != "raw_store"), default=0)

    @property
    def windows_written(self) -> int:
        """Windows, and hours and days, of which rows are in all stores that have any."""
        return min((sink.windows for sink in self.sinks.values() if sink.windows), default=0)

    @property
    def retries(self) -> int:
        """Writes that were repeated."""
        return sum(sink.retries for sink in self.sinks.values())

    @property
    def refused(self) -> int:
        """Rows, a store each, that are missing there as it refuses them."""
        return sum(sink.refused for sink in self.sinks.values())
