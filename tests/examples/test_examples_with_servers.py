"""The examples that need a server, on a real one."""

import json
import urllib.request
import uuid

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to
from examples.loading import example

from tests.services.kafka_topic import PARTITIONS, send

MINUTE = 1_793_534_400


def test_kafka_counts(kafka, topic) -> None:
    times = [MINUTE * 1000 + 7_000 * number for number in range(40)]
    send(
        kafka,
        topic,
        [(number % PARTITIONS, json.dumps({"ts": time}).encode()) for number, time in enumerate(times)]
        + [(0, b"junk"), (1, b'{"ts": null}')],
    )
    expected: dict[tuple[str, int], int] = {}
    for number, time in enumerate(times):
        place = f"kafka:{topic}/{number % PARTITIONS}", time // 60_000 * 60
        expected[place] = expected.get(place, 0) + 1
    with beam.Pipeline("FnApiRunner") as pipeline:
        assert_that(
            example("kafka_counts").run(pipeline, kafka.address, topic),
            equal_to([(*place, count) for place, count in expected.items()]),
        )


def test_elasticsearch_documents(elasticsearch) -> None:
    index = f"parcels-{uuid.uuid4().hex}"
    with beam.Pipeline("FnApiRunner") as pipeline:
        left = example("elasticsearch_documents").run(pipeline, elasticsearch.address, index)
        assert_that(left, equal_to([("lacks seen", b"{'parcel': 'C3', 'where': 'nobody knows when'}")]))
    for path in (f"{index}/_refresh", f"{index}/_search"):
        with urllib.request.urlopen(f"{elasticsearch.address}/{path}", timeout=60) as answer:  # noqa: S310 - the tests' own server
            found = json.loads(answer.read())
    assert {hit["_source"]["parcel"]: hit["_source"]["where"] for hit in found["hits"]["hits"]} == {
        "A1": "Delhi",
        "B2": "Goa",
    }
