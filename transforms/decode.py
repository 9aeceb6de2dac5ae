"""JSON records to typed objects, each by itself, at the speed of one C loop per batch.

A good record costs one `msgspec` decode and no Python of ours. A bad one stops the loop, is named, and the loop goes on behind it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from clickstream.transforms.limits import LONGEST_SECONDS, MAX_TEXT_LENGTH

Time: TypeAlias = str | int | float
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_LENGTH)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_SECONDS)]


class ClickData(msgspec.Struct, gc=False):
    """The family `click_data` of a nested record."""

    user_id: str
    timestamp: Time
    url: str
    session_end: Time | None = None
    time_spent: Seconds | None = None


class GeoData(msgspec.Struct, gc=False):
    """The family `geo_data` of a nested record."""

    country: str
    city: Text | None = None


class UserAgentData(msgspec.Struct, gc=False):
    """The family `user_agent_data` of a nested record."""

    browser: Text | None = None
    os: Text | None = None
    device: Text | None = None


class NestedRecord(msgspec.Struct, gc=False):
    """A click in column families."""

    click_data: ClickData
    geo_data: GeoData
    user_agent_data: UserAgentData | None = None
    row_key: Text | None = None


class FlatRecord(msgspec.Struct, gc=False):
    """A click with all fields side by side. `click_data: null` says so; anything else there makes the record a nested one."""

    user_id: str
    timestamp: Time
    url: str
    country: str
    city: Text | None = None
    browser: Text | None = None
    os: Text | None = None
    device: Text | None = None
    session_end: Time | None = None
    time_spent: Seconds | None = None
    row_key: Text | None = None
    click_data: None = None


class _Shape(msgspec.Struct):
    click_data: msgspec.Raw = msgspec.Raw(b"null")


Record: TypeAlias = NestedRecord | FlatRecord
Decode: TypeAlias = Callable[[bytes], Record]
_nested: Decode = msgspec.json.Decoder(NestedRecord).decode
_flat: Decode = msgspec.json.Decoder(FlatRecord).decode
_shape = msgspec.json.Decoder(_Shape).decode

_FAMILIES = {"row_key": "", "country": "geo_data", "city": "geo_data"} | dict.fromkeys(
    ("browser", "os", "device"), "user_agent_data"
)
_CHUNK = 500  # records whose objects live at a time: they stay in the cache, which saves a third of the time of 10,000

# All that decoding can raise for a record's content; a RecursionError is a record nested too deep.
_REFUSALS = (msgspec.MsgspecError, ValueError, RecursionError)


class Refusal(NamedTuple):
    """Why the record with this number in its batch is not a click. `detail` names the field, never its value."""

    number: int
    reason: str
    detail: str


class Decoded(NamedTuple):
    """The records that could be decoded, a list a field, and `kept`: each one's number in the batch."""

    fields: dict[str, list[Any]]
    kept: npt.NDArray[np.int64]
    refused: list[Refusal]


def decode_records(values: Sequence[bytes], fields: Sequence[str], *, max_record_bytes: int = 1 << 20) -> Decoded:
    """Decodes every record of a batch and takes the fields out; never raises for a record's content.

    Args:
        values: JSON records, nested or flat, in any mixture.
        fields: Names of FlatRecord's fields; a field that a record lacks is None.
        max_record_bytes: A longer record is refused undecoded.

    Returns:
        Each record exactly once: decoded, or refused with its reason.
    """
    columns: dict[str, list[Any]] = {name: [] for name in fields}
    kept, refused = [np.empty(0, np.int64)], []
    for start in range(0, len(values), _CHUNK):
        chunk = _decode_chunk(values[start : start + _CHUNK], max_record_bytes)
        chunk.take_into(columns)
        kept.append(chunk.kept + start)
        refused += [Refusal(number + start, reason, detail) for number, reason, detail in chunk.refused]
    return Decoded(columns, np.concatenate(kept), refused)


class _Chunk(NamedTuple):
    """Decoded records, all of one shape."""

    records: list[Any]
    flat: bool
    kept: npt.NDArray[np.int64]
    refused: list[Refusal]

    def take_into(self, columns: dict[str, list[Any]]) -> None:
        """Appends the records' fields; plain attribute access in a C loop is the cheapest way."""
        families: dict[str, list[Any]] = {"": self.records}
        for name, column in columns.items():
            family = "" if self.flat else _FAMILIES.get(name, "click_data")
            if family not in families:
                parts = list(map(attrgetter(family), self.records))
                none = UserAgentData()  # the only family that may be missing
                families[family] = [none if part is None else part for part in parts] if None in parts else parts
            column.extend(map(attrgetter(name), families[family]))


