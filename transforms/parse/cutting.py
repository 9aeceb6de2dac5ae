"""Texts and numbers cut out of a batch's lines, a column at a time."""

from contextlib import suppress
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.limits import LONGEST_SECONDS
from clickstream.transforms.lines import Characters, Lines, Mask, Places
from clickstream.transforms.parse.columns import Column

Floats: TypeAlias = npt.NDArray[np.float64]

_numbers = msgspec.json.Decoder(list[float])  # in lists, one call reads many


class FieldPlaces:
    """Where a field stands in each line of a batch, or the number that it has there; in none at first."""

    def __init__(self, lines: Lines) -> None:
        self._start, self._end = lines.starts.copy(), lines.starts.copy()
        self._is_text = np.zeros(len(lines), np.bool_)
        self._numbers: Floats | None = None

    def set_text(self, rows: Places, start: Places, end: Places) -> None:
        """The field is a text in these lines."""
        self._start[rows], self._end[rows], self._is_text[rows] = start, end, True

    def set_number(self, rows: Places, values: Floats) -> None:
        """The field is a number in these lines."""
        if self._numbers is None:
            self._numbers = np.full(len(self._is_text), np.nan)
        self._numbers[rows] = values

    def column(self, rows: Places, characters: Characters) -> Column:
        """The field in these lines, which ascend."""
        are_texts = self._is_text[rows]
        texts = cut_texts(characters, self._start[rows], self._end[rows], are_texts)
        if self._numbers is None:
            return texts
        numbers = self._numbers[rows]
        column = pa.array(numbers, mask=np.isnan(numbers))
        return column if not are_texts.any() else _mixed(texts, column)


def _mixed(texts: pa.StringArray, numbers: pa.DoubleArray) -> list[Any]:
    return [
        number if text is None else text for text, number in zip(texts.to_pylist(), numbers.to_pylist(), strict=True)
    ]


def cut_lines(lines: Lines, rows: Places) -> Lines:
    """These lines only; their numbers ascend."""
    whole = cut_texts(lines.characters, lines.starts[rows], lines.ends[rows]).cast(pa.binary())
    return Lines(_in_one(whole, b"\n") + b"\n" * bool(len(rows)))


def _in_one(texts: pa.Array, between: str | bytes) -> Any:
    return pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts), between)[0].as_py()


def cut_texts(characters: Characters, starts: Places, ends: Places, given: Mask | None = None) -> pa.StringArray:
    """The texts between these places, which ascend; null where none is given."""
    count = len(starts)
    offsets = np.zeros(2 * count + 1, np.int32)
    offsets[:-1:2], offsets[1::2], offsets[-1] = starts, ends, ends.max(initial=0)
    texts_and_gaps = pa.StringArray.from_buffers(2 * count, pa.py_buffer(offsets), pa.py_buffer(characters))
    absent = None if given is None or given.all() else ~given
    return texts_and_gaps.take(pa.array(np.arange(0, 2 * count, 2), mask=absent))


def cut_numbers(field: str, characters: Characters, starts: Places, ends: Places) -> Floats:
    """The JSON numbers between these places, which ascend; NaN for what is none, or none that the field takes."""
    numbers = np.array(_read_numbers(cut_texts(characters, starts, ends)), np.float64)
    if field == "time_spent":
        numbers[~((numbers >= 0) & (numbers <= LONGEST_SECONDS))] = np.nan
    return numbers


def _read_numbers(texts: pa.StringArray) -> list[float | None]:
    """The JSON number that each text is; None for what is none, which is found by halving."""
    with suppress(msgspec.MsgspecError):
        numbers: list[float | None] = [*_numbers.decode(f"[{_in_one(texts, ',')}]")]
        if len(numbers) == len(texts):
            return numbers
    middle = len(texts) // 2
    return _read_numbers(texts[:middle]) + _read_numbers(texts[middle:]) if middle else [None]
