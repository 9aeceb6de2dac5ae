"""Clicks on their way to where visits are tracked, and how they are kept there."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.coders import BytesCoder, TupleCoder, VarIntCoder
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from clickstream.transforms.arrow import pack, unpack
from clickstream.transforms.measure.visits import VISIT_SCHEMA, millis_of, visit_columns
from clickstream.transforms.shards import checksums

REPEATING = ("url", "country", "traits")
_MOST = 0.9  # of a batch's clicks are looked at together; a clock far ahead mustn't delay the others
_ROWS_TOGETHER = 50_000
_TRAITS = VISIT_SCHEMA.field("traits")


class Times(NamedTuple):
    """Event times of some clicks, ms since the epoch: of the first, that up to which most of them lie, and of the last."""

    first_ms: int
    most_ms: int
    last_ms: int

    @classmethod
    def of(cls, visits: pa.Table) -> "Times":
        """Those of a table that has rows."""
        millis = np.sort(millis_of(visits))
        return cls(int(millis[0]), int(millis[int(_MOST * (len(millis) - 1))]), int(millis[-1]))


Element = tuple[int, int, int, bytes]  # Times, and the packed table (VISIT_SCHEMA)
BY_USER = tuple[int, Element]


class Arrived(NamedTuple):
    """Clicks as they are kept: as they came, until no other click can meet them.

    Attributes:
        number: Counts what has come to the shard: of equal clicks the first counts.
        looks: How often the shard had been looked at when these came.
        times: Of the clicks.
        packed: The table (VISIT_SCHEMA).
    """

    number: int
    looks: int
    times: Times
    packed: bytes

    def table(self) -> pa.Table:
        """The clicks. Those of a savepoint that knows no traits have none."""
        visits = unpack(self.packed)
        return (
            visits
            if "traits" in visits.column_names
            else visits.append_column(_TRAITS, pa.nulls(len(visits), _TRAITS.type))
        )

    @classmethod
    def of(cls, number: int, looks: int, visits: pa.Table) -> "Arrived":
        """Packs a table that has rows."""
        return cls(number, looks, Times.of(visits), pack(visits, repeating=REPEATING))


ARRIVED_CODER = TupleCoder([VarIntCoder(), VarIntCoder(), TupleCoder([VarIntCoder()] * 3), BytesCoder()])


def in_order(kept: Iterable[tuple[int, int, tuple[int, int, int], bytes]]) -> list[Arrived]:
    """What a bag of them holds, as it came."""
    return sorted(Arrived(number, looks, Times(*times), packed) for number, looks, times, packed in kept)


class ByUser(beam.DoFn):
    """Tables of clicks to `(shard, Element)`: all of a user's clicks go to the same shard. On bounded input, several tables together."""

    def __init__(self, shards: int, *, counted: bool, bounded: bool, traits: Sequence[str] = ()) -> None:
        self._shards, self._counted, self._rows_together = shards, counted, _ROWS_TOGETHER if bounded else 1
        self._traits = traits

    def start_bundle(self) -> None:
        self._tables: list[pa.Table] = []
        self._rows = 0

    def process(self, clicks: pa.Table, timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[BY_USER]:
        self._timestamp = timestamp
        self._tables.append(visit_columns(clicks, counted=self._counted, traits=self._traits))
        self._rows += clicks.num_rows
        if self._rows >= self._rows_together:
            yield from self._divided()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for divided in self._divided():
            yield WindowedValue(divided, self._timestamp, [GlobalWindow()])

    def _divided(self) -> Iterator[BY_USER]:
        tables = self._tables
        self.start_bundle()
        visits = pa.concat_tables([VISIT_SCHEMA.empty_table(), *tables]).combine_chunks()
        if visits.num_rows:
            shard = checksums(visits["user_id"]) % self._shards if self._shards > 1 else np.zeros(len(visits), np.int64)
            for number in np.unique(shard).tolist():
                own = visits.filter(pa.array(shard == number)) if self._shards > 1 else visits
                yield number, (*Times.of(own), pack(own, repeating=REPEATING))
