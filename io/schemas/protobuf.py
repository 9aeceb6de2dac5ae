"""Protobuf values of one schema to JSON, under the fields' own names."""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    json_format,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from clickstream.io.plain_json import json_line
from clickstream.io.schemas.registry import RegistryClient, RegistryError, Schema

_WELL_KNOWN = (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
_AS_JSON_SAYS = "google.protobuf."  # whose JSON is a text, a number, or whatever they hold
Convert: TypeAlias = Callable[[Any], Any]


def protobuf_decoder(schema: Schema, client: RegistryClient) -> Callable[[bytes], bytes]:
    """What decodes a value of this schema, behind the indexes of its message. Fields that the schema doesn't know are passed over.

    A field that is always there (proto3's without `optional`) is in the JSON too, with its default value; others are if they are set.

    Raises:
        RegistryError: The registry doesn't give its descriptor, or one that it refers to isn't there.
    """
    pool = DescriptorPool()
    for module in _WELL_KNOWN:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    try:
        file = pool.FindFileByName(_add(pool, "of a value.proto", schema, client, set()))
    except (TypeError, KeyError, DecodeError, Base64Error) as error:
        message = f"a Protobuf schema of it can't be used ({error}): it must give descriptors (format=serialized), as Confluent's and Karapace do."
        raise RegistryError(message) from None
    known: dict[tuple[int, ...], tuple[Any, Convert]] = {}

    def decode(payload: bytes) -> bytes:
        indexes, start = message_indexes(payload)
        if indexes not in known:
            found = _message(file, indexes)
            known[indexes] = GetMessageClass(found), _converter(found, {})
        kind, convert = known[indexes]
        return json_line(convert(kind.FromString(payload[start:])))

    return decode


def _add(pool: Any, name: str, schema: Schema, client: RegistryClient, seen: set[str]) -> str:
    """Adds a file and those that it refers to, by the names that it imports them by."""
    for reference in schema.references:
        if reference.name not in seen:
            seen.add(reference.name)
            _add(pool, reference.name, client.referred(reference, serialised=True), client, seen)
    file = descriptor_pb2.FileDescriptorProto.FromString(b64decode(schema.schema, validate=True))
    file.name = name
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return name


def message_indexes(payload: bytes) -> tuple[tuple[int, ...], int]:
    """Which message of its file a value is, level by level, and where it begins behind that.

    Raises:
        ValueError: There are none.
    """
    count, at = _zigzag(payload, 0)
    if count == 0:
        return (0,), at
    found = []
    for _ in range(count):
        index, at = _zigzag(payload, at)
        found.append(index)
    if not found or min(found) < 0:
        message = "no indexes of a message"
        raise ValueError(message)
    return tuple(found), at


def _zigzag(payload: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(payload) and shift < 35:
        byte = payload[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
    message = "cut off in the indexes of its message"
    raise ValueError(message)


def _message(file: Any, indexes: tuple[int, ...]) -> Descriptor:
    found = list(file.message_types_by_name.values())[indexes[0]]
    for index in indexes[1:]:
        found = found.nested_types[index]
    return found


def _converter(kind: Descriptor, known: dict[str, Convert]) -> Convert:
    """What makes a mapping of a message; made once, as the fields are looked up by description."""
    if kind.full_name.startswith(_AS_JSON_SAYS):
        return _as_json_says
    if kind.full_name in known:
        return known[kind.full_name]
    fields: list[tuple[str, bool, Convert | None]] = []

    def convert(message: Any) -> dict[str, Any]:
        row = {}
        for name, optional, inner in fields:
            if not optional or message.HasField(name):
                value = getattr(message, name)
                row[name] = value if inner is None else inner(value)
        return row

    known[kind.full_name] = convert  # before its fields: they may hold others of its kind
    fields += _fields(kind, known)
    return convert


def _fields(kind: Descriptor, known: dict[str, Convert]) -> Iterator[tuple[str, bool, Convert | None]]:
    for field in kind.fields:
        inner = _value(field, known)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield field.name, False, _map(_value(field.message_type.fields_by_name["value"], known))
        elif field.is_repeated:
            yield field.name, False, _list(inner)
        else:
            yield field.name, field.has_presence, inner


def _value(field: FieldDescriptor, known: dict[str, Convert]) -> Convert | None:
    if field.message_type is not None:
        return _converter(field.message_type, known)
    return _enum(field.enum_type) if field.enum_type is not None else None


def _enum(kind: EnumDescriptor) -> Convert:
    names = {number: value.name for number, value in kind.values_by_number.items()}
    return lambda number: names.get(number, number)


def _list(inner: Convert | None) -> Convert:
    return list if inner is None else lambda values: [inner(value) for value in values]


def _map(inner: Convert | None) -> Convert:
    return dict if inner is None else lambda values: {key: inner(value) for key, value in values.items()}


def _as_json_says(message: Any) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
