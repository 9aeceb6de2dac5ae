"""Dead letters in SQLite: written, read back and deleted."""

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from rows import START
from sqlite_rows import ask, rejected_of

from clickstream.io import sql
from clickstream.io.errors import UserError
from clickstream.io.results import read_rejections
from clickstream.io.sql import dead_letters, tables
from clickstream.transforms.schema import REJECTED_SCHEMA


def store(connection, rejected):
    columns = tables.dead_letter_columns(rejected, code_version="1", rejected_at=START)
    writer = sql.dead_letters_writer(connection)
    assert writer.write(columns) == []
    writer.close()


def test_dead_letters_are_read_back_in_pages(connection):
    raw = bytes(range(256)) * 4
    store(connection, rejected_of(25, raw))
    for page_rows, page_bytes, most in ((10, 1 << 20, 10), (1000, 3000, 2), (1000, 1, 1), (1000, 1 << 20, 25)):
        pages = list(sql.read_dead_letters(connection, page_rows=page_rows, page_bytes=page_bytes))
        assert max(page.num_rows for page in pages) == most
        whole = pa.concat_tables(pages)
        assert whole.schema == sql.DEAD_LETTER_SCHEMA
        assert sorted(whole["position"].to_pylist()) == list(range(25))
        assert set(whole["raw"].to_pylist()) == {raw}
        assert whole["record_timestamp"].to_pylist() == [START] * 25


def test_an_unknown_time_of_a_dead_letter_is_null(connection):
    store(
        connection, rejected_of(2).set_column(2, REJECTED_SCHEMA.field(2), pa.nulls(2, REJECTED_SCHEMA.field(2).type))
    )
    assert ask(connection, "SELECT DISTINCT record_timestamp FROM dead_letters") == [(None,)]


def test_dead_letters_are_deleted_while_they_are_read(connection):
    store(connection, rejected_of(1200))
    read = 0
    for page in sql.read_dead_letters(connection, page_rows=700):
        keys = page["dead_letter_id"].to_pylist()
        assert sql.delete_dead_letters(connection, keys) == page.num_rows
        assert sql.delete_dead_letters(connection, keys) == 0
        read += page.num_rows
    assert read == 1200
    assert list(sql.read_dead_letters(connection)) == []


def test_dead_letters_as_a_collection(connection):
    store(connection, rejected_of(5))
    with Pipeline(options=PipelineOptions([])) as pipeline:
        positions = (
            pipeline | sql.ReadDeadLettersFromSql(connection) | beam.FlatMap(lambda t: t["position"].to_pylist())
        )
        assert_that(positions, equal_to(list(range(5))))


def test_a_refused_dead_letter_is_an_error(connection, monkeypatch):
    monkeypatch.setattr(tables, "dead_letter_columns", lambda *_, **__: [[b"k" * 16], [None], *[[1]] * 7])
    write = dead_letters._WriteDeadLetters(connection, 10, 0, "dead_letters")
    write.setup()
    with pytest.raises(
        UserError, match=r"1 dead letters refused, the first with NOT NULL constraint failed: dead_letters\.source"
    ):
        write.write(rejected_of(1))
    write.teardown()


def test_rejections_are_told_by_reason_and_of_fields_by_field(connection):
    kinds = [
        ("missing_field", "page.path: missing"),
        ("missing_field", "userId: missing"),
        ("missing_field", "page.path: missing"),
        ("invalid_json", "at byte 7"),
        ("invalid_json", "at byte 8"),
        ("invalid_json", "at byte 9"),
    ]
    letters = rejected_of(len(kinds))
    for number, name in enumerate(("reason", "detail")):
        at = letters.column_names.index(name)
        letters = letters.set_column(at, REJECTED_SCHEMA.field(name), pa.array([kind[number] for kind in kinds]))
    store(connection, letters)
    found = [(each.reason, each.records, each.detail) for each in read_rejections(connection)]
    assert found[1:] == [("missing_field", 2, "page.path: missing"), ("missing_field", 1, "userId: missing")]
    assert found[0][:2] == ("invalid_json", 3)
