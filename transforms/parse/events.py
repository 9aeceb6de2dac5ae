"""Events of one's own pipeline, in the types that pipelines hold them in, as records of JSON."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
from apache_beam.utils.timestamp import Timestamp


class _OddError(Exception):
    """A value whose meaning isn't obvious."""


def to_record(event: Any) -> bytes:
    """The record that an event is: JSON in UTF-8. Never raises.

    Args:
        event: JSON as `bytes` or `str`; a mapping, a `beam.Row`, a NamedTuple, a dataclass; or a pair of a key and one of these, as from Kafka.
            In it, times of day are ISO 8601 (without zone: UTC), decimals and NumPy's scalars are numbers, NaN and NaT aren't known.

    Returns:
        Of anything else, bytes that are no JSON: its dead letter shows what it was.
    """
    if _is_pair(event):
        event = event[1]
    if isinstance(event, bytes | bytearray | memoryview):
        return bytes(event)
    try:
        text = event if isinstance(event, str) else json.dumps(_plain(event))
        return text.encode(errors="surrogatepass")  # half a character makes bytes that parsing rejects as invalid_utf8
    except Exception:
        return _shown(event)


def _is_pair(event: Any) -> bool:
    return type(event) is tuple and len(event) == 2


def _shown(event: Any) -> bytes:
    """What it was. No JSON, so that it's no click by chance."""
    try:
        text = repr(event)
    except Exception:
        text = ""
    return f"{type(event).__name__}: {text}".encode(errors="replace")


def _plain(value: Any) -> Any:
    """The same in the types of JSON."""
    if value is None or isinstance(value, str | bool):
        return str(value) if isinstance(value, str) else value
    if (fields := _fields(value)) is not None:
        return {str(name): _plain(inner) for name, inner in fields.items()}
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, Sequence | np.ndarray | set | frozenset):
        return [_plain(inner) for inner in value]
    return _scalar(value)


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """The fields of what has fields."""
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    for name in ("_asdict", "as_dict"):  # a NamedTuple's, a beam.Row's
        if callable(as_dict := getattr(value, name, None)):
            return dict(as_dict())
    return None


def _scalar(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else f"{np.datetime_as_string(value, unit='ms')}Z"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | Decimal):
        return None if math.isnan(value) else _whole_or_float(value)
    if isinstance(value, Timestamp):
        return value.to_rfc3339()
    if isinstance(value, date):  # a datetime too
        return value.isoformat() if value == value else None
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return _plain(value.value)
    raise _OddError


def _whole_or_float(value: float | Decimal) -> int | float:
    """A decimal that is whole as such: a float holds 53 bits."""
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else float(value)
