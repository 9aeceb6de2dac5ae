"""Lines: the same records as a list of them, however they are asked for."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.transforms.lines import Lines, as_lines, total_bytes
from clickstream.transforms.parse.reader import KnownShapes, read_records

texts = st.lists(st.sampled_from([b"\n", b"", b"a", b"{}", b'{"a":', b"1}", b"\r", b" ", b"\xff"])).map(b"".join)


def split(text: bytes) -> list[bytes]:
    return text.removesuffix(b"\n").split(b"\n") if text else []


@given(texts)
def test_lines_are_what_splitting_gives(text) -> None:
    lines, expected = Lines(text), split(text)
    assert list(lines) == lines[:] == expected
    assert lines[1:-1] == expected[1:-1]
    assert len(lines) == len(lines.starts) == len(expected)
    assert [text[start : start + len(line)] for start, line in zip(lines.starts, lines, strict=True)] == expected
    assert total_bytes(lines) == total_bytes(expected)


@given(texts, st.integers(0, 9))
def test_the_first_lines_survive_pickling(text, count) -> None:
    lines = Lines(text).first(count)
    assert list(pickle.loads(pickle.dumps(lines))) == list(lines) == split(text)[:count]  # noqa: S301


CLICK = b'{"click_data":{"user_id":"u","timestamp":0,"url":"http://a/"},"geo_data":{"country":"IN"}}'


PIECES = [CLICK, CLICK[:14], CLICK[14:], b"{}", b"{", b"}", b'{"a":', b"\n", b" ", b"\xff"]


@given(st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_lines_are_decoded_as_each_is_alone(text) -> None:
    together = read_records(Lines(text), ["url"], KnownShapes())
    alone = [read_records([line], ["url"], KnownShapes()) for line in split(text)]
    assert list(together.kept) == [number for number, one in enumerate(alone) if len(one.kept)]
    assert {r.number: r.reason for r in together.refused} == {
        n: r.reason for n, one in enumerate(alone) for r in one.refused
    }


def test_good_lines_are_taken_in_one_piece() -> None:
    assert (
        as_lines([CLICK] * 9).objects(2, 5) == Lines(b"\n".join([CLICK] * 9)).objects(2, 5) == b"\n".join([CLICK] * 3)
    )


@given(st.lists(st.sampled_from([b"", b"{}", b"{}\n{}", b"\n", b"1"])))
def test_records_are_lines_unless_one_holds_a_line_end(values) -> None:
    lines = as_lines(values)
    assert (lines is None) == any(b"\n" in value for value in values)
    assert lines is None or list(lines) == values


@pytest.mark.parametrize("half", range(1, len(CLICK)))
def test_a_click_over_two_lines_is_none_even_if_another_line_makes_up_for_it(half) -> None:
    values = [CLICK[:half], CLICK[half:], CLICK, CLICK + CLICK]
    decoded = read_records(Lines(b"\n".join(values)), ["url"], KnownShapes())
    assert list(decoded.kept) == [2]
    assert [refusal.number for refusal in decoded.refused] == [0, 1, 3]


def test_a_record_that_holds_line_ends_is_one_record() -> None:
    decoded = read_records([CLICK.replace(b",", b",\n"), CLICK, CLICK + b"\n" + CLICK], ["url"], KnownShapes())
    assert list(decoded.kept) == [0, 1]
    assert [(r.number, r.reason) for r in decoded.refused] == [(2, "invalid_json")]
