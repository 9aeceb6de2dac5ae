"""Events of the same shape: what is cut out of them is what the decoder and the paths give for each by itself."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream.transforms.lines import as_lines
from clickstream.transforms.parse.formats.extracted import Extracted, merged, read_singly
from clickstream.transforms.parse.formats.paths import Key, Path
from clickstream.transforms.parse.formats.same_shape import PathShapes, cut_paths
from clickstream.transforms.parse.reader import KnownShapes, find_same_shape, same_shape

LIMIT = 2_000
NAMES = ["a", "b", "key", "value", "a b", ""]
TEXTS = ["", "a", "b", "@1", "@0", "7", "null", "Perú", "😀", " x ", "k" * 600]
ODD_TEXTS = ['"', "\\", "\t", "\ud800", "\x00"]
NUMBERS = [0, 7, -1, 1.50, 1e300, 10**400, -0.0, 123456789012345678901234567890]
scalars = st.sampled_from([*TEXTS, *NUMBERS, True, False, None]) | st.sampled_from(ODD_TEXTS)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)
events = st.dictionaries(st.sampled_from(NAMES), trees, max_size=4)
steps = st.one_of(
    st.sampled_from([name for name in NAMES if name]),
    st.integers(-2, 2),
    st.builds(Key, st.sampled_from(["a", "key", "b"]), st.sampled_from(["a", "b", "7", "@1"])),
)
paths = st.lists(
    st.builds(Path, st.tuples(st.sampled_from(["a", "b", "key"])) | st.lists(steps, min_size=1, max_size=4).map(tuple)),
    min_size=1,
    max_size=4,
    unique=True,
)
fills = st.sampled_from([b"1.0", b"7 ", b"01", b"1e999", b"1,2", b"NaN", b'"a"', b"@1", b"\\u00e9", b"\xff", b"true"])


@st.composite
def batches(draw: st.DrawFn) -> list[bytes]:
    """Events, most of them like each other but for their scalars, some damaged."""
    found = []
    for event in draw(st.lists(events, min_size=1, max_size=3)):
        for _ in range(draw(st.integers(1, 4))):
            filled = _with_others(event, draw)
            record = json.dumps(filled, ensure_ascii=draw(st.booleans()), separators=draw(_SEPARATORS))
            found.append(record.encode(errors="surrogatepass"))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(found) - 1))
        place = draw(st.integers(0, len(found[at])))
        found[at] = found[at][:place] + draw(fills) + found[at][place + draw(st.integers(0, 2)) :]
    return [record for record in found if b"\n" not in record]


_SEPARATORS = st.sampled_from([(",", ":"), (", ", ": ")])


def _with_others(tree: Any, draw: st.DrawFn) -> Any:
    if isinstance(tree, dict):
        return {name: _with_others(inner, draw) for name, inner in tree.items()}
    if isinstance(tree, list):
        return [_with_others(inner, draw) for inner in tree]
    if isinstance(tree, str):
        return draw(st.sampled_from([tree, *TEXTS]))
    if isinstance(tree, (int, float)) and not isinstance(tree, bool):
        return draw(st.sampled_from(NUMBERS))
    return tree


def plain(found: Extracted) -> tuple:
    columns = [(column.kinds.tolist(), column.texts.to_pylist()) for column in found.columns]
    return columns, found.kept.tolist(), sorted(found.refused)


def quickly(values: list[bytes], wanted: list[Path], known: KnownShapes) -> tuple[Extracted, int]:
    """As `extract` does it, and how many were cut."""
    lines = as_lines(values)
    found = find_same_shape(lines, known, LIMIT, PathShapes(tuple(wanted)))
    cut = cut_paths(lines, found, len(wanted))
    return merged(cut.events, read_singly(cut.others, wanted, LIMIT), cut.others_at), len(cut.events.kept)


@pytest.fixture(scope="module", autouse=True)
def _few_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(same_shape, "FEWEST", 1)
        yield


@given(batches(), paths)
@settings(max_examples=400, deadline=None)
def test_both_ways_agree_about_every_event(values, wanted) -> None:
    known = KnownShapes()
    slowly = plain(read_singly(values, wanted, LIMIT))
    assert plain(quickly(values, wanted, known)[0]) == slowly
    assert plain(quickly(values, wanted, known)[0]) == slowly, "with the shapes of the batch before"


def dumps(event: Any) -> bytes:
    return json.dumps(event).encode()


def params(page: str, number: int, *, first: str = "page") -> bytes:
    return dumps({"params": [{"key": first, "value": page}, {"key": "n", "value": number}], "ok": True})


def test_what_a_selector_compares_is_part_of_the_shape() -> None:
    wanted = [Path.parse(text) for text in ("params[key=page].value", "params[key=n].value", "ok", "params[0].key")]
    values = [params(f"p{n}", n) for n in range(9)] + [params("x", 1, first="other") for _ in range(9)]
    found, cut = quickly(values, wanted, KnownShapes())
    assert cut == len(values)
    assert found.columns[0].texts.to_pylist() == [*(f"p{n}" for n in range(9)), *[None] * 9]
    assert found.columns[2].texts.to_pylist() == ["true"] * 18
    assert found.columns[3].texts.to_pylist() == ["page"] * 9 + ["other"] * 9


def test_a_number_keeps_its_digits() -> None:
    values = [b'{"a":1.50}', b'{"a":100000000000000000001}', b'{"a":7 }']
    found, cut = quickly(values, [Path.parse("a")], KnownShapes())
    assert (found.columns[0].texts.to_pylist(), cut) == (["1.50", "100000000000000000001", "7"], 3)


def test_shapes_of_other_paths_are_forgotten() -> None:
    known, values = KnownShapes(), [b'{"a":"x","b":"y"}'] * 5
    for name, text in (("a", "x"), ("b", "y")):
        found, cut = quickly(values, [Path.parse(name)], known)
        assert (found.columns[0].texts.to_pylist(), cut) == ([text] * 5, 5)


def test_what_no_event_gave_is_null() -> None:
    found = read_singly([b'{"a":{}}', b"[1]", b'"x"'], [Path.parse("a.b"), Path.parse("a")], LIMIT)
    assert [column.kinds.tolist() for column in found.columns] == [[0], [5]]
    assert [(each.number, each.reason) for each in found.refused] == [(1, "wrong_type"), (2, "wrong_type")]
    assert np.array_equal(found.kept, [0])
