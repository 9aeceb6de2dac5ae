"""Whether an id is left in a JSON value, in any spelling that decodes to it: how a dead letter is looked through before it is kept."""

import html
import json
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import unquote, unquote_plus

LONG = 6  # characters: a shorter text stands by chance in others, such as times
_WORD = 3  # characters: a shorter id counts only where it is all of a text
_LONGEST_NUMBER = 400  # a double has no more digits
_DEEPEST = 6  # of spellings within spellings: beyond, nobody looks, and it counts as left
_MOST_TEXTS = 2_000  # that one text may decode to
_CODED = re.compile(r"[%+&\\\"\[{]")
_OF_OWN = re.compile(r"user_id|row_key", re.IGNORECASE)
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|%u([0-9a-fA-F]{4})|\\(.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class Number(str):
    """A number as it's written."""

    __slots__ = ()


def is_left(value: Any, ids: Collection[str], names: Collection[str]) -> bool:
    """Whether one of the ids stands somewhere in a value, or a text in it names a `user_id` or `row_key`, whose ids nobody has found.

    Ids of less than 6 characters count where they stand as a word, those of less than 3 where they are all of a text: by chance they are
    within others. A number counts whose value is an id's.

    Args:
        value: JSON, with numbers as `Number`, and objects as lists of pairs.
        ids: Without white space around them.
        names: Keys that are as they should be.
    """
    found = _Finder(ids)
    return any(found.is_in(text) for text, is_key in _texts(value) if not (is_key and text in names))


def _texts(value: Any) -> Iterator[tuple[str, bool]]:
    """All texts and numbers of a value, and whether they are keys."""
    waiting: list[tuple[Any, bool]] = [(value, False)]
    while waiting:
        each, is_key = waiting.pop()
        if isinstance(each, str):
            yield each, is_key
        elif isinstance(each, tuple):
            waiting += (each[0], True), (each[1], False)
        elif isinstance(each, list):
            waiting += ((inner, False) for inner in each)


class _Finder:
    """Looks for ids in one text after the other."""

    def __init__(self, ids: Collection[str]) -> None:
        self._long = [id_ for id_ in ids if len(id_) >= LONG]
        self._words = [re.compile(rf"(?<!\w){re.escape(id_)}(?!\w)") for id_ in ids if _WORD <= len(id_) < LONG]
        self._whole = set(ids)
        self._numbers = set(filter(None, map(_number, ids)))

    def is_in(self, text: str) -> bool:
        """Whether an id is in a text, or in what it decodes to."""
        seen, waiting = {text}, [(text, 0)]
        while waiting:
            each, depth = waiting.pop()
            if self._shows(each):
                return True
            further = set(_decoded(each)) - seen
            if further and (depth >= _DEEPEST or len(seen) + len(further) > _MOST_TEXTS):
                return True
            seen |= further
            waiting += ((other, depth + 1) for other in further)
        return False

    def _shows(self, text: str) -> bool:
        if text.strip() in self._whole or (self._numbers and _number(text) in self._numbers):
            return True
        if isinstance(text, Number):  # part of a number is another number
            return False
        if _OF_OWN.search(text) or any(id_ in text for id_ in self._long):
            return True
        return any(word.search(text) for word in self._words)


def _number(text: str) -> Decimal | None:
    """The value of a number that is written like one; None for other texts, and those too large to be looked at."""
    if len(text) > _LONGEST_NUMBER or not text[-1:].isdigit():
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _decoded(text: str) -> Iterator[str]:
    """What a text may stand for by one more step: of URLs, forms, JSON, HTML."""
    if not _CODED.search(text):
        return
    for decode in (unquote, unquote_plus, html.unescape, _unescaped):
        found = decode(text)
        if found != text:
            yield found
    with suppress(ValueError, RecursionError):
        for inner, _ in _texts(json.loads(text, parse_int=Number, parse_float=Number, object_pairs_hook=list)):
            yield inner


def _unescaped(text: str) -> str:
    """Escapes of JSON and JavaScript, wherever they stand."""

    def character(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        return chr(int(code, 16)) if code else _LETTERS.get(found[4], found[4])

    # Halves of a character stand apart in it.
    return _ESCAPE.sub(character, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
