"""Values in Confluent's framing and packed ones to records, by a stand-in of a Schema Registry."""

import gzip
import json
import logging

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from schema_registry import Registry, framed, running_registry

from clickstream.io.errors import UserError
from clickstream.io.schemas import RegistryError, SchemaRegistry, ValueDecoder

AVRO = '{"type":"record","name":"C","fields":[{"name":"user","type":["null","string"]},{"name":"n","type":"long"}]}'
# message Other {int32 x = 1;}
# message View {int64 user_id = 1; Timestamp at = 2; message Page {string path = 1;} Page page = 3; repeated string tags = 4;}
PROTOBUF = (
    "CgpzaG9wLnByb3RvEgRzaG9wGh9nb29nbGUvcHJvdG9idWYvdGltZXN0YW1wLnByb3RvIhIKBU90aGVyEgkKAXgYASABKAUiggEKBFZpZXcSDwoHdXNl"
    "cl9pZBgBIAEoAxImCgJhdBgCIAEoCzIaLmdvb2dsZS5wcm90b2J1Zi5UaW1lc3RhbXASHQoEcGFnZRgDIAEoCzIPLnNob3AuVmlldy5QYWdlEgwKBHRh"
    "Z3MYBCADKAkaFAoEUGFnZRIMCgRwYXRoGAEgASgJYgZwcm90bzM="
)
# As the serialisers of confluent-kafka 2.16.1 wrote them, of these schemas under the numbers 1, 2 and 3.
WRITTEN = {
    b"\x00\x00\x00\x00\x01\x02\x04\xc3\xbc\n": {"user": "ü", "n": 5},
    b"\x00\x00\x00\x00\x02\x02\x02\x08\x80\x80\x80\x80\x80\x80\x80\x80\x10\x12\x0c\x08\xa0\x9b\x9c\xd7\x06\x10\x80\xca\xb5\xee\x01"
    b'\x1a\x04\n\x02/p"\x01a"\x01b': {
        "user_id": 2**60,
        "at": "2026-11-01T10:00:00.500Z",
        "page": {"path": "/p"},
        "tags": ["a", "b"],
    },
    b"\x00\x00\x00\x00\x02\x04\x02\x00\n\x02/p": {"path": "/p"},
    b'\x00\x00\x00\x00\x03{"a":1}': {"a": 1},
}
PACKERS = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


@pytest.fixture(scope="module")
def shared():
    with running_registry() as registry:
        registry.register("t-value", AVRO)
        registry.register("p-value", PROTOBUF, "PROTOBUF")
        registry.register("j-value", '{"type":"object"}', "JSON")
        yield registry


@pytest.fixture
def registry(shared) -> Registry:
    shared.away, shared.authorization = False, ""
    shared.asked.clear()
    return shared


def decoder(registry: Registry) -> ValueDecoder:
    return ValueDecoder(SchemaRegistry(registry.url))


def test_what_confluents_serialisers_write_is_read_and_each_schema_asked_for_once(registry) -> None:
    values, both = [*WRITTEN, b'{"x":1}', bytes(9)], decoder(registry)
    for _ in range(2):
        found = both.decode(values)
        assert [json.loads(value) for value in found.values[:-1]] == [*WRITTEN.values(), {"x": 1}]
        assert found.undecoded == ()
    assert registry.asked == ["/schemas/ids/1", "/schemas/ids/2", "/schemas/ids/2?format=serialized", "/schemas/ids/3"]


def test_a_value_that_does_not_decode_is_that_values_fault(registry) -> None:
    values = list(WRITTEN)
    broken = [values[0][:-1], values[0] + b"1", values[1][:-1], framed(2, b"\x02\x63"), framed(2, b"")]
    found = decoder(registry).decode([values[0], *broken, values[3]])
    assert [(n, reason) for n, reason, _ in found.undecoded] == [
        *((1, "invalid_avro"), (2, "invalid_avro")),
        *((n, "invalid_protobuf") for n in (3, 4, 5)),
    ]
    assert found.values[1:6] == broken
    assert "schema 1" in found.undecoded[0][2]


