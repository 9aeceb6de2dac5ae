"""How deep a record is nested, told by its brackets alone: a decoder's own limit is what the stack has left, which depends on who calls it."""

import re

import numpy as np

from clickstream.transforms.limits import MAX_NESTING

_ESCAPED = re.compile(rb"\\.", re.DOTALL)  # outside of texts there are none in JSON


def may_be_too_deep(text: bytes) -> bool:
    """Whether a record, or several together, hold more opening brackets than one may have levels."""
    return text.count(b"{") + text.count(b"[") > MAX_NESTING


def is_too_deep(record: bytes) -> bool:
    """Whether a record, JSON or not, opens more than MAX_NESTING brackets within each other."""
    if not may_be_too_deep(record):
        return False
    characters = np.frombuffer(_ESCAPED.sub(b"", record), np.uint8)
    in_text = np.logical_xor.accumulate(characters == ord('"'))
    opened = ((characters == ord("{")) | (characters == ord("["))) & ~in_text
    closed = ((characters == ord("}")) | (characters == ord("]"))) & ~in_text
    return bool(np.cumsum(opened.astype(np.int64) - closed).max() > MAX_NESTING)
