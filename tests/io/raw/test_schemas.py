"""What `sql/` shows of the raw store is what is created."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from clickstream.io.raw import clicks
from clickstream.io.raw.cassandra import rows as raw_cassandra_rows
from clickstream.io.raw.hbase import rows as raw_hbase_rows
from clickstream.io.raw.sql import rows

FOLDER = Path(__file__).parents[3] / "sql"
TABLE = "clickstream_data"


def bare(statement: str) -> str:
    """Without white space and table options, whose order is by chance."""
    return re.sub(r"\s+", "", statement.rpartition(")")[0])


def statements(name: str) -> list[str]:
    text = re.sub(r"^--.*$", "", (FOLDER / name).read_text(), flags=re.MULTILINE)
    return [bare(each) for each in text.split(";") if each.strip()]


def test_mysql():
    tables = rows.clicks_table(TABLE), rows.buckets_table(f"{TABLE}_buckets")
    created = [str(sa.schema.CreateTable(table).compile(dialect=mysql.dialect())) for table in tables]
    assert statements("raw_store.sql") == list(map(bare, created))
    assert "utf8mb4_bin" in created[0].rpartition(")")[2]


def test_cassandra():
    assert statements("raw_store.cql") == list(map(bare, raw_cassandra_rows.create_statements(TABLE)))


@pytest.mark.parametrize(
    ("table", "families"),
    [(TABLE, raw_hbase_rows.FAMILIES), (f"{TABLE}_buckets", [raw_hbase_rows.STATE])],
)
def test_hbase(table, families):
    [line] = re.findall(f"^create '{table}'(.*)$", (FOLDER / "raw_store.hbase").read_text(), re.MULTILINE)
    assert re.findall(r"NAME => '(\w+)', VERSIONS => 1", line) == [family.decode() for family in families]
    splits = re.findall(r"\\x(..)", line)
    assert splits == [f"{n:02X}" for n in range(1, clicks.SHARDS)] * (table == TABLE)
