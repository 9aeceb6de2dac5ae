"""Clicks to page metrics: partial sums that merge in any order, grouped by URL and country once a window is complete."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from clickstream.transforms.arrays import Int64s
from clickstream.transforms.arrow import pack, unpack
from clickstream.transforms.shards import checksums
from clickstream.transforms.sketches import time_buckets

_KEY = ("url", "country", "user_id", "time_bucket")
_VISITS = ("starts_session", "bounced")
_TRAITS = "traits"  # a part of the key, where clicks have some
_SUMS = ("clicks", "time_spent_ms", "timed_clicks", "sessions", "bounces")

# One row a click until rows are merged: then one a URL, country, user and bucket of the histogram.
PARTIAL_SCHEMA = pa.schema(
    [(name, pa.string()) for name in _KEY[:3]]
    + [("time_bucket", pa.int16())]
    + [(name, pa.int64()) for name in _SUMS]  # sessions and bounces: null throughout where the policy doesn't tell them
)
_WITH_TRAITS = PARTIAL_SCHEMA.append(pa.field(_TRAITS, pa.string()))


_OLD = pl.CompatLevel.oldest()  # plain strings: pyarrow's kernels don't take string views
_ROWS_UNPACKED = 4_096  # an Arrow stream costs 30 µs and 1 KiB whatever it holds
_ROWS_UNMERGED = 200_000


class Piece(NamedTuple):
    """Partial sums of one shard and one window."""

    shard: int
    window_start_ms: int
    partials: pa.Table


def cut_by_window(clicks: pa.Table, *, window_seconds: int, shards: int) -> list[Piece]:
    """Cuts clicks into partial sums by window and shard, because a Beam element has one timestamp and one key.

    Args:
        clicks: Columns url, country, user_id, timestamp (UTC, ms) and time_spent_ms (null: not known); and, where sessions are told,
            starts_session and bounced. With a column sign, a row of -1 takes back what another had said. A column traits goes on as it is.
        window_seconds: Windows are [n * window_seconds, (n + 1) * window_seconds) since the epoch, UTC.
        shards: All clicks of a URL and country go to the same shard, on any machine and in any release.
    """
    if clicks.num_rows == 0:
        return []
    windows = np.asarray(clicks["timestamp"].cast(pa.int64())) // (window_seconds * 1000)
    codes = windows * shards + _shards(clicks, shards)
    partials = _partials(clicks)
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    starts = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
    ends = np.append(starts[1:], len(codes))
    return [
        Piece(
            int(codes[start] % shards),
            int(codes[start] // shards) * window_seconds * 1000,
            partials.take(pa.array(order[start:end])) if len(starts) > 1 else partials,
        )
        for start, end in zip(starts, ends, strict=True)
    ]


def _shards(clicks: pa.Table, shards: int) -> Int64s | int:
    if shards == 1:
        return 0
    mixed = checksums(clicks["url"]) * 31 + checksums(clicks["country"])
    return mixed % shards


def _partials(clicks: pa.Table) -> pa.Table:
    time = clicks["time_spent_ms"].combine_chunks()
    millis = np.asarray(time.fill_null(0))
    known = np.asarray(time.is_valid()) if time.null_count else np.ones(len(time), np.bool_)
    signs = np.asarray(clicks["sign"]) if "sign" in clicks.column_names else np.ones(len(time), np.int64)
    told = "starts_session" in clicks.column_names
    visits = [signs * np.asarray(clicks[name]) if told else pa.nulls(len(time), pa.int64()) for name in _VISITS]
    columns = [clicks[name] for name in _KEY[:3]]
    sums = [pa.array(column) for column in (time_buckets(millis), signs, signs * millis, signs * known, *visits)]
    if _TRAITS in clicks.column_names:
        return pa.table([*columns, *sums, clicks[_TRAITS]], schema=_WITH_TRAITS)
    return pa.table(columns + sums, schema=PARTIAL_SCHEMA)


class PageSums:
    """The accumulator: partial sums of one window and shard, as packed Arrow streams that are only opened when needed.

    Any tree of `add` and `merge` over the same clicks leads to the same `page_metrics`.
    """

    def __init__(self, packed: Iterable[bytes] = (), unmerged_rows: int = 0, merged_rows: int = 0) -> None:
        self._packed = list(packed)
        self._open: list[pa.Table] = []
        self._open_rows = 0
        self.unmerged_rows, self.merged_rows = unmerged_rows, merged_rows

    def add(self, partials: pa.Table) -> None:
        """Takes in a table of PARTIAL_SCHEMA."""
        self._open.append(partials)
        self._open_rows += partials.num_rows
        if self._open_rows >= _ROWS_UNPACKED:
            self._close()
        self._count(partials.num_rows)

    def merge(self, other: "PageSums") -> None:
        """Takes in all that the other has."""
        self._packed += other.packed()
        self.merged_rows += other.merged_rows
        self._count(other.unmerged_rows)

    def _count(self, rows: int) -> None:
        """Merges rows once they have doubled: long windows stay small, and each row is merged only a few times."""
        self.unmerged_rows += rows
        if self.unmerged_rows >= max(_ROWS_UNMERGED, self.merged_rows):
            self.compact()

    def compact(self) -> None:
        """Merges rows of the same URL, country and user, and packs the result as one stream."""
        merged = merge_partials(self.table())
        self._packed, self._open, self._open_rows = [_packed(merged)], [], 0
        self.unmerged_rows, self.merged_rows = 0, merged.num_rows

    def packed(self) -> list[bytes]:
        """Everything, as Arrow streams."""
        self._close()
        return self._packed

    def table(self) -> pa.Table:
        """Everything, as one table of PARTIAL_SCHEMA, with the column traits where clicks had some."""
        tables = [unpack(stream) for stream in self._packed] + self._open
        # What was summed up before clicks had traits, of a savepoint, has none.
        return pa.concat_tables(tables or [PARTIAL_SCHEMA.empty_table()], promote_options="default").combine_chunks()

    def _close(self) -> None:
        if self._open:
            self._packed.append(_packed(pa.concat_tables(self._open, promote_options="default")))
            self._open, self._open_rows = [], 0


def _packed(partials: pa.Table) -> bytes:
    return pack(partials, repeating=("url", "country", _TRAITS))


def merge_partials(partials: pa.Table) -> pa.Table:
    """Adds up the rows of the same URL, country, user, bucket and traits: the same table again, shorter."""
    schema = _WITH_TRAITS if _TRAITS in partials.column_names else PARTIAL_SCHEMA
    told = [name for name in _SUMS if partials[name].null_count == 0]
    key = [name for name in schema.names if name not in _SUMS]
    merged = _frame(partials).group_by(key).agg(pl.col(told).sum()).to_arrow(compat_level=_OLD)
    columns = [merged[name] if name in merged.column_names else pa.nulls(len(merged)) for name in schema.names]
    return pa.table(columns, names=schema.names).cast(schema)


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))
