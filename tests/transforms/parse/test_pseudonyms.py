"""Pseudonyms: the same numbers, and no id as it came in anything that parsing gives; what a dead letter keeps."""

import base64
import contextlib
import copy
import hashlib
import hmac
import html
import json
import pickle
import random
import re
import sys
from functools import partial
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import as_oracle_rows
from without_beam import iterate_metrics

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.io.secrets import resolve_secret
from clickstream.transforms import METRIC_COLUMNS, ParseClicks, ParseOptions, RawBatch, TimeSpentPolicy, memo
from clickstream.transforms.measure.policy import measure_time_spent
from clickstream.transforms.parse import pseudonyms
from clickstream.transforms.parse.clicks import ParsedBatch, parse_clicks
from clickstream.transforms.parse.hidden_ids import stand_in, without_ids
from clickstream.transforms.parse.pseudonyms import Pseudonyms

KEY = "a key of the tests, long enough"
NOW = 1_795_000_000_000
NAMES, OTHERS = Pseudonyms(KEY), Pseudonyms(KEY + "!")
NESTED = {
    "row_key": "k1",
    "click_data": {"user_id": "visitor-1", "timestamp": "2026-11-01T10:00:00Z", "url": "https://a.example/x"},
    "geo_data": {"country": "India", "city": "Mumbai"},
    "user_agent_data": {"browser": "Firefox"},
}
FLAT = {"row_key": "k1"} | NESTED["click_data"] | NESTED["geo_data"] | NESTED["user_agent_data"]


def parse(*values: bytes, names: Pseudonyms | None = NAMES, **options) -> ParsedBatch:
    batch = RawBatch(list(values), "log", range(len(values)))
    return parse_clicks(batch, ParseOptions(**options), now_ms=NOW, pseudonyms=names)


def flat(**changes) -> bytes:
    return json.dumps(FLAT | changes).encode()


def test_a_pseudonym_is_hmac_sha256_and_a_proof() -> None:
    pseudonym = NAMES.of("visitor-1")
    assert re.fullmatch(r"p1_[A-Za-z0-9_-]{28}", pseudonym)
    digest = hmac.digest(KEY.encode(), b"visitor-1", "sha256")
    assert base64.urlsafe_b64decode(pseudonym[3:])[:16] == digest[:16]
    assert pseudonym == "p1_7sTYIb1yjwrzuCNgYNPfewgtg7oN", "in stores already: another release must give the same"
    assert NAMES.of("\u3000visitor-1\n") == pseudonym
    assert NAMES.of("Visitor-1") != pseudonym != OTHERS.of("visitor-1")


@pytest.mark.parametrize("length", [16, 63, 64, 65, 200])
def test_the_hmac_is_the_standard_librarys(length) -> None:
    key = bytes(random.Random(length).randbytes(length))
    for message in (b"", b"x", b"y" * 1000):
        assert pseudonyms.Hmac(key)(message) == hmac.digest(key, message, "sha256")


def test_a_pseudonym_stands_for_itself_and_none_can_be_forged() -> None:
    mine = NAMES.of("visitor-1")
    assert NAMES.of(mine) == NAMES.of(f" {mine} ") == mine
    assert NAMES.of(OTHERS.of("visitor-1")) != OTHERS.of("visitor-1"), "another key's is an id like any other"
    for forged in ("p1_" + "A" * 28, mine[:-1] + ("A" if mine[-1] != "A" else "B"), mine + "A", mine[:-1]):
        assert NAMES.of(forged) not in (forged, mine)


def test_white_space_around_an_id_is_what_the_check_takes_for_it() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    assert pc.utf8_trim_whitespace(pa.array(characters)).to_pylist() == [c.strip() for c in characters]


def test_short_keys_are_refused_and_none_travels() -> None:
    with pytest.raises(ValueError, match=r"has 15 bytes; it takes at least 16.*openssl rand -hex 32"):
        Pseudonyms("x" * 15)
    with pytest.raises(TypeError, match="each worker makes its own"):
        pickle.dumps(NAMES)
    with pytest.raises(ValueError, match="the options have a user_key"):
        parse(flat(), names=None, user_key=lambda: KEY)


def test_a_full_cache_changes_nothing(monkeypatch) -> None:
    monkeypatch.setattr(memo, "MOST", 3)
    ids = [f"user-{n % 7}" for n in range(50)]
    fields = {"user_id": pa.array(ids)}
    Pseudonyms(KEY).hide(fields)
    assert fields["user_id"].to_pylist() == [NAMES.of(user) for user in ids]


