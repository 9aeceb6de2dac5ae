"""What a dead letter keeps of a record: no id as it came, in any spelling."""

import contextlib
import hmac
import html
import json
import re
from functools import partial
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pseudonym_records import KEY, NAMES, flat, parse

from clickstream.transforms.parse.hidden_ids import stand_in, without_ids


def name(user: str) -> bytes:
    return NAMES.of(user).encode()


V1, V7, K77 = name("visitor-1"), name("7"), NAMES.of_row_key("7_7").encode()


MAIL, COUNTRY, NUMBER = name("a@b.example"), name("country"), name("1234567")


CLEANED = {
    b' {"user_id" :\t"visitor-1", "timestamp":"x"} ': b' {"user_id" :\t"%s", "timestamp":"x"} ' % V1,
    b'{"click_data":{"user_id":"visitor-1"},"x":1.50}': b'{"click_data":{"user_id":"%s"},"x":1.50}' % V1,
    rb'{"user\u005fid":"v\u0069sitor-1","a":"\u00e4"}': rb'{"user\u005fid":"%s","a":"\u00e4"}' % V1,
    b'{"user_id":" visitor-1\\n"}': b'{"user_id":"%s"}' % V1,
    b'{"user_id":"visitor-1","user_id":"visitor-2"}': b'{"user_id":"%s","user_id":"%s"}' % (V1, name("visitor-2")),
    b'[{"user_id":"visitor-1"},17]': b'[{"user_id":"%s"},17]' % V1,
    b'{"user_id":"visitor-1","url":"//a/visitor-1/"}': b'{"user_id":"%s","url":"//a/%s/"}' % (V1, V1),
    b'{"x visitor-1":1,"user_id":"visitor-1"}': b'{"x %s":1,"user_id":"%s"}' % (V1, V1),
    b'{"user_id":"country","country":"country"}': b'{"user_id":"%s","country":"%s"}' % (COUNTRY, COUNTRY),
    b'{"user_id":"a@b.example","url":"?m=a%40b.example"}': b'{"user_id":"%s","url":"?m=%s"}' % (MAIL, MAIL),
    b'{"user_id":"7","url":"/7","row_key":"7_7"}': b'{"user_id":"%s","url":"/7","row_key":"%s"}' % (V7, K77),
    b'{"user_id":1234567,"n":1234567,"m":12345678}': b'{"user_id":["%s"],"n":["%s"],"m":12345678}' % (NUMBER, NUMBER),
    b'{"user_id":"visitor-1","row_key":"k"}': b'{"user_id":"%s","row_key":"%s"}' % (V1, NAMES.of_row_key("k").encode()),
    b'{"user_id":{"a":"visitor-1","a":"visitor-2"}}': b'{"user_id":["%s"]}' % name("a\0visitor-1\0a\0visitor-2"),
    b'{"user_id":["visitor-1"]}': b'{"user_id":["%s"]}' % V1,
    b'{"user_id":{"user_id":"visitor-1"},"y":2}': b'{"user_id":["%s"],"y":2}' % name("user_id\0visitor-1"),
    b'{"user_id":"","x":1}': b'{"user_id":"","x":1}',
    b'{"user_id":null}': b'{"user_id":null}',
    b'{"user_id":[[],true]}': b'{"user_id":[[],true]}',
    b" \r": b" \r",
    b"": b"",
}


@pytest.mark.parametrize("raw", CLEANED, ids=str)
def test_ids_are_replaced_and_all_else_keeps_its_bytes(raw) -> None:
    clean = without_ids(raw, NAMES)
    assert clean == CLEANED[raw]
    assert without_ids(clean, NAMES) == clean


