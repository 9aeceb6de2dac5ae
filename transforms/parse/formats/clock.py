"""Times and numbers of events, in units and forms of their own, as columns."""

import re
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Floats, Mask, Millis
from clickstream.transforms.parse.formats.extracted import PathColumn
from clickstream.transforms.parse.formats.json_values import NUMBER, TEXT
from clickstream.transforms.parse.formats.mapping import Source
from clickstream.transforms.parse.times import LATEST_MS, ZONE, seconds_to_ms, to_epoch_ms

PER_MS = {"us": 1_000, "ns": 1_000_000}  # whole units of a millisecond
_WHOLE, _DECIMAL = r"^-?[0-9]{1,18}$", r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_EPOCH = r"^[0-9]{9,19}(\.[0-9]+)?$"  # no day of a calendar is written so
_DIRECTIVES = {
    "Y": r"(?P<Y>[0-9]{4})",
    "m": r"(?P<m>[0-9]{2})",
    "b": r"(?P<b>[A-Za-z]{3})",
    "d": r"(?P<d>[0-9]{2})",
    "H": r"(?P<H>[0-9]{2})",
    "M": r"(?P<M>[0-9]{2})",
    "S": r"(?P<S>[0-9]{2})",
    "f": r"(?P<f>[0-9]{1,9})",
    "z": r"(?P<z>Z|[+-][0-9]{2}:?[0-9]{2})",
    "%": "%",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OTHERWISE = {"H": "00", "M": "00", "S": "00"}


def millis_of(column: PathColumn, source: Source, *, lenient: bool = False) -> tuple[Millis, Mask]:
    """Milliseconds since the epoch, and which are times from 1970 to 2199. `lenient`: a text that is a number of 9 digits or more is one."""
    if source.unit:
        return _of_unit(column, source.unit)
    if lenient and not source.format:
        epochs = np.asarray(pc.match_substring_regex(column.texts, _EPOCH).fill_null(False))
        column = column._replace(kinds=np.where(epochs & (column.kinds == TEXT), NUMBER, column.kinds).astype(np.int8))
    texts = pc.if_else(pa.array(column.kinds == TEXT), column.texts, None)
    texts = _as_iso(texts, source.format) if source.format else texts
    millis, valid = to_epoch_ms(texts)
    if source.zone:
        millis = _from_zone(millis, valid & _without_zone(texts), source.zone)
    if source.format or not (column.kinds == NUMBER).any():
        return millis, valid
    numbers, good = to_epoch_ms(pa.array(numbers_of(column)))
    return np.where(good, numbers, millis), valid | good


def numbers_of(column: PathColumn, *, texts: bool = False) -> Floats:
    """The numbers, and if asked texts of which each is one; NaN for all else."""
    wanted = pa.array((column.kinds == NUMBER) | (texts & (column.kinds == TEXT)))
    written = pc.if_else(wanted, column.texts, None)
    written = pc.if_else(pc.match_substring_regex(written, _DECIMAL), written, None)
    return np.array(written.cast(pa.float64()).fill_null(np.nan))


def regex_of(form: str) -> str:
    """The regular expression of a form of times.

    Raises:
        ValueError: A directive isn't known, or the day isn't told.
    """
    parts = re.split(r"%(.)", form)
    given = parts[1::2]
    unknown = [f"%{each}" for each in given if each not in _DIRECTIVES]
    if unknown:
        message = (
            f"{unknown[0]} isn't known in a format: the directives are {', '.join(f'%{each}' for each in _DIRECTIVES)}"
        )
        raise ValueError(message)
    if not {"Y", "d"} <= set(given) or not {"m", "b"} & set(given) or len(set(given)) < len(given):
        message = "a format takes %Y, %m or %b, and %d, each once"
        raise ValueError(message)
    pieces = [_DIRECTIVES[part] if number % 2 else re.escape(part) for number, part in enumerate(parts)]
    return f"^{''.join(pieces)}$"


def check_zone(zone: str) -> None:
    """Raises ValueError for a time zone that there isn't."""
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        message = f"{zone!r} is no time zone: write one such as Europe/Berlin"
        raise ValueError(message) from None


def _as_iso(texts: pa.StringArray, form: str) -> pa.StringArray:
    """Times of this form in ISO 8601; null for what has another."""
    found = pc.extract_regex(texts, regex_of(form))
    given = {found.type.field(n).name for n in range(found.type.num_fields)}
    part = {name: found.field(name) for name in given}
    month = part["m"] if "m" in part else _month(part["b"])
    clock = [part.get(name, _OTHERWISE[name]) for name in "HMS"]
    date = pc.binary_join_element_wise(part["Y"], month, part["d"], "-")
    whole = (
        pc.binary_join_element_wise(date, pc.binary_join_element_wise(*clock, ":"), "T")
        if any(isinstance(each, pa.Array) for each in clock)
        else pc.binary_join_element_wise(date, "T00:00:00", "")
    )
    if "f" in part:
        whole = pc.binary_join_element_wise(whole, part["f"], ".")
    whole = pc.binary_join_element_wise(whole, part["z"], "") if "z" in part else whole
    return pc.if_else(found.is_valid(), whole, None)


def _month(names: pa.StringArray) -> pa.StringArray:
    numbers = pc.index_in(pc.utf8_lower(names), value_set=pa.array(_MONTHS))
    return pa.array([f"{number:02}" for number in range(1, 13)]).take(numbers)


def _without_zone(texts: pa.StringArray) -> Mask:
    return ~np.asarray(pc.match_substring_regex(texts, ZONE).fill_null(True))


def _from_zone(millis: Millis, naive: Mask, zone: str) -> Millis:
    """Times of a place's clock. An hour that it shows twice is the first; one that it leaves out is the next."""
    local = pa.array(np.where(naive, millis, 0)).cast(pa.timestamp("ms"))
    there = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest").cast(pa.int64())
    return np.where(naive, np.asarray(there), millis)


def _of_unit(column: PathColumn, unit: str) -> tuple[Millis, Mask]:
    written = pc.if_else(pa.array((column.kinds == NUMBER) | (column.kinds == TEXT)), column.texts, None)
    whole = np.asarray(pc.match_substring_regex(written, _WHOLE).fill_null(False))
    exact = np.asarray(pc.if_else(pa.array(whole), written, "0").cast(pa.int64()).fill_null(0))
    millis = _whole(exact, unit)
    if not whole.all():
        numbers = numbers_of(column.only(~whole), texts=True)
        millis = np.where(whole, millis, _decimal(numbers, unit))
    valid = (millis >= 0) & (millis < LATEST_MS) & np.asarray(column.texts.is_valid())
    return np.where(valid, millis, -1), valid


def _whole(numbers: npt.NDArray[np.int64], unit: str) -> Millis:
    if unit == "s":
        return np.clip(numbers, -1, LATEST_MS) * 1000
    return np.floor_divide(numbers, PER_MS.get(unit, 1))


def _decimal(numbers: Floats, unit: str) -> Millis:
    millis = seconds_to_ms(numbers) if unit == "s" else np.floor(numbers / PER_MS.get(unit, 1))
    return np.where((millis >= 0) & (millis < LATEST_MS), millis, -1).astype(np.int64)
