"""Decoding alone: what is JSON at all, what msgspec reads over, and that both shapes lead to the same record."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracle import read_click

from clickstream.transforms.parse.reader import Decoded, KnownShapes, read_records, singly
from clickstream.transforms.parse.reader.columns import _as_list as as_list
from clickstream.transforms.parse.reader.records import FlatRecord

NAMES = tuple(name for name in FlatRecord.__struct_fields__ if name != "click_data")


def decode_records(values: list[bytes], **limits: int) -> Decoded:
    decoded = read_records(values, NAMES, KnownShapes(), **limits)
    return decoded._replace(fields={name: as_list(column) for name, column in decoded.fields.items()})


FIELDS = b'"user_id":"u","timestamp":1793527200,"url":"http://a.example/","country":"Kenya"'
NESTED = b'{"click_data":{"user_id":"u","timestamp":1,"url":"http://a/"},"geo_data":{"country":"Kenya"}}'


def flat(more: str | bytes = b"") -> bytes:
    more = more.encode() if isinstance(more, str) else more
    return b"{" + FIELDS + (b"," + more if more else b"") + b"}"


def reason(value: bytes) -> str | None:
    """None for a record that can be decoded."""
    decoded = decode_records([value])
    assert len(decoded.kept) + len(decoded.refused) == 1
    return decoded.refused[0].reason if decoded.refused else None


SKIPPED = {
    rb'"\ud800"': None,
    rb'"\udc00\ud800"': None,
    rb'{"\ud800":1}': None,
    rb'"\q"': "invalid_json",
    rb'"\u12"': "invalid_json",
    b'"\x00"': "invalid_json",
    b'"\x1f"': "invalid_json",
    b'"\n"': "invalid_json",
    b'"\xff"': "invalid_utf8",
    b'"\xc0\xaf"': "invalid_utf8",
    b'"\xed\xa0\x80"': "invalid_utf8",
    b"NaN": "invalid_json",
    b"-Infinity": "invalid_json",
    b"01": "invalid_json",
    b"1.": "invalid_json",
    b".5": "invalid_json",
    b"+1": "invalid_json",
    b"[1,]": "invalid_json",
    b'{"a":1,}': "invalid_json",
    b"{1:2}": "invalid_json",
    b"'a'": "invalid_json",
    b"/* */1": "invalid_json",
    b"tru": "invalid_json",
    b"1e999": None,
    b"-1e-999": None,
    b"7" * 5000: None,
    rb'"\u0000"': None,
    rb'"\ud83d\ude00"': None,
    b'"\x7f\xc2\x85"': None,
    b'{"a":1,"a":2}': None,
}


@pytest.mark.parametrize("text", SKIPPED, ids=lambda text: str(text[:12]))
def test_fields_that_are_skipped_must_be_json_too(text) -> None:
    """The oracle, on Python's own parser, agrees."""
    value = flat(b'"skipped":' + text)
    assert reason(value) == SKIPPED[text]
    assert (read_click(value) is None) == (SKIPPED[text] is not None)


DUPLICATES = {
    flat('"country":"India"'): None,
    flat('"country":5'): "wrong_type",
    flat('"skipped":1,"skipped":"x"'): None,
    flat('"click_data":null,"click_data":null'): None,
    flat('"click_data":{},"click_data":null'): None,
    flat('"time_spent":-1,"time_spent":5'): None,
    flat('"click_data":null,"click_data":{}'): "wrong_type",
    NESTED[:-1] + b"," + FIELDS + b"}": None,
    NESTED[:-1] + b',"user_id":5}': None,
    NESTED[:-1] + b',"click_data":null}': "wrong_type",
}


@pytest.mark.parametrize("value", DUPLICATES, ids=str)
@pytest.mark.parametrize("neighbour", [None, flat(), NESTED, b"["], ids=["alone", "flat", "nested", "broken"])
def test_a_field_given_twice_has_one_outcome_in_any_company(value, neighbour) -> None:
    values = [value] if neighbour is None else [neighbour, value]
    found = {refusal.number: refusal.reason for refusal in decode_records(values).refused}
    assert found.get(len(values) - 1) == DUPLICATES[value]


def test_the_last_of_a_field_given_twice_counts() -> None:
    assert decode_records([flat('"country":"India"')]).fields["country"] == ["India"]
    assert read_click(flat('"country":"India"')).country == "India"


def test_a_character_is_not_made_of_two_records_bytes() -> None:
    left, right = flat('"x":"é"').split(b"\xa9")
    decoded = decode_records([left, b"\xa9" + right, flat()])
    assert [(r.number, r.reason) for r in decoded.refused] == [(0, "invalid_utf8"), (1, "invalid_utf8")]
    assert decoded.kept.tolist() == [2]


