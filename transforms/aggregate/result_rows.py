"""Partial sums of one window to its result rows: sums, exact distinct users, and the two sketches that can be added up over windows."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Floats, Int64s
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA, UTC_MS
from clickstream.transforms.sketches import BUCKET_TEXTS, MAX_THETA, bucket_seconds, hash_users

DEFAULT_SKETCH_SIZE = 1024
_VERSION_BITS = 21  # for a mean of up to 35 minutes, in ms
_BUCKET_TEXTS = pa.array(BUCKET_TEXTS)


class _Pages(NamedTuple):
    """The distinct pages of a window, and the number of each row's page among them."""

    urls: pa.Array
    countries: pa.Array
    of_rows: Int64s

    def sums(self, column: pa.ChunkedArray) -> Int64s:
        sums = np.zeros(len(self.urls), np.int64)
        np.add.at(sums, self.of_rows, np.asarray(column))
        return sums


def page_metrics(
    partials: pa.Table, *, window_start_ms: int, window_end_ms: int, sketch_size: int = DEFAULT_SKETCH_SIZE
) -> pa.Table:
    """Result rows (PAGE_METRICS_SCHEMA) of one window, from its partial sums.

    Users are counted exactly. The mean is the sum of the known times by the number of clicks with one; null where none is known.

    Args:
        partials: PARTIAL_SCHEMA.
        window_start_ms: The window's start, ms since the epoch.
        window_end_ms: Its end.
        sketch_size: Users' hashes a row keeps at most; 0 for none.
    """
    found = result_columns(partials, window_start_ms, window_end_ms, sketch_size)
    return pa.table([of_type(found[field.name], field.type) for field in PAGE_METRICS_SCHEMA], PAGE_METRICS_SCHEMA)


def result_columns(
    partials: pa.Table, window_start_ms: int, window_end_ms: int, sketch_size: int
) -> dict[str, pa.Array | npt.NDArray[np.generic]]:
    """What `page_metrics` makes rows of; `url` and `country` are those that rows are told apart by, whatever they hold."""
    pages = _pages(partials)
    count = len(pages.urls)
    clicks, millis, timed = (pages.sums(partials[name]) for name in ("clicks", "time_spent_ms", "timed_clicks"))
    measured = partials["sessions"].null_count == 0
    sessions, bounces = (pages.sums(partials[name]) if measured else None for name in ("sessions", "bounces"))
    seconds = millis / 1000
    mean = seconds / np.maximum(timed, 1)
    none = pa.nulls(count)
    return {
        "window_start": pa.array(np.full(count, window_start_ms)).cast(UTC_MS),
        "window_end": pa.array(np.full(count, window_end_ms)).cast(UTC_MS),
        "url": pages.urls,
        "country": pages.countries,
        "clicks": clicks,
        "time_spent_seconds": seconds,
        "timed_clicks": timed,
        "avg_time_spent": pa.array(mean, mask=timed == 0),
        "sessions": none if sessions is None else sessions,
        "bounces": none if bounces is None else bounces,
        "version": clicks + timed if sessions is None else _version_by_dwell(clicks, timed, millis, clicks - sessions),
        **_times(partials, pages, mean),
        **_users(partials, pages, sketch_size),
    }


def _version_by_dwell(clicks: Int64s, timed: Int64s, millis: Int64s, continued: Int64s) -> Int64s:
    """Grows with what is known of a window, whatever clicks become known in whatever order: a store keeps the highest.

    More clicks never make fewer be counted, be timed, or follow another one. Where none of these grows, a click in another window can
    only have come between two others, so that the time spent is shorter.
    """
    mean = millis // np.maximum(timed, 1)
    return ((clicks + timed + continued) << _VERSION_BITS) + np.maximum((1 << _VERSION_BITS) - 1 - mean, 0)


