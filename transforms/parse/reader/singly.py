"""JSON records to columns, each record decoded by itself, at the speed of C loops.

They cost one `msgspec` call a hundred and no Python of ours. Where one is bad, its hundred are decoded one by one: the bad one stops the loop, is
named, and the loop goes on behind it.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np

from clickstream.transforms.arrays import Int64s
from clickstream.transforms.limits import MAX_NESTING
from clickstream.transforms.lines import Lines
from clickstream.transforms.parse.reader.columns import Decoded, Refusal
from clickstream.transforms.parse.reader.mend import mend
from clickstream.transforms.parse.reader.records import (
    FAMILIES,
    ClickData,
    FlatRecord,
    GeoData,
    NestedRecord,
    Record,
    UserAgentData,
    flat_decoder,
    is_flat,
    is_too_deep,
    may_be_too_deep,
    nested_decoder,
    to_flat,
    to_nested,
)

# Records decoded by one call. Their objects stay in the cache (10,000 at a time cost half as much again), and one bad record wastes few.
_CHUNK = 100

_FRAME_BYTES = 5
_BOM = b"\xef\xbb\xbf"

# All that decoding can raise for a record's content.
_REFUSALS = (msgspec.MsgspecError, ValueError, RecursionError)
_TOO_DEEP = ("too_deep", f"nested in more than {MAX_NESTING} levels")


def decode_singly(
    values: Sequence[bytes], lines: Lines | None, fields: Sequence[str], max_record_bytes: int
) -> Decoded:
    """Decodes every record and takes the fields out, as lists.

    Args:
        values: JSON records, nested or flat, in any mixture.
        lines: The same as lines; None where one holds a line end.
        fields: Names of FlatRecord's fields; a field that a record lacks is null.
        max_record_bytes: A longer record is refused undecoded.
    """
    columns: dict[str, list[Any]] = {name: [] for name in fields}
    kept, refused, mended = [np.empty(0, np.int64)], [], list[str]()
    for start in range(0, len(values), _CHUNK):
        end = min(start + _CHUNK, len(values))
        chunk = lines and _decode_together(lines, start, end, max_record_bytes)
        chunk = chunk or _decode_each(values[start:end], max_record_bytes)
        chunk.take_into(columns)
        kept.append(chunk.kept + start)
        refused += [Refusal(number + start, reason, detail) for number, reason, detail in chunk.refused]
        mended += chunk.mended
    return Decoded(dict(columns), np.concatenate(kept), refused, mended)


class _Chunk(NamedTuple):
    """Decoded records, all of one shape."""

    records: list[Any]
    flat: bool
    kept: Int64s
    refused: list[Refusal]
    mended: list[str]

    def take_into(self, columns: dict[str, list[Any]]) -> None:
        """Appends the records' fields."""
        shape = (FlatRecord,) if self.flat else (NestedRecord, ClickData, GeoData, UserAgentData)
        for kind in shape:
            if columns.keys() & kind.__struct_fields__:
                for name, values in zip(kind.__struct_fields__, self.transposed(kind), strict=False):
                    if name in columns:
                        columns[name].extend(values)

    def transposed(self, kind: type[msgspec.Struct]) -> Iterable[tuple[Any, ...]]:
        """The fields of the records' structs of one kind, a tuple a field. Struct by struct and transposed is twice as fast as field by field."""
        structs = self.records
        if kind in FAMILIES:
            structs = list(map(attrgetter(FAMILIES[kind]), structs))
        if kind in (GeoData, UserAgentData):  # these may be missing
            none = kind()
            structs = [none if struct is None else struct for struct in structs]
        return zip(*map(msgspec.structs.astuple, structs), strict=True)


def _decode_together(lines: Lines, start: int, end: int, max_record_bytes: int) -> _Chunk | None:
    """The lines `[start, end)` if all are clicks of one shape."""
    text = lines.objects(start, end)
    if (
        text is None
        or len(text) > max_record_bytes
        or (may_be_too_deep(text) and any(map(is_too_deep, lines[start:end])))
    ):
        return None
    with suppress(*_REFUSALS):
        text.isascii() or text.decode()  # msgspec reads over bad UTF-8 in fields that it skips
        flat = _seems_flat(lines[start])
        records = (flat_decoder if flat else nested_decoder).decode_lines(text)
        if len(records) == end - start:  # two values in one line make it one more
            return _Chunk(records, flat, np.arange(end - start), [], [])
    return None