def _decode_chunk(values: Sequence[bytes], max_record_bytes: int) -> _Chunk:
    suspects = _screen(values, max_record_bytes)
    numbers = [i for i in range(len(values)) if i not in suspects] if suspects else range(len(values))
    candidates = [values[i] for i in numbers] if suspects else values
    flat = _seems_flat(candidates)
    refused = [Refusal(i, *why) for i, why in suspects.items()]
    records: list[Any] = []
    missing: list[int] = []
    loop = map(_flat if flat else _nested, candidates)
    while True:
        try:
            records.extend(loop)
            break
        except _REFUSALS:
            # The failed record is the one behind all that went well or went wrong before it.
            number = len(records) + len(missing)
            other = _decode_odd(candidates[number], flat=flat)
            if isinstance(other, tuple):
                refused.append(Refusal(numbers[number], *other))
                missing.append(number)
            else:
                records.append(other)
    kept = np.array(numbers, np.int64) if suspects else np.arange(len(values))
    return _Chunk(records, flat, np.delete(kept, missing) if missing else kept, refused)


def _screen(values: Sequence[bytes], max_record_bytes: int) -> dict[int, tuple[str, str]]:
    """What must not reach the decoder: it reads over bad UTF-8 in fields that it skips, and has no limit of its own."""
    beyond_ascii = [value for value in values if not value.isascii()]
    if max(map(len, values), default=0) <= max_record_bytes and _are_utf8(beyond_ascii):
        return {}
    suspects = {}
    for number, value in enumerate(values):
        if len(value) > max_record_bytes:
            suspects[number] = ("record_too_large", f"{len(value)} bytes; the limit is {max_record_bytes}")
        elif not _are_utf8([value]):
            suspects[number] = ("invalid_utf8", "not UTF-8")
    return suspects


def _are_utf8(values: Sequence[bytes]) -> bool:
    """Whether each is. The line end between them keeps a character from being made of two records' bytes."""
    try:
        b"\n".join(values).decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_flat(value: bytes) -> bool:
    """Raises one of `_REFUSALS` for what is no JSON object at all."""
    return bytes(_shape(value).click_data) == b"null"


def _seems_flat(values: Sequence[bytes]) -> bool:
    """A guess by the first record: a wrong one costs time only."""
    with suppress(*_REFUSALS):
        return bool(values) and _is_flat(values[0])
    return False


def _decode_odd(value: bytes, *, flat: bool) -> Record | tuple[str, str]:
    """Decodes a record that the batch's usual shape doesn't fit: as the other shape, turned into the usual one, or refused."""
    if not value.strip():
        return "empty_record", "nothing but white space"
    try:
        if _is_flat(value):
            record = _flat(value)
            return record if flat else _to_nested(record)
        record = _nested(value)
        return _to_flat(record) if flat else record
    except _REFUSALS as error:
        return _explain(error)


def _to_nested(record: Any) -> NestedRecord:
    click = ClickData(record.user_id, record.timestamp, record.url, record.session_end, record.time_spent)
    agent = UserAgentData(record.browser, record.os, record.device)
    return NestedRecord(click, GeoData(record.country, record.city), agent, record.row_key)


def _to_flat(record: Any) -> FlatRecord:
    families = (record.click_data, record.geo_data, record.user_agent_data or UserAgentData())
    fields = chain.from_iterable(msgspec.structs.asdict(family).items() for family in families)
    return FlatRecord(**dict(fields), row_key=record.row_key)


def _explain(error: Exception) -> tuple[str, str]:
    """The reason and a detail without payload: msgspec's texts name paths and types only."""
    text = str(error)
    if isinstance(error, RecursionError):
        return "too_deep", "nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "invalid_utf8", f"not UTF-8 at byte {error.start} of a text"
    if not isinstance(error, msgspec.ValidationError):
        return "invalid_json", text
    if text.startswith("Object missing required field"):
        return "missing_field", text
    if "of length" in text:
        return "field_too_long", text
    if "out of range" in text or "<=" in text or ">=" in text:
        return "out_of_range", text
    return "wrong_type", text
