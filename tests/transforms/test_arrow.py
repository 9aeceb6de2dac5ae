"""Tables between steps: what is packed comes back, and a slice carries only itself."""

import tracemalloc

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.transforms.arrow import pack, unpack
from clickstream.transforms.schema import CLICK_SCHEMA, PAGE_METRICS_SCHEMA, REJECTED_SCHEMA

TEXTS = pa.table({"n": pa.array(range(50_000), pa.int64()), "s": [f"text {i % 7} \0 é 😀" for i in range(50_000)]})


@pytest.mark.parametrize("schema", [CLICK_SCHEMA, PAGE_METRICS_SCHEMA, REJECTED_SCHEMA])
def test_the_schemas_come_back_with_nullability_units_and_zones(schema) -> None:
    assert unpack(pack(schema.empty_table())).schema.equals(schema, check_metadata=True)


@pytest.mark.parametrize("table", [TEXTS, TEXTS.slice(49_999), pa.concat_tables([TEXTS, TEXTS.slice(0, 3)])])
def test_tables_come_back_whole_small_or_large(table) -> None:
    assert unpack(pack(table)).equals(table)


@given(st.integers(-(2**63), 2**63 - 1), st.lists(st.none() | st.integers(-(2**40), 2**40), min_size=1), st.booleans())
def test_a_large_table_comes_back_as_it_was_whatever_fits_in_fewer_bytes(number, numbers, repeats) -> None:
    rows = -(-9_000 // len(numbers)) * len(numbers)
    schema = pa.schema([pa.field("same", pa.int64(), nullable=False), ("many", pa.int64()), ("text", pa.string())])
    many = pa.array(numbers * (rows // len(numbers)), pa.int64())
    table = pa.table([pa.array([number] * rows), many, many.cast(pa.string())], schema=schema)
    packed = pack(table, repeating=["text"] if repeats else [])
    assert unpack(packed).equals(table)
    assert unpack(packed).schema.equals(schema)


def test_a_slice_is_packed_without_the_rest_and_a_large_table_compressed() -> None:
    assert len(pack(TEXTS.slice(100, 3))) < 2_000
    assert len(pack(TEXTS)) < TEXTS.nbytes / 3


def test_what_is_packed_takes_no_more_memory_than_its_bytes() -> None:
    pack(TEXTS)  # which imports and makes what is kept
    tracemalloc.start()
    try:
        packed = [pack(TEXTS) for _ in range(5)]
        assert tracemalloc.get_traced_memory()[0] < 1.5 * sum(map(len, packed))
    finally:
        tracemalloc.stop()


def test_bytes_that_are_no_table_are_an_error() -> None:
    with pytest.raises(pa.ArrowInvalid):
        unpack(b"not Arrow")
