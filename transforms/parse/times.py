"""Timestamps to milliseconds since the epoch, a column at a time."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Floats, Mask, Millis
from clickstream.transforms.parse.reader import Column

_UTC_US = pa.timestamp("us", tz="UTC")
ZONE = r"Z$|[T ].*[+-]\d\d(:?\d\d)?$"
_FRACTION = r"(\.\d{6})\d+"
_SHAPE = r"^\d{4}-\d\d-\d\d[T ]\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?(Z|[+-]\d\d(:?\d\d)?)$"
_STRETCH = 1_000  # texts; matching a pattern costs ten times a cast
_BELOW_IS_SECONDS = 100_000_000_000  # as seconds: the year 5138; as milliseconds: March 1973
LATEST_MS = 7_258_118_400_000  # the year 2200: beyond, no store of ours agrees on how to write a time


def to_epoch_ms(values: Column) -> tuple[Millis, Mask]:
    """Reads times of day: ISO 8601 with or without zone (none means UTC), or epoch seconds or milliseconds.

    Args:
        values: Strings `YYYY-MM-DD[T ]hh[:mm[:ss[.fraction]]][Z|±hh[:mm]]`, or numbers: below 10^11 seconds, from there milliseconds.
            None is allowed, and is not a time. Or times in UTC and milliseconds already, within the same bounds.

    Returns:
        Milliseconds since the epoch, UTC, cut to the millisecond; and a mask of which are times at all, from 1970 to 2199.
        A value's result doesn't depend on its neighbours.
    """
    if isinstance(values, pa.TimestampArray):
        return np.asarray(values.cast(pa.int64()).fill_null(-1)), np.asarray(values.is_valid())
    if isinstance(values, pa.DoubleArray):
        return _numbers(np.array(values.fill_null(np.nan)))
    if not isinstance(values, pa.Array):
        return _mixed(values)
    millis, valid = _texts(values)
    return millis, valid & (millis >= 0) & (millis < LATEST_MS)


def _texts(texts: pa.Array) -> tuple[Millis, Mask]:
    """Most batches are alike: all good, all with a zone or all without. Only stretches that aren't are looked at text by text."""
    try:
        return _cast_alike(texts)
    except pa.ArrowInvalid:
        stretches = [texts[start : start + _STRETCH] for start in range(0, len(texts), _STRETCH)]
    results = [_stretch(stretch) for stretch in stretches]
    return np.concatenate([r[0] for r in results]), np.concatenate([r[1] for r in results])


def _stretch(texts: pa.Array) -> tuple[Millis, Mask]:
    try:
        return _cast_alike(texts)
    except pa.ArrowInvalid:
        return _mend(texts)


def _cast_alike(texts: pa.Array) -> tuple[Millis, Mask]:
    naive = len(texts) > 0 and not re.search(ZONE, texts[0].as_py() or "Z")
    return _cast(pc.binary_join_element_wise(texts, "Z", "") if naive else texts)


def _mend(texts: pa.Array) -> tuple[Millis, Mask]:
    """Texts that don't all look alike, or are no times."""
    odd = pc.invert(pc.match_substring_regex(texts, _SHAPE)).fill_null(False)
    mended = _with_zone(texts.filter(odd))
    mended = pc.if_else(pc.match_substring_regex(mended, _SHAPE), mended, None)
    return _each(pc.replace_with_mask(texts, odd, mended))


def _each(texts: pa.Array) -> tuple[Millis, Mask]:
    """Texts of the right shape; what is no time all the same, such as 30 February, is found by halving."""
    try:
        return _cast(texts)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return np.full(1, -1, np.int64), np.zeros(1, np.bool_)
    middle = len(texts) // 2
    left, right = _each(texts[:middle]), _each(texts[middle:])
    return np.concatenate([left[0], right[0]]), np.concatenate([left[1], right[1]])


def _cast(texts: pa.Array) -> tuple[Millis, Mask]:
    times = texts.cast(_UTC_US)
    if times.null_count == 0:
        return np.asarray(times.cast(pa.int64())) // 1000, np.ones(len(texts), np.bool_)
    return np.asarray(times.cast(pa.int64()).fill_null(-1)) // 1000, np.asarray(times.is_valid())


def _with_zone(texts: pa.Array) -> pa.Array:
    """Adds the zone UTC where none is given, and cuts fractions that Arrow would refuse: to microseconds."""
    texts = pc.if_else(pc.match_substring_regex(texts, ZONE), texts, pc.binary_join_element_wise(texts, "Z", ""))
    return pc.replace_substring_regex(texts, _FRACTION, r"\1")


def _mixed(values: Sequence[Any]) -> tuple[Millis, Mask]:
    texts, text_valid = to_epoch_ms(pa.array([v if isinstance(v, str) else None for v in values], pa.string()))
    # Python's integers may be larger than any float.
    within = [np.nan if v is None or isinstance(v, str) else max(-1, min(v, LATEST_MS)) for v in values]
    numbers = np.array(within, np.float64)
    millis, is_number = _numbers(numbers)
    return np.where(is_number, millis, texts), text_valid | is_number


def _numbers(numbers: Floats) -> tuple[Millis, Mask]:
    is_number = (numbers >= 0) & (numbers < LATEST_MS)
    numbers[~is_number] = 0
    millis = np.where(numbers < _BELOW_IS_SECONDS, seconds_to_ms(numbers), np.floor(numbers))
    is_number &= millis < LATEST_MS
    return np.where(is_number, millis, -1).astype(np.int64), is_number


def seconds_to_ms(seconds: Floats) -> Floats:
    """The last millisecond not after each; `floor(seconds * 1000)` is one short for 0.6 % of times written with three decimals."""
    nearest = np.rint(seconds * 1000)
    return nearest - (nearest / 1000 > seconds)
