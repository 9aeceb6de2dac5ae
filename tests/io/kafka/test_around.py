"""Key and headers in a record: there and back, whatever they hold; and no value passes for more than one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.kafka.around import around, unwrapped, wrapped
from clickstream.transforms import ParseOptions, RawBatch
from clickstream.transforms.parse.clicks import parse_clicks
from clickstream.transforms.parse.formats import parse_format
from clickstream.transforms.schema import Around

NOW = 1_795_000_000_000
ASKED = Around(key=True, headers=("country", "trace"))
TEXT = """
fields:
  user_id: [user, {key: true}]
  timestamp: at
  url: page
  country: {header: country}
only: {header: kind, is: [page, view]}
"""
FORMAT = parse_format(TEXT, "own.yaml")


class Message:
    """As the client hands one out."""

    def __init__(self, key: bytes | None, headers: list[tuple[str, bytes | None]] | None) -> None:
        self._key, self._headers = key, headers

    def key(self) -> bytes | None:
        return self._key

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self._headers


texts = st.none() | st.text().map(str.encode)


@given(st.dictionaries(st.text(), st.integers() | st.text()), texts, texts, texts)
def test_there_and_back(value, key, country, other) -> None:
    message = Message(key, [("country", b"an earlier one"), ("country", country), ("other", other)])
    [record] = wrapped([json.dumps(value).encode()], around([message], ASKED))
    found = unwrapped(record)
    assert (json.loads(found.value), found.key) == (value, key)
    assert dict(found.headers) == ({} if country is None else {"country": country})
    assert json.loads(record)["headers"]["trace"] is None


@pytest.mark.parametrize(
    "value", [b"", b"{", b'{"a":1},"key":"x"', b'1,"headers":{}', b"\xff", b"{}{}", b"[" * 100_000]
)
def test_what_is_no_value_stays_as_it_is(value) -> None:
    assert wrapped([value], around([Message(b"k", None)], ASKED)) == [value]
    assert unwrapped(value).value == value


def test_bytes_that_are_no_text_are_read_as_well_as_can_be() -> None:
    [record] = wrapped([b"{}"], around([Message(b"\xff\xfe", [("country", b"\x80")])], ASKED))
    assert json.loads(record) == {"value": {}, "key": "\ufffd\ufffd", "headers": {"country": "\ufffd", "trace": None}}


def test_a_format_says_what_it_asks_for() -> None:
    assert FORMAT.around == Around(key=True, headers=("kind", "country"))
    assert parse_format("fields: {user_id: a, timestamp: b, url: c}", "x").around is None


@pytest.mark.parametrize("count", [1, 300])
def test_fields_come_from_key_and_headers(count) -> None:
    def record(n: int, kind: bytes) -> bytes:
        value = json.dumps({"at": NOW + n, "page": "https://a.example/", **({"user": f"u{n}"} if n % 2 else {})})
        message = Message(b"key-%d" % n, [("kind", kind), ("country", b"India" if n % 3 else None)])
        return wrapped([value.encode()], around([message], FORMAT.around))[0]

    records = [*(record(n, b"page") for n in range(count)), record(0, b"track"), b'{"at":1']
    parsed = parse_clicks(RawBatch(records, "t", range(len(records))), ParseOptions(event_format=FORMAT), now_ms=NOW)
    found = [(click["user_id"], click["country"]) for click in parsed.clicks.to_pylist()]
    assert found == [(f"u{n}" if n % 2 else f"key-{n}", "India" if n % 3 else "") for n in range(count)]
    assert parsed.not_clicks == 1
    assert parsed.rejected["reason"].to_pylist() == ["invalid_json"]


def test_a_refusal_names_them_as_the_file_does() -> None:
    text = "fields: {user_id: {header: user}, timestamp: t, url: u}"
    batch = RawBatch([b'{"value":{"t":1795000000,"u":"https://a.example/"},"key":null,"headers":{}}'], "t", range(1))
    parsed = parse_clicks(batch, ParseOptions(event_format=parse_format(text, "x")), now_ms=NOW)
    [detail] = parsed.rejected["detail"].to_pylist()
    assert "{header: user}" in detail


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{header: x, key: true}", "header and key are two places: give one"),
        ("{unit: s}", "there is no such key"),
        ("{}", "path is missing"),
        ("{key: false}", "'false' is none of true"),
    ],
)
def test_a_mistake_is_told(source, says) -> None:
    with pytest.raises(ValueError, match=says):
        parse_format(f"fields: {{user_id: {source}, timestamp: t, url: u}}", "x")