UNCLEAR = [
    b"visitor-1",
    b'"visitor-1"',
    b'{"user_id":"visitor-1"',
    b'{"user_id":"visitor-1"} x',
    b'{"user_id":"visitor-1","t":NaN}',
    b'{"user_id":"visitor-1","c":"\xff"}',
    b'\xef\xbb\xbf{"user_id":"visitor-1"}',
    b'{"userId":"visitor-1"}',
    json.dumps({"user_id": [f"visitor-{n}" for n in range(33)]}).encode(),
    json.dumps(json.dumps({"user_id": "visitor-1"})).encode(),
    rb'{"a\"user_id":"visitor-2","user_id":"visitor-1"}',
    rb'{"user_id":"visitor-1","note":"{\"user_id\":\"visitor-2\"}"}',
    b'{"user_id":"visitor-1","url":"https://a.example/?user_id=visitor-2"}',
    b'{"user_id":"visitor-1","USER_ID":"visitor-2"}',
    b'{"user_id":"a@b.example","x":"m%3da%2540b.example"}',
    b'{"user_id":"a@b.\xc3\xa9xample","x":"a@b.%c3%a9xample"}',
    b'{"user_id":"Ann Example","x":"q=Ann+Example"}',
    b'{"user_id":"a@b.example","x":"a&#64;b.example"}',
    rb'{"user_id":"a@b.example","x":"[\"a\\u0040b.example\"]"}',
    b'{"user_id":"1234567","n":1.234567e6}',
    b'{"user_id":"ann","x":"by ann."}',
    b'{"user_id":"7","x":7}',
    b'{"user_id":"visitor-1","d":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]


@pytest.mark.parametrize("raw", UNCLEAR, ids=lambda raw: str(raw[:40]))
def test_bytes_that_may_hold_an_id_unseen_are_withheld(raw) -> None:
    assert without_ids(raw, NAMES) is None
    row = parse(raw).rejected.to_pylist()[0]
    assert row["raw"] == stand_in(raw, NAMES)
    assert row["raw"].decode() == (
        f"withheld by --hash_user_ids: {len(raw)} bytes, HMAC-SHA256 {hmac.new(KEY.encode(), raw, 'sha256').hexdigest()}"
    )
    assert row["detail"].endswith("; the bytes are withheld, as no user_id in them could be hidden")
    assert row["reason"] == parse(raw, names=None).rejected["reason"][0].as_py()
    assert parse(row["raw"]).clicks.num_rows == 0


def test_too_large_a_record_is_withheld_unread() -> None:
    rejected = parse(flat(), max_record_bytes=10).rejected.to_pylist()
    assert [(r["reason"], r["raw"]) for r in rejected] == [("record_too_large", stand_in(flat(), NAMES))]


@pytest.mark.parametrize("user", ["", " ", "x" * 513, 17, None, ["visitor-1"], {"a": 1}, True])
def test_what_is_no_id_is_refused_all_the_same_and_when_replayed(user) -> None:
    with_names, without = (parse(flat(user_id=user), names=names).rejected.to_pylist()[0] for names in (NAMES, None))
    assert (with_names["reason"], with_names["detail"]) == (without["reason"], without["detail"])
    assert parse(with_names["raw"]).rejected.num_rows == parse(with_names["raw"], names=None).rejected.num_rows == 1


def _urlencoded(text: str) -> str:
    return re.sub("%..", lambda code: code[0].lower(), quote(text, safe="@ "))


SPELLINGS = {
    "as it is": str,
    "percent": partial(quote, safe=""),
    "percent, lower-case": _urlencoded,
    "form": quote_plus,
    "all percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "a JSON object": lambda text: json.dumps({"a": [1, {text: text}]}),
    "all escaped": lambda text: "".join(f"\\u{ord(c):04X}" for c in text),
    "HTML": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "HTML, named": partial(html.escape, quote=True),
}


DECODERS = (
    unquote,
    unquote_plus,
    html.unescape,
    lambda text: json.loads(f'"{text}"'),
    lambda text: json.dumps(json.loads(text), ensure_ascii=False),
    lambda text: re.sub(r"\\u(....)", lambda found: chr(int(found[1], 16)), text),
)


def all_that_it_decodes_to(text: str) -> set[str]:
    """Written without the code under test: whatever somebody with common tools could make of an output."""
    known, new = {text}, [text]
    for _ in range(4):
        further = set()
        for each in new:
            for decode in DECODERS:
                with contextlib.suppress(ValueError, TypeError, RecursionError):
                    further.add(decode(each))
        new = list(further - known)
        known |= further
    return known


HIDDEN_IDS = (
    st.text(st.sampled_from("abcXYZ019@.+-_ %&=\"'\\/é😀"), min_size=6, max_size=14)
    .map(str.strip)
    .filter(lambda x: len(x) >= 6)
)


PLACES = ("row_key", "country", "url", "other", "deep", "key", "list", "user")


@settings(max_examples=400)
@given(
    st.lists(HIDDEN_IDS, min_size=1, max_size=3),
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.integers(0, 2), st.lists(st.sampled_from(sorted(SPELLINGS)), max_size=2)),
        max_size=5,
    ),
    st.sampled_from(["", "no time", "no country"]),
    st.booleans(),
)
def test_no_id_is_in_any_output_in_any_spelling(ids, hidden, broken, ascii_only) -> None:  # noqa: C901 (a place a case)
    record = {"user_id": ids[0], "timestamp": "2026-11-01T10:00:00Z", "url": "https://a.example/x", "country": "India"}
    for place, number, spellings in hidden:
        text = ids[number % len(ids)]
        for spelling in spellings:
            text = SPELLINGS[spelling](text)
        if number % len(ids) and place != "user":
            record["meta"] = {"user_id": ids[number % len(ids)]}  # else nobody could know that it is one
        match place:
            case "row_key" | "other":
                record[place] = f"{text}|17"
            case "country":
                record["city"] = text
            case "url":
                record["referrer"] = f"https://a.example/{text}"
            case "deep":
                record["deep"] = {"er": [{"x": text}]}
            case "key":
                record[text] = 1
            case "list":
                record["list"] = [text, text]
            case "user":
                record["more"] = {"user_id": [text, {"x": text}]}
    if broken == "no time":
        record["timestamp"] = "soon"
    elif broken == "no country":
        record["country"] = 7
    parsed = parse(json.dumps(record, ensure_ascii=ascii_only).encode())
    known = {ids[0]} | ({record["meta"]["user_id"]} if "meta" in record else set())
    columns = [name for name in parsed.clicks.column_names if name not in ("city", "browser", "os", "device")]
    told = [str(value) for row in parsed.clicks.select(columns).to_pylist() for value in row.values()]
    told += [str(value) for row in parsed.rejected.drop_columns("raw").to_pylist() for value in row.values()]
    told += [raw.decode() for raw in parsed.rejected["raw"].to_pylist()]
    assert parsed.clicks.num_rows + parsed.rejected.num_rows == 1
    for text in told:
        for decoded in all_that_it_decodes_to(text):
            assert not [id_ for id_ in known if id_ in decoded]


def test_a_record_with_a_second_user_counts_once_when_it_is_replayed() -> None:
    record = flat(row_key="visitor-2|17", meta={"user_id": "visitor-2"})
    first = parse(record).clicks
    rejected = parse(record, max_event_age_seconds=1).rejected
    again = parse(rejected["raw"][0].as_py()).clicks
    for column in ("user_id", "row_key", "timestamp", "url", "country"):
        assert again[column].to_pylist() == first[column].to_pylist()
