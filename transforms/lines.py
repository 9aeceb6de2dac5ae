"""Records in one piece of memory, a line each: cut into single records only where somebody asks for one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clickstream.transforms.arrays import Int64s, Mask

Characters = npt.NDArray[np.uint8]
Places = Int64s

_NEWLINE = b"\n"
_LINE_END, _SPACE, _BACKSLASH, _OPEN, _CLOSE = b"\n \\{}"
_BLOCK = 1 << 16  # characters: what they are compared to stays in the cache, and in memory that the process has already

# glibc gives the memory of large arrays back at once, and to get it anew takes a tenth of the time; until an array (of up to 32 MiB) has been freed:
# from then on it keeps twice as much (mallopt(3), M_MMAP_THRESHOLD). So here is one, never touched.
np.empty((8 << 20) - (1 << 16), np.uint8)


def places(characters: Characters, wanted: Callable[[Characters], Mask]) -> Places:
    """Where in a text the characters are that `wanted` marks."""
    blocks = range(0, len(characters), _BLOCK)
    found = [wanted(characters[start : start + _BLOCK]).nonzero()[0] + start for start in blocks]
    return np.concatenate([np.empty(0, np.int64), *found])


def cut_texts(characters: Characters, starts: Places, ends: Places, given: Mask | None = None) -> pa.StringArray:
    """The texts between these places, which ascend; null where none is given."""
    count = len(starts)
    offsets = np.zeros(2 * count + 1, np.int32)
    offsets[:-1:2], offsets[1::2], offsets[-1] = starts, ends, ends.max(initial=0)
    texts_and_gaps = pa.StringArray.from_buffers(2 * count, pa.py_buffer(offsets), pa.py_buffer(characters))
    absent = None if given is None or given.all() else ~given
    return texts_and_gaps.take(pa.array(np.arange(0, 2 * count, 2), mask=absent))


def in_one(texts: pa.Array, between: str | bytes) -> Any:
    """The texts in one, or bytes in one."""
    return pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts), between)[0].as_py()


class Lines(Sequence[bytes]):
    """The first lines of a text, without their line ends, as a sequence of records. `starts`, `ends`: the places of the lines in the text.

    A last line without line end counts; `first` leaves lines out at the end.
    """

    def __init__(self, text: bytes | memoryview) -> None:
        self._text = memoryview(text)
        newlines = places(np.frombuffer(text, np.uint8), lambda block: block == _LINE_END)
        self.ends = np.append(newlines, len(text)) if text and text[-1:] != _NEWLINE else newlines
        self.starts = np.append(np.zeros(1, np.int64), newlines + 1)[: len(self.ends)]

    @property
    def characters(self) -> Characters:
        """The text up to the end of the last line."""
        return np.frombuffer(self._text, np.uint8)[: self.ends[-1] if len(self) else 0]

    @cached_property
    def _are_objects(self) -> Mask:
        characters = np.frombuffer(self._text, np.uint8)
        return (characters[self.starts] == _OPEN) & (characters[self.ends - 1] == _CLOSE)

    def first(self, count: int) -> "Lines":
        """The first lines only, of the same text."""
        fewer = object.__new__(Lines)
        fewer._text, fewer.ends, fewer.starts = self._text, self.ends[:count], self.starts[:count]
        return fewer

    def only(self, rows: Places) -> "Lines":
        """These lines only, in a text of their own; their numbers ascend."""
        whole = cut_texts(self.characters, self.starts[rows], self.ends[rows]).cast(pa.binary())
        return Lines(in_one(whole, _NEWLINE) + _NEWLINE * bool(len(rows)))

    def places_of(self, character: int) -> Places:
        """Where in the text a character stands."""
        return places(self.characters, lambda block: block == character)

    def objects(self, start: int, end: int) -> bytes | None:
        """The lines `[start, end)` as they stand, if no JSON value can reach over the end of a line; else None.

        None can where each begins with `{` and ends with `}`: between the two, JSON wants a comma, a colon or a quote, and it allows no line end
        within quotes. Lines with white space around them give None, whatever they are.
        """
        if self._are_objects[start:end].all():
            return bytes(self._text[self.starts[start] : self.ends[end - 1]])
        return None

    def are_plain(self) -> Mask:
        """Which lines hold no backslash, no control character and no bad UTF-8."""
        odd = places(self.characters, lambda block: (block < _SPACE) & (block != _LINE_END) | (block == _BACKSLASH))
        plain = np.diff(np.searchsorted(odd, self.starts), append=len(odd)) == 0
        plain[list(self._not_utf8(0, len(self)))] = False
        return plain

    def _not_utf8(self, first: int, last: int) -> Iterator[int]:
        """The lines `[first, last)` that aren't UTF-8, found by halving. No character reaches over a line's end."""
        if first == last or _is_utf8(self.characters[self.starts[first] : self.ends[last - 1]]):
            return
        if last - first == 1:
            yield first
            return
        middle = (first + last) // 2
        yield from self._not_utf8(first, middle)
        yield from self._not_utf8(middle, last)

    def total_bytes(self) -> int:
        """The length of all lines together, without line ends."""
        return int((self.ends - self.starts).sum())

    def __reduce__(self) -> tuple[type["Lines"], tuple[bytes]]:
        end = self.ends[-1] if len(self) else 0
        return Lines, (bytes(self._text[:end]) + _NEWLINE * bool(len(self)),)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return bytes(self._text[self.starts[index] : self.ends[index]])


def _is_utf8(characters: Characters) -> bool:
    """Arrow tells in a tenth of the time that Python takes to decode them."""
    offsets = np.array([0, len(characters)], np.int32)
    with suppress(pa.ArrowInvalid):
        pa.StringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(characters)).validate(full=True)
        return True
    return False


def as_lines(values: Sequence[bytes]) -> Lines | None:
    """The same records in one piece of memory; None where one holds a line end itself."""
    if isinstance(values, Lines):
        return values
    lines = Lines(_NEWLINE.join(values) + _NEWLINE) if values else Lines(b"")
    return lines if len(lines) == len(values) else None


def total_bytes(values: Sequence[bytes]) -> int:
    """The length of all records together, line ends not counted."""
    return values.total_bytes() if isinstance(values, Lines) else sum(map(len, values))