def test_row_keys_are_derived_from_pseudonyms_or_hashed() -> None:
    parsed = parse(flat(row_key=None), flat(row_key="a visitor-1 b"), flat(row_key="b visitor-1 a"), flat())
    first, second, third, fourth = parsed.clicks["row_key"].to_pylist()
    assert first == derived_row_key(NAMES.of("visitor-1"), 1_793_527_200_000, "https://a.example/x")
    assert (second, third) == (NAMES.of_row_key("a visitor-1 b"), NAMES.of_row_key("b visitor-1 a"))
    assert second != third != OTHERS.of_row_key("b visitor-1 a")
    assert fourth == NAMES.of_row_key("k1") != NAMES.of("k1")
    assert re.fullmatch(r"r1_[A-Za-z0-9_-]{28}", fourth)
    assert NAMES.of_row_key(fourth) == fourth, "a dead letter that is replayed keeps its key"
    for other in (NAMES.of("k1"), OTHERS.of_row_key("k1"), "r1_" + NAMES.of("k1")[3:]):
        assert NAMES.of_row_key(other) != other


def derived_row_key(user: str, millis: int, url: str) -> str:
    return hashlib.blake2b("\0".join([user, str(millis), url]).encode(), digest_size=16).hexdigest()


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


# Six characters at least, and none that stand in other fields by chance.
IDS = st.builds(
    lambda head, tail: f"~{head}~{tail}",
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.text("ghjkqvwxyz", min_size=6, max_size=12),
).filter(lambda user: len(user.strip()) >= 6)
CUTS = st.sampled_from(
    [
        lambda record, at: record,
        lambda record, at: record[:at],
        lambda record, at: record + record,
        lambda record, at: json.dumps(record.decode()).encode(),
    ]
)
CHANGES = st.one_of(
    st.binary(min_size=1, max_size=2).map(lambda junk: lambda record, at: record[:at] + junk + record[at + 1 :]),
    st.binary(min_size=1, max_size=3).map(lambda junk: lambda record, at: record[:at] + junk + record[at:]),
)


@st.composite
def logs(draw) -> tuple[list[str], list[bytes]]:
    """User ids, and records of theirs, some spoilt."""
    ids = draw(st.lists(IDS, min_size=1, max_size=4, unique=True))
    return ids, [draw(records(draw(st.sampled_from(ids)))) for _ in range(draw(st.integers(1, 8)))]


@st.composite
def records(draw, user: str) -> bytes:
    """A record that is spoilt, or names the user in several places: one that names two, of which a change makes one unknown, can't be cleaned."""
    record = copy.deepcopy(draw(st.sampled_from([NESTED, FLAT])))
    click = record.get("click_data", record)
    user = draw(st.sampled_from([user, user, user * 60]))
    click["user_id"] = draw(st.sampled_from([user, f" {user}\t", [user], {"id": user}]))
    click["timestamp"] = draw(st.integers(NOW - 1_000_000, NOW + 700_000) | st.just("soon"))
    click["time_spent"] = draw(st.integers(0, 99))
    record["row_key"] = draw(st.sampled_from([None, "k1", "k2", 17]))
    changed = draw(st.booleans())
    if not changed:
        record["row_key"] = draw(st.sampled_from([record["row_key"], f"{user}_1", f"{user}_2"]))
        record["extra"] = draw(st.sampled_from(["", user, f"/{user}/", {"user_id": user}, {user: [user]}]))
    text = json.dumps(record, ensure_ascii=draw(st.booleans())).encode()
    return draw(CHANGES if changed else CUTS)(text, draw(st.integers(0, len(text) - 1)))


@given(logs())
@settings(max_examples=500)
def test_no_id_is_in_anything_that_parsing_gives(log) -> None:
    ids, values = log
    found = everything(parse(*values))
    for user in ids:
        for text in {user.strip(), json.dumps(user.strip())[1:-1], json.dumps(user.strip(), ensure_ascii=False)[1:-1]}:
            assert text not in found
            assert text[-6:] not in found, "the end of an id that was cut or changed"


def everything(parsed: ParsedBatch) -> str:
    """All cells; dead letters as bytes and as the texts that are in them."""
    raws = [raw.decode(errors="replace") for raw in parsed.rejected["raw"].to_pylist()]
    texts = [json.loads(f'"{text}"') for raw in raws for text in re.findall(r'"((?:[^"\\]|\\.)*)"', raw)]
    tables = [parsed.clicks, parsed.too_late, parsed.rejected.drop_columns(["raw"])]
    cells = [str(cell) for table in tables for row in table.to_pylist() for cell in row.values()]
    return "\n".join([*raws, *texts, *cells])


