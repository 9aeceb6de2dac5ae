"""The shapes of a click on the wire: what msgspec checks while it decodes, and how deep a record may be nested."""

import re
from itertools import chain
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np

from clickstream.transforms.limits import LONGEST_SECONDS, MAX_NESTING, MAX_TEXT_LENGTH

Time: TypeAlias = str | float  # no int: Python's are as long as their digits, and fit into no column
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_SECONDS)]


class ClickData(msgspec.Struct, gc=False):
    """The family `click_data` of a nested record."""

    user_id: str
    timestamp: Time
    url: str
    session_end: Time | None = None
    time_spent: Seconds | None = None
    referrer: str | None = None


class GeoData(msgspec.Struct, gc=False):
    """The family `geo_data` of a nested record."""

    country: str | None = None
    city: Text | None = None


class UserAgentData(msgspec.Struct, gc=False):
    """The family `user_agent_data` of a nested record."""

    browser: Text | None = None
    os: Text | None = None
    device: Text | None = None


class NestedRecord(msgspec.Struct, gc=False):
    """A click in column families."""

    click_data: ClickData
    geo_data: GeoData | None = None
    user_agent_data: UserAgentData | None = None
    row_key: Text | None = None


class FlatRecord(msgspec.Struct, gc=False):
    """A click with all fields side by side. `click_data: null` says so; anything else there makes the record a nested one."""

    user_id: str
    timestamp: Time
    url: str
    country: str | None = None
    city: Text | None = None
    browser: Text | None = None
    os: Text | None = None
    device: Text | None = None
    session_end: Time | None = None
    time_spent: Seconds | None = None
    referrer: str | None = None
    row_key: Text | None = None
    click_data: None = None


Record: TypeAlias = NestedRecord | FlatRecord
FAMILIES: dict[type[msgspec.Struct], str] = {
    ClickData: "click_data",
    GeoData: "geo_data",
    UserAgentData: "user_agent_data",
}
_KINDS: tuple[type[msgspec.Struct], ...] = (NestedRecord, FlatRecord, *FAMILIES)
FIELD_NAMES = frozenset(name for kind in _KINDS for name in kind.__struct_fields__)


class _Shape(msgspec.Struct):
    click_data: msgspec.Raw = msgspec.Raw(b"null")


_shape = msgspec.json.Decoder(_Shape)
nested_decoder, flat_decoder = msgspec.json.Decoder(NestedRecord), msgspec.json.Decoder(FlatRecord)


def is_flat(record: bytes) -> bool:
    """Which of the two shapes a record has, if it's one at all.

    Raises:
        MsgspecError, ValueError, RecursionError: It's no JSON object.
    """
    return bytes(_shape.decode(record).click_data) == b"null"


def to_nested(record: Any) -> NestedRecord:
    """The same click in column families."""
    click = ClickData(
        record.user_id, record.timestamp, record.url, record.session_end, record.time_spent, record.referrer
    )
    agent = UserAgentData(record.browser, record.os, record.device)
    return NestedRecord(click, GeoData(record.country, record.city), agent, record.row_key)


def to_flat(record: Any) -> FlatRecord:
    """The same click with all fields side by side."""
    families = (record.click_data, record.geo_data or GeoData(), record.user_agent_data or UserAgentData())
    fields = chain.from_iterable(msgspec.structs.asdict(family).items() for family in families)
    return FlatRecord(**dict(fields), row_key=record.row_key)


_ESCAPED = re.compile(rb"\\.", re.DOTALL)  # outside of texts there are none in JSON


def may_be_too_deep(text: bytes) -> bool:
    """Whether a record, or several together, hold more opening brackets than one may have levels."""
    return text.count(b"{") + text.count(b"[") > MAX_NESTING


def is_too_deep(record: bytes) -> bool:
    """Whether a record, JSON or not, opens more than MAX_NESTING brackets within each other.

    Told by the brackets alone: the decoder's own limit is what the stack has left, which depends on who calls it.
    """
    if not may_be_too_deep(record):
        return False
    characters = np.frombuffer(_ESCAPED.sub(b"", record), np.uint8)
    in_text = np.logical_xor.accumulate(characters == ord('"'))
    opened = ((characters == ord("{")) | (characters == ord("["))) & ~in_text
    closed = ((characters == ord("}")) | (characters == ord("]"))) & ~in_text
    return bool(np.cumsum(opened.astype(np.int64) - closed).max() > MAX_NESTING)
