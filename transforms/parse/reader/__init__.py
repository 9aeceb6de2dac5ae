"""Raw records to columns, in one direction: bytes, lines, those of the same shape or singly, columns. One way in: `read_records`.

What finds records of the same shape knows nothing of fields: `formats` beside this room finds those of other events with it.

May import: the modules directly in `clickstream.transforms`.
"""

from clickstream.transforms.parse.reader.columns import Column, Decoded, Refusal
from clickstream.transforms.parse.reader.cut import read_numbers
from clickstream.transforms.parse.reader.read import read_records
from clickstream.transforms.parse.reader.records import FIELD_NAMES, is_too_deep
from clickstream.transforms.parse.reader.same_shape import Found, KnownShapes, find_same_shape
from clickstream.transforms.parse.reader.shapes import (
    Shape,
    Slot,
    fits,
    numbered,
    shape_around,
    slot_number,
    slots_of,
)
from clickstream.transforms.parse.reader.singly import is_framed

__all__ = [
    "FIELD_NAMES",
    "Column",
    "Decoded",
    "Found",
    "KnownShapes",
    "Refusal",
    "Shape",
    "Slot",
    "find_same_shape",
    "fits",
    "is_framed",
    "is_too_deep",
    "numbered",
    "read_numbers",
    "read_records",
    "shape_around",
    "slot_number",
    "slots_of",
]
