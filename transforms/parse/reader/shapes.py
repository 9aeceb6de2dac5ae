"""A record's shape: all of it but its texts and numbers, which is what the others of the same producer have too."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import msgspec

from clickstream.transforms.parse.reader.records import (
    FAMILIES,
    FlatRecord,
    flat_decoder,
    is_flat,
    is_too_deep,
    nested_decoder,
)

Tree: TypeAlias = dict[str, Any]

_QUOTE, _GAP = b'"', b"\0"
_NUMBER = re.compile(rb"-?\d[\d.eE+-]*")
_CONTROL = re.compile(rb"[\x00-\x1f\\]")
# Texts whose length the decoder limits; later checks have bounds for the others.
LIMITED = ("city", "browser", "os", "device", "row_key")


class Slot(NamedTuple):
    """Where a record has something of its own: a text, without its quotes, or a number.

    Attributes:
        field: FlatRecord's name for it; empty where it's none of ours.
        is_text: False: a number.
        quote: How many of the record's quotes stand before it.
        before: How many bytes stand between the last of these and it.
        after: How many bytes stand between it and the next quote, or the record's end.
    """

    field: str
    is_text: bool
    quote: int
    before: int
    after: int


class Shape(NamedTuple):
    """So many quotes, `slots` from left to right, and before, between and behind these the bytes of `constants`.

    `fixed`: fields whose values are in the constants, with a kind and a text; the built-in shapes have none.
    """

    quotes: int
    slots: tuple[Slot, ...]
    constants: tuple[bytes, ...]
    fixed: tuple[tuple[str, int, str], ...] = ()


def shape_of(record: bytes) -> Shape | None:
    """The shape of a good record; None for a bad one, and for one that can't be put so.

    These can't: records with a backslash or a control character, nested too deep, with two numbers and no quote between them, or with a name
    given twice.
    """
    try:
        flat = is_flat(record)
        (flat_decoder if flat else nested_decoder).decode(record)
        return None if not fits(record) else _shape(record.split(_QUOTE), flat=flat)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def fits(record: bytes) -> bool:
    """Whether a record may have a shape: neither a backslash nor a control character is in it, and it's not nested too deep."""
    return not _CONTROL.search(record) and not is_too_deep(record)


def _shape(parts: list[bytes], *, flat: bool) -> Shape:
    """Of a record's parts between its quotes, of which the second, fourth and so on are names and texts.

    Each slot's number is put in its place: where a parser finds it tells to which field the slot belongs.
    """
    slots = slots_of(parts)
    names = {slot_number(value): name for name, value in _fields(numbered(parts, slots), flat=flat)}
    return shape_around(parts, [slot._replace(field=names.get(number, "")) for number, slot in enumerate(slots)])


def slots_of(parts: list[bytes]) -> list[Slot]:
    """All slots of a record, without names; `parts` are what stands between its quotes."""
    return [slot for number in range(len(parts)) if (slot := _slot(parts, number)) is not None]


def numbered(parts: list[bytes], slots: list[Slot]) -> Tree:
    """The record with each slot's number in its place, decoded: `slot_number` tells which it is, wherever it's found.

    Raises:
        ValueError: A name is given twice in one object.
    """
    marks = [b"@%d" % number if slot.is_text else b"%d" % number for number, slot in enumerate(slots)]
    return json.loads(_filled(parts, slots, marks), object_pairs_hook=_once)


def shape_around(parts: list[bytes], slots: list[Slot]) -> Shape:
    """The shape that has these slots; all else in the record is constant."""
    return Shape(len(parts) - 1, tuple(slots), tuple(_filled(parts, slots, [_GAP] * len(slots)).split(_GAP)))


def _slot(parts: list[bytes], number: int) -> Slot | None:
    """What is a record's own in one of its parts, if anything is: the text between two quotes, unless it's a name, or a number."""
    part, is_text = parts[number], bool(number % 2)
    if is_text:
        is_name = parts[number + 1].lstrip(b" ").startswith(b":")
        return None if is_name else Slot("", is_text, number, 0, 0)
    first, *more = _NUMBER.finditer(part) if _NUMBER.search(part) else (None,)
    if more:
        message = "two numbers with no quote between them"
        raise ValueError(message)
    return first and Slot("", is_text, number, first.start(), len(part) - first.end())


def _filled(parts: list[bytes], slots: list[Slot], contents: list[bytes]) -> bytes:
    """The record with these in its slots."""
    filled = parts.copy()
    for slot, content in zip(slots, contents, strict=True):
        part = parts[slot.quote]
        filled[slot.quote] = b"" if slot.is_text else part[: slot.before]
        filled[slot.quote] += content + (b"" if slot.is_text else part[len(part) - slot.after :])
    return _QUOTE.join(filled)


def _once(pairs: list[tuple[str, Any]]) -> Tree:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        message = "a name given twice"
        raise ValueError(message)
    return tree


def _fields(tree: Tree, *, flat: bool) -> Iterator[tuple[str, Any]]:
    """The fields of a record by FlatRecord's names, wherever they stand in it."""
    if flat:
        yield from ((name, tree.get(name)) for name in FlatRecord.__struct_fields__)
        return
    yield "row_key", tree.get("row_key")
    for kind, family in FAMILIES.items():
        content = tree.get(family) or {}
        yield from ((name, content.get(name)) for name in kind.__struct_fields__)


def slot_number(mark: Any) -> int:
    """The number of the slot that a value of `numbered` is; -1: of none."""
    if isinstance(mark, str):
        return int(mark.removeprefix("@"))
    return mark if type(mark) is int else -1