@given(logs())
@settings(max_examples=200)
def test_outcomes_and_numbers_are_those_without_the_option(log) -> None:
    _, values = log
    plain, hidden = parse(*values, names=None), parse(*values)
    facts = ["source", "position", "record_timestamp", "reason"]
    assert hidden.rejected.select(facts) == plain.rejected.select(facts)
    others = [name for name in plain.clicks.column_names if name not in ("user_id", "row_key")]
    assert hidden.clicks.select(others) == plain.clicks.select(others)
    assert hidden.clicks["user_id"].to_pylist() == [NAMES.of(user) for user in plain.clicks["user_id"].to_pylist()]
    assert same_groups(hidden.clicks["row_key"].to_pylist(), plain.clicks["row_key"].to_pylist())
    assert rows(hidden.clicks) == rows(plain.clicks)


def same_groups(some: list, others: list) -> bool:
    """Whether what is equal in one is equal in the other."""
    return len(set(some)) == len(set(others)) == len(set(zip(some, others, strict=True)))


def rows(clicks: pa.Table) -> dict:
    measured = measure_time_spent(clicks.select(METRIC_COLUMNS), TimeSpentPolicy("reported"))
    return as_oracle_rows(iterate_metrics(measured, window_seconds=300))


def test_half_a_character_in_an_id_costs_no_click_and_shows_no_id() -> None:
    raw = rb'{"user_id":"visitor-\ud800 1","timestamp":1794999000000,"url":"https://a.example/","country":"India"}'
    assert parse(raw, names=None).clicks["user_id"].to_pylist() == ["visitor-\ufffd 1"]
    assert "visitor" not in parse(raw).clicks["user_id"][0].as_py()


@given(logs())
@settings(max_examples=300)
def test_replayed_dead_letters_are_the_clicks_that_they_would_have_been(log) -> None:
    """Under other bounds, those that are accepted now give the clicks of their original bytes; the others stay refused."""
    _, values = log
    letters = parse(*values).rejected.to_pylist()
    for letter in letters:
        value, raw = values[letter["position"]], letter["raw"]
        if not raw.startswith(b"withheld"):
            at_first, replayed = (parse(bytes_, max_clock_skew_seconds=None) for bytes_ in (value, raw))
            assert replayed.clicks == at_first.clicks
            assert replayed.rejected.num_rows == at_first.rejected.num_rows


def test_a_sample_with_five_percent_broken_gives_the_same_numbers_and_no_id() -> None:
    values = [r for batch in sample_records(SampleOptions(events=5_000, broken_share=0.05)) for r in batch]
    plain, hidden = parse(*values, names=None), parse(*values)
    assert rows(hidden.clicks) == rows(plain.clicks)
    assert hidden.rejected["reason"] == plain.rejected["reason"]
    assert hidden.rejected.num_rows > 200
    assert b"user-" in b"".join(plain.rejected["raw"].to_pylist())
    assert "user-" not in everything(hidden)
    kept = [raw for raw in hidden.rejected["raw"].to_pylist() if not raw.startswith(b"withheld")]
    assert len(kept) > 0.4 * hidden.rejected.num_rows


def test_the_graph_holds_the_reference_and_workers_take_the_key(monkeypatch) -> None:
    monkeypatch.setenv("USER_KEY", KEY)
    options = ParseOptions(columns=METRIC_COLUMNS, user_key=partial(resolve_secret, "env:USER_KEY"))
    pipeline = beam.Pipeline(runner="FnApiRunner")
    parsed = pipeline | beam.Create([RawBatch([flat(), flat(user_id=17)], "log", range(2))]) | ParseClicks(options)
    users = parsed.clicks | "Users" >> beam.FlatMap(lambda table: table["user_id"].to_pylist())
    raws = parsed.rejected | "Raws" >> beam.FlatMap(lambda table: table["raw"].to_pylist())
    assert_that(users, equal_to([NAMES.of("visitor-1")]))
    cleaned = flat(user_id=[NAMES.of("17")], row_key=NAMES.of_row_key("k1"))
    assert_that(raws, equal_to([cleaned]), label="raws")
    graph = pipeline.to_runner_api().SerializeToString()
    assert KEY.encode() not in graph
    assert KEY not in repr(options)
    pipeline.run().wait_until_finish()


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


IDS = (
    st.text(st.sampled_from("abcXYZ019@.+-_ %&=\"'\\/é😀"), min_size=6, max_size=14)
    .map(str.strip)
    .filter(lambda x: len(x) >= 6)
)
PLACES = ("row_key", "country", "url", "other", "deep", "key", "list", "user")


@settings(max_examples=400)
@given(
    st.lists(IDS, min_size=1, max_size=3),
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
