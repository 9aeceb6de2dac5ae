"""Rows of other containers as records of JSON, so that all that is known of records holds for them: formats, dead letters, pseudonyms."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import orjson

_PER_LINE = orjson.OPT_NON_STR_KEYS


def json_line(row: Mapping[str, Any]) -> bytes:
    """One row as a JSON object without line end.

    Times are ISO 8601, decimals text with all their digits, NaN and bytes that aren't UTF-8 null.

    Raises:
        TypeError: A value is of no known kind, a text that is half a character, or a number of more than 64 bits.
    """
    return orjson.dumps(row, _plain, _PER_LINE)


def json_lines(rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """The same for many. Raises as `json_line`."""
    return [orjson.dumps(row, _plain, _PER_LINE) for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return text_of(bytes(value))
    raise TypeError(type(value).__name__)


def text_of(value: bytes | None) -> str | None:
    """Bytes as text; None if they aren't UTF-8."""
    with suppress(UnicodeDecodeError):
        return None if value is None else value.decode()
    return None
