"""`WriteRawClicks`: clicks pass it once the raw store has them."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import orjson
import polars as pl
import pyarrow as pa
from apache_beam.metrics import Metrics

from clickstream.io.outage import OutageLog
from clickstream.io.raw.clicks import keyed
from clickstream.io.raw.store import RawStoreConnection, RawStoreUnavailableError
from clickstream.io.retry import Patience
from clickstream.transforms.outputs import named_outputs
from clickstream.transforms.schema import CLICK_SCHEMA, REJECTED_SCHEMA

_OUTAGE = OutageLog(logging.getLogger(__name__), "The raw store", "clickstream.raw_store")


@dataclass(eq=False)
class WriteRawClicks(beam.PTransform):
    """Stores clicks, and passes them on once they are stored: what is published can be computed again.

    In: tables of CLICK_SCHEMA (all columns), in any windowing, bounded or not. Out, by name: `stored`, the same tables, without those refused, and
    `rejected` (REJECTED_SCHEMA: clicks that the store refuses for their content). Each click is in one of them, or the bundle fails. A click
    that is stored already changes nothing; its bucket is then reprocessed again, to the same end.

    Attributes:
        connection: The store, set up beforehand.
        retry_seconds: How long a write is repeated while the store is away, before the bundle fails.
    """

    connection: RawStoreConnection
    retry_seconds: float = 300

    def expand(self, clicks: beam.PCollection) -> Any:
        write = _WriteRawClicks(self.connection, self.retry_seconds)
        return named_outputs(clicks, "StoreClicks", write, stored=pa.Table, rejected=pa.Table)


class _WriteRawClicks(beam.DoFn):
    def __init__(self, connection: RawStoreConnection, retry_seconds: float) -> None:
        self._connection, self._retry_seconds = connection, retry_seconds
        self._stored = Metrics.counter("clickstream.raw_store", "clicks_stored")
        self._refused = Metrics.counter("clickstream.raw_store", "clicks_refused")
        self._retries = Metrics.counter("clickstream.raw_store", "retries")

    def setup(self) -> None:
        self._store = self._connection.open()

    def process(self, clicks: pa.Table) -> Iterator[Any]:
        rows = keyed(clicks)
        refused = self._write(rows)
        self._stored.inc(rows.num_rows - len(refused))
        if not refused:
            yield clicks
            return
        self._refused.inc(len(refused))
        yield beam.pvalue.TaggedOutput("rejected", _rejected(rows, refused, self._connection.place))
        kept = np.ones(rows.num_rows, np.bool_)
        kept[list(refused)] = False
        yield rows.filter(pa.array(kept)).select(CLICK_SCHEMA.names)

    def _write(self, rows: pa.Table) -> dict[int, str]:
        """Writes, then marks: a mark that came first could be taken for reprocessed before the clicks are there."""
        patience = Patience(
            self._retry_seconds, _OUTAGE, RawStoreUnavailableError, on_retry=lambda: self._retries.inc()
        )
        while (refused := self._try(rows, patience)) is None:
            pass
        return refused

    def _try(self, rows: pa.Table, patience: Patience) -> dict[int, str] | None:
        try:
            with _OUTAGE.attempt():
                refused = self._store.write(rows)
                self._store.mark(rows["bucket"].unique().to_pylist())
        except RawStoreUnavailableError as error:
            patience.wait(str(error))
            return None
        _OUTAGE.worked()
        return refused

    def teardown(self) -> None:
        self._store.close()


def _rejected(rows: pa.Table, refused: dict[int, str], place: str) -> pa.Table:
    clicks = pl.DataFrame(pl.from_arrow(rows.select(CLICK_SCHEMA.names).take(pa.array(list(refused)))))
    common = {"source": place, "position": -1, "record_timestamp": None, "reason": "raw_store_refused"}
    return pa.Table.from_pylist(
        [
            common | {"detail": why, "raw": orjson.dumps(click)}
            for why, click in zip(refused.values(), clicks.iter_rows(named=True), strict=True)
        ],
        REJECTED_SCHEMA,
    )
