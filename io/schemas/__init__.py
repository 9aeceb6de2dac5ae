"""Values in the framing of Confluent's serialisers (Avro, Protobuf, JSON Schema) to records of JSON, by a Schema Registry.

May import: the modules directly in `clickstream.io`.
"""

from clickstream.io.schemas.frames import Decoded
from clickstream.io.schemas.registry import RegistryError, SchemaRegistry
from clickstream.io.schemas.values import ValueDecoder

__all__ = ["Decoded", "RegistryError", "SchemaRegistry", "ValueDecoder"]