def of_type(column: pa.Array | npt.NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    """The column in Arrow, of this type."""
    array = column if isinstance(column, pa.Array) else pa.array(column)
    return array if array.type == kind else array.cast(kind)


def _pages(partials: pa.Table) -> _Pages:
    urls, countries = (partials[name].combine_chunks().dictionary_encode() for name in ("url", "country"))
    width = max(len(countries.dictionary), 1)
    codes = np.asarray(urls.indices).astype(np.int64) * width + np.asarray(countries.indices)
    distinct, of_rows = np.unique(codes, return_inverse=True)
    return _Pages(
        urls.dictionary.take(pa.array(distinct // width)),
        countries.dictionary.take(pa.array(distinct % width)),
        of_rows.reshape(-1),
    )


def _times(partials: pa.Table, pages: _Pages, mean: Floats) -> dict[str, pa.Array]:
    """Quantiles and histogram of the known times."""
    count, width = len(pages.urls), len(BUCKET_TEXTS)
    codes = pages.of_rows * width + np.asarray(partials["time_bucket"])
    timed = np.asarray(partials["timed_clicks"])
    known, place = np.unique(codes[timed != 0], return_inverse=True)
    clicks = np.zeros(len(known), np.int64)
    np.add.at(clicks, place.reshape(-1), timed[timed != 0])
    known, clicks = known[clicks > 0], clicks[clicks > 0]  # a time taken back leaves nothing
    page, bucket = known // width, known % width
    starts = np.searchsorted(page, np.arange(count + 1))
    texts = [_BUCKET_TEXTS.take(pa.array(bucket)), pa.array(clicks).cast(pa.string())]
    values, counts = (_joined(starts, text) for text in texts)
    histogram = pc.binary_join_element_wise('{"values":[', values, '],"counts":[', counts, "]}", "")
    empty = starts[1:] == starts[:-1]
    up_to = np.append(0, np.cumsum(clicks))
    totals = up_to[starts[1:]] - up_to[starts[:-1]]
    ranks = {"median_time_spent": (totals + 1) // 2, "p90_time_spent": (9 * totals + 9) // 10}
    seconds = np.append(bucket_seconds[bucket], 0.0)
    found = {name: np.searchsorted(up_to, up_to[starts[:-1]] + rank) - 1 for name, rank in ranks.items()}
    single = starts[1:] - starts[:-1] == 1  # then the mean is in the bucket, and exact
    quantiles = {
        name: pa.array(np.where(single, mean, seconds[np.maximum(at, 0)]), mask=empty) for name, at in found.items()
    }
    return {**quantiles, "time_spent_histogram": pc.if_else(pa.array(empty), None, histogram)}


def _users(partials: pa.Table, pages: _Pages, sketch_size: int) -> dict[str, pa.Array]:
    """How many users each page had, and a theta sketch of them: all hashes, or the `sketch_size` smallest."""
    count = len(pages.urls)
    users = partials["user_id"].combine_chunks().dictionary_encode()
    width = max(len(users.dictionary), 1)
    hashes = hash_users(users.dictionary.to_pylist()) if sketch_size else np.arange(width)
    by_hash = np.argsort(hashes)
    place = np.empty_like(by_hash)
    place[by_hash] = np.arange(len(by_hash))
    distinct = _distinct(pages.of_rows * width + place[np.asarray(users.indices)])
    page = distinct // width
    unique_users = np.bincount(page, minlength=count)
    if not sketch_size:
        return {"unique_users": pa.array(unique_users), "users_theta": pa.nulls(count), "users_sketch": pa.nulls(count)}
    hashes = hashes[by_hash][distinct % width]  # in order, page by page
    starts = np.append(0, np.cumsum(unique_users))
    theta = np.full(count, MAX_THETA)
    full = unique_users > sketch_size
    theta[full] = hashes[starts[:-1][full] + sketch_size]
    kept = np.arange(len(hashes)) - starts[page] < sketch_size
    ends = np.append(0, np.cumsum(np.minimum(unique_users, sketch_size)))
    sketch = pc.binary_join_element_wise("[", _joined(ends, pa.array(hashes[kept]).cast(pa.string())), "]", "")
    return {"unique_users": pa.array(unique_users), "users_theta": pa.array(theta), "users_sketch": sketch}


def _distinct(numbers: Int64s) -> Int64s:
    """Each number once, in order: `np.unique` in a third of its time."""
    numbers = np.sort(numbers)
    return numbers[np.flatnonzero(np.diff(numbers, prepend=-1))]


def _joined(starts: Int64s, texts: pa.Array) -> pa.Array:
    """The texts of each stretch, with commas."""
    return pc.binary_join(pa.LargeListArray.from_arrays(pa.array(starts, pa.int64()), texts), ",")
