"""Parquet, Avro, CSV and TSV: their rows are the records that JSON of the same values would be."""

import csv
import gzip
import io
import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickstream.io.errors import UserError
from clickstream.io.logs import match_logs, read_logs
from clickstream.io.logs.table import read_table
from clickstream.transforms.schema import RawBatch

NOON = datetime(2026, 11, 1, 12, 0, 0, 123456, timezone.utc)
SCHEMA = {
    "type": "record",
    "name": "Click",
    "fields": [
        {"name": "user_id", "type": ["null", "string", "long"]},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "tags", "type": {"type": "map", "values": "int"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "raw", "type": "bytes"},
    ],
}


def records(path: Path, container: str = "auto") -> list[dict[str, Any]]:
    return [json.loads(value) for batch in read_logs(match_logs(str(path), container)) for value in batch.values]


def row(number: int) -> dict[str, Any]:
    return {
        "user_id": None if number == 1 else f"ü{number}" if number % 2 else 2**62 + number,
        "timestamp": NOON + timedelta(seconds=number),
        "tags": {"a": number},
        "price": Decimal("1.50"),
        "raw": b"\xff" if number == 2 else b"ok",
    }


def as_json(number: int) -> dict[str, Any]:
    return row(number) | {
        "timestamp": row(number)["timestamp"].isoformat(),
        "price": "1.50",
        "raw": None if number == 2 else "ok",
    }


def write_avro(path: Path, numbers: range, **more: Any) -> Path:
    with path.open("wb") as file:
        fastavro.writer(file, SCHEMA, map(row, numbers), sync_interval=1000, **more)
    return path


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard"])
def test_avro_whatever_it_is_called(tmp_path, codec) -> None:
    path = write_avro(tmp_path / "clicks.log", range(300), codec=codec)
    assert records(path) == [as_json(number) for number in range(300)]
    positions = np.concatenate([batch.positions for batch in read_logs(match_logs(str(path)), 1000)])
    assert positions.tolist() == list(range(300))


def test_an_avro_row_that_does_not_decode_costs_its_block(tmp_path) -> None:
    path = write_avro(tmp_path / "clicks.avro", range(300))
    stored = path.read_bytes()
    text = "ü41".encode()
    path.write_bytes(stored.replace(text, b"\xff" * len(text)))
    batches = list(read_logs(match_logs(str(path))))
    values = [value for batch in batches for value in batch.values]
    ((number, reason, detail),) = [each for batch in batches for each in batch.undecoded]
    assert (reason, values[number][:5]) == ("invalid_avro", b"\x02\x08\xff\xff\xff")
    good = [json.loads(value) for n, value in enumerate(values) if n != number]
    lost = int(detail.rpartition(" ")[2])
    assert 0 < lost < 40
    assert good == [as_json(n) for n in range(300) if not 41 <= n < 41 + lost]


def test_a_cut_off_avro_file_is_told(tmp_path) -> None:
    path = write_avro(tmp_path / "clicks.avro", range(300))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"clicks\.avro can't be read to its end"):
        records(path)


def test_parquet_of_nearly_all_types_in_row_groups(tmp_path) -> None:
    kinds = {
        "zoned": (pa.timestamp("us", "Europe/Berlin"), NOON, "2026-11-01T12:00:00.123456Z"),
        "naive": (pa.timestamp("ms"), NOON.replace(tzinfo=None), "2026-11-01T12:00:00.123"),
        "day": (pa.date32(), date(2026, 11, 1), "2026-11-01"),
        "long": (pa.int64(), 2**63 - 1, 2**63 - 1),
        "unsigned": (pa.uint64(), 2**64 - 1, 2**64 - 1),
        "price": (pa.decimal128(30, 2), Decimal("12345678901234567890.50"), "12345678901234567890.50"),
        "word": (pa.dictionary(pa.int8(), pa.string()), 'a"\n\u2028é', 'a"\n\u2028é'),
        "bytes": (pa.binary(), b"\xff", None),
        "text": (pa.large_binary(), "é".encode(), "é"),
        "not a number": (pa.float64(), float("nan"), None),
        "yes": (pa.bool_(), True, True),
        "map": (
            pa.map_(pa.string(), pa.timestamp("ms", "UTC")),
            [("k", NOON)],
            [{"key": "k", "value": "2026-11-01T12:00:00.123Z"}],
        ),
        "nested": (
            pa.list_(pa.struct([("key", pa.string()), ("day", pa.date32())])),
            [{"key": "a", "day": date(2026, 1, 2)}, None],
            [{"key": "a", "day": "2026-01-02"}, None],
        ),
    }
    schema = pa.schema([(name, kind) for name, (kind, _, _) in kinds.items()])
    full = {name: value for name, (_, value, _) in kinds.items()}
    rows = [full if number % 3 else dict.fromkeys(full) for number in range(50)]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "clicks", row_group_size=20)
    right = {name: value for name, (_, _, value) in kinds.items()}
    assert records(tmp_path / "clicks") == [right if number % 3 else dict.fromkeys(right) for number in range(50)]
    assert [batch.positions[0] for batch in read_logs(match_logs(str(tmp_path / "clicks")))] == [0, 20, 40]


