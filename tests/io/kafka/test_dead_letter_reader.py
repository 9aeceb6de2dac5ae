"""Dead letters come back from their messages, whole and each once, whatever the order and however often a message is there."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.kafka import dead_letters
from clickstream.io.kafka.dead_letter_reader import Assembly
from clickstream.io.kafka.dead_letters import dead_letter_messages
from clickstream.transforms.schema import REJECTED_SCHEMA

RAWS = st.lists(st.binary(max_size=40), min_size=1, max_size=5)


def messages(raws, part_bytes=10):
    """The messages of records at positions 0, 1 …, in parts of at most ten bytes."""
    count = len(raws)
    columns = [
        ["kafka:t/0"] * count,
        list(range(count)),
        [None] * count,
        ["malformed_json"] * count,
        ["no"] * count,
        raws,
    ]
    table = pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, REJECTED_SCHEMA, strict=True)], schema=REJECTED_SCHEMA
    )
    before, dead_letters._PART_BYTES = dead_letters._PART_BYTES, part_bytes
    try:
        return [value for _, value in dead_letter_messages(table, code_version="1")]
    finally:
        dead_letters._PART_BYTES = before


def assembled(values):
    assembly = Assembly()
    found = [letter for at, value in enumerate(values) if (letter := assembly.add(value, 3, at))]
    return assembly, found


@given(RAWS, st.randoms())
def test_letters_are_whole_in_any_order(raws, order):
    values = messages(raws)
    order.shuffle(values)
    assembly, found = assembled(values)
    assert {letter.position: letter.raw for letter in found} == dict(enumerate(raws))
    assert sorted(m.value for letter in found for m in letter.messages) == sorted(values)
    assert (assembly.waiting(), assembly.foreign) == ([], 0)


@given(RAWS, st.integers(2, 3))
def test_messages_that_are_there_again_make_the_same_letters(raws, times):
    _, found = assembled(messages(raws) * times)
    assert len({letter.key for letter in found}) == len(raws)
    assert {(letter.position, letter.raw) for letter in found} == set(enumerate(raws))


def test_a_letter_without_all_its_parts_waits_from_its_first_message_on():
    first, second, third = messages([b"x" * 25])
    assembly, found = assembled([first, first, third])
    [letter] = assembly.waiting()
    assert (found, letter.raw, letter.first) == ([], None, (3, 0))
    assert [m.value for m in letter.messages] == [first, third]
    whole = assembly.add(second, 3, 9)
    assert whole is not None
    assert (whole.raw, whole.source, assembly.waiting()) == (b"x" * 25, "kafka:t/0", [])


def test_messages_keep_their_key():
    _, [letter] = assembled(messages([b"{"]))
    assert [m.key for m in letter.messages] == [b"kafka:t/0:0"]


def test_what_is_no_dead_letter_is_counted():
    values = [
        b"",
        b"{",
        b"[1]",
        b"null",
        b'{"user_id": "u"}',
        b'{"source":"s","position":"x","part":1,"parts":1,"raw":""}',
    ]
    assembly, found = assembled(values)
    assert (found, assembly.foreign) == ([], len(values))
