"""Raw records to columns, in one direction: bytes, lines, those of the same shape or singly, columns. One way in: `read_records`.

May import: the modules directly in `clickstream.transforms`.
"""

from clickstream.transforms.parse.reader.columns import Column, Decoded, Refusal
from clickstream.transforms.parse.reader.read import read_records
from clickstream.transforms.parse.reader.records import FIELD_NAMES
from clickstream.transforms.parse.reader.same_shape import KnownShapes

__all__ = ["FIELD_NAMES", "Column", "Decoded", "KnownShapes", "Refusal", "read_records"]
