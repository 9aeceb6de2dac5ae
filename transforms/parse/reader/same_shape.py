"""Lines of the same shape, found a column at a time: one is read by the decoder, others are compared with it.

A producer writes the same names in the same order over and over. Where a record equals a good one byte for byte but for its texts and numbers,
where these numbers are numbers, and no text holds a quote, a backslash, a control character or bad UTF-8, it is as good, and its texts stand there
as they are. Whatever is not surely so is left to the decoder, so that no record's outcome depends on this module.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from clickstream.transforms.arrays import Mask
from clickstream.transforms.limits import MAX_TEXT_LENGTH
from clickstream.transforms.lines import Lines, Places
from clickstream.transforms.parse.reader.shapes import LIMITED, Shape, shape_of

FEWEST = 100  # lines that are worth a look for a shape: with fewer, the calls cost more than they save
_MOST_BYTES = 1 << 30  # Arrow's texts have offsets of 32 bits
NEW_A_BATCH, _MOST_KNOWN = 4, 16
MOST_SLOTS = 100  # beyond, the places of all take too much memory
_QUOTE, _MINUS, _ZERO, _NINE = b'"-09'
Shaper: TypeAlias = Callable[[bytes], Shape | None]


class KnownShapes:
    """The shapes that a worker has met, the most useful first. Threads may share it: what it holds is replaced as a whole."""

    def __init__(self) -> None:
        self._known: tuple[Shaper | None, tuple[Shape, ...]] = (None, ())

    def of(self, shaper: Shaper) -> tuple[Shape, ...]:
        """Those that this shaper made: another's name other fields."""
        made_by, shapes = self._known
        return shapes if made_by == shaper else ()

    def keep(self, shaper: Shaper, found: dict[Shape, int]) -> None:
        """Keeps those that had the most lines in the latest batch."""
        self._known = shaper, tuple(sorted(found, key=found.__getitem__, reverse=True)[:_MOST_KNOWN])


class Found(NamedTuple):
    """Lines that have a shape, if their numbers are numbers: `rows`, ascending.

    `edges`: where the shape's constants begin and end, in turn, in each of these lines: between them are the slots.
    """

    shape: Shape
    rows: Places
    edges: Places


def find_same_shape(lines: Lines, known: KnownShapes, max_record_bytes: int, shaper: Shaper = shape_of) -> list[Found]:
    """Finds those lines that have a shape which others have too.

    Args:
        lines: JSON records, in any mixture.
        known: Shapes of earlier batches; those of this one are added.
        max_record_bytes: A longer record is left to the decoder.
        shaper: Gives the shape of a good record, with the fields' names in its slots; None for any other.
    """
    if len(lines) < FEWEST or len(lines.characters) > _MOST_BYTES:
        return []
    plain = lines.are_plain() & (lines.ends - lines.starts <= max_record_bytes)
    if np.count_nonzero(plain) < FEWEST:
        return []
    search = _Search(lines, plain)
    found = [search.take(shape) for shape in known.of(shaper)]
    for _ in range(NEW_A_BATCH):
        if search.left() < FEWEST:
            break
        line = search.typical()
        shape = shaper(lines[line])
        if shape is not None and len(shape.slots) <= MOST_SLOTS:
            found.append(search.take(shape))
        search.leave(line)
    known.keep(shaper, {each.shape: len(each.rows) for each in found})
    return [each for each in found if len(each.rows)]


class _Search:
    """A batch's lines, of which some are taken."""

    def __init__(self, lines: Lines, plain: Mask) -> None:
        self._lines, self._characters = lines, lines.characters
        self._quotes = lines.places_of(_QUOTE)
        self._first = np.searchsorted(self._quotes, lines.starts)
        self._count = np.diff(self._first, append=len(self._quotes))
        self._open = plain

    def left(self) -> int:
        """How many lines may still have a shape."""
        return int(np.count_nonzero(self._open))

    def typical(self) -> int:
        """A line that may, with as many quotes as most of these."""
        left = np.flatnonzero(self._open)
        counts = self._count[left]
        return int(left[np.argmax(counts == np.bincount(counts).argmax())])

    def leave(self, line: int) -> None:
        """Leaves a line to the decoder, unless it's taken."""
        self._open[line] = False

    def take(self, shape: Shape) -> Found:
        """Takes the lines that have it."""
        rows = np.flatnonzero(self._open & (self._count == shape.quotes))
        edges = self._edges(shape, rows)
        rows, edges = _only(_lengths_fit(shape, edges), rows, edges)
        if len(rows):
            rows, edges = _only(self._constants_fit(shape, edges) & self._numbers_seem_so(shape, edges), rows, edges)
        self._open[rows] = False
        return Found(shape, rows, edges)

    def _edges(self, shape: Shape, rows: Places) -> Places:
        first = self._first[rows]
        edges = np.empty((2 * len(shape.slots) + 2, len(rows)), np.int64)
        edges[0], edges[-1] = self._lines.starts[rows], self._lines.ends[rows]
        for number, slot in enumerate(shape.slots):
            edges[2 * number + 1] = self._quotes.take(first + (slot.quote - 1)) + (1 + slot.before)
            last = slot.quote == shape.quotes
            edges[2 * number + 2] = (edges[-1] if last else self._quotes.take(first + slot.quote)) - slot.after
        return edges

    def _constants_fit(self, shape: Shape, edges: Places) -> Mask:
        fit = np.ones(edges.shape[1], np.bool_)
        for constant, starts in zip(shape.constants, edges[::2], strict=True):
            # Overlapping windows of the constant's size: those that begin at `starts` are copied by one call.
            count = len(self._characters) - len(constant) + 1
            windows = np.ndarray((count,), f"V{len(constant)}", self._characters, strides=(1,))
            if windows[starts].tobytes() != constant * len(starts):
                found = windows[starts].view(np.uint8).reshape(-1, len(constant))
                fit &= (found == np.frombuffer(constant, np.uint8)).all(axis=1)
        return fit

    def _numbers_seem_so(self, shape: Shape, edges: Places) -> Mask:
        """Whether there is a digit or a minus where a number begins; null there is another shape's constant."""
        seem = np.ones(edges.shape[1], np.bool_)
        for slot, starts in zip(shape.slots, edges[1::2], strict=False):
            if not slot.is_text:
                begins = self._characters[starts]
                seem &= (begins == _MINUS) | ((begins >= _ZERO) & (begins <= _NINE))
        return seem


def _only(good: Mask, rows: Places, edges: Places) -> tuple[Places, Places]:
    return (rows, edges) if good.all() else (rows[good], edges[:, good])


def _lengths_fit(shape: Shape, edges: Places) -> Mask:
    """Whether the constants have their lengths, numbers any, and texts none that the decoder would refuse."""
    sizes = np.array([len(constant) for constant in shape.constants])
    fit = (edges[1::2] - edges[::2] == sizes[:, np.newaxis]).all(axis=0)
    for slot, start, end in zip(shape.slots, edges[1::2], edges[2::2], strict=False):
        if not slot.is_text:
            fit &= end > start
        elif slot.field in LIMITED:
            fit &= end - start <= MAX_TEXT_LENGTH
    return fit
