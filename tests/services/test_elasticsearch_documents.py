"""Any dicts in front of a real Elasticsearch: keys, versions, refusals, and a bundle that is sent again."""

import json
import urllib.request
import uuid

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from clickstream.io.elasticsearch import ElasticsearchConnection, WriteDocumentsToElasticsearch


def ask(address: str, method: str, path: str, body: object = None) -> dict:
    """Plain HTTP, so that what is stored is not seen through the code under test."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(f"{address}/{path}", data, {"content-type": "application/json"}, method=method)  # noqa: S310
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - the tests' own server
        return json.loads(answer.read())


@pytest.fixture
def index(elasticsearch):
    name = f"documents-{uuid.uuid4().hex}"
    ask(
        elasticsearch.address, "PUT", name, {"mappings": {"properties": {"n": {"type": "long"}, "v": {"type": "long"}}}}
    )
    yield name
    ask(elasticsearch.address, "DELETE", name)


def stored(address: str, index: str) -> list[dict]:
    ask(address, "POST", f"{index}/_refresh")
    found = ask(address, "POST", f"{index}/_search", {"size": 5_000, "sort": ["n"]})
    return [hit["_source"] for hit in found["hits"]["hits"]]


def write(address: str, index: str, documents: list, written: list, rejected: list = (), **options: object) -> None:
    with Pipeline() as pipeline:
        dated = (
            pipeline | beam.Create([*enumerate(documents)]) | beam.MapTuple(lambda n, found: TimestampedValue(found, n))
        )
        sink = WriteDocumentsToElasticsearch(ElasticsearchConnection(address), index, **options)
        found = dated | beam.WindowInto(FixedWindows(60)) | sink
        counts = found.written | beam.Map(lambda n, window=beam.DoFn.WindowParam: (int(window.start), n))
        assert_that(counts | beam.CombinePerKey(sum), equal_to(written), label="written")
        details = found.rejected | beam.FlatMap(
            lambda table: zip(table["detail"].to_pylist(), table["raw"].to_pylist(), strict=True)
        )
        assert_that(details, equal_to([*rejected]), label="rejected")


def test_each_is_stored_once_however_often_it_is_written(elasticsearch, index) -> None:
    documents = [{"n": number, "text": "x" * 50} for number in range(2_500)]
    windows = [(start, min(60, 2_500 - start)) for start in range(0, 2_500, 60)]
    for limits in ({}, {"max_bytes": 10_000, "max_actions": 70}):
        write(elasticsearch.address, index, documents, windows, key=["n"], **limits)
    assert stored(elasticsearch.address, index) == documents


def test_a_lesser_version_never_replaces_a_greater(elasticsearch, index) -> None:
    for version, text in ((2, "second"), (1, "stale"), (2, "equal")):
        write(elasticsearch.address, index, [{"n": 1, "v": version, "text": text}], [(0, 1)], key=["n"], version="v")
    assert stored(elasticsearch.address, index) == [{"n": 1, "v": 2, "text": "equal"}]


def test_what_is_refused_by_us_or_by_the_server_is_rejected_and_the_others_stand(elasticsearch, index) -> None:
    documents = [{"n": 1}, {"n": "no number"}, ["no dict"], {"n": 2}]
    refused = [
        ("400 document_parsing_exception, illegal_argument_exception (field n)", b'{"n":"no number"}'),
        ("no dict, but list", b"['no dict']"),
    ]
    write(elasticsearch.address, index, documents, [(0, 2)], refused)
    assert stored(elasticsearch.address, index) == [{"n": 1}, {"n": 2}]
