"""Pseudonyms: what one is, and that numbers are the same with them."""

import base64
import copy
import hashlib
import hmac
import json
import pickle
import random
import re
import sys
from functools import partial

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import as_oracle_rows
from pseudonym_records import FLAT, KEY, NAMES, NESTED, NOW, OTHERS, everything, flat, parse
from without_beam import iterate_metrics

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.io.secrets import resolve_secret
from clickstream.transforms import METRIC_COLUMNS, ParseClicks, ParseOptions, RawBatch, TimeSpentPolicy, memo
from clickstream.transforms.measure.policy import measure_time_spent
from clickstream.transforms.parse import pseudonyms
from clickstream.transforms.parse.pseudonyms import Pseudonyms


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
