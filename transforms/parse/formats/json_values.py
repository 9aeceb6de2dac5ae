"""JSON as it is written: a number keeps its digits, so that a long one, or one that is an id, is none other afterwards."""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NoReturn

import msgspec

from clickstream.transforms.limits import MAX_NESTING
from clickstream.transforms.parse.reader import is_framed, is_too_deep

NONE, TEXT, NUMBER, TRUE, FALSE, OTHER = range(6)  # kinds of values; a JSON null is NONE, an object or an array OTHER
_OF_CONSTANT = {True: (TRUE, "true"), False: (FALSE, "false")}

_TOO_DEEP = ("too_deep", f"nested in more than {MAX_NESTING} levels")
_EMPTY = ("empty_record", "nothing but white space")
_NOT_UTF8 = ("invalid_utf8", "not UTF-8")
_HALF_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")
_BOM = "\ufeff"


class Number(str):
    """A number as it's written."""

    __slots__ = ()


class UnreadableError(ValueError):
    """Bytes that are no event. `reason` is the rejection's; the text of the error holds no value."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _refuse(constant: str) -> NoReturn:
    message = f"JSON is malformed: {constant} is no JSON value"
    raise ValueError(message)


_decoder = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse)


def decode_object(value: bytes, max_record_bytes: int) -> dict[str, Any]:
    """Decodes one JSON object, by the same rules as a click of the built-in shape.

    Raises:
        UnreadableError: It's none; with the reason.
    """
    text = text_in(value, max_record_bytes)
    if is_too_deep(value):
        raise UnreadableError(*_TOO_DEEP)
    tree = _decode(text.removeprefix(_BOM))
    if type(tree) is not dict:
        why = "wrong_type", f"Expected `object`, got `{_name(tree)}`"
        raise UnreadableError(*why)
    return tree


def trees_of(values: Iterable[bytes]) -> list[dict[str, Any]]:
    """Those of the records that are JSON objects, decoded."""
    trees = []
    for value in values:
        with suppress(UnreadableError):
            trees.append(decode_object(value, len(value)))
    return trees


def text_in(value: bytes, max_record_bytes: int) -> str:
    """The text of a record.

    Raises:
        UnreadableError: It's too large, empty, framed, or not UTF-8.
    """
    if len(value) > max_record_bytes:
        why = "record_too_large", f"more than {max_record_bytes} bytes"
        raise UnreadableError(*why)
    if not value.strip():
        raise UnreadableError(*_EMPTY)
    if (framed := is_framed(value)) is not None:
        raise UnreadableError(*framed)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnreadableError(*_NOT_UTF8) from None


def _decode(text: str) -> Any:
    try:
        tree, end = _decoder.raw_decode(text, len(text) - len(text.lstrip(" \t\n\r")))
        if text[end:].strip(" \t\n\r"):
            message = "JSON is malformed: trailing characters"
            raise ValueError(message)
        if _HALF_ESCAPED.search(text):
            msgspec.json.decode(text)  # refuses half a surrogate pair, which the standard library lets pass
        return tree
    except json.JSONDecodeError as error:
        why = "invalid_json", f"JSON is malformed: {error.msg} (character {error.pos})"
        raise UnreadableError(*why) from None
    except RecursionError:
        raise UnreadableError(*_TOO_DEEP) from None
    except ValueError as error:
        why = "invalid_json", str(error)
        raise UnreadableError(*why) from None


def _name(tree: Any) -> str:
    names = {str: "str", list: "array", bool: "bool", type(None): "null", Number: "number"}
    return names[type(tree)]


def kind_and_text(value: Any) -> tuple[int, str | None]:
    """What a decoded value is, and as which text; a text or a number as it's written, nothing for an object or an array."""
    if value is None:
        return NONE, None
    kind = type(value)
    if kind is str:
        return TEXT, value
    if kind is Number:
        return NUMBER, str(value)
    return _OF_CONSTANT[value] if kind is bool else (OTHER, "")


def text_of(value: Any) -> str | None:
    """The text alone."""
    return kind_and_text(value)[1]
