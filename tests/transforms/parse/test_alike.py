"""Records that look alike: the same outcome for each as the decoder alone gives it, whatever its neighbours are; and that most are taken at all."""

import json
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.transforms.lines import Lines, as_lines
from clickstream.transforms.parse import alike, decode
from clickstream.transforms.parse.alike import decode_alike
from clickstream.transforms.parse.columns import as_list
from clickstream.transforms.parse.cutting import cut_lines
from clickstream.transforms.parse.decode import Decoded, decode_records
from clickstream.transforms.parse.patterns import pattern_of
from clickstream.transforms.parse.records import FlatRecord

NAMES = tuple(name for name in FlatRecord.__struct_fields__ if name != "click_data")
LIMIT = 2_000

NESTED = (
    b'{"row_key":"%(text)s","click_data":{"user_id":"%(text)s","timestamp":%(time)s,"url":"http://a/%(text)s","time_spent":%(number)s},'
    b'"geo_data":{"country":"%(text)s","city":"%(text)s"},"user_agent_data":%(agent)s}'
)
FLAT = b'{"user_id": "%(text)s", "timestamp": %(time)s, "url": "%(text)s", "country": "C", "city": "%(text)s", "size": [%(number)s]}'
ODD = b'{"user_id":"%(text)s","timestamp":%(time)s,"url":"","country":"C","x":{"user_id":"%(text)s","y":[true,"%(text)s"]},"click_data":null}'
TWICE = b'{"user_id":"%(text)s","timestamp":%(time)s,"url":"","country":"%(text)s","country":"C"}'
SHAPES = [NESTED, FLAT, ODD, TWICE]

GOOD = [b"", b"a", b"user-1", b"@1", b"7", b" ", "Perú".encode(), "😀".encode(), b"x" * 512, "é".encode() * 512]
BAD = [
    b"y" * 513,
    b'\\"',
    b"\\u00e9",
    b"\\ud800",
    b"\\",
    b"\t",
    b"\x00",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b'"',
    b'":"',
    b'","city":"Z',
    b"} {",
]
NUMBERS = [b"0", b"13.2", b"-0.0", b"31622400", b"1e3", b" 7 ", b"null", b"-1", b"31622401", b"1e999", b"9" * 400]
NO_NUMBERS = [b"01", b"1.", b".5", b"+1", b"NaN", b"1,2", b"", b" ", b"true", b'"5"', b"[1]", b"1]"]
texts, numbers = st.sampled_from(GOOD + BAD), st.sampled_from(NUMBERS + NO_NUMBERS)
times = st.sampled_from(
    [
        b'"2026-11-01T10:00:00Z"',
        b"1793527200",
        b"1793527200123",
        b"1793527200.5",
        b'""',
        b"null",
        b"{}",
        b"1,2",
        b"-",
        b"9" * 400,
    ]
)
agents = st.sampled_from(
    [b'{"browser":"Firefox","os":"Linux"}', b"{}", b"null", b'{"browser":5}', b'{"os":null,"os":"x"}']
)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    shape = draw(st.sampled_from(SHAPES))
    values = {b"text": draw(texts), b"number": draw(numbers), b"time": draw(times), b"agent": draw(agents)}
    record = shape % values
    if draw(st.integers(0, 9)):
        return record
    at, cut = draw(st.integers(0, len(record))), draw(st.integers(0, 2))
    return record[:at] + draw(st.binary(max_size=2)) + record[at + cut :]


def plain(decoded: Decoded) -> tuple:
    return (
        {name: as_list(column) for name, column in decoded.fields.items()},
        decoded.kept.tolist(),
        sorted(decoded.refused),
    )


def by_the_decoder(values: list[bytes]) -> Decoded:
    return decode._decode_others(values, as_lines(values), NAMES, LIMIT)


@pytest.fixture(scope="module", autouse=True)
def _few_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "_FEWEST", 1)
        yield


@given(st.lists(records(), max_size=12))
@settings(max_examples=2000, deadline=None)
def test_the_outcome_is_the_decoders(values) -> None:
    """Also with patterns of earlier batches, which this test leaves behind."""
    assert plain(decode_records(values, NAMES, max_record_bytes=LIMIT)) == plain(by_the_decoder(values))


@given(records(), st.lists(records(), max_size=3))
@settings(max_examples=500, deadline=None)
def test_the_outcome_is_the_decoders_where_one_is_like_the_others_but_for_a_byte(value, others) -> None:
    """Each byte of a record in turn."""
    spoilt = [value[:at] + b"}" + value[at + 1 :] for at in range(0, len(value), 7)]
    values = list(chain([value], others, spoilt))
    assert plain(decode_records(values, NAMES, max_record_bytes=LIMIT)) == plain(by_the_decoder(values))


