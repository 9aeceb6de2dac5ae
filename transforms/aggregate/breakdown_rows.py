"""Partial sums of one window to rows of its breakdowns: by the sums, users and sketches of the rows of pages, over other groups of clicks."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.aggregate.result_rows import of_type, result_columns
from clickstream.transforms.arrays import Int64s
from clickstream.transforms.breakdowns import OTHER, Breakdowns, values_of
from clickstream.transforms.schema import BREAKDOWN, BREAKDOWN_SCHEMA

_LONGEST_SITE = 255
_SITE = r"^[^/?#]*//(?:[^/?#@]*@)?(?P<site>[^/?#]*)"


def breakdown_metrics(
    partials: pa.Table, breakdowns: Breakdowns, *, window_start_ms: int, window_end_ms: int, sketch_size: int
) -> Iterator[tuple[str, pa.Table]]:
    """Yields each breakdown's name and its rows (BREAKDOWN_SCHEMA) of one window. Clicks over all rows of one are the window's.

    Args:
        partials: PARTIAL_SCHEMA with the column traits, whole: those of all pages of the window.
        breakdowns: What traits hold, and how many values have rows of their own: those with most clicks, of equal ones the first as text.
        window_start_ms: The window's start, ms since the epoch.
        window_end_ms: Its end.
        sketch_size: Users' hashes a row keeps at most; 0 for none.
    """
    sites, users = _sites(partials["url"]), partials["user_id"].combine_chunks().dictionary_encode()
    traits = partials["traits"].combine_chunks().fill_null("").dictionary_encode()
    sums = partials.drop_columns(["url", "country", "user_id", "traits"])
    clicks = np.asarray(partials["clicks"])
    for name, texts in zip(breakdowns.names, values_of(traits.dictionary, len(breakdowns.names)), strict=True):
        values, together = _bounded(_of_rows(texts, traits.indices), clicks, breakdowns)
        groups = sums.append_column("user_id", users).append_column("url", values).append_column("country", sites)
        columns = result_columns(groups, window_start_ms, window_end_ms, sketch_size)
        yield name, _table(columns, together)


def _table(columns: dict[str, pa.Array | npt.NDArray[np.generic]], together: int) -> pa.Table:
    value, site = BREAKDOWN.key
    is_other = pc.equal(columns["url"], OTHER) if together else pa.array(np.zeros(len(columns["url"]), np.bool_))
    named = columns | {
        value: columns["url"],
        site: columns["country"],
        "values_together": pc.if_else(is_other, together, 1),
    }
    return pa.table([of_type(named[field.name], field.type) for field in BREAKDOWN_SCHEMA], BREAKDOWN_SCHEMA)


def _of_rows(texts: pa.StringArray, indices: pa.Array) -> pa.DictionaryArray:
    """The text of each row, of texts that may be equal, as a dictionary of different ones."""
    distinct = texts.dictionary_encode()
    return pa.DictionaryArray.from_arrays(distinct.indices.take(indices), distinct.dictionary)


def _sites(urls: pa.ChunkedArray) -> pa.DictionaryArray:
    """The host of each URL, with its port where that isn't the scheme's; empty where there is none."""
    distinct = urls.combine_chunks().dictionary_encode()
    hosts = pc.struct_field(pc.extract_regex(distinct.dictionary, _SITE), "site")
    return _of_rows(pc.utf8_slice_codeunits(pc.utf8_lower(pc.fill_null(hosts, "")), 0, _LONGEST_SITE), distinct.indices)


def _bounded(values: pa.DictionaryArray, clicks: Int64s, breakdowns: Breakdowns) -> tuple[pa.DictionaryArray, int]:
    """The values that have rows of their own, `OTHER` instead of the others, and how many those are."""
    texts, numbers = values.dictionary, np.asarray(values.indices)
    most = breakdowns.most_values
    if len(texts) <= most:
        return values, 0
    sums = np.zeros(len(texts), np.int64)
    np.add.at(sums, numbers, clicks)
    ranks = pa.table({"clicks": sums, "value": texts})
    kept = pc.sort_indices(ranks, [("clicks", "descending"), ("value", "ascending")])[:most]
    place = np.full(len(texts), most, np.int32)
    place[np.asarray(kept)] = np.arange(most)
    # A value may be called so too, and is one of them then.
    is_together = (place == most) | np.asarray(pc.equal(texts, OTHER))
    shown = pa.concat_arrays([texts.take(kept), pa.array([OTHER], pa.string())])
    together = int(np.count_nonzero(is_together & (sums != 0)))
    return _of_rows(shown, pa.array(place[numbers])), together
