"""Records whose only faults are in what a row can do without: such fields are cut, or unknown. Half a character is U+FFFD."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec

from clickstream.transforms.limits import LONGEST_SECONDS, MAX_TEXT_LENGTH
from clickstream.transforms.parse.reader.records import FAMILIES, FlatRecord, NestedRecord, Record

HALF_CHARACTER = "half_character"
_TEXTS = ("city", "browser", "os", "device")
_MAY_BE_MISSING = {"user_agent_data"}
_MOST_DIGITS = 300
_LAST = 1e15  # beyond any time, and within any number
_FAILURES = (msgspec.MsgspecError, ValueError, RecursionError, AttributeError, OverflowError)
_HIGH, _LOW = rb"u[dD][89abAB][0-9a-fA-F]{2}", rb"u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rb"\\(?:" + _HIGH + rb"\\" + _LOW + rb"|(" + _HIGH + b"|" + _LOW + rb")|.)", re.DOTALL)


def mend(value: bytes) -> tuple[Record, list[str]] | None:
    """The record, and what was mended in it: `half_character`, `FIELD_cut` or `FIELD_unknown`. None: it can't be mended.

    A text of more than 512 characters is cut. What is no text, no number of seconds from 0 to 366 days, or no time, is unknown. So is a row key
    that is too long: cut, it would be another's. What a row is made of stays as it is: user, time, URL and country.
    """
    whole = _whole_characters(value)
    try:
        tree = json.loads(whole.decode(), parse_int=_number, parse_constant=_refuse)
        mended = [HALF_CHARACTER] if whole != value else []
        mended += _mend_tree(tree)
        is_flat = tree.get("click_data") is None
        record: Record = msgspec.convert(tree, FlatRecord) if is_flat else msgspec.convert(tree, NestedRecord)
    except _FAILURES:
        return None
    time = record.timestamp if isinstance(record, FlatRecord) else record.click_data.timestamp
    return None if time == math.inf else (record, mended)


def _number(digits: str) -> int | float:
    """Python refuses to read integers of more than 4,300 digits."""
    return int(digits) if len(digits) < _MOST_DIGITS else math.inf


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _whole_characters(value: bytes) -> bytes:
    """The text with U+FFFD for each half of a pair that stands alone."""
    if b"\\u" not in value:
        return value
    return _ESCAPE.sub(lambda escape: escape[0] if escape[1] is None else rb"\ufffd", value)


def _mend_tree(tree: dict[str, Any]) -> Iterator[str]:
    parts = [tree]
    if tree.get("click_data") is not None:
        for family in FAMILIES.values():
            if family in _MAY_BE_MISSING and not isinstance(tree.get(family), dict | None):
                tree[family] = None
                yield f"{family}_unknown"
        parts += [tree.get(family) or {} for family in FAMILIES.values()]
    for part in parts:
        yield from _mend_fields(part)


def _mend_fields(fields: dict[str, Any]) -> Iterator[str]:
    for name in _TEXTS:
        text = fields.get(name)
        if isinstance(text, str) and len(text) > MAX_TEXT_LENGTH:
            fields[name] = text[:MAX_TEXT_LENGTH]
            yield f"{name}_cut"
    for name in ("session_end", "time_spent", "row_key", "referrer", *_TEXTS):
        if fields.get(name) is not None and not _is_possible(name, fields[name]):
            fields[name] = None
            yield f"{name}_unknown"


def _is_possible(name: str, value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "session_end":
        return (is_number and 0 <= value <= _LAST) or isinstance(value, str)
    if name == "time_spent":
        return is_number and 0 <= value <= LONGEST_SECONDS
    return isinstance(value, str) and (name == "referrer" or len(value) <= MAX_TEXT_LENGTH)
