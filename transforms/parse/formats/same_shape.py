"""Events of the same shape: which of a shape's slots a path leads to, so that their texts are cut out instead of decoded.

What finds such lines, and why none of it changes an outcome: `clickstream.transforms.parse.reader`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from clickstream.transforms.lines import Lines, Places, cut_texts
from clickstream.transforms.parse.formats.extracted import Extracted, PathColumn
from clickstream.transforms.parse.formats.json_values import (
    NONE,
    NUMBER,
    TEXT,
    UnreadableError,
    decode_object,
    kind_and_text,
)
from clickstream.transforms.parse.formats.paths import Key, Path, follow
from clickstream.transforms.parse.reader import (
    Found,
    Shape,
    Slot,
    fits,
    numbered,
    read_numbers,
    shape_around,
    slot_number,
    slots_of,
)

_QUOTE, _MARK, _BLANK = b'"', b"@", 32


@dataclass(frozen=True)
class PathShapes:
    """Gives a good event's shape; its slots' fields are the numbers of the paths that lead there, with commas."""

    paths: tuple[Path, ...]

    def __call__(self, record: bytes) -> Shape | None:
        """The shape; None for a bad event, and for one that can't be put so."""
        try:
            return self._shape(record) if fits(record) else None
        except (UnreadableError, ValueError, RecursionError):
            return None

    def _shape(self, record: bytes) -> Shape | None:
        event, parts = decode_object(record, len(record)), record.split(_QUOTE)
        slots = slots_of(parts)
        compared = self._compared(event, parts, slots)
        # Only texts, and none that looks like a slot's number, can be told from slots where a parser finds them.
        if any(not slots[n].is_text or parts[slots[n].quote].startswith(_MARK) for n in compared):
            return None
        return self._named(event, parts, [slot for n, slot in enumerate(slots) if n not in compared])

    def _compared(self, event: Any, parts: list[bytes], slots: list[Slot]) -> set[int]:
        """The slots that decide which object of an array is meant: they must be the same in all events of the shape."""
        marks: Any = numbered(parts, slots)
        found: set[int] = set()
        for path in self.paths:
            tree, twin = event, marks
            for step in path.steps:
                if isinstance(step, Key) and type(tree) is list:
                    found |= {slot_number(each.get(step.name)) for each in twin if type(each) is dict}
                tree, twin = _follow(tree, twin, step)
        return found - {-1}

    def _named(self, event: Any, parts: list[bytes], slots: list[Slot]) -> Shape:
        marks: Any = numbered(parts, slots)
        fields, fixed = [list[str]() for _ in slots], []
        for number, path in enumerate(self.paths):
            tree, twin = event, marks
            for step in path.steps:
                tree, twin = _follow(tree, twin, step)
            compared = type(twin) is str and not twin.startswith("@")
            slot = -1 if compared else slot_number(twin)
            kind, text = kind_and_text(tree)
            if slot >= 0:
                fields[slot].append(str(number))
            elif kind != NONE:
                fixed.append((str(number), kind, str(text)))
        named = [slot._replace(field=",".join(names)) for slot, names in zip(slots, fields, strict=True)]
        return shape_around(parts, named)._replace(fixed=tuple(fixed))


def _follow(tree: Any, twin: Any, step: Any) -> tuple[Any, Any]:
    """One step further in an event and in the same one with numbers in its slots."""
    found = follow(tree, step)
    if found is None:
        return None, None
    if isinstance(step, Key):
        return found, next(there for here, there in zip(tree, twin, strict=True) if here is found)
    return found, follow(twin, step)


class Cut(NamedTuple):
    """What was cut, by line; and the other lines with their numbers."""

    events: Extracted
    others: Lines
    others_at: Places


def cut_paths(lines: Lines, found: list[Found], count: int) -> Cut:
    """Cuts `count` paths out of those lines that were found to have a shape, and whose numbers are numbers."""
    good = np.zeros(len(lines), np.bool_)
    wanted = [_Column(lines) for _ in range(count)]
    for shape, rows, edges in found:
        good[rows] = True
        for slot, start, behind in zip(shape.slots, edges[1::2], edges[2::2], strict=False):
            end = behind if slot.is_text else _trimmed(lines, behind)
            if not slot.is_text:
                good[rows[_are_no_numbers(lines, start, end)]] = False
            for number in filter(None, slot.field.split(",")):
                wanted[int(number)].stands_at(rows, start, end, TEXT if slot.is_text else NUMBER)
        for number, kind, text in shape.fixed:
            wanted[int(number)].is_always(rows, kind, text)
    kept, others = np.flatnonzero(good), np.flatnonzero(~good)
    columns = [column.of(kept, lines) for column in wanted]
    return Cut(Extracted(columns, kept, []), lines.only(others), others)


class _Column:
    """Where a path's value stands in each line of a batch, and of which kind it is; none at first."""

    def __init__(self, lines: Lines) -> None:
        self._start, self._end = lines.starts.copy(), lines.starts.copy()
        self._kind = np.zeros(len(lines), np.int8)
        self._always: list[tuple[Places, str]] = []

    def stands_at(self, rows: Places, start: Places, end: Places, kind: int) -> None:
        self._start[rows], self._end[rows], self._kind[rows] = start, end, kind

    def is_always(self, rows: Places, kind: int, text: str) -> None:
        self._kind[rows] = kind
        self._always.append((rows, text))

    def of(self, rows: Places, lines: Lines) -> PathColumn:
        kinds = self._kind[rows]
        texts = cut_texts(lines.characters, self._start[rows], self._end[rows], kinds != NONE)
        column = PathColumn(kinds, texts)
        for those, text in self._always:
            column = column.filled(np.isin(rows, those, assume_unique=True), text)
        return column


def _trimmed(lines: Lines, ends: Places) -> Places:
    """Without the white space behind a number."""
    while (blank := lines.characters[ends - 1] <= _BLANK).any():
        ends = ends - blank
    return ends


def _are_no_numbers(lines: Lines, starts: Places, ends: Places) -> Places:
    numbers = np.array(read_numbers(cut_texts(lines.characters, starts, ends)), np.float64)
    return np.flatnonzero(np.isnan(numbers))
