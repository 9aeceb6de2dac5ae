"""Rejected records without the ids of their users: what a dead letter may keep where ids are pseudonymised. See docs/decisions/0005."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote

from clickstream.transforms.limits import MAX_TEXT_LENGTH
from clickstream.transforms.parse.leaks import LONG, Number, is_left
from clickstream.transforms.parse.pseudonyms import Pseudonyms
from clickstream.transforms.parse.reader import FIELD_NAMES

_NAMES = FIELD_NAMES | {"user_id", "row_key"}
MOST_IDS = 32  # of one record: each is sought in all its texts

_SCALAR = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|-?\d[\d.eE+-]*')


def _spelt(name: str) -> str:
    """A pattern for all spellings of a name in JSON."""
    hexadecimal = (re.sub("[a-f]", lambda digit: f"[{digit[0]}{digit[0].upper()}]", f"{ord(c):04x}") for c in name)
    return "".join(rf"(?:{c}|\\u{code})" for c, code in zip(name, hexadecimal, strict=True))


# A quote behind a backslash is within a text; in sound JSON no other matches but one that begins a key.
_KEY = re.compile(rf'"(?<!\\")(?:({_spelt("user_id")})|{_spelt("row_key")})"\s*:\s*')


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object, with names that are given twice."""


_json = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse, object_pairs_hook=_Pairs)


class _Value(NamedTuple):
    """What stands at a key `user_id`, with the ids in it, or `row_key`, and where in the text."""

    start: int
    end: int
    value: Any
    is_user: bool
    ids: list[str]


def without_ids(raw: bytes, pseudonyms: Pseudonyms) -> bytes | None:
    """The bytes of a rejected record, with pseudonyms where ids were.

    What a key `user_id` holds, at any depth, is replaced: a text by the pseudonym; what can be no click's id (a number, a list, a text
    too long or not in Unicode) by an array of one text, which is none either. Where the id's text stands elsewhere, it is replaced
    if it has 6 characters; each row key by `Pseudonyms.of_row_key`. All other bytes are as they were.

    Returns:
        None where ids could be that aren't found: the record isn't JSON in UTF-8, has no `user_id`, or more of them than 32; or if behind all
        that an id is left in some other spelling, or a text speaks of a `user_id` of its own.
    """
    if not raw.strip():
        return raw
    try:
        text = raw.decode()
        _json.decode(text)
        values = list(_values(text))
        ids = {id_ for value in values for id_ in value.ids}
        if len(ids) > MOST_IDS or not any(value.is_user for value in values):
            return None
        clean = _Hider(ids, pseudonyms).without_ids(text, values)
        hidden = {id_ for id_ in ids if pseudonyms.of(id_) != id_}
        return None if is_left(_json.decode(clean), hidden, _NAMES) else clean.encode()
    except (ValueError, RecursionError):
        return None


def stand_in(raw: bytes, pseudonyms: Pseudonyms) -> bytes:
    """What is kept in place of bytes that can't be cleaned: no JSON, so never a click. Whoever has key and record can tell that it's the one."""
    return b"withheld by --hash_user_ids: %d bytes, HMAC-SHA256 %s" % (len(raw), pseudonyms.hmac(raw).hex().encode())


def _values(text: str) -> Iterator[_Value]:
    """In the order of the text; none lies in another."""
    done = 0
    for key in _KEY.finditer(text):
        is_user = key[1] is not None
        if key.end() >= done and (is_user or text[key.end()] == '"'):
            value, done = _json.raw_decode(text, key.end())
            yield _Value(key.end(), done, value, is_user, list(_ids(value)) if is_user else [])


def _ids(value: Any) -> Iterator[str]:
    """All texts and numbers in a JSON value."""
    if isinstance(value, str):
        if value.strip():
            yield value.strip()
    elif isinstance(value, list):
        for inner in (each for pair in value for each in pair) if isinstance(value, _Pairs) else value:
            yield from _ids(inner)


def _may_be_an_id(value: Any) -> bool:
    """Whether a click with this `user_id` could be accepted. Half a surrogate pair, which `json` lets through, is no text."""
    if not isinstance(value, str) or isinstance(value, Number) or len(value.strip()) > MAX_TEXT_LENGTH:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


class _Hider:
    """Writes JSON anew without the ids of one record."""

    def __init__(self, ids: set[str], pseudonyms: Pseudonyms) -> None:
        self._pseudonyms, self._ids = pseudonyms, {id_: pseudonyms.of(id_) for id_ in ids}
        self._names: dict[str, str] = {}  # of what is sought elsewhere: ids as they are, and as in a URL
        for id_ in sorted(ids, key=len, reverse=True):
            if len(id_) >= LONG:
                self._names[id_] = self._names[quote(id_, safe="", errors="surrogatepass")] = self._ids[id_]

    def without_ids(self, text: str, values: list[_Value]) -> str:
        pieces, done = [], 0
        for value in values:
            pieces.append(self._elsewhere(text[done : value.start]))
            hidden = self._user(value) if value.is_user else self._row_key(value.value)
            pieces.append(hidden or text[value.start : value.end])
            done = value.end
        return "".join([*pieces, self._elsewhere(text[done:])])

    def _user(self, value: _Value) -> str | None:
        if not value.ids:
            return None
        alone = self._ids[value.ids[0]] if len(value.ids) == 1 else None
        name = f'"{alone or self._pseudonyms.of(chr(0).join(value.ids))}"'
        return name if _may_be_an_id(value.value) else f"[{name}]"

    def _row_key(self, row_key: str) -> str:
        if not row_key:
            return '""'
        name = f'"{self._pseudonyms.of_row_key(row_key)}"'
        return name if _may_be_an_id(row_key) else f"[{name}]"

    def _elsewhere(self, piece: str) -> str:
        sought = "\\" in piece or any(spelling in piece for spelling in self._names)
        return _SCALAR.sub(self._scalar, piece) if self._names and sought else piece

    def _scalar(self, found: re.Match[str]) -> str:
        written, is_key = found[1], found[2] is not None
        if written is None:
            return f'["{self._names[found[0]]}"]' if found[0] in self._names else found[0]
        content = hidden = json.loads(written) if "\\" in written else written[1:-1]
        for spelling, name in self._names.items():
            hidden = hidden.replace(spelling, name)
        if hidden == content or (is_key and content in FIELD_NAMES):
            return found[0]
        return json.dumps(hidden) + (found[2] or "")
