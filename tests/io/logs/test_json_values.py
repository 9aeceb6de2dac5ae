"""Values without a line each are cut out whole, wherever the pieces of their text end."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream.io.logs import Value, ValueCutter, json_values

TEXTS = st.text(st.sampled_from('ab"\\{}[],: é\n\x1e\u2028'), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=12
)
OBJECTS = st.lists(st.dictionaries(TEXTS, TREES, max_size=4), max_size=6)
LAYOUTS: dict[str, Callable[[list[dict]], str]] = {
    "side by side": lambda objects: "".join(map(json.dumps, objects)),
    "with commas": lambda objects: ", ".join(map(json.dumps, objects)),
    "a line each": lambda objects: "".join(json.dumps(each) + "\r\n" for each in objects),
    "sequence of RFC 7464": lambda objects: "".join(f"\x1e{json.dumps(each)}\n" for each in objects),
    "over several lines": lambda objects: "\n".join(json.dumps(each, indent=2) for each in objects),
    "not indented": lambda objects: "\n".join(json.dumps(each, indent=0) for each in objects),
    "array": json.dumps,
    "array over several lines": lambda objects: json.dumps(objects, indent="\t"),
    "array, a line each": lambda objects: "[\n" + ",\n".join(map(json.dumps, objects)) + "\n]\n",
    "two arrays, compact": lambda objects: (
        json.dumps(objects[:2], ensure_ascii=False, separators=(",", ":"))
        + json.dumps(objects[2:], separators=(",", ":"))
    ),
    "with a byte order mark": lambda objects: "\ufeff" + json.dumps(objects),
}


def cut(data: bytes, size: int, start: int = 0) -> list[Value]:
    cutter = ValueCutter(start)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return [value for piece in pieces for value in cutter.values(piece, ends=False)] + cutter.values(b"", ends=True)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=25)
@given(objects=OBJECTS, size=st.integers(1, 60))
def test_each_object_is_one_value_and_stands_where_it_says(layout, objects, size) -> None:
    data = LAYOUTS[layout](objects).encode()
    found = cut(data, size)
    assert [json.loads(value.text) for value in found] == objects
    assert all(data[start : start + len(text)] == text for start, text in found)


@given(
    st.lists(st.sampled_from([b'{"a":1}', b'{"b":{"c":"d"}}', b'"', b"{", b"}", b"[", b"]", b",", b"\n", b"x", b"\\"])),
    st.integers(1, 9),
)
def test_whatever_the_bytes_are_the_pieces_make_no_difference_and_nothing_is_lost(parts, size) -> None:
    data = b"".join(parts)
    whole = cut(data, len(data) or 1)
    assert cut(data, size) == whole
    covered = bytearray(data)
    for start, text in whole:
        assert data[start : start + len(text)] == text
        covered[start : start + len(text)] = b" " * len(text)
    assert set(covered) <= set(b" \t\r\n,\x1e[]")


GOOD = [b'{"n":1,"t":"x"}', b'{"n":2,"t":"y"}', b'{"n":3,"t":"z"}']


@pytest.mark.parametrize(
    "broken", [b'{"n":0,"t":"x', b'{"n":0,', b'{"n":0,"t":', b'{"n":0,"t":[1}', b'{"n":0,"t":"x"y"}']
)
@pytest.mark.parametrize("between", [b"", b"\n", b",\n  ", b", "])
def test_a_broken_value_costs_no_other(broken, between) -> None:
    if between == b"" and not broken.endswith(b"}") and b'"t":"x' not in broken:
        between = b"\n"  # nothing tells where that one ends, but a line
    if b"\n" not in between and not broken.endswith(b"}"):
        broken += b"}"
    values = [GOOD[0], broken, *GOOD[1:]]
    indented = between.strip(b",") if b"\n" in between else b""
    data = indented + between.join(values)
    for size in (1, 5, len(data)):
        assert [text for _, text in cut(data, size)] == [value.rstrip(b",") for value in values]


def test_what_is_no_object_is_a_value_too() -> None:
    assert [text for _, text in cut(b'[1, "a,b", {"n":1}] garbage {"n":2}', 4)] == [
        b'1, "a,b"',
        b'{"n":1}',
        b"garbage",
        b'{"n":2}',
    ]


def test_the_last_one_is_given_though_it_is_half() -> None:
    assert cut(b'{"n":1}\n{"n":', 3, start=10) == [Value(10, b'{"n":1}'), Value(18, b'{"n":')]


@pytest.mark.parametrize("long", [b'{"n":[' + b"1," * 60 + b"2]}", b'{"n":"' + b"x" * 150 + b'"}', b"7" * 200])
@pytest.mark.parametrize("size", [1, 8, 30])
def test_a_value_that_is_too_long_is_cut_and_the_next_is_whole(monkeypatch, long, size) -> None:
    monkeypatch.setattr(json_values, "LONGEST_RECORD", 90)
    monkeypatch.setattr(json_values, "KEPT_BYTES", 80)
    data = GOOD[0] + b"\n" + long + b"\n" + b"\n".join(GOOD[1:])
    found = cut(data, size)
    assert [text for _, text in found] == [GOOD[0], long[:80], *GOOD[1:]]
    assert found[1].start == len(GOOD[0]) + 1


def test_memory_is_bounded_whatever_comes() -> None:
    code = """
import resource, sys
from clickstream.io.logs import ValueCutter
cutter, piece = ValueCutter(), eval(sys.argv[1])
for _ in range(100):
    cutter.values(piece, ends=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    million = "b'x' * 1_000_000"
    pieces = (
        f"b'{{\"a\":\"' + {million} + b'\"}},'",
        "b'[1,2,3,4' * 1000",
        million,
        f"b'\"' + {million}",
        "b' ' * 1_000_000",
    )
    peaks = [
        int(subprocess.run([sys.executable, "-c", code, piece], capture_output=True, check=True, timeout=120).stdout)
        for piece in pieces
    ]
    assert max(peaks) - min(peaks) < 100 << 10  # KiB, of 100 MB
