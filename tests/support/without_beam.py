"""What the steps compute, without Beam."""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from clickstream.transforms.aggregate.page_sums import PageSums, cut_by_window
from clickstream.transforms.aggregate.result_rows import page_metrics
from clickstream.transforms.arrays import Int64s
from clickstream.transforms.sketches import Users, UserUnion


def iterate_metrics(clicks: pa.Table, *, window_seconds: int) -> Iterator[pa.Table]:
    """`AggregateByPage`: the result rows of a table of clicks, a table a window."""
    windows: dict[int, PageSums] = {}
    for piece in cut_by_window(clicks, window_seconds=window_seconds, shards=1):
        windows.setdefault(piece.window_start_ms, PageSums()).add(piece.partials)
    for start, sums in sorted(windows.items()):
        yield page_metrics(sums.table(), window_start_ms=start, window_end_ms=start + window_seconds * 1000)


def union(sketches: Iterable[tuple[int, Int64s]]) -> Users:
    """Distinct users over the rows whose `users_theta` and `users_sketch` these are."""
    together = UserUnion()
    for theta, hashes in sketches:
        together.add(theta, hashes)
    return together.users()
