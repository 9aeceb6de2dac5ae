"""Decoded records, a column a field: an Arrow array, or for times of which some are texts and some numbers, a list."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from clickstream.transforms.lines import Places

Column: TypeAlias = pa.StringArray | pa.DoubleArray | list[Any]

_NUMBERS, _TIMES = ("time_spent",), ("timestamp", "session_end")


class Refusal(NamedTuple):
    """Why the record with this number in its batch is not a click. `detail` names the field, never its value."""

    number: int
    reason: str
    detail: str


class Decoded(NamedTuple):
    """The records that could be decoded, a column a field, and `kept`: each one's number in the batch. `mended`: what was, a name each time."""

    fields: dict[str, Column]
    kept: Places
    refused: list[Refusal]
    mended: Sequence[str] = ()


def as_columns(decoded: Decoded) -> Decoded:
    """The same with lists as columns."""
    return decoded._replace(fields={name: _column(name, values) for name, values in decoded.fields.items()})


def merged(fields: dict[str, Column], kept: Places, others: Decoded, others_at: Places) -> Decoded:
    """Some of a batch's records as columns, and the others as lists, in the order of the batch.

    Args:
        fields: The columns of some.
        kept: Their numbers in the batch.
        others: The others.
        others_at: Of each of these, which `others` numbers from 0, the number in the batch.
    """
    refused = [refusal._replace(number=int(others_at[refusal.number])) for refusal in others.refused]
    if not len(others.kept):
        return Decoded(fields, kept, refused, others.mended)
    kept = np.concatenate([kept, others_at[others.kept]])
    order = np.argsort(kept)
    columns = {name: _joined(name, column, others.fields[name], order) for name, column in fields.items()}
    return Decoded(columns, kept[order], refused, others.mended)


def _joined(name: str, first: Column, second: Column, order: Places) -> Column:
    second = _column(name, second)
    if isinstance(first, pa.Array) and isinstance(second, pa.Array) and first.type == second.type:
        return pa.concat_arrays([first, second]).take(pa.array(order))
    values = [*_as_list(first), *_as_list(second)]
    return _column(name, [values[number] for number in order])


def _column(name: str, values: Column) -> Column:
    """The values of a field, all of the types that the decoder allows for it."""
    if name not in _TIMES:
        return pa.array(values, pa.float64() if name in _NUMBERS else pa.string())
    for kind in (pa.string(), pa.float64()):
        with suppress(pa.ArrowInvalid, pa.ArrowTypeError):
            return pa.array(values, kind)
    return values


def mixed(texts: pa.StringArray, numbers: pa.DoubleArray) -> list[Any]:
    """Whichever is given of each."""
    return [
        number if text is None else text for text, number in zip(texts.to_pylist(), numbers.to_pylist(), strict=True)
    ]


def _as_list(column: Column) -> list[Any]:
    return column.to_pylist() if isinstance(column, pa.Array) else column
