"""Batches of values, framed or not, to records: https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format."""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from clickstream.io.outage import OutageLog
from clickstream.io.schemas.avro import avro_decoder
from clickstream.io.schemas.protobuf import protobuf_decoder
from clickstream.io.schemas.registry import RegistryError, SchemaRegistry

_HEAD = 5  # a zero, and the schema's number in four bytes
_REASONS = {"AVRO": "invalid_avro", "PROTOBUF": "invalid_protobuf", "JSON": "invalid_json"}


class Decoded(NamedTuple):
    """Records, and those that couldn't be decoded, which stand among them as they came: number, reason, detail."""

    values: list[bytes]
    undecoded: tuple[tuple[int, str, str], ...] = ()


class _Known(NamedTuple):
    """A schema that was asked for: its kind, and what decodes a value."""

    kind: str
    decode: Callable[[bytes], bytes]


class FrameDecoder:
    """Decodes values by a registry, whose schemas are asked for once each. Not for use by several threads at once."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._client = registry.open()
        self._known: dict[int, _Known] = {}
        self._outage = OutageLog(
            logging.getLogger("clickstream.schemas"),
            f"Schema Registry at {registry.url}",
            "clickstream.schema_registry",
        )

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Records of values; those without frame are what they were.

        Raises:
            RegistryError: A schema isn't to be had now, so nothing of the batch should be counted: try it again later. It's told in the log.
        """
        try:
            found = self._decoded(values)
        except RegistryError as error:
            self._outage.failed(f"Reading is held until then: {error}")
            raise
        self._outage.worked()
        return found

    def _decoded(self, values: Sequence[bytes]) -> Decoded:
        records, undecoded = list(values), []
        for number, value in enumerate(values):
            schema = _schema_of(value)
            if not schema:
                continue
            known = self._known.get(schema) or self._ask(schema)
            try:
                records[number] = known.decode(value[_HEAD:])
            except Exception as error:  # whatever a decoder raises on what isn't of its schema
                detail = f"{type(error).__name__}: no value of the schema {schema}"
                undecoded.append((number, _REASONS[known.kind], detail))
        return Decoded(records, tuple(undecoded))

    def _ask(self, number: int) -> _Known:
        schema = self._client.schema(number)
        if schema.schemaType == "AVRO":
            known = _Known("AVRO", avro_decoder(schema, self._client))
        elif schema.schemaType == "PROTOBUF":
            known = _Known("PROTOBUF", protobuf_decoder(schema, self._client))
        elif schema.schemaType == "JSON":
            known = _Known("JSON", bytes)
        else:
            message = f"the schema {number} is of a kind that isn't read, {schema.schemaType}: Avro, Protobuf and JSON Schema are."
            raise RegistryError(message)
        self._known[number] = known
        return known


def _schema_of(value: bytes) -> int:
    """The number of a value's schema, which is never 0; 0: it has none. JSON in UTF-16 has a zero in each other place."""
    if value[:1] != b"\0" or len(value) < _HEAD or (value[1] and value[2] == value[4] == 0):
        return 0
    return int.from_bytes(value[1:_HEAD], "big")
