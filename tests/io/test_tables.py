"""Keys and rows of the SQL tables, against the plainest way to make them."""

import hashlib
import json
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickstream.io import tables
from clickstream.io.errors import UserError
from clickstream.transforms.schema import PAGE_METRICS_SCHEMA, REJECTED_SCHEMA

START = datetime(2026, 11, 1, tzinfo=timezone.utc)
NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=timezone.utc)


def metric(window=0, url="https://a.example/", country="India", version=1, **other):
    start = START + timedelta(minutes=5 * window)
    numbers = {
        "clicks": version,
        "unique_users": 1,
        "time_spent_seconds": 1.5,
        "timed_clicks": 1,
        "avg_time_spent": 1.5,
    }
    key = {"window_start": start, "window_end": start + timedelta(minutes=5), "url": url, "country": country}
    return key | numbers | {"version": version} | other


def table_of(rows):
    return pa.Table.from_pylist(rows, PAGE_METRICS_SCHEMA)


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
    url=st.sampled_from(["https://a.example/", "https://b.example/ü", "https://c.example/😀"]),
    country=st.sampled_from(["India", "india", "Åland", "日本"]),
    version=st.integers(1, 5),
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


def test_unknown_time_stays_null():
    assert tables.metric_rows(table_of([metric(avg_time_spent=None)]))[0][9] is None


def test_hashes_are_remembered_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(tables, "_CACHED_URLS", 3)
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
    row = tables.metric_rows(table_of([metric(url='https://a.example/"')]))[0]
    found = json.loads(tables.row_json(row))
    assert found["url"] == 'https://a.example/"'
    assert found["url_hash"] == row[2].hex()
    assert found["window_start"] == "2026-11-01 00:00:00"


def test_literals_of_mysql():
    columns = [["it's", 'back\\slash "'], [b"\x00\xff", b""], [1.5, float("inf")], [None, -7], [None, None]]
    assert tables.mysql_literals(columns) == [
        r"('it\'s',X'00ff',1.5,NULL,NULL)",
        "('back\\\\\\\\slash \\\\\"',X'',1e999,-7,NULL)".replace("\\\\", "\\"),
    ]


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
