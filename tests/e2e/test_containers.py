"""The job over Parquet, Avro, CSV and TSV: from files to rows, and what was read counts once."""

import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from e2e.test_batch import stored_rows
from oracle import expected_rows, read_click

from clickstream.pipeline.__main__ import main

NAMES = ("user_id", "timestamp", "url", "country")
CLICKS = [
    (f"user, {n % 7}", f"2026-11-01T10:{n // 60:02}:{n % 60:02}Z", f"https://a.example/{n % 3}", "India")
    for n in range(400)
]
AVRO = {"type": "record", "name": "Click", "fields": [{"name": name, "type": "string"} for name in NAMES]}


def objects(clicks: list[Any]) -> list[dict[str, str]]:
    return [dict(zip(NAMES, click, strict=True)) for click in clicks]


def table(clicks: list[Any], separator: str, *, header: bool = True) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows([NAMES, *clicks] if header else clicks)
    return text.getvalue()


def run(folder: Path, *options: str) -> int:
    return main([f"--input={folder}/in/*", f"--output_dir={folder}/out", "--time_spent=fixed:300", *options])


def assert_right(folder: Path, clicks: list[Any]) -> None:
    read = [read_click(json.dumps(each).encode()) for each in objects(clicks)]
    right = expected_rows([each for each in read if each], window_seconds=300, fixed_seconds=300.0)
    found = stored_rows(folder / "out/clickstream.db", "")
    assert {key: row._replace(version=0) for key, row in found.items()} == {
        key: row._replace(version=0) for key, row in right.items()
    }


def dead_letters(folder: Path) -> list[tuple[str, bytes]]:
    with sqlite3.connect(folder / "out/clickstream.db") as database:
        return database.execute("SELECT reason, raw FROM dead_letters").fetchall()


def test_rows_of_all_containers_together_and_a_second_time(tmp_path, capsys) -> None:
    logs = tmp_path / "in"
    logs.mkdir()
    pq.write_table(pa.Table.from_pylist(objects(CLICKS[:100])), logs / "a.parquet", row_group_size=40)
    with (logs / "b").open("wb") as file:
        fastavro.writer(file, AVRO, objects(CLICKS[100:200]), codec="snappy")
    (logs / "c.csv").write_text(table(CLICKS[200:260], ",") + "no click\r\n")
    (logs / "d.tsv").write_text(table(CLICKS[300:], "\t"))
    assert run(tmp_path) == 0
    assert_right(tmp_path, CLICKS[:260] + CLICKS[300:])
    assert dead_letters(tmp_path) == [("invalid_line", b"no click\r")]

    (logs / "a.parquet").rename(logs / "renamed")
    with (logs / "c.csv").open("a") as file:
        file.write(table(CLICKS[260:300], ",", header=False))
    capsys.readouterr()
    assert run(tmp_path) == 0
    assert "3 logs were read before" in capsys.readouterr().out
    assert_right(tmp_path, CLICKS)

    with (logs / "b").open("a+b") as file:
        fastavro.writer(file, AVRO, objects(CLICKS[:1]))
    assert run(tmp_path) == 2
    assert "has grown since: an Avro or Parquet file is read once" in capsys.readouterr().err


def test_a_format_of_lines_and_a_table_are_told_apart(tmp_path, capsys) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.Table.from_pylist(objects(CLICKS[:1])), tmp_path / "in/a.parquet")
    assert run(tmp_path, "--event_format=combined,base=https://a.example") == 2
    assert "is a table, whose rows are read as JSON" in capsys.readouterr().err