@given(records())
def test_a_pattern_with_its_own_texts_and_numbers_is_the_record(value) -> None:
    pattern = pattern_of(value)
    if pattern is None:
        return
    assert len(pattern.constants) == len(pattern.slots) + 1
    places = [-1, *(at for at, byte in enumerate(value) if byte == ord('"')), len(value)]
    made = pattern.constants[0]
    for slot, constant in zip(pattern.slots, pattern.constants[1:], strict=True):
        made += value[places[slot.quote] + 1 + slot.before : places[slot.quote + 1] - slot.after] + constant
    assert made == value


REFUSED = {
    "bad JSON": b'{"user_id":"u","timestamp":1,"url":"x","country":"C"',
    "no click": b'{"user_id":"u","timestamp":1,"url":"x"}',
    "given twice": b'{"user_id":"u","timestamp":1,"url":"x","country":"C","country":"D"}',
    "a backslash": rb'{"user_id":"u","timestamp":1,"url":"\/","country":"C"}',
    "two numbers side by side": b'{"user_id":"u","timestamp":1,"url":"x","country":"C","at":[1,2]}',
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_what_has_no_pattern(value) -> None:
    assert pattern_of(value) is None


def test_fields_are_told_by_where_they_stand() -> None:
    """A name of ours in another family, or within a field that isn't ours, is none of ours."""
    value = b'{"url":"1","click_data":{"url":"2","user_id":"3","timestamp":4,"city":"5"},"geo_data":{"country":"6","url":{"url":"7"}}}'
    assert [slot.field for slot in pattern_of(value).slots] == ["", "url", "user_id", "timestamp", "", "country", ""]


@pytest.mark.parametrize("flat", [False, True])
def test_nearly_all_of_a_sample_is_taken(flat) -> None:
    values = next(iter(sample_records(SampleOptions(events=10_000, broken_share=0.01, flat=flat))))
    found = decode_alike(Lines(b"\n".join(values)), NAMES, 1 << 20)
    assert len(found.others) < 0.012 * len(values)
    assert np.array_equal(np.sort(np.append(found.kept, found.others)), np.arange(len(values)))
    expected = by_the_decoder([values[number] for number in found.kept])
    assert {name: as_list(column) for name, column in found.fields.items()} == expected.fields


def test_records_without_a_neighbour_like_them_are_left_to_the_decoder(monkeypatch) -> None:
    """Some looks for a pattern are taken, and no more."""
    monkeypatch.setattr(alike, "_known", [])
    base = {"user_id": "u", "timestamp": 1, "url": "http://a/", "country": "C"}
    values = [json.dumps(base | {f"other_{'x' * n}": "y"}).encode() for n in range(300)]
    found = decode_alike(as_lines(values), NAMES, 1 << 20)
    assert len(found.kept) == alike._NEW_A_BATCH
    assert plain(decode_records(values, NAMES)) == plain(by_the_decoder(values))


@given(st.lists(st.tuples(st.sampled_from([b"", b"{}", b"\xff", b" "]), st.booleans())))
def test_some_of_the_lines_are_lines(chosen) -> None:
    lines, rows = Lines(b"\n".join(line for line, _ in chosen)), [row for row, (_, is_in) in enumerate(chosen) if is_in]
    rows = [row for row in rows if row < len(lines)]
    assert list(cut_lines(lines, np.array(rows, np.int64))) == [lines[row] for row in rows]


@pytest.mark.parametrize("number", [b"5", b"", b"  "])
def test_there_may_be_no_number_where_others_have_one(number) -> None:
    shape = b'{"user_id":"u","timestamp":1,"url":"http://a/","country":"C","sizes": [ %s ], "more":1}'
    values = [shape % b"5", shape % number, (shape % b"").replace(b"  ", b" ")]
    assert plain(decode_records(values, NAMES)) == plain(by_the_decoder(values))


def test_records_with_very_many_texts_are_left_to_the_decoder() -> None:
    record = {"user_id": "u", "timestamp": 1, "url": "http://a/", "country": "C", "others": ["x"] * alike._MOST_SLOTS}
    values = [json.dumps(record).encode()] * 10
    assert decode_alike(as_lines(values), NAMES, 1 << 20) is None
    assert len(decode_records(values, NAMES).kept) == 10


def test_a_few_records_are_not_compared(monkeypatch) -> None:
    monkeypatch.setattr(alike, "_FEWEST", 3)
    assert decode_alike(as_lines([b"{}"] * 2), NAMES, 1 << 20) is None
