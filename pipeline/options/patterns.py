"""What may stand behind an option's `=`, as a regular expression: for forms that must refuse a value before the job sees it.

A pattern lets pass what the option's own reader takes, in the forms that are documented, and nothing that it refuses.
"""

import argparse
import re
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

from clickstream.io.secrets import REMOTE_REFERENCE
from clickstream.pipeline.options import values
from clickstream.pipeline.options.values import whole
from clickstream.transforms.breakdowns import DIMENSIONS
from clickstream.transforms.limits import LONGEST_SECONDS
from clickstream.transforms.parse import DEFAULT_TRACKING, builtin_formats, event_format

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,47}"  # of a table
_DATABASE = r"[A-Za-z0-9_][A-Za-z0-9_$-]{0,63}"
_PORT = r"[0-9]{1,5}"
_HOST_PORT = rf"[^\s,:/@]+:{_PORT}"
_TOPIC = r"[A-Za-z0-9._-]{1,249}"
_SERVER = rf"https?://[^\s,/:?#@\[\]]+:{_PORT}(?:/[^\s,?#]*)?"
_DATE = (
    r"[12][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_MOMENT = rf"{_DATE}(?:T{_CLOCK}(?::[0-5][0-9])?(?:Z|[+-]{_CLOCK})?)?"
_FILE = r"\S(?:.*\S)?"
_ENVELOPE = "debezium"  # the one format that stands around others
_SHARED_FILE = r"gs://[a-z0-9][-_a-z0-9.]*[a-z0-9]/[^\s,]+"

_TEXTS = {
    "bootstrap_servers": rf"{_HOST_PORT}(?:,{_HOST_PORT})*",
    "topic": _TOPIC,
    "group_id": r"\S+",
    "start": rf"committed|earliest|latest|{_MOMENT}",
    "kafka_config": r"gs://[a-z0-9][-_a-z0-9.]*[a-z0-9]/\S+",
    "time_zone": r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*",
    "mysql": rf"(?:mysql|mariadb)://(?:[^\s:@/?#]+@)?[^\s:@/?#]+(?::{_PORT})?/{_DATABASE}",
    "mysql_tls_ca": _FILE,
    "elasticsearch": rf"{_SERVER}(?:,{_SERVER})*",
    "elasticsearch_index": r"[a-z0-9](?:[a-z0-9_.-]|[{](?:month|day)[}]){0,254}",
    "elasticsearch_user": r"\S+",
    "schema_registry": r"https?://[^\s/?#@]+(?:/[^\s?#]*)?",
    "schema_registry_user": r"\S+",
    "schema_registry_ca": _FILE,
    "elasticsearch_ca": _FILE,
    "dead_letters": rf"mysql|kafka:{_TOPIC}",
    "raw_table": r"(?:[A-Za-z0-9_]+:)?[A-Za-z_][A-Za-z0-9_]{0,39}",  # a namespace in HBase only
    "cassandra": rf"{_HOST_PORT}(?:,{_HOST_PORT})*",
    "cassandra_keyspace": _NAME,
    "cassandra_user": r"\S+",
    "cassandra_ca": _FILE,
    "hbase": _HOST_PORT,
}


def pattern_of(action: argparse.Action, *, but_not: Collection[str] = ()) -> str:
    """The pattern of an option's whole value. References to secrets: only those that lead to the same from any machine.

    Args:
        action: The option.
        but_not: Choices that are left out.

    Raises:
        KeyError: The option has no pattern yet: give it one in this module.
    """
    if action.choices:
        return "|".join(re.escape(choice) for choice in action.choices if choice not in but_not)
    if action.dest == "event_format":
        return _event_format()
    if action.metavar == "REF":
        return REMOTE_REFERENCE
    if isinstance(action.type, whole):
        return numbers(action.type.least, action.type.most)
    return _BY_READER[action.type] if action.type in _BY_READER else _TEXTS[action.dest]


@cache
def _event_format() -> str:
    names = [name for name in builtin_formats() if name != _ENVELOPE]
    inner = [name for name in names if (found := event_format(name)) is None or found.record.is_json]
    one = "|".join([*names, rf"{_ENVELOPE}(?:[+](?:{'|'.join(inner)}))?", _SHARED_FILE])
    return rf"(?:{one})(?:,base=https?://[^\s/?#,]+(?:/[^\s?#,]*)?)?"


def numbers(least: int, most: int) -> str:
    """The whole numbers from `least` to `most`, without zeros before them.

    >>> numbers(1, 4096)
    '[1-9]|[1-9][0-9]|[1-9][0-9]{2}|[1-3][0-9]{3}|40[0-8][0-9]|409[0-6]'
    """
    parts: list[str] = []
    while least <= most:
        last = _same_shape(least, most)
        parts.append(_shape(str(least), str(last)))
        least = last + 1
    return "|".join(parts)


def _same_shape(least: int, most: int) -> int:
    """The last number up to which digits from some place on run from 0 to 9, and those before are one range."""
    for zeros in range(len(str(least)) - 1, -1, -1):
        unit = 10**zeros
        room = (least // unit // 10 * 10 + 9) * unit + unit - 1  # the digit before them goes up to 9
        reach = min(room, (most + 1) // unit * unit - 1)
        if least % unit == 0 and reach >= least:
            return reach
    return least


def _shape(first: str, last: str) -> str:
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=True)) if a != b), len(first))
    if same == len(first):
        return first
    free = len(first) - same - 1
    repeated = "" if free == 0 else "[0-9]" if free == 1 else f"[0-9]{{{free}}}"
    return f"{first[:same]}[{first[same]}-{last[same]}]{repeated}"


_DURATION = r"[0-9]{1,9}(?:\.[0-9]{1,3})?[smhd]?"
_SECONDS = rf"(?:{numbers(0, LONGEST_SECONDS - 1)})(?:\.[0-9]{{1,3}})?|{LONGEST_SECONDS}"
_KNOWN = "|".join([*sorted(DEFAULT_TRACKING.names), *(f"{prefix}[*]" for prefix in DEFAULT_TRACKING.prefixes)])
_TRACKING = rf"(?:[+]?[^\s,@*&=#+-][^\s,@*&=#]*[*]?|-(?:{_KNOWN}))"  # no file: it would be the launcher's
_BY_READER: dict[Callable[[str], Any] | argparse.FileType | str | None, str] = {
    values.duration: _DURATION,
    values.duration_or_off: rf"{_DURATION}|off",
    values.time_spent: rf"dwell|reported|fixed:(?:{_SECONDS})",
    values.sketch_size: rf"off|{numbers(16, 1 << 16)}",
    values.tracking_parameters: f"{_TRACKING}(?:,{_TRACKING})*",
    values.breakdowns: f"(?:{'|'.join(DIMENSIONS)})(?:,(?:{'|'.join(DIMENSIONS)}))*",
    values.rollups: "1h|1d|1h,1d|1d,1h",
}
