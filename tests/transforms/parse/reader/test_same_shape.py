"""Records of the same shape: the same outcome for each as the decoder alone gives it, whatever its neighbours are; and that most are taken at all."""

import json
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.transforms.lines import Lines, as_lines
from clickstream.transforms.parse.reader import Decoded, KnownShapes, read_records, same_shape
from clickstream.transforms.parse.reader.columns import _as_list as as_list
from clickstream.transforms.parse.reader.columns import as_columns
from clickstream.transforms.parse.reader.cut import Cut, cut_fields
from clickstream.transforms.parse.reader.records import FlatRecord
from clickstream.transforms.parse.reader.same_shape import find_same_shape
from clickstream.transforms.parse.reader.shapes import shape_of
from clickstream.transforms.parse.reader.singly import decode_singly

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


KNOWN = KnownShapes()  # of all batches of this module


def decode_records(values: list[bytes], names=NAMES, **limits: int) -> Decoded:
    return read_records(values, names, KNOWN, **limits)


def cut_same_shape(lines: Lines) -> Cut:
    return cut_fields(lines, find_same_shape(lines, KnownShapes(), 1 << 20), NAMES)


def by_the_decoder(values: list[bytes]) -> Decoded:
    return as_columns(decode_singly(values, as_lines(values), NAMES, LIMIT))


@pytest.fixture(scope="module", autouse=True)
def _few_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(same_shape, "FEWEST", 1)
        yield


@given(st.lists(records(), max_size=12))
@settings(max_examples=2000, deadline=None)
def test_the_outcome_is_the_decoders(values) -> None:
    """Also with shapes of earlier batches, which the tests of this module leave behind."""
    assert plain(decode_records(values, NAMES, max_record_bytes=LIMIT)) == plain(by_the_decoder(values))


@given(records(), st.lists(records(), max_size=3))
@settings(max_examples=500, deadline=None)
def test_the_outcome_is_the_decoders_where_one_is_like_the_others_but_for_a_byte(value, others) -> None:
    """Each byte of a record in turn."""
    spoilt = [value[:at] + b"}" + value[at + 1 :] for at in range(0, len(value), 7)]
    values = list(chain([value], others, spoilt))
    assert plain(decode_records(values, NAMES, max_record_bytes=LIMIT)) == plain(by_the_decoder(values))


@given(records())
def test_a_shape_with_its_own_texts_and_numbers_is_the_record(value) -> None:
    shape = shape_of(value)
    if shape is None:
        return
    assert len(shape.constants) == len(shape.slots) + 1
    places = [-1, *(at for at, byte in enumerate(value) if byte == ord('"')), len(value)]
    made = shape.constants[0]
    for slot, constant in zip(shape.slots, shape.constants[1:], strict=True):
        made += value[places[slot.quote] + 1 + slot.before : places[slot.quote + 1] - slot.after] + constant
    assert made == value


REFUSED = {
    "bad JSON": b'{"user_id":"u","timestamp":1,"url":"x","country":"C"',
    "no click": b'{"user_id":"u","timestamp":1,"country":"C"}',
    "given twice": b'{"user_id":"u","timestamp":1,"url":"x","country":"C","country":"D"}',
    "a backslash": rb'{"user_id":"u","timestamp":1,"url":"\/","country":"C"}',
    "two numbers side by side": b'{"user_id":"u","timestamp":1,"url":"x","country":"C","at":[1,2]}',
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_what_has_no_shape(value) -> None:
    assert shape_of(value) is None


def test_fields_are_told_by_where_they_stand() -> None:
    """A name of ours in another family, or within a field that isn't ours, is none of ours."""
    value = b'{"url":"1","click_data":{"url":"2","user_id":"3","timestamp":4,"city":"5"},"geo_data":{"country":"6","url":{"url":"7"}}}'
    assert [slot.field for slot in shape_of(value).slots] == ["", "url", "user_id", "timestamp", "", "country", ""]


@pytest.mark.parametrize("flat", [False, True])
def test_nearly_all_of_a_sample_is_taken(flat) -> None:
    values = next(iter(sample_records(SampleOptions(events=10_000, broken_share=0.01, flat=flat))))
    found = cut_same_shape(Lines(b"\n".join(values)))
    assert len(found.others_at) < 0.012 * len(values)
    assert np.array_equal(np.sort(np.append(found.kept, found.others_at)), np.arange(len(values)))
    expected = by_the_decoder([values[number] for number in found.kept])
    assert {n: as_list(c) for n, c in found.fields.items()} == {n: as_list(c) for n, c in expected.fields.items()}


def test_records_without_a_neighbour_like_them_are_left_to_the_decoder() -> None:
    """Some looks for a shape are taken, and no more."""
    base = {"user_id": "u", "timestamp": 1, "url": "http://a/", "country": "C"}
    values = [json.dumps(base | {f"other_{'x' * n}": "y"}).encode() for n in range(300)]
    found = cut_same_shape(as_lines(values))
    assert len(found.kept) == same_shape.NEW_A_BATCH
    assert plain(decode_records(values, NAMES)) == plain(by_the_decoder(values))


@given(st.lists(st.tuples(st.sampled_from([b"", b"{}", b"\xff", b" "]), st.booleans())))
def test_some_of_the_lines_are_lines(chosen) -> None:
    lines, rows = Lines(b"\n".join(line for line, _ in chosen)), [row for row, (_, is_in) in enumerate(chosen) if is_in]
    rows = [row for row in rows if row < len(lines)]
    assert list(lines.only(np.array(rows, np.int64))) == [lines[row] for row in rows]


@pytest.mark.parametrize("number", [b"5", b"", b"  "])
def test_there_may_be_no_number_where_others_have_one(number) -> None:
    shape = b'{"user_id":"u","timestamp":1,"url":"http://a/","country":"C","sizes": [ %s ], "more":1}'
    values = [shape % b"5", shape % number, (shape % b"").replace(b"  ", b" ")]
    assert plain(decode_records(values, NAMES)) == plain(by_the_decoder(values))


def test_records_with_very_many_texts_are_left_to_the_decoder() -> None:
    record = {
        "user_id": "u",
        "timestamp": 1,
        "url": "http://a/",
        "country": "C",
        "others": ["x"] * same_shape.MOST_SLOTS,
    }
    values = [json.dumps(record).encode()] * 10
    assert find_same_shape(as_lines(values), KnownShapes(), 1 << 20) == []
    assert len(decode_records(values, NAMES).kept) == 10


def test_a_few_records_are_not_compared(monkeypatch) -> None:
    monkeypatch.setattr(same_shape, "FEWEST", 3)
    assert find_same_shape(as_lines([b"{}"] * 2), KnownShapes(), 1 << 20) == []
