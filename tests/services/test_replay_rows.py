"""Rows that a store refused are written by `replay-dead-letters` once they fit, into the store that lacks them."""

import json
import urllib.request
from datetime import datetime, timezone

import pytest
from rows import PAGE, document, metric, table_of

from clickstream.io.elasticsearch import ElasticsearchConnection, setup_elasticsearch
from clickstream.io.elasticsearch.bundle import rejection
from clickstream.io.sql import (
    connect_by_url,
    dead_letters_writer,
    metrics_writer,
    read_dead_letters,
    setup_mysql,
    tables,
)
from clickstream.io.sql.bundle import rejected_table
from clickstream.io.sql.writer import Refused
from clickstream.pipeline.__main__ import main


@pytest.fixture
def database(mariadb, monkeypatch):
    monkeypatch.setenv("REPLAY_PASSWORD", mariadb.password)
    found = connect_by_url(mariadb.url(mariadb.create_database()), password="env:REPLAY_PASSWORD")
    setup_mysql(found)
    return found


def refuse(database, table) -> None:
    """Puts rejected rows where a job would."""
    columns = tables.dead_letter_columns(table, code_version="0", rejected_at=datetime.now(timezone.utc))
    writer = dead_letters_writer(database)
    assert writer.write(columns) == []
    writer.close()


def rows_of(database):
    return [Refused(row, "1406 DATA_TOO_LONG") for row in tables.metric_rows(table_of(database))]


def left(database) -> int:
    return sum(page.num_rows for page in read_dead_letters(database))


def replay(database, mariadb, capsys, *more) -> str:
    where = [f"--mysql={mariadb.url(database.database)}", "--mysql_password=env:REPLAY_PASSWORD"]
    assert main(["replay-dead-letters", *where, *more]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def test_rows_go_into_the_table_that_lacks_them_and_a_later_version_stands(mariadb, database, capsys) -> None:
    writer = metrics_writer(database)
    writer.write(tables.metric_columns(table_of([metric(0, 1, version=9)])))
    writer.close()
    refused = [metric(0, 1, version=3), metric(0, 2, version=3), metric(0, PAGE + "é😀'\"\\", country="Åland")]
    too_long = metric(0, 3, country="x" * 129)
    refuse(database, rejected_table(database, rows_of([*refused, too_long])))
    assert replay(database, mariadb, capsys) == "Refused rows now written: 3; 1 still refused by their store\n"
    with mariadb.connect(database.database) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT url, country, version FROM page_metrics")
        found = sorted(cursor.fetchall())
    expected = [(f"{PAGE}1", "India", 9), *((row["url"], row["country"], row["version"]) for row in refused[1:])]
    assert found == sorted(expected)
    assert left(database) == 1
    assert replay(database, mariadb, capsys) == "Refused rows now written: 0; 1 still refused by their store\n"


def ask(address, method, path):
    asked = urllib.request.Request(f"{address}/{path}", method=method)  # noqa: S310 (the tests' own server)
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
        return json.loads(answer.read())


def test_documents_go_into_their_index_under_their_ids(mariadb, database, elasticsearch, capsys) -> None:
    index, rows = database.database, [metric(0, n, version=5) for n in range(3)]
    setup_elasticsearch(ElasticsearchConnection(elasticsearch.address).connect(), index)
    documents = [(json.dumps(document(row)).encode(), "400 document_parsing_exception") for row in rows]
    refuse(database, rejection(documents, index, 0, None).value.value)
    assert replay(database, mariadb, capsys) == "Refused rows now written: 0; 3 of a store that isn't named\n"
    where = [f"--elasticsearch={elasticsearch.address}", f"--elasticsearch_index={index}"]
    for _ in range(2):  # the second time there are none
        said = replay(database, mariadb, capsys, *where)
    assert (said, left(database)) == ("", 0)
    ask(elasticsearch.address, "POST", f"{index}/_refresh")
    hits = ask(elasticsearch.address, "GET", f"{index}/_search")["hits"]["hits"]
    stored = sorted((hit["_source"] for hit in hits), key=lambda found: found["url"])
    assert stored == [document(row) for row in rows]


def test_without_a_topic_records_stay_and_what_is_missing_is_said(mariadb, database, capsys) -> None:
    record = rejected_table(database, rows_of([metric()])).to_pylist()[0] | {"source": "kafka:clicks/0", "position": 7}
    table = rejected_table(database, rows_of([metric()]))
    refuse(database, type(table).from_pylist([record], table.schema))
    where = [f"--mysql={mariadb.url(database.database)}", "--mysql_password=env:REPLAY_PASSWORD"]
    assert main(["replay-dead-letters", *where]) == 2
    assert "--bootstrap_servers or --topic is missing" in capsys.readouterr().err
    assert left(database) == 1
