"""The key of a raw click, its bucket and shard; SQL rows of clicks and back; and what stands for whole buckets."""

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io.raw.clicks import BUCKET_MS, FAMILIES, SHARDS, click_ids, keyed
from clickstream.io.raw.sql.rows import from_rows, to_columns
from clickstream.transforms.schema import CLICK_SCHEMA

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
CLICK = st.fixed_dictionaries(
    {
        **dict.fromkeys(("row_key", "user_id", "url", "country"), TEXT),
        **dict.fromkeys(("city", "browser", "os", "device"), st.none() | TEXT),
        "timestamp": st.integers(0, 3 * BUCKET_MS),
        "session_end": st.none() | st.integers(0, 4_000_000_000_000),
        "time_spent": st.none() | st.floats(0, 1e6),
    }
)
CLICKS = st.lists(CLICK, min_size=1, max_size=12)


def table(clicks: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(clicks, CLICK_SCHEMA)


def same(click: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(click[name] for name in ("timestamp", "user_id", "url", "country", "row_key"))


@given(CLICKS)
def test_each_click_once_in_the_order_of_the_key(clicks) -> None:
    rows = keyed(table([*clicks, *clicks]))
    assert rows.num_rows == len({same(click) for click in clicks})
    found = rows.select(["bucket", "shard", "timestamp", "click_id"]).to_pylist()
    order = [tuple(each.values()) for each in found]
    assert order == sorted(order)
    assert all(each["bucket"] % BUCKET_MS == 0 and 0 <= each["shard"] < SHARDS for each in found)
    last = {same(click): click for click in clicks}
    assert sorted(map(str, rows.select(CLICK_SCHEMA.names).to_pylist())) == sorted(
        map(str, table(list(last.values())).to_pylist())
    )


@given(CLICK, CLICK)
def test_the_id_tells_clicks_apart_and_does_not_depend_on_others(one, other) -> None:
    first, second = click_ids(table([one, other]))
    assert (first == second) == (same(one) == same(other))
    assert click_ids(table([other])) == [second]
    assert len(first) == 16


def test_where_a_text_ends_matters() -> None:
    click = dict.fromkeys(CLICK_SCHEMA.names) | {"timestamp": 1, "row_key": "k", "country": "c"}
    ids = click_ids(table([click | {"user_id": "a\0", "url": "b"}, click | {"user_id": "a", "url": "\0b"}]))
    assert ids[0] != ids[1]


@given(CLICKS)
def test_sql_rows_come_back_as_they_were(clicks) -> None:
    rows = keyed(table(clicks))
    columns = to_columns(rows)
    assert len(columns) == len(CLICK_SCHEMA) + 1
    names = ["timestamp", *(name for name in CLICK_SCHEMA.names if name != "timestamp")]
    back = from_rows(zip(columns[0], *columns[2:], strict=True), names)
    assert back.select(CLICK_SCHEMA.names).equals(rows.select(CLICK_SCHEMA.names))


def test_every_field_of_a_click_is_in_one_family() -> None:
    assert sorted(name for names in FAMILIES.values() for name in names) == sorted(CLICK_SCHEMA.names)
