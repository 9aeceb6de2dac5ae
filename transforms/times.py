"""Timestamps to milliseconds since the epoch, a column at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Millis = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_UTC_US = pa.timestamp("us", tz="UTC")
_ZONE = r"[T ].*(Z|[+-]\d\d(:?\d\d)?)$"
_FRACTION = r"(\.\d{6})\d+"
_SHAPE = r"^\d{4}-\d\d-\d\d[T ]\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?(Z|[+-]\d\d(:?\d\d)?)$"
_LOOKED_AT_CLOSELY = (
    512  # matching a pattern costs ten times a cast: only the stretches that hold a bad time pay for it
)
_BELOW_IS_SECONDS = 100_000_000_000  # as seconds: the year 5138; as milliseconds: March 1973
_LATEST = 7_258_118_400_000  # the year 2200: beyond, no store of ours agrees on how to write a time


def to_epoch_ms(values: Sequence[Any]) -> tuple[Millis, Mask]:
    """Reads times of day: ISO 8601 with or without zone (none means UTC), or epoch seconds or milliseconds.

    Args:
        values: Strings `YYYY-MM-DD[T ]hh[:mm[:ss[.fraction]]][Z|±hh[:mm]]`, or numbers: below 10^11 seconds, from there milliseconds.
            None is allowed, and is not a time.

    Returns:
        Milliseconds since the epoch, UTC, cut to the millisecond; and a mask of which are times at all, from 1970 to 2199.
        A value's result doesn't depend on its neighbours.
    """
    try:
        texts = pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return _mixed(values)
    millis, valid = _texts(texts)
    return millis, valid & (millis >= 0) & (millis < _LATEST)


def _texts(texts: pa.Array) -> tuple[Millis, Mask]:
    try:
        return _cast(texts)
    except pa.ArrowInvalid:
        if len(texts) > _LOOKED_AT_CLOSELY:
            return _halves(texts, _texts)
    texts = _with_zone(texts)
    return _each(pc.if_else(pc.match_substring_regex(texts, _SHAPE), texts, None))


def _each(texts: pa.Array) -> tuple[Millis, Mask]:
    """Texts of the right shape; what is no time all the same, such as 30 February, is found by halving."""
    try:
        return _cast(texts)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return np.full(1, -1, np.int64), np.zeros(1, np.bool_)
    return _halves(texts, _each)


def _halves(texts: pa.Array, read: Callable[[pa.Array], tuple[Millis, Mask]]) -> tuple[Millis, Mask]:
    middle = len(texts) // 2
    left, right = read(texts[:middle]), read(texts[middle:])
    return np.concatenate([left[0], right[0]]), np.concatenate([left[1], right[1]])


def _cast(texts: pa.Array) -> tuple[Millis, Mask]:
    times = texts.cast(_UTC_US)
    if times.null_count == 0:
        return np.asarray(times.cast(pa.int64())) // 1000, np.ones(len(texts), np.bool_)
    return np.asarray(times.cast(pa.int64()).fill_null(-1)) // 1000, np.asarray(times.is_valid())


def _with_zone(texts: pa.Array) -> pa.Array:
    """Adds the zone UTC where none is given, and cuts fractions that Arrow would refuse: to microseconds."""
    zoned = pc.or_(pc.ends_with(texts, "Z"), pc.match_substring_regex(texts, _ZONE))
    texts = pc.if_else(zoned, texts, pc.binary_join_element_wise(texts, "Z", ""))
    return pc.replace_substring_regex(texts, _FRACTION, r"\1")


def _mixed(values: Sequence[Any]) -> tuple[Millis, Mask]:
    texts, text_valid = to_epoch_ms([v if isinstance(v, str) else None for v in values])
    numbers = np.array([np.nan if v is None or isinstance(v, str) else v for v in values], np.float64)
    is_number = np.isfinite(numbers) & (numbers >= 0)
    numbers[~is_number] = 0
    millis = np.floor(np.where(numbers < _BELOW_IS_SECONDS, numbers * 1000, numbers))
    is_number &= millis < _LATEST
    numeric = np.where(is_number, millis, -1).astype(np.int64)
    return np.where(is_number, numeric, texts), text_valid | is_number
