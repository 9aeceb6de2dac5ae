"""Texts and numbers cut out of lines of known shapes, a column at a time."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from clickstream.transforms.arrays import Floats
from clickstream.transforms.limits import LONGEST_SECONDS
from clickstream.transforms.lines import Lines, Places, cut_texts, in_one
from clickstream.transforms.parse.reader.columns import Column, mixed
from clickstream.transforms.parse.reader.same_shape import Found

_NONE, _TEXT, _NUMBER = range(3)
_numbers = msgspec.json.Decoder(list[float])  # in lists, one call reads many


class Cut(NamedTuple):
    """What was cut, a column a field, and its line numbers, in order; and the other lines with theirs."""

    fields: dict[str, Column]
    kept: Places
    others: Lines
    others_at: Places


def cut_fields(lines: Lines, found: Sequence[Found], fields: Sequence[str]) -> Cut:
    """Cuts the fields out of those lines that were found to have a shape, and whose numbers are such as their fields take.

    Args:
        lines: A batch's lines.
        found: Some of them, by shape; none twice.
        fields: Names of FlatRecord's fields; a field that a record lacks is null.
    """
    good = np.zeros(len(lines), np.bool_)
    wanted = {name: _Field(lines) for name in fields}
    unwanted = []
    for shape, rows, edges in found:
        good[rows] = True
        for slot, start, end in zip(shape.slots, edges[1::2], edges[2::2], strict=False):
            if slot.field in wanted:
                wanted[slot.field].stands_at(rows, start, end, _TEXT if slot.is_text else _NUMBER)
            elif not slot.is_text:
                unwanted.append((slot.field, rows, start, end))
    for name, rows, start, end in unwanted:
        good[rows[np.isnan(_cut_numbers(name, lines, start, end))]] = False
    for name, field in wanted.items():
        good[field.read_numbers(name, lines)] = False
    kept, others = np.flatnonzero(good), np.flatnonzero(~good)
    columns = {name: field.column(kept, lines) for name, field in wanted.items()}
    return Cut(columns, kept, lines.only(others), others)


class _Field:
    """Where a field stands in each line of a batch; in none at first."""

    def __init__(self, lines: Lines) -> None:
        self._start, self._end = lines.starts.copy(), lines.starts.copy()
        self._kind = np.zeros(len(lines), np.int8)
        self._numbers: Floats | None = None

    def stands_at(self, rows: Places, start: Places, end: Places, kind: int) -> None:
        """The field is a text, or a number, in these lines."""
        self._start[rows], self._end[rows], self._kind[rows] = start, end, kind

    def read_numbers(self, name: str, lines: Lines) -> Places:
        """Reads the field where it's a number; returns in which lines it turned out to be none."""
        rows = np.flatnonzero(self._kind == _NUMBER)
        if not len(rows):
            return rows
        values = _cut_numbers(name, lines, self._start[rows], self._end[rows])
        self._numbers = np.full(len(self._kind), np.nan)
        self._numbers[rows] = values
        return rows[np.isnan(values)]

    def column(self, rows: Places, lines: Lines) -> Column:
        """The field in these lines, which ascend."""
        are_texts = self._kind[rows] == _TEXT
        texts = cut_texts(lines.characters, self._start[rows], self._end[rows], are_texts)
        if self._numbers is None:
            return texts
        numbers = self._numbers[rows]
        column = pa.array(numbers, mask=np.isnan(numbers))
        return column if not are_texts.any() else mixed(texts, column)


def _cut_numbers(field: str, lines: Lines, starts: Places, ends: Places) -> Floats:
    """The JSON numbers between these places, which ascend; NaN for what is none, or none that the field takes."""
    numbers = np.array(read_numbers(cut_texts(lines.characters, starts, ends)), np.float64)
    if field == "time_spent":
        numbers[~((numbers >= 0) & (numbers <= LONGEST_SECONDS))] = np.nan
    return numbers


def read_numbers(texts: pa.StringArray) -> list[float | None]:
    """The JSON number that each text is; None for what is none, which is found by halving."""
    with suppress(msgspec.MsgspecError):
        numbers: list[float | None] = [*_numbers.decode(f"[{in_one(texts, ',')}]")]
        if len(numbers) == len(texts):
            return numbers
    middle = len(texts) // 2
    return read_numbers(texts[:middle]) + read_numbers(texts[middle:]) if middle else [None]