def test_the_limit_of_bytes_is_inclusive_and_checked_before_anything_else() -> None:
    value = flat()
    for limit, expected in ((len(value), []), (len(value) - 1, ["record_too_large"])):
        assert [r.reason for r in decode_records([value], max_record_bytes=limit).refused] == expected
    beside = decode_records([value, value + b" ", b"\xff", value], max_record_bytes=len(value))
    assert [(r.number, r.reason) for r in beside.refused] == [(1, "record_too_large"), (2, "invalid_utf8")]
    assert decode_records([b"\xff" * 10], max_record_bytes=9).refused[0].reason == "record_too_large"


@pytest.mark.parametrize("character", ["x", "é", "€", "😀"])
@pytest.mark.parametrize("name", ["city", "browser", "os", "device", "row_key"])
def test_texts_are_limited_in_characters_not_bytes(name, character) -> None:
    assert reason(flat(json.dumps({name: character * 512}, ensure_ascii=False)[1:-1])) is None
    assert reason(flat(json.dumps({name: character * 512})[1:-1])) is None
    decoded = decode_records([flat(json.dumps({name: character * 513}, ensure_ascii=False)[1:-1])])
    cut = (None, "row_key_unknown") if name == "row_key" else (character * 512, f"{name}_cut")
    assert (decoded.fields[name][0], *decoded.mended) == cut


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("0", None), ("-0.0", None), ("12", None), ("31622400", None), ("null", None)),
        *((text, "time_spent_unknown") for text in ("31622400.001", "-1e-9", "1e999", "9" * 5000)),
        *((text, "time_spent_unknown") for text in ("true", '"1"', "[]")),
    ],
    ids=lambda text: str(text)[:20],
)
def test_the_time_spent_is_a_number_of_seconds_within_a_year(text, expected) -> None:
    decoded = decode_records([flat(f'"time_spent":{text}')])
    assert decoded.mended == ([expected] if expected else [])
    assert decoded.fields["time_spent"] == [read_click(flat(f'"time_spent":{text}')).time_spent]


TYPES = ["true", "{}", "[]", '["a"]', '{"a":"b"}']


@pytest.mark.parametrize("name", ["user_id", "timestamp", "url", "country"])
@pytest.mark.parametrize("text", TYPES)
def test_no_field_that_a_row_is_made_of_takes_another_type(name, text) -> None:
    assert reason(flat(f'"{name}":{text}')) == "wrong_type"


@pytest.mark.parametrize("name", ["city", "browser", "os", "device", "row_key", "session_end"])
@pytest.mark.parametrize("text", TYPES)
@pytest.mark.parametrize("neighbours", [0, 300])
def test_another_type_in_a_field_that_a_row_can_do_without_is_unknown(name, text, neighbours) -> None:
    decoded = decode_records([flat(f'"{name}":{text}'), *[flat(f'"{name}":"x"')] * neighbours])
    assert (decoded.refused, decoded.fields[name][0], decoded.mended) == ([], None, [f"{name}_unknown"])


@pytest.mark.parametrize("name", ["user_id", "url", "country"])
def test_a_number_where_text_belongs_is_refused(name) -> None:
    assert reason(flat(f'"{name}":17')) == "wrong_type"
    assert reason(flat(f'"{name}":1.5')) == "wrong_type"


HALVES = {
    rb"\ud83d": "\ufffd",
    rb"a\ud83d\ude80b": "a\U0001f680b",
    rb"\uDE80\uD83D": "\ufffd\ufffd",
    rb"\\ud83d": "\\ud83d",
    rb"\\\ud83d": "\\\ufffd",
    rb"\ud83d\u0041": "\ufffdA",
    rb"\ud83d\ud83d\ude80": "\ufffd\U0001f680",
}


@pytest.mark.parametrize("text", HALVES, ids=str)
@pytest.mark.parametrize("name", ["user_id", "url", "country", "city"])
def test_half_a_character_is_one_replacement_wherever_it_is(name, text) -> None:
    value = flat(b'"%s":"%s"' % (name.encode(), text))
    decoded = decode_records([value])
    assert decoded.fields[name] == [HALVES[text]]
    assert decoded.mended == (["half_character"] if "\ufffd" in HALVES[text] else [])


@pytest.mark.parametrize("missing", [b"", b',"geo_data":null', b',"geo_data":{}', b',"geo_data":{"country":null}'])
def test_a_country_that_is_missing_is_not_known(missing) -> None:
    nested = NESTED.replace(b',"geo_data":{"country":"Kenya"}', missing)
    bare = flat().replace(b',"country":"Kenya"', b"")
    for values in ([nested], [bare], [nested, bare], [bare, nested], [flat(), nested], [nested] * 300):
        decoded = decode_records(values)
        assert (decoded.refused, decoded.fields["country"][-1]) == ([], None)