def _decode_each(values: Sequence[bytes], max_record_bytes: int) -> _Chunk:
    suspects = _screen(values, max_record_bytes)
    numbers = [i for i in range(len(values)) if i not in suspects] if suspects else range(len(values))
    candidates = [values[i] for i in numbers] if suspects else values
    flat = bool(candidates) and _seems_flat(candidates[0])
    refused = [Refusal(i, *why) for i, why in suspects.items()]
    records: list[Any] = []
    missing: list[int] = []
    mended: list[str] = []
    loop = map((flat_decoder if flat else nested_decoder).decode, candidates)
    while True:
        try:
            records.extend(loop)
            break
        except _REFUSALS:
            # The failed record is the one behind all that went well or went wrong before it.
            number = len(records) + len(missing)
            other = _decode_odd(candidates[number], mended, flat=flat)
            if isinstance(other, tuple):
                refused.append(Refusal(numbers[number], *other))
                missing.append(number)
            else:
                records.append(other)
    kept = np.array(numbers, np.int64) if suspects else np.arange(len(values))
    return _Chunk(records, flat, np.delete(kept, missing) if missing else kept, refused, mended)


_FRAMED = (
    "schema_registry_frame",
    "it begins with a zero byte and the number of a schema, as a schema registry's serialiser writes: give --schema_registry, or send plain JSON",
)
# What a record's text shows that is no JSON: the reason, and a detail.
_NO_JSON = (
    (re.compile(rb"\\x[0-9A-F]{2}"), ("nginx_escape", r"\xHH is no JSON: give nginx's log_format escape=json")),
    (
        re.compile(rb"[:,\[]\s*-?(?:NaN|Infinity)\b"),
        ("invalid_json", "NaN and Infinity are no JSON: write null, or leave it out"),
    ),
)


def is_framed(value: bytes) -> tuple[str, str] | None:
    """The reason and a detail where a record begins as a schema registry's serialisers write; else None."""
    return _FRAMED if _is_framed(value) else None


def _is_framed(value: bytes) -> bool:
    """Whether it begins as a schema registry's serialisers write: a zero, the schema's number in four bytes. Texts in UTF-16 begin otherwise."""
    if len(value) <= _FRAME_BYTES or value[0] or not value[_FRAME_BYTES:].strip(b"\0"):
        return False
    return not (value[1] and value[2] == value[4] == 0)


def _screen(values: Sequence[bytes], max_record_bytes: int) -> dict[int, tuple[str, str]]:
    """What must not reach the decoder: it reads over bad UTF-8 in fields that it skips, and its limits are the stack's."""
    beyond_ascii = [value for value in values if not value.isascii()]
    deep = any(map(is_too_deep, values))
    if max(map(len, values), default=0) <= max_record_bytes and _are_utf8(beyond_ascii) and not deep:
        return {}
    suspects = {}
    for number, value in enumerate(values):
        if len(value) > max_record_bytes:
            suspects[number] = ("record_too_large", f"more than {max_record_bytes} bytes")
        elif not _are_utf8([value]):
            suspects[number] = _FRAMED if _is_framed(value) else ("invalid_utf8", "not UTF-8")
        elif is_too_deep(value):
            suspects[number] = _TOO_DEEP
    return suspects


def _are_utf8(values: Sequence[bytes]) -> bool:
    """Whether each is. The line end between them keeps a character from being made of two records' bytes."""
    try:
        b"\n".join(values).decode()
    except UnicodeDecodeError:
        return False
    return True


def _seems_flat(value: bytes) -> bool:
    """A guess by one record about its neighbours: a wrong one costs time only."""
    with suppress(*_REFUSALS):
        return is_flat(value)
    return False


def _decode_odd(value: bytes, mended: list[str], *, flat: bool) -> Record | tuple[str, str]:
    """Decodes a record that the batch's usual shape doesn't fit: as the other shape, mended, or both, turned into the usual one; or refused."""
    value = value.removeprefix(_BOM)  # a parser may pass over one (RFC 8259, section 8.1)
    if not value.strip():
        return "empty_record", "nothing but white space"
    if _is_framed(value):
        return _FRAMED
    try:
        record = _decode(value)
    except _REFUSALS as error:
        found = mend(value)
        if found is None:
            return _explain(error, value)
        record, what = found
        mended += what
    if isinstance(record, FlatRecord):
        return record if flat else to_nested(record)
    return to_flat(record) if flat else record


def _decode(value: bytes) -> Record:
    return (flat_decoder if is_flat(value) else nested_decoder).decode(value)


def _explain(error: Exception, value: bytes) -> tuple[str, str]:
    """The reason and a detail without payload: msgspec's texts name paths and types only."""
    text = str(error)
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    if isinstance(error, UnicodeDecodeError):
        return "invalid_utf8", f"not UTF-8 at byte {error.start} of a text"
    if not isinstance(error, msgspec.ValidationError):
        return next((what for pattern, what in _NO_JSON if pattern.search(value)), ("invalid_json", text))
    if text.startswith("Object missing required field"):
        return "missing_field", text
    if "of length" in text:
        return "field_too_long", text
    if "out of range" in text or "<=" in text or ">=" in text:
        return "out_of_range", text
    return "wrong_type", text
