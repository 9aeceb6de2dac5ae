"""The steps in a pipeline of YAML: any rows parsed, errors where they are wished for, and an end in one line where they aren't."""

import json
import sqlite3
from typing import Any

import apache_beam as beam
import pytest
import yaml
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.yaml import yaml_transform
from apache_beam.yaml.yaml_provider import load_providers, merge_providers, standard_providers
from rows import metric, table_of

from clickstream.io.errors import user_error_in
from clickstream.pipeline.beam_yaml import PROVIDERS, ParseClicks, WriteToSql
from clickstream.pipeline.beam_yaml.layouts import MetricRows, RawRows
from clickstream.pipeline.beam_yaml.rows import ToRows
from clickstream.transforms import RawBatch

CLICK = {
    "user_id": "u",
    "timestamp": "2026-11-01T00:00:01Z",
    "url": "https://A.example/?utm_source=x",
    "country": "India",
}
PARSED = ("u", "2026-11-01T00:00:01.000Z", "https://a.example/", "India")


def transform(*steps: dict) -> yaml_transform.YamlTransform:
    """A chain, or what lies before errors: the last step's output is given."""
    spec = yaml.safe_dump(
        {"type": "composite", "transforms": [*steps], "output": {"out": steps[-1].pop("gives", steps[-1]["type"])}}
    )
    return yaml_transform.YamlTransform(
        spec, providers=merge_providers(load_providers(str(PROVIDERS)), standard_providers())
    )


def created(*elements: object) -> dict:
    return {"type": "Create", "config": {"elements": [*elements]}}


def parse(**config: object) -> dict:
    return {"type": "ParseClicks", "input": "Create", "config": config}


def key(row: Any) -> tuple:
    return row.user_id, row.timestamp, row.url, row.country


@pytest.mark.parametrize(
    "event",
    [CLICK, {"line": json.dumps(CLICK)}, {"payload": json.dumps(CLICK), "source": "s", "position": 3}],
    ids=["fields", "a line", "a payload"],
)
def test_rows_of_other_steps_are_parsed(event) -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        clicks = pipeline | transform(created(event), parse())
        assert_that(clicks | beam.Map(key), equal_to([PARSED]))


def test_errors_are_rows_with_the_record_and_the_reason() -> None:
    refused = parse(error_handling={"output": "bad"}) | {"gives": "ParseClicks.bad"}
    with beam.Pipeline("FnApiRunner") as pipeline:
        errors = pipeline | transform(created({"line": "nonsense"}, {"line": json.dumps(CLICK)}), refused)
        found = errors | beam.Map(lambda row: (row.element.payload, row.reason, row.msg.split(":")[0]))
        assert_that(found, equal_to([("nonsense", "invalid_json", "invalid_json")]))


def test_without_error_handling_the_first_refusal_ends_the_job_in_one_line() -> None:
    with pytest.raises(Exception, match="ParseClicks refuses") as raised, beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | transform(created({"line": "nonsense"}), parse())
    assert str(user_error_in(raised.value)).startswith(
        "ParseClicks refuses 1 records (invalid_json): to go on without them"
    )


def test_errors_without_their_reasons_can_be_parsed_again_whatever_their_bytes() -> None:
    batch = RawBatch([b"\xff", b"base64:", b"plain"], "s", range(3))
    with beam.Pipeline("FnApiRunner") as pipeline:
        rows = pipeline | beam.Create([0]) | beam.Map(lambda _: batch) | ToRows(RawRows)
        first = rows | ParseClicks(error_handling={"output": "bad"})
        once = (
            first["bad"]
            | standard_providers()["StripErrorMetadata"][0].create_transform("StripErrorMetadata", {}, None)
            | "Again" >> ParseClicks(error_handling={"output": "bad"})
        )
        payloads = once["bad"] | beam.Map(lambda row: (row.element.payload, row.element.position))
        assert_that(payloads, equal_to([("base64:/w==", 0), ("base64:YmFzZTY0Og==", 1), ("plain", 2)]))


@pytest.mark.parametrize("said", [{}, {"output": "good"}, {"output": "bad", "tag": "x"}])
def test_an_error_handling_that_cant_be_is_told(said) -> None:
    with pytest.raises(ValueError, match=r"write \{output: NAME\}"):
        ParseClicks(error_handling=said)


def test_what_a_database_refuses_is_an_error_and_the_rest_is_written(tmp_path) -> None:
    table = table_of([metric(0, 0), metric(0, 1, country="India ")])
    with beam.Pipeline("FnApiRunner") as pipeline:
        rows = pipeline | beam.Create([0]) | beam.Map(lambda _: table) | ToRows(MetricRows)
        outputs = rows | WriteToSql(f"sqlite:{tmp_path / 'db'}", error_handling={"output": "bad"})
        errors = outputs["bad"] | beam.Map(lambda row: (row.reason, row.element.position))
        assert_that(errors, equal_to([("sink_refused", -1)]))
    with sqlite3.connect(tmp_path / "db") as database:
        assert database.execute("SELECT country FROM page_metrics").fetchall() == [("India",)]
