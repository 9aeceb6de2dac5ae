"""Events of any shape to the columns of clicks: by a mapping, which is YAML of one's own or one of those in `builtin/`.

paths → extracted (same shape, or singly, or lines of text) → fields. What finds events of the same shape is `reader`'s.

May import: the modules directly in `clickstream.transforms` and `clickstream.transforms.parse`, and the face of `reader`.
"""

from clickstream.transforms.parse.formats.json_values import trees_of
from clickstream.transforms.parse.formats.leaves import unused_paths
from clickstream.transforms.parse.formats.load import (
    PLAIN,
    builtin_formats,
    builtin_text,
    event_format,
    parse_format,
)
from clickstream.transforms.parse.formats.mapping import EventFormat
from clickstream.transforms.parse.formats.read import read_events
from clickstream.transforms.parse.formats.suggest import suggest_format
from clickstream.transforms.parse.formats.tree import FormatError

__all__ = [
    "PLAIN",
    "EventFormat",
    "FormatError",
    "builtin_formats",
    "builtin_text",
    "event_format",
    "parse_format",
    "read_events",
    "suggest_format",
    "trees_of",
    "unused_paths",
]
