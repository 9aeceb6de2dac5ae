"""Key and headers, for formats that name them: a record becomes `{"value": …, "key": …, "headers": {…}}`, and that a record again."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from confluent_kafka import Message

from clickstream.io.json_text import is_json
from clickstream.transforms.schema import Around

_HEAD = b'{"value":'


class Unwrapped(NamedTuple):
    """A value, and what stood around it."""

    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True):
    value: msgspec.Raw
    key: str | None
    headers: dict[str, str | None]


def around(messages: Sequence[Message], asked: Around) -> list[bytes]:
    """What comes behind each message's value: JSON in ASCII, to the closing brace. Of headers of one name the last counts, as to Kafka's clients."""
    return [_behind(message, asked) for message in messages]


def _behind(message: Message, asked: Around) -> bytes:
    headers = dict(message.headers() or ()) if asked.headers else {}
    key = _text(message.key()) if asked.key else None
    found = {name: _text(headers.get(name)) for name in asked.headers}
    return f',"key":{json.dumps(key)},"headers":{json.dumps(found)}}}'.encode()


def _text(value: bytes | str | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def wrapped(values: Sequence[bytes], behind: Sequence[bytes]) -> list[bytes]:
    """The values with what is around them. One that is no JSON stays what it is: it is refused for that, and can't pass for more than a value."""
    return [_HEAD + value + rest if is_json(value) else value for value, rest in zip(values, behind, strict=True)]


def unwrapped(record: bytes) -> Unwrapped:
    """The message that a record was made of; itself, if it is as it came."""
    try:
        found = msgspec.json.decode(record, type=_Wrapped) if record.startswith(_HEAD) else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        found = None
    if found is None:
        return Unwrapped(record)
    headers = tuple((name, text.encode()) for name, text in found.headers.items() if text is not None)
    return Unwrapped(bytes(found.value), None if found.key is None else found.key.encode(), headers)
