"""The PTransforms, each alone in a pipeline."""

import json

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.test_stream import TestStream as Stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import TimestampedValue
from oracle import as_oracle_rows, expected_rows, read_click

from clickstream.transforms import (
    AggregateByPage,
    BatchClicks,
    MeasureTimeSpent,
    ParseClicks,
    ParseOptions,
    RawBatch,
    TimeSpentPolicy,
)
from clickstream.transforms.arrow import ArrowTableCoder
from clickstream.transforms.schema import Span

START = 1_793_527_200  # a multiple of 300


def event(user: str, at: float, url: str = "https://a.example/", **fields) -> dict:
    return {"user_id": user, "timestamp": START + at, "url": url, "country": "India"} | fields


EVENTS = [event("u1", 0), event("u1", 5), event("u2", 299, time_spent=2.5), event("u3", 300, url="https://b.example/")]


def batch_pipeline() -> Pipeline:
    return Pipeline(runner="FnApiRunner")


def test_batch_clicks_takes_bytes_texts_and_dicts() -> None:
    events = [EVENTS[0], json.dumps(EVENTS[1]), json.dumps(EVENTS[2]).encode()]
    with batch_pipeline() as pipeline:
        batches = pipeline | beam.Create(events) | BatchClicks(batch_size=2)
        records = batches | beam.FlatMap(lambda batch: [json.loads(value) for value in batch.values])
        assert_that(records, equal_to(EVENTS[:3]))


def test_parse_clicks_has_named_outputs_and_counts_each_record_once() -> None:
    values = [json.dumps(EVENTS[0]).encode(), b"nope", json.dumps(event("u", -10_000)).encode()]
    batch = RawBatch(values, "kafka:clicks/0", [7, 8, 9], watermark=START * 1000, span=Span(7, 7, 10))
    pipeline = batch_pipeline()
    parsed = pipeline | beam.Create([batch]) | ParseClicks(ParseOptions(window_seconds=60))
    tables = {"clicks": parsed.clicks, "too_late": parsed.too_late, "rejected": parsed.rejected}
    for name, table in tables.items():
        assert_that(table | f"Rows{name}" >> beam.Map(lambda t: t.num_rows), equal_to([1]), label=name)
    assert_that(
        parsed.progress | beam.Map(lambda p: (p.source, p.needed_until)),
        equal_to([("kafka:clicks/0", (START + 60) * 1000)]),
    )
    result = pipeline.run()
    counters = {
        c.key.metric.name: c.result
        for c in result.metrics().query(MetricsFilter())["counters"]
        if c.key.metric.namespace.startswith("clickstream")
    }
    assert counters == {"records_read": 3, "clicks_accepted": 1, "clicks_too_late": 1, "invalid_json": 1}


@pytest.mark.parametrize(("shards", "batch_size"), [(1, 10_000), (3, 1), (8, 2)])
def test_events_to_rows_equal_the_oracle(shards, batch_size) -> None:
    with batch_pipeline() as pipeline:
        parsed = pipeline | beam.Create(EVENTS) | BatchClicks(batch_size=batch_size) | ParseClicks()
        rows = parsed.clicks | MeasureTimeSpent() | AggregateByPage(window_seconds=300, shards=shards)
        assert_that(rows, lambda tables: _check(tables))


def _check(tables: list[pa.Table]) -> None:
    clicks = [read_click(json.dumps(e).encode()) for e in EVENTS]
    assert as_oracle_rows(tables) == expected_rows([c for c in clicks if c], window_seconds=300)


def test_lateness_on_time_late_and_too_late() -> None:
    """A late click publishes its window again, whole; one behind the allowed lateness doesn't."""
    stream = (
        Stream()
        .advance_watermark_to(START)
        .add_elements([_clicks(event("u1", 10))])
        .advance_watermark_to(START + 300)
        .add_elements([_clicks(event("u2", 20))])
        .advance_watermark_to(START + 1000)
        .add_elements([_clicks(event("u3", 30))])
        .advance_watermark_to_infinity()
    )
    with Pipeline(options=PipelineOptions(streaming=True, allow_unsafe_triggers=True)) as pipeline:
        parsed = pipeline | stream | ParseClicks()
        rows = (
            parsed.clicks | MeasureTimeSpent(TimeSpentPolicy("fixed", 1)) | AggregateByPage(allowed_lateness_seconds=60)
        )
        counts = rows | beam.Map(
            lambda table: [(r["clicks"], r["unique_users"], r["version"]) for r in table.to_pylist()]
        )
        assert_that(counts, equal_to([[(1, 1, 2)], [(2, 2, 4)]]))


def _clicks(*events: dict) -> TimestampedValue:
    values = [json.dumps(e).encode() for e in events]
    return TimestampedValue(RawBatch(values, "stream", range(len(values))), min(e["timestamp"] for e in events))


def test_tables_survive_their_coder_and_have_no_other() -> None:
    table = pa.table({"a": pa.array([1, None, 3]), "b": ["x", "y", "z"]})
    coder = beam.coders.registry.get_coder(pa.Table)
    assert isinstance(coder, ArrowTableCoder)
    for part in (table, table.slice(1, 1), table.slice(0, 0), pa.concat_tables([table] * 3000)):
        assert coder.decode(coder.encode(part)).equals(part)


@pytest.mark.parametrize("options", [{"window_seconds": 0}, {"shards": 0}, {"allowed_lateness_seconds": -1}])
def test_wrong_options_are_refused_while_the_graph_is_built(options) -> None:
    with pytest.raises(ValueError, match="AggregateByPage"):
        AggregateByPage(**options)