ALL = {
    "user_id": "u",
    "timestamp": "2026-11-01T10:00:00Z",
    "url": "http://a/",
    "session_end": 1793527300,
    "time_spent": 1.5,
    "country": "Perú",
    "city": "Lima",
    "browser": "Firefox",
    "os": "Linux",
    "device": "phone",
    "row_key": "k",
}
REQUIRED = {"user_id", "timestamp", "url", "country"}
FAMILIES = {
    "click_data": ("user_id", "timestamp", "url", "session_end", "time_spent"),
    "geo_data": ("country", "city"),
    "user_agent_data": ("browser", "os", "device"),
}


def both_shapes(fields: dict) -> tuple[bytes, bytes]:
    families = {family: {n: fields[n] for n in names if n in fields} for family, names in FAMILIES.items()}
    families = {family: content for family, content in families.items() if content}
    key = {"row_key": fields["row_key"]} if "row_key" in fields else {}
    return json.dumps(families | key).encode(), json.dumps(fields).encode()


@given(st.sets(st.sampled_from(sorted(set(ALL) - REQUIRED))))
def test_one_click_is_the_same_record_in_both_shapes(optional) -> None:
    """Whichever shape the batch's first record gives it."""
    nested, plain = both_shapes({n: v for n, v in ALL.items() if n in optional | REQUIRED})
    as_nested, as_flat = decode_records([nested, plain]), decode_records([plain, nested])
    assert as_nested.fields == as_flat.fields
    assert all(values[0] == values[1] for values in as_nested.fields.values())


def is_json(value: bytes) -> bool:
    """Without NaN and Infinity, which Python's parser takes, and without half characters."""
    try:
        tree = json.loads(value.decode())
        json.dumps(tree, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


RICH = json.dumps(
    ALL | {"skipped": {"list": [1, -2.5e3, True, None, "\u00e9\n"], "deep": [[[{}]]]}, "more": "x\ud83d\ude00"}
).encode()


@given(st.integers(0, len(RICH) - 1), st.binary(max_size=2), st.integers(0, 2))
@settings(max_examples=1500)
@example(0, b"\xef\xbb\xbf", 0)
def test_accepts_exactly_the_json_that_pythons_parser_accepts(at, inserted, cut) -> None:
    """Bytes exchanged, inserted or dropped anywhere, also in fields that are skipped."""
    value = RICH[:at] + inserted + RICH[at + cut :]
    if read_click(value) is not None:
        assert reason(value) is None
    if reason(value) in ("invalid_json", "invalid_utf8"):
        assert not is_json(value)


def test_hopeless_batches_and_empty_ones_are_told_record_by_record() -> None:
    decoded = decode_records([b"x"] * 1000)
    assert [r.number for r in decoded.refused] == list(range(1000))
    assert decoded.kept.tolist() == decoded.fields["url"] == []
    empty = decode_records([])
    assert (empty.fields["url"], empty.refused, empty.kept.tolist()) == ([], [], [])


def test_long_batches_are_taken_in_chunks_that_leave_no_trace() -> None:
    values = [flat() if n % 7 else (NESTED if n % 2 else b"x%d" % n) for n in range(3 * singly._CHUNK + 1)]
    decoded = decode_records(values)
    bad = [n for n, value in enumerate(values) if value.startswith(b"x")]
    assert [refusal.number for refusal in decoded.refused] == bad
    assert decoded.kept.tolist() == sorted(set(range(len(values))) - set(bad))
    assert decoded.fields["timestamp"] == [1 if values[n] == NESTED else 1793527200 for n in decoded.kept]


@pytest.mark.parametrize("number", [0, 1, 42, 100_001, 2**24 + 7, 2**32 - 1])
@pytest.mark.parametrize("payload", [b'{"user_id": "u"}', b"\x02\x06u1\xff", b"\x00\x0aplain"])
def test_a_schema_registrys_frame_is_named_as_what_it_is(number, payload) -> None:
    refused = decode_records([b"\x00" + number.to_bytes(4, "big") + payload]).refused
    [(_, reason, detail)] = refused
    assert reason == "schema_registry_frame"
    assert "send plain JSON" in detail


@pytest.mark.parametrize(
    "value",
    ['{"user_id": "u"}'.encode("utf-16-be"), b"\x00", b"\x00\x00\x00\x00\x01", b"\x00" * 40, b"\x01\x00\x00\x00\x01{}"],
)
def test_other_bytes_are_no_frame(value) -> None:
    [(_, reason, _)] = decode_records([value]).refused
    assert reason != "schema_registry_frame"


def test_a_byte_order_mark_before_a_record_is_passed_over() -> None:
    assert reason(b"\xef\xbb\xbf" + flat()) is None
    assert reason(b"\xef\xbb\xbf" + NESTED) is None
    assert reason(b"\xef\xbb\xbf") == "empty_record"
    assert len(decode_records([b"\xef\xbb\xbf" + flat(), *[flat()] * 300]).kept) == 301


def test_escapes_of_nginx_are_named() -> None:
    assert reason(flat(rb'"browser":"\x22Acme\x22"')) == "nginx_escape"
    assert reason(flat(rb'"browser":"\\x22"')) is None
