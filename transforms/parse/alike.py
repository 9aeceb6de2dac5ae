"""Records that look alike, decoded a column at a time: one is read by the decoder, others are compared with it, and their texts cut out.

A producer writes the same names in the same order over and over. Where a record equals a good one byte for byte but for its texts and numbers,
where these numbers are numbers, and no text holds a quote, a backslash, a control character or bad UTF-8, it is as good, and its texts stand there
as they are. Whatever is not surely so is left to the decoder, so that no record's outcome depends on this module.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clickstream.transforms.limits import MAX_TEXT_LENGTH
from clickstream.transforms.lines import Lines, Mask, Places, places
from clickstream.transforms.parse.columns import Column
from clickstream.transforms.parse.cutting import FieldPlaces, Floats, cut_numbers
from clickstream.transforms.parse.patterns import Pattern, pattern_of

_FEWEST = 100  # lines that are worth a look for a pattern: with fewer, the calls cost more than they save
_MOST_BYTES = 1 << 30  # Arrow's texts have offsets of 32 bits
_NEW_A_BATCH, _MOST_KNOWN = 4, 16
_MOST_SLOTS = 100  # beyond, the places of all take too much memory
_QUOTE = ord('"')
# Texts whose length the decoder limits; later checks have bounds for the others.
_LIMITED = ("city", "browser", "os", "device", "row_key")
_known: list[Pattern] = []  # the most useful first; always replaced as a whole, as threads share it


class Alike(NamedTuple):
    """The records that look alike, a column a field, of the lines `kept`; and the `others`. Both are line numbers, in order."""

    fields: dict[str, Column]
    kept: Places
    others: Places


def decode_alike(lines: Lines, fields: Sequence[str], max_record_bytes: int) -> Alike | None:
    """Decodes those lines that look like others; None if none does.

    Args:
        lines: JSON records, nested or flat, in any mixture.
        fields: Names of FlatRecord's fields; a field that a record lacks is null.
        max_record_bytes: A longer record is one of the others.
    """
    global _known
    if len(lines) < _FEWEST or len(lines.characters) > _MOST_BYTES:
        return None
    plain = lines.are_plain() & (lines.ends - lines.starts <= max_record_bytes)
    if np.count_nonzero(plain) < _FEWEST:
        return None
    batch = _Batch(lines, fields, plain)
    found = {pattern: batch.take(pattern) for pattern in _known}
    for _ in range(_NEW_A_BATCH):
        if batch.left() < _FEWEST:
            break
        line = batch.typical()
        pattern = pattern_of(lines[line])
        if pattern is not None and len(pattern.slots) <= _MOST_SLOTS:
            found[pattern] = batch.take(pattern)
        batch.leave(line)
    _known = sorted(found, key=found.__getitem__, reverse=True)[:_MOST_KNOWN]
    return batch.taken() if any(found.values()) else None


class _Batch:
    """A batch's lines, and what was found in those that look like a pattern."""

    def __init__(self, lines: Lines, fields: Sequence[str], plain: Mask) -> None:
        self._lines, self._characters = lines, lines.characters
        self._quotes = places(self._characters, lambda block: block == _QUOTE)
        self._first = np.searchsorted(self._quotes, lines.starts)
        self._count = np.diff(self._first, append=len(self._quotes))
        self._open = plain
        self._taken = np.zeros(len(lines), np.bool_)
        self._places = {name: FieldPlaces(lines) for name in fields}

    def left(self) -> int:
        """How many lines may still look like a pattern."""
        return int(np.count_nonzero(self._open))

    def typical(self) -> int:
        """A line that may, with as many quotes as most of these."""
        left = np.flatnonzero(self._open)
        counts = self._count[left]
        return int(left[np.argmax(counts == np.bincount(counts).argmax())])

    def leave(self, line: int) -> None:
        """Leaves a line to the decoder, unless it's taken."""
        self._open[line] = False

    def take(self, pattern: Pattern) -> int:
        """Takes the lines that look like it; returns how many."""
        rows = np.flatnonzero(self._open & (self._count == pattern.quotes))
        edges = self._edges(pattern, rows)
        rows, edges = _only(_look_at_lengths(pattern, edges), rows, edges)
        if not len(rows):
            return 0
        rows, edges = _only(self._look_at_constants(pattern, edges), rows, edges)
        numbers = self._numbers(pattern, edges)
        good = np.ones(len(rows), np.bool_)
        for values in numbers.values():
            good &= ~np.isnan(values)
        rows, edges = _only(good, rows, edges)
        self._set(pattern, rows, edges, {place: values[good] for place, values in numbers.items()})
        return len(rows)

    def _edges(self, pattern: Pattern, rows: Places) -> Places:
        """Where the pattern's constants begin and end, in turn, in each of these lines: between them are the slots."""
        first = self._first[rows]
        edges = np.empty((2 * len(pattern.slots) + 2, len(rows)), np.int64)
        edges[0], edges[-1] = self._lines.starts[rows], self._lines.ends[rows]
        for place, slot in enumerate(pattern.slots):
            edges[2 * place + 1] = self._quotes.take(first + (slot.quote - 1)) + (1 + slot.before)
            last = slot.quote == pattern.quotes
            edges[2 * place + 2] = (edges[-1] if last else self._quotes.take(first + slot.quote)) - slot.after
        return edges

    def _look_at_constants(self, pattern: Pattern, edges: Places) -> Mask:
        alike = np.ones(edges.shape[1], np.bool_)
        for constant, starts in zip(pattern.constants, edges[::2], strict=True):
            # Overlapping windows of the constant's size: those that begin at `starts` are copied by one call.
            count = len(self._characters) - len(constant) + 1
            windows = np.ndarray((count,), f"V{len(constant)}", self._characters, strides=(1,))
            if windows[starts].tobytes() != constant * len(starts):
                found = windows[starts].view(np.uint8).reshape(-1, len(constant))
                alike &= (found == np.frombuffer(constant, np.uint8)).all(axis=1)
        return alike

    def _numbers(self, pattern: Pattern, edges: Places) -> dict[int, Floats]:
        """The numbers in each slot that is for one; NaN: none, or none that its field takes."""
        return {
            place: cut_numbers(slot.field, self._characters, edges[2 * place + 1], edges[2 * place + 2])
            for place, slot in enumerate(pattern.slots)
            if not slot.is_text
        }

    def _set(self, pattern: Pattern, rows: Places, edges: Places, numbers: dict[int, Floats]) -> None:
        self._taken[rows], self._open[rows] = True, False
        for place, slot in enumerate(pattern.slots):
            if slot.field in self._places and slot.is_text:
                self._places[slot.field].set_text(rows, edges[2 * place + 1], edges[2 * place + 2])
            elif slot.field in self._places:
                self._places[slot.field].set_number(rows, numbers[place])

    def taken(self) -> Alike:
        """The columns of what was taken."""
        kept = np.flatnonzero(self._taken)
        fields = {name: places.column(kept, self._characters) for name, places in self._places.items()}
        return Alike(fields, kept, np.flatnonzero(~self._taken))


def _only(good: Mask, rows: Places, edges: Places) -> tuple[Places, Places]:
    return (rows, edges) if good.all() else (rows[good], edges[:, good])


def _look_at_lengths(pattern: Pattern, edges: Places) -> Mask:
    """Whether the constants have their lengths, numbers any, and texts none that the decoder would have to judge."""
    sizes = np.array([len(constant) for constant in pattern.constants])
    alike = (edges[1::2] - edges[::2] == sizes[:, np.newaxis]).all(axis=0)
    for slot, start, end in zip(pattern.slots, edges[1::2], edges[2::2], strict=False):
        if not slot.is_text:
            alike &= end > start
        elif slot.field in _LIMITED:
            alike &= end - start <= MAX_TEXT_LENGTH
    return alike
