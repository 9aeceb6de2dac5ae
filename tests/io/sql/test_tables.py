"""Keys and rows of the SQL tables, against the plainest way to make them."""

import hashlib
import json
import math
from datetime import datetime, timezone

import pyarrow as pa
import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import MAX_THETA, NULLABLE, UNMEASURED, metric, sketch, table_of
from sqlalchemy.dialects import mysql

from clickstream.io.errors import UserError
from clickstream.io.sql import tables
from clickstream.transforms import memo
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA, REJECTED_SCHEMA

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=timezone.utc)


def rejected(source="clicks.ndjson", position=0, raw=b"{", **other):
    row = {
        "source": source,
        "position": position,
        "record_timestamp": None,
        "reason": "invalid_json",
        "detail": "no end",
        "raw": raw,
    }
    return row | other


def text(moment):
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def expected_row(row):
    digest = hashlib.sha256(row["url"].encode()).digest()[:16]
    cells = row | {"window_start": text(row["window_start"]), "window_end": text(row["window_end"]), "url_hash": digest}
    return tuple(cells[name] for name in tables.METRICS_COLUMNS)


rows = st.builds(
    metric,
    window=st.integers(-2, 2),
    page=st.sampled_from(["https://a.example/", "https://b.example/ü", "https://c.example/😀"]),
    country=st.sampled_from(["India", "india", "Åland", "日本"]),
    version=st.integers(1, 5),
    sessions=st.none() | st.integers(0, 9),
    p90_time_spent=st.none() | st.floats(0, 1e6),
    users_theta=st.none() | st.integers(1, MAX_THETA),
    users_sketch=st.none() | st.sets(st.integers(0, MAX_THETA - 1), max_size=3).map(sketch),
)


@given(st.lists(rows, min_size=1, max_size=30), st.integers(1, 7))
def test_rows_are_sorted_by_key_and_of_each_key_the_fullest(given_rows, chunk):
    parts = [table_of(given_rows[i : i + chunk]) for i in range(0, len(given_rows), chunk)]
    best = {}
    for row in map(expected_row, given_rows):
        key = (row[0], row[2], row[4])
        if key not in best or row[-1] >= best[key][-1]:
            best[key] = row
    assert tables.metric_rows(pa.concat_tables(parts)) == [best[key] for key in sorted(best)]


def test_no_rows_make_no_rows():
    assert tables.metric_columns(table_of([])) == [[]] * len(tables.METRICS_COLUMNS)


def test_columns_are_those_of_the_table_in_its_order():
    assert tuple(column.name for column in tables.page_metrics_table().columns) == tables.METRICS_COLUMNS


def test_what_is_unknown_stays_null():
    row = dict(zip(tables.METRICS_COLUMNS, tables.metric_rows(table_of([metric(**UNMEASURED)]))[0], strict=True))
    assert [name for name, cell in row.items() if cell is None] == NULLABLE


def test_columns_are_those_of_a_result_row_in_its_order_with_the_hash_before_the_url():
    assert [name for name in tables.METRICS_COLUMNS if name != "url_hash"] == PAGE_METRICS_SCHEMA.names
    assert tables.METRICS_COLUMNS.index("url_hash") == tables.METRICS_COLUMNS.index("url") - 1


def test_a_column_may_be_null_where_the_result_row_may():
    assert [column.name for column in tables.page_metrics_table().columns if column.nullable] == NULLABLE


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("p90_time_spent", "DOUBLE"),
        ("sessions", "BIGINT"),
        ("users_theta", "BIGINT"),
        ("time_spent_histogram", "LONGTEXT CHARACTER SET ascii COLLATE ascii_bin"),
        ("users_sketch", "LONGTEXT CHARACTER SET ascii COLLATE ascii_bin"),
    ],
)
def test_types_in_mysql(name, kind):
    assert tables.page_metrics_table().c[name].type.compile(mysql.dialect()) == kind


def test_hashes_are_remembered_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(memo, "MOST", 3)
    hashes = tables.UrlHashes()
    urls = [f"https://a.example/{n}" for n in range(10)] + ["https://a.example/" + "x" * 8000]
    for url in urls * 2:
        assert hashes[url] == hashlib.sha256(url.encode()).digest()[:16]
    assert len(hashes) <= 3
    assert urls[-1] not in hashes


