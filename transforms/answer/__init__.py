"""Any rows to one answer, or to one for each of several groups: what can be added is added, users are united.

May import: the modules directly in `clickstream.transforms`.
"""

from clickstream.transforms.answer.groups import GROUPED_COLUMNS, break_down, read_sketches
from clickstream.transforms.answer.rollups import Stretch, cover
from clickstream.transforms.answer.time_steps import before, step_edges, step_seconds
from clickstream.transforms.answer.totals import COLUMNS, Answer, Totals

__all__ = [
    "COLUMNS",
    "GROUPED_COLUMNS",
    "Answer",
    "Stretch",
    "Totals",
    "before",
    "break_down",
    "cover",
    "read_sketches",
    "step_edges",
    "step_seconds",
]
