"""Computed rows against published ones: what differs, and what must be written for the two to agree.

May import: the modules directly in `clickstream.transforms`.
"""

from clickstream.transforms.restate.changes import WindowChange
from clickstream.transforms.restate.step import RestateRows
from clickstream.transforms.restate.whole import OnlyWhole, reached

__all__ = ["OnlyWhole", "RestateRows", "WindowChange", "reached"]
