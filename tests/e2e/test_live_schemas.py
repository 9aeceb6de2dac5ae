"""Avro of two versions, Protobuf and packed JSON through real Kafka to both stores, by a stand-in of a Schema Registry that comes late."""

import gzip
import io
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import fastavro
import pytest
from e2e.live_harness import Record
from e2e.live_stores import Bench, first_open, oracle
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from schema_registry import Registry, descriptor_text, framed, running_registry

from tests.services.kafka_topic import committed

pytestmark = pytest.mark.timeout(900)

EVENTS = 2_000
FORMAT = """
fields:
  user_id: user
  timestamp: at
  url: {path: page.path, base: "https://shop.example"}
  country: country
  row_key: key
types: lenient
"""
PAGE = {"type": "record", "name": "Page", "fields": [{"name": "path", "type": "string"}]}
FIELDS = [
    {"name": "user", "type": ["null", "long", "string"]},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "page", "type": PAGE},
    {"name": "country", "type": "string"},
    {"name": "key", "type": "string"},
]
OLD = {"type": "record", "name": "View", "fields": FIELDS}
NEW = {
    "type": "record",
    "name": "View",
    "fields": [{"name": "more", "type": {"type": "map", "values": "int"}}, *FIELDS[::-1]],
}


@pytest.fixture
def bench(kafka, mariadb, elasticsearch, prism, tmp_path) -> Bench:
    """Servers, and names of the test's own."""
    return Bench(kafka, mariadb, elasticsearch, prism, tmp_path)


def descriptor() -> FileDescriptorProto:
    file = FileDescriptorProto(name="view.proto", package="shop", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    view = file.message_type.add(name="View")
    view.nested_type.add(name="Page").field.add(name="path", number=1, type=Field.TYPE_STRING, label=1)
    view.field.add(name="user", number=1, type=Field.TYPE_INT64, label=1)
    view.field.add(name="at", number=2, type=Field.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp", label=1)
    view.field.add(name="page", number=3, type=Field.TYPE_MESSAGE, type_name=".shop.View.Page", label=1)
    view.field.add(name="country", number=4, type=Field.TYPE_STRING, label=1)
    view.field.add(name="key", number=5, type=Field.TYPE_STRING, label=1)
    return file


def avro_writer(registry: Registry, schema: dict[str, Any]) -> Callable[[dict[str, Any]], bytes]:
    number, parsed = registry.register("view-value", json.dumps(schema)), fastavro.parse_schema(schema)

    def write(event: dict[str, Any]) -> bytes:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, parsed, event)
        return framed(number, stream.getvalue())

    return write


def protobuf_writer(registry: Registry) -> Callable[[dict[str, Any]], bytes]:
    file, pool = descriptor(), DescriptorPool()
    number = registry.register("view2-value", descriptor_text(file), "PROTOBUF")
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    kind = GetMessageClass(pool.FindMessageTypeByName("shop.View"))

    def write(event: dict[str, Any]) -> bytes:
        message = kind(user=event["user"], page=event["page"], country=event["country"], key=event["key"])
        message.at.FromDatetime(event["at"])
        return framed(number, b"\0" + message.SerializeToString())

    return write


def packed(event: dict[str, Any]) -> bytes:
    return gzip.compress(json.dumps(event | {"at": event["at"].isoformat()}).encode())


def view(number: int, time: datetime) -> dict[str, Any]:
    country = "India" if number % 3 else "Peru"
    return {
        "user": number % 40,
        "at": time,
        "page": {"path": f"/p{number % 7}"},
        "country": country,
        "key": f"k{number}",
        "more": {"a": 1},
    }


def flat(event: dict[str, Any]) -> bytes:
    """The same click in the built-in shape."""
    return json.dumps(
        {
            "user_id": str(event["user"]),
            "timestamp": event["at"].isoformat(timespec="milliseconds"),
            "url": f"https://shop.example{event['page']['path']}",
            "country": event["country"],
            "row_key": event["key"],
        }
    ).encode()


def test_avro_protobuf_and_packed_json_to_both_stores(bench, tmp_path) -> None:
    start = (datetime.now(timezone.utc) - timedelta(hours=3)).replace(microsecond=250_000)
    views = [view(number, start + timedelta(seconds=3 * number)) for number in range(EVENTS)]
    (tmp_path / "view.yaml").write_text(FORMAT)
    with running_registry() as registry:
        writers = [avro_writer(registry, OLD), avro_writer(registry, NEW), protobuf_writer(registry), packed]
        broken = {number: number % 100 == 8 for number in range(EVENTS)}
        values = [writers[n % 4](each)[: -3 if broken[n] else None] for n, each in enumerate(views)]
        bench.topic.send(values)
        bench.topic.flush()
        registry.misses = 3
        job = bench.job(
            *("--until=now", f"--event_format={tmp_path}/view.yaml", f"--schema_registry={registry.url}"),
            *("--window_seconds=300", "--session_gap=120s", "--prism_location="),
        )
        assert job.run() == 0, job.err
    refused = sum(broken.values())
    said = re.search(r"read (\d+) = accepted (\d+) \+ rejected (\d+) \+ too late 0", job.out)
    assert said is not None, job.out
    assert tuple(map(int, said.groups())) == (EVENTS, EVENTS - refused, refused)
    assert "it answers 503" in job.err
    counted = [Record(0, 0, 0, flat(each)) for number, each in enumerate(views) if not broken[number]]
    assert bench.sql_rows() == bench.documents() == oracle(counted, 300, 120)
    letters = bench.sql("SELECT reason, raw FROM dead_letters ORDER BY position")
    assert sorted(letters) == sorted(("invalid_avro", values[number]) for number in range(EVENTS) if broken[number])
    settled = [first_open([int(each["at"].timestamp() * 1000) for each in views[p::4]], 300, 120) for p in range(4)]
    offsets = committed(bench.kafka, bench.topic.name, bench.group)
    assert all(0 < offset <= most for offset, most in zip(offsets, settled, strict=True)), (offsets, settled)