@settings(max_examples=200, deadline=None)
@given(number=st.sampled_from([1, 2, 3]), payload=st.binary(max_size=40))
def test_any_payload_has_one_outcome(shared, number, payload) -> None:
    shared.away, value = False, framed(number, payload)
    found = decoder(shared).decode([value])
    assert found.undecoded[0][0] == 0 if found.values == [value] else not found.undecoded


@pytest.mark.parametrize(
    ("value", "says"), [(framed(99, b"x"), "it doesn't know the schema 99"), (next(iter(WRITTEN)), "it answers 503")]
)
def test_a_registry_that_is_away_or_does_not_know_holds_the_batch_and_says_so(registry, caplog, value, says) -> None:
    registry.away = says.endswith("503")
    waiting = decoder(registry)
    with caplog.at_level(logging.WARNING), pytest.raises(RegistryError, match=says):
        waiting.decode([b"{}", value])
    assert says in caplog.text
    assert f"Schema Registry at {registry.url}: trying again" in caplog.text
    registry.away = False
    assert waiting.decode([b"{}"]).values == [b"{}"]
    assert "back after" in caplog.text


def test_nobody_answers(registry) -> None:
    with pytest.raises(RegistryError, match="no answer"):
        ValueDecoder(SchemaRegistry("http://127.0.0.1:9")).decode(list(WRITTEN))


def test_user_and_password_by_reference(registry, monkeypatch) -> None:
    registry.authorization = "Basic a2V5OnNlY3JldA=="
    with pytest.raises(RegistryError, match="it answers 401"):
        decoder(registry).decode(list(WRITTEN))
    monkeypatch.setenv("REGISTRY_SECRET", "secret")
    allowed = ValueDecoder(SchemaRegistry(registry.url, "key", "env:REGISTRY_SECRET"))
    assert allowed.decode(list(WRITTEN)).undecoded == ()


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"url": "registry:8081"}, "is no URL"),
        ({"url": "http://r:1", "user": "u"}, "or neither"),
        ({"url": "http://u:p@r:1"}, "is no URL"),
    ],
)
def test_what_can_not_be_is_refused_at_once(given_, says) -> None:
    with pytest.raises(UserError, match=says):
        SchemaRegistry(**given_)


def test_writers_of_other_versions_and_schemas_that_refer_to_others() -> None:
    with running_registry() as registry:
        registry.register("geo", '{"type":"record","name":"Geo","fields":[{"name":"code","type":"string"}]}')
        geo = [{"name": "Geo", "subject": "geo", "version": 1}]
        fields = [{"name": "geo", "type": "Geo"}, {"name": "u", "type": "string"}]
        new = registry.register("t", json.dumps({"type": "record", "name": "C", "fields": fields}), references=geo)
        old = registry.register("t", json.dumps({"type": "record", "name": "C", "fields": fields[1:]}))
        found = decoder(registry).decode([framed(new, b"\x04IN\x02a"), framed(old, b"\x02b")])
        assert list(map(json.loads, found.values)) == [{"geo": {"code": "IN"}, "u": "a"}, {"u": "b"}]


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_packed_values_are_unpacked_framed_or_not(registry, pack) -> None:
    framed_one = next(iter(WRITTEN))
    values = [b'{"a":1}', pack(b'{"a":2}'), pack(framed_one), pack(b"x" * 1000)[:-6], pack(b"x" * (3 << 20))]
    found = decoder(registry).decode(values)
    assert list(map(json.loads, found.values[:3])) == [{"a": 1}, {"a": 2}, WRITTEN[framed_one]]
    assert [(number, reason) for number, reason, _ in found.undecoded] == [(3, "invalid_packing")]
    assert found.values[3] == values[3]
    assert len(found.values[4]) == (1 << 20) + 1  # which parsing refuses as record_too_large
    assert ValueDecoder(None).decode(values[:3]).values == [b'{"a":1}', b'{"a":2}', framed_one]
