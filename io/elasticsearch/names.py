"""Names of indices: one index, or indices by time (`clicks-{month}`), of which each row has one."""

import re
from datetime import datetime

from clickstream.io.elasticsearch.connection import refuse
from clickstream.transforms.breakdowns import holds_breakdown
from clickstream.transforms.schema import BREAKDOWN, PAGES, RowKind

DEFAULT_INDEX = "processed_clickstream_data"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]|\{(?:month|day)\}){0,254}")
_FORMS = {"{month}": ("%Y-%m", "2*-*"), "{day}": ("%Y-%m-%d", "2*-*-*")}  # how to write it, and what matches all of it
_ROLLUPS = ("_1h", "_1d")  # whose indices have the windows' names, and these behind


def check_index_name(index: str) -> str:
    """Returns the name if it is one that can be used unquoted; it may hold `{month}` or `{day}`, once.

    Raises:
        ElasticsearchError: It is not.
    """
    if not _NAME.fullmatch(index) or index.count("{") > 1:
        refuse(
            f"{index!r} is no index name: use up to 255 of a-z, 0-9, '_', '-' and '.', a letter or digit first;"
            " for indices by time with {month} or {day} in it."
        )
    return index


def is_by_time(index: str) -> bool:
    """Whether the name stands for indices by time."""
    return "{" in index


def shares_template(index: str) -> bool:
    """Whether the indices are those of a roll-up by time, which the template of the windows' indices reaches too."""
    return is_by_time(index) and index.endswith(_ROLLUPS)


def kind_in(index: str) -> RowKind:
    """What the index holds: breakdowns' names end with what they break down by."""
    return BREAKDOWN if holds_breakdown(index) else PAGES


def index_at(index: str, moment: datetime) -> str:
    """The index of the rows whose window starts then (UTC)."""
    for part, (form, _) in _FORMS.items():
        if part in index:
            return index.replace(part, moment.strftime(form))
    return index


def pattern_of(index: str) -> str:
    """What matches all indices of the name; indices by time also those of their roll-ups."""
    for part, (_, pattern) in _FORMS.items():
        index = index.replace(part, pattern)
    return index


def searched(index: str) -> str:
    """All indices of the name and no other, as a search's path names them."""
    pattern = pattern_of(index)
    if not is_by_time(index) or kind_in(index) == BREAKDOWN:
        return pattern
    windows = pattern.removesuffix(_ROLLUPS[0]).removesuffix(_ROLLUPS[1])
    others = ("_by_*",) if index.endswith(_ROLLUPS) else (*_ROLLUPS, "_by_*")
    return ",".join([pattern, *(f"-{windows}{other}" for other in others)])
