"""Records in one piece of memory, a line each: cut into single records only where somebody asks for one."""

from collections.abc import Sequence
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt

_NEWLINE, _OPEN, _CLOSE = b"\n", ord("{"), ord("}")


class Lines(Sequence[bytes]):
    """The first lines of a text, without their line ends, as a sequence of records. `starts`: the places of the lines in the text.

    A last line without line end counts; `first` leaves lines out at the end.
    """

    def __init__(self, text: bytes | memoryview) -> None:
        self._text = memoryview(text)
        newlines = np.flatnonzero(np.frombuffer(text, np.uint8) == _NEWLINE[0])
        self._ends = np.append(newlines, len(text)) if text and text[-1:] != _NEWLINE else newlines
        self.starts: npt.NDArray[np.int64] = np.append(np.zeros(1, np.int64), newlines + 1)[: len(self._ends)]

    @cached_property
    def _are_objects(self) -> npt.NDArray[np.bool_]:
        characters = np.frombuffer(self._text, np.uint8)
        return (characters[self.starts] == _OPEN) & (characters[self._ends - 1] == _CLOSE)

    def first(self, count: int) -> "Lines":
        """The first lines only, of the same text."""
        fewer = object.__new__(Lines)
        fewer._text, fewer._ends, fewer.starts = self._text, self._ends[:count], self.starts[:count]
        return fewer

    def objects(self, start: int, end: int) -> bytes | None:
        """The lines `[start, end)` as they stand, if no JSON value can reach over the end of a line; else None.

        None can where each begins with `{` and ends with `}`: between the two, JSON wants a comma, a colon or a quote, and it allows no line end
        within quotes. Lines with white space around them give None, whatever they are.
        """
        if self._are_objects[start:end].all():
            return bytes(self._text[self.starts[start] : self._ends[end - 1]])
        return None

    def total_bytes(self) -> int:
        """The length of all lines together, without line ends."""
        return int((self._ends - self.starts).sum())

    def __reduce__(self) -> tuple[type["Lines"], tuple[bytes]]:
        end = self._ends[-1] if len(self) else 0
        return Lines, (bytes(self._text[:end]) + _NEWLINE * bool(len(self)),)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return bytes(self._text[self.starts[index] : self._ends[index]])


def as_lines(values: Sequence[bytes]) -> Lines | None:
    """The same records in one piece of memory; None where one holds a line end itself."""
    if isinstance(values, Lines):
        return values
    lines = Lines(_NEWLINE.join(values) + _NEWLINE) if values else Lines(b"")
    return lines if len(lines) == len(values) else None


def total_bytes(values: Sequence[bytes]) -> int:
    """The length of all records together, line ends not counted."""
    return values.total_bytes() if isinstance(values, Lines) else sum(map(len, values))