def test_a_country_that_ends_in_a_blank_is_set_apart():
    kept, apart = tables.split_unkeyable(table_of([metric(country=c) for c in ("India", "India ", " India", "In dia")]))
    assert kept["country"].to_pylist() == ["India", " India", "In dia"]
    assert apart["country"].to_pylist() == ["India "]


def test_a_row_as_json():
    row = tables.metric_rows(table_of([metric(page='https://a.example/"')]))[0]
    found = json.loads(tables.row_json(row))
    assert found["url"] == 'https://a.example/"'
    assert found["url_hash"] == row[2].hex()
    assert found["window_start"] == "2026-11-01 00:00:00"


def test_literals_of_mysql():
    columns = [["it's", 'back\\slash "'], [b"\x00\xff", b""], [1.5, float("inf")], [None, -7], [None, None]]
    assert tables.mysql_literals(columns) == [
        r"('it\'s',X'00ff',1.5,null,null)",
        r"""('back\\slash \"',X'',1e999,-7,null)""",
    ]


def naive_literal(cell):
    if cell is None:
        return "null"
    if isinstance(cell, bytes):
        return f"X'{cell.hex()}'"
    return pymysql.converters.escape_item(cell, "utf8mb4")


cells = [st.text(), st.text(st.sampled_from("a'\"\\\0\n")), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=4)]
filled = st.one_of([st.lists(st.none() | cell, min_size=1) for cell in cells])


@given(filled)
def test_any_column_has_the_literals_of_the_driver_but_for_quotes_in_plain_texts(column):
    found = [literal[1:-1] for literal in tables.mysql_literals([column])]
    assert [literal.replace('\\"', '"') for literal in found] == [
        naive_literal(cell).replace('\\"', '"') for cell in column
    ]


@given(st.lists(st.none() | st.floats(), min_size=1))
def test_numbers_are_written_exactly_and_those_that_are_none_never_as_null(column):
    for literal, cell in zip(tables.mysql_literals([column]), column, strict=True):
        if cell is None or not math.isfinite(cell):
            assert literal == ("(null)" if cell is None else "(1e999)")
        else:
            assert float(literal[1:-1]) == cell


def test_quotes_in_json_are_left_as_they_are():
    assert tables.mysql_literals([['{"values":[1.5]}', None]]) == ["""('{"values":[1.5]}')""", "(null)"]


sources = st.text(st.characters(codec="utf-8"), max_size=6)
records = st.tuples(sources, st.integers(-(2**63), 2**63 - 1), st.binary(max_size=20))


@given(records, records)
def test_only_the_same_record_has_the_same_key(one, other):
    keys = [tables.dead_letter_key(*record) for record in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)
    assert len(keys[0]) == 16


def test_the_key_is_framed():
    assert tables.dead_letter_key("a", 1, b"bc") != tables.dead_letter_key("ab", 1, b"c")


def test_dead_letters_once_each_with_their_exact_bytes():
    stamp = datetime(2026, 11, 1, 1, 2, 3, 4000, tzinfo=timezone.utc)
    raw = bytes(range(256))
    given_rows = [
        rejected(raw=raw, record_timestamp=stamp, detail="x" * 5000),
        rejected(position=1),
        rejected(position=1),
    ]
    columns = tables.dead_letter_columns(
        pa.Table.from_pylist(given_rows, REJECTED_SCHEMA), code_version="1.2", rejected_at=NOW
    )
    names = [column.name for column in tables.dead_letters_table().columns]
    found = sorted(
        (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)), key=lambda row: row["position"]
    )
    assert len(found) == 2
    assert found[0] == {
        "dead_letter_id": tables.dead_letter_key("clicks.ndjson", 0, raw),
        "source": "clicks.ndjson",
        "position": 0,
        "record_timestamp": "2026-11-01 01:02:03.004",
        "reason": "invalid_json",
        "detail": "x" * 2000,
        "raw": raw,
        "code_version": "1.2",
        "rejected_at": "2026-11-02 03:04:05",
    }
    assert found[1]["record_timestamp"] is None
    assert columns[0] == sorted(columns[0])


@pytest.mark.parametrize("name", ["", "1st", "a b", "a`b", "a;b", "ä", "x" * 49])
def test_names_that_are_refused(name):
    with pytest.raises(UserError, match="letters, digits and _"):
        tables.check_name(name)
