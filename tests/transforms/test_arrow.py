"""Tables between steps: what is packed comes back, and a slice carries only itself."""

import pyarrow as pa
import pytest

from clickstream.transforms.arrow import pack, unpack
from clickstream.transforms.schema import CLICK_SCHEMA, PAGE_METRICS_SCHEMA, REJECTED_SCHEMA

TEXTS = pa.table({"n": pa.array(range(50_000), pa.int64()), "s": [f"text {i % 7} \0 é 😀" for i in range(50_000)]})


@pytest.mark.parametrize("schema", [CLICK_SCHEMA, PAGE_METRICS_SCHEMA, REJECTED_SCHEMA])
def test_the_schemas_come_back_with_nullability_units_and_zones(schema) -> None:
    assert unpack(pack(schema.empty_table())).schema.equals(schema, check_metadata=True)


@pytest.mark.parametrize("table", [TEXTS, TEXTS.slice(49_999), pa.concat_tables([TEXTS, TEXTS.slice(0, 3)])])
def test_tables_come_back_whole_small_or_large(table) -> None:
    assert unpack(pack(table)).equals(table)


def test_a_slice_is_packed_without_the_rest_and_a_large_table_compressed() -> None:
    assert len(pack(TEXTS.slice(100, 3))) < 2_000
    assert len(pack(TEXTS)) < TEXTS.nbytes / 3


def test_bytes_that_are_no_table_are_an_error() -> None:
    with pytest.raises(pa.ArrowInvalid):
        unpack(b"not Arrow")