def test_a_damaged_parquet_file_is_told(tmp_path) -> None:
    path = tmp_path / "clicks.parquet"
    path.write_bytes(b"PAR1 and no footer")
    with pytest.raises(UserError, match=r"clicks\.parquet can't be read to its end") as told:
        records(path)
    assert "\n" not in str(told.value)


CELLS = st.text(st.sampled_from('ab;,"\té\r\n {'), max_size=6)
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=12))


def batches_of(text: bytes, size: int) -> list[RawBatch]:
    """As `read_split` gives them: a few lines at a time."""
    lines = text.removesuffix(b"\n").split(b"\n") if text else []
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)])
    return [RawBatch(lines[n : n + size], "t.csv", starts[n : n + size]) for n in range(0, len(lines), size)]


@settings(max_examples=150, deadline=None)
@given(TABLES, st.sampled_from([",", "\t", ";"]), st.sampled_from(["\n", "\r\n"]), st.integers(1, 5))
def test_tables_are_read_as_they_were_written(rows, separator, line_end, size) -> None:
    names = tuple(f"n{number}" for number in range(len(rows[0]) if rows else 1))
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=separator, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([names, *rows])
    text = written.getvalue().encode()
    found = list(read_table(batches_of(text, size), separator, names, headed=True))
    assert [tuple(json.loads(value).values()) for batch in found for value in batch.values] == list(map(tuple, rows))
    assert not any(batch.undecoded for batch in found)
    for batch in found:
        start, stored = int(batch.positions[-1]), batch.last_stored
        assert text[start : start + len(stored)] == stored


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60).map(lambda junk: bytes(b'a,b"\n\xff\r'[each % 7] for each in junk)), st.integers(1, 5))
def test_of_any_bytes_a_line_is_in_one_row_at_most_and_none_is_lost(junk, size) -> None:
    found = list(read_table(batches_of(junk, size), ",", ("a", "b"), headed=False))
    positions = [int(position) for batch in found for position in batch.positions]
    assert positions == sorted(set(positions))
    for batch in found:
        bad = {number for number, _, _ in batch.undecoded}
        assert all(number in bad or set(json.loads(value)) == {"a", "b"} for number, value in enumerate(batch.values))
    whole = list(read_table(batches_of(junk, 1000), ",", ("a", "b"), headed=False))
    assert [v for batch in found for v in batch.values] == [v for batch in whole for v in batch.values]


def test_a_broken_row_is_refused_alone(tmp_path) -> None:
    path = tmp_path / "clicks.csv"
    lines = ["\ufeffuser_id,url", 'a,"x\ny"', "b", 'c,"never closed', "d,e,f", 'g,"h"i', "", "j,k"]
    path.write_bytes("\r\n".join(lines).encode() + b"\r\n\xff,l\r\nm,n")
    batch, last = read_logs(match_logs(str(path)))
    good = {"a": "x\ny", "j": "k", "m": "n"}
    bad = {number: reason for number, reason, _ in batch.undecoded}
    assert bad == {1: "invalid_line", 2: "invalid_line", 3: "invalid_line", 4: "invalid_line", 6: "invalid_utf8"}
    read = [json.loads(value) for number, value in enumerate(batch.values) if number not in bad]
    read += [json.loads(value) for value in last.values]  # it has no line end yet
    assert {each["user_id"]: each["url"] for each in read} == good
    assert [batch.values[number].rstrip(b"\r") for number in bad] == [
        b"b",
        b'c,"never closed',
        b"d,e,f",
        b'g,"h"i',
        b"\xff,l",
    ]


def test_tables_are_known_by_option_by_name_or_not_at_all(tmp_path) -> None:
    (tmp_path / "a.tsv").write_text("u\tv\n1\t2\n")
    (tmp_path / "b.txt").write_text("u;v\n1;2\n")
    (tmp_path / "c.csv").write_text('{"u":"1","v":"2"}\n')
    assert records(tmp_path / "a.tsv") == records(tmp_path / "b.txt", "csv") == records(tmp_path / "c.csv")
    assert [batch.values[0] for batch in read_logs(match_logs(str(tmp_path / "a.tsv"), "lines"))] == [b"u\tv"]


@pytest.mark.parametrize(
    ("text", "says"), [("a,b,a\n1,2,3\n", "two columns of the name 'a'"), ("\n1\n", "has no header")]
)
def test_a_table_without_a_sound_header_is_refused(tmp_path, text, says) -> None:
    (tmp_path / "clicks.csv").write_text(text)
    with pytest.raises(UserError, match=says):
        match_logs(str(tmp_path / "clicks.csv"))


def test_a_packed_container_is_refused_with_the_cure(tmp_path) -> None:
    (tmp_path / "clicks.gz").write_bytes(gzip.compress(b"PAR1\x15"))
    with pytest.raises(UserError, match="a Parquet file, and packed once more: unpack it"):
        match_logs(str(tmp_path / "clicks.gz"))
