"""Avro values of one schema to JSON."""

import io
from collections.abc import Callable
from typing import Any

import fastavro
import msgspec

from clickstream.io.plain_json import json_line
from clickstream.io.schemas.registry import RegistryClient, RegistryError, Schema


def avro_decoder(schema: Schema, client: RegistryClient) -> Callable[[bytes], bytes]:
    """What decodes a value of this schema, as it was written: a reader of a later or an earlier one finds what it knows by path.

    Raises:
        RegistryError: The schema isn't sound, or one that it refers to isn't there.
    """
    try:
        parsed = _parsed(schema, client, {})
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, ValueError) as error:
        message = f"an Avro schema of it isn't sound ({error}): register a sound one."
        raise RegistryError(message) from None

    def decode(payload: bytes) -> bytes:
        stream = io.BytesIO(payload)
        row: Any = fastavro.schemaless_reader(stream, parsed)
        if stream.tell() != len(payload):
            message = "bytes are left over"
            raise ValueError(message)
        return json_line(row if type(row) is dict else {"value": row})

    return decode


def _parsed(schema: Schema, client: RegistryClient, named: dict[str, Any]) -> Any:
    for reference in schema.references:
        _parsed(client.referred(reference), client, named)
    text = schema.schema
    tree = msgspec.json.decode(text) if text.lstrip()[:1] in ("{", "[", '"') else text
    return fastavro.parse_schema(tree, named_schemas=named)
