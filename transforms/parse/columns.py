"""A field of many decoded records: an Arrow array where all are texts or all are numbers, else a list."""

from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Column: TypeAlias = pa.StringArray | pa.DoubleArray | list[Any]


def as_array(column: Column, kind: pa.DataType) -> pa.Array:
    """The values as an Arrow array.

    Raises:
        ArrowInvalid, ArrowTypeError: One is of another type.
    """
    if isinstance(column, pa.Array):
        return column if column.type == kind else column.cast(kind)
    return pa.array(column, kind)


def as_list(column: Column) -> list[Any]:
    """The values as Python's."""
    return column.to_pylist() if isinstance(column, pa.Array) else column


def are_none(column: Column) -> bool:
    """Whether there is no value at all."""
    nothing = column.null_count if isinstance(column, pa.Array) else column.count(None)
    return bool(nothing == len(column))


def are_given(column: Column) -> npt.NDArray[np.bool_]:
    """Which values aren't None."""
    if isinstance(column, pa.Array):
        return np.asarray(column.is_valid())
    return np.array([value is not None for value in column], np.bool_)


def joined(first: Column, second: Column, order: npt.NDArray[np.int64]) -> Column:
    """The values of both, in this order of their numbers."""
    if isinstance(first, pa.Array):
        with suppress(pa.ArrowInvalid, pa.ArrowTypeError):
            return pa.concat_arrays([first, as_array(second, first.type)]).take(pa.array(order))
    values = as_list(first) + as_list(second)
    return [values[number] for number in order]
