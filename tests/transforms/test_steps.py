"""The PTransforms, each alone in a pipeline."""

import json
import random

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.test_stream import TestStream as Stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.trigger import AfterCount, AfterWatermark
from apache_beam.transforms.window import SlidingWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp
from oracle import as_oracle_rows, recompute

from clickstream.transforms import (
    AggregateByPage,
    BatchClicks,
    MeasureTimeSpent,
    ParseClicks,
    ParseOptions,
    RawBatch,
    TimeSpentPolicy,
)
from clickstream.transforms.aggregate import page_sums
from clickstream.transforms.aggregate.step import _SpreadWindows
from clickstream.transforms.arrow import ArrowTableCoder
from clickstream.transforms.parse.clicks import parse_clicks
from clickstream.transforms.parse.events import to_record
from clickstream.transforms.schema import Span

START = 1_793_527_200  # a multiple of 300
REPORTED = TimeSpentPolicy("reported")


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


def test_batch_clicks_fills_batches_within_a_bundle_and_loses_none() -> None:
    with batch_pipeline() as pipeline:
        batches = pipeline | beam.Create([f"{n}" for n in range(25)]) | BatchClicks(batch_size=10, source="web")
        assert_that(batches | beam.FlatMap(lambda b: b.values), equal_to([b"%d" % n for n in range(25)]))
        shapes = batches | "Shape" >> beam.Map(lambda b: (b.source, len(b.values) <= 10, list(b.positions)[-1] + 1))
        in_shape = shapes | beam.Map(lambda s: s[:2] == ("web", True)) | beam.Distinct()
        assert_that(in_shape, equal_to([True]), label="shapes")


@pytest.mark.parametrize("runner", ["FnApiRunner", "BundleBasedDirectRunner"])
def test_batch_clicks_takes_events_from_any_windows(runner) -> None:
    with Pipeline(runner=runner) as pipeline:
        events = pipeline | beam.Create(EVENTS) | beam.Map(lambda e: TimestampedValue(e, e["timestamp"]))
        parsed = events | beam.WindowInto(SlidingWindows(60, 60)) | BatchClicks() | ParseClicks()
        assert_that(parsed.clicks | MeasureTimeSpent(REPORTED) | AggregateByPage(), lambda tables: _check(tables))


def test_a_text_with_half_a_character_becomes_a_rejected_record() -> None:
    """A pipeline that raised there would try it again for ever."""
    values = [to_record(half) for half in ('{"user_id": "\ud800"}', {"user_id": "\ud800"})]
    parsed = parse_clicks(RawBatch(values, "s", range(2)), ParseOptions(), now_ms=0)
    assert parsed.rejected["reason"].to_pylist() == ["invalid_utf8", "invalid_json"]


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
    counters = _counters(result)
    assert counters == {"records_read": 3, "clicks_accepted": 1, "clicks_too_late": 1, "invalid_json": 1}


def _counters(result) -> dict[str, int]:
    return {
        c.key.metric.name: c.result
        for c in result.metrics().query(MetricsFilter())["counters"]
        if c.key.metric.namespace.startswith("clickstream")
    }


def test_counters_add_up_over_batches_and_tell_each_reason() -> None:
    """Read is accepted plus rejected plus too late."""
    good, bad = json.dumps(EVENTS[0]).encode(), json.dumps(event("", 0)).encode()
    late = json.dumps(event("u", -10_000)).encode()
    values = [[good] * 3 + [b"", b"[]"], [bad, bad, good, late], [b"[]"], []]
    batches = [RawBatch(v, "s", range(len(v)), watermark=START * 1000) for v in values]
    pipeline = batch_pipeline()
    parsed = pipeline | beam.Create(batches) | ParseClicks()
    letters = parsed.rejected | beam.FlatMap(
        lambda t: zip(t["position"].to_pylist(), t["raw"].to_pylist(), strict=True)
    )
    assert_that(letters, equal_to([(3, b""), (4, b"[]"), (0, bad), (1, bad), (0, b"[]")]))
    assert_that(parsed.progress, equal_to([]), label="no spans, no progress")
    counters = _counters(pipeline.run())
    assert counters == {
        "records_read": 10,
        "clicks_accepted": 4,
        "clicks_too_late": 1,
        "empty_record": 1,
        "wrong_type": 2,
        "empty_user_id": 2,
    }


def test_measure_time_spent_adds_its_column_and_changes_no_other() -> None:
    clicks = _parsed([EVENTS[2], EVENTS[0]])
    with batch_pipeline() as pipeline:
        given = pipeline | beam.Create([clicks])
        for policy, times in ((TimeSpentPolicy("fixed", 2), [2000, 2000]), (TimeSpentPolicy("reported"), [2500, None])):
            measured = given | policy.name >> MeasureTimeSpent(policy)
            expected = clicks.append_column("time_spent_ms", pa.array(times, pa.int64()))
            assert_that(measured | f"Same{policy}" >> beam.Map(expected.equals), equal_to([True]), label=policy.name)


def test_aggregate_by_page_gives_one_table_a_window_and_shard(monkeypatch) -> None:
    """With packing and merging forced: the same rows as the oracle's, from several bundles."""
    monkeypatch.setattr(page_sums, "_ROWS_UNPACKED", 16)
    monkeypatch.setattr(page_sums, "_ROWS_UNMERGED", 64)
    chance = random.Random(3)
    events = [
        event(
            f"u{chance.randrange(9)}", chance.randrange(900), f"https://a.example/{chance.randrange(5)}", time_spent=n
        )
        for n in range(2000)
    ]
    with batch_pipeline() as pipeline:
        tables = pipeline | beam.Create([_parsed(events[n : n + 100]) for n in range(0, 2000, 100)])
        rows = tables | MeasureTimeSpent(REPORTED) | AggregateByPage(window_seconds=300, shards=2)
        assert_that(rows, lambda found: _check(found, events))
        windows = rows | beam.Map(lambda t: {w.timestamp() for w in t["window_start"].to_pylist()})
        assert_that(windows | beam.Map(len), equal_to([1] * 6), label="one window a table")


def test_aggregate_by_page_of_nothing_is_nothing() -> None:
    with batch_pipeline() as pipeline:
        clicks = pipeline | beam.Create([_parsed([])]) | MeasureTimeSpent(REPORTED)
        assert_that(clicks | AggregateByPage(), equal_to([]))


def _parsed(events: list[dict]) -> pa.Table:
    values = [json.dumps(e).encode() for e in events]
    return parse_clicks(RawBatch(values, "s", range(len(values))), ParseOptions(), now_ms=(START + 1000) * 1000).clicks


@pytest.mark.parametrize(("shards", "batch_size"), [(1, 10_000), (3, 1), (8, 2)])
def test_events_to_rows_equal_the_oracle(shards, batch_size) -> None:
    with batch_pipeline() as pipeline:
        parsed = pipeline | beam.Create(EVENTS) | BatchClicks(batch_size=batch_size) | ParseClicks()
        rows = parsed.clicks | MeasureTimeSpent(REPORTED) | AggregateByPage(window_seconds=300, shards=shards)
        assert_that(rows, lambda tables: _check(tables))


def _check(tables: list[pa.Table], events: list[dict] = EVENTS) -> None:
    expected = recompute([json.dumps(e).encode() for e in events], window_seconds=300)
    assert set(expected.outcomes) == {"click"}
    assert as_oracle_rows(tables) == expected.rows


@pytest.mark.parametrize(
    ("lateness", "panes"),
    [
        (0, [[(1, 1, 2)]]),
        (60, [[(1, 1, 2)], [(2, 2, 4)]]),
        (2000, [[(1, 1, 2)], [(2, 2, 4)], [(3, 3, 6)]]),
    ],
)
def test_lateness_on_time_late_and_too_late(lateness, panes) -> None:
    """A late click publishes its window again, whole; one behind the allowed lateness doesn't."""
    stream = (
        Stream()
        .advance_watermark_to(START)
        .add_elements([_clicks(event("u1", 10))])
        .advance_watermark_to(START + 330)
        .add_elements([_clicks(event("u2", 20))])
        .advance_watermark_to(START + 1000)
        .add_elements([_clicks(event("u3", 30))])
        .advance_watermark_to_infinity()
    )
    with Pipeline(options=PipelineOptions(streaming=True, allow_unsafe_triggers=True)) as pipeline:
        parsed = pipeline | stream | ParseClicks()
        measured = parsed.clicks | MeasureTimeSpent(TimeSpentPolicy("fixed", 1))
        rows = measured | AggregateByPage(allowed_lateness_seconds=lateness)
        counts = rows | beam.Map(
            lambda table: [(r["clicks"], r["unique_users"], r["version"]) for r in table.to_pylist()]
        )
        assert_that(counts, equal_to(panes))


def test_an_early_pane_is_followed_by_the_whole_window() -> None:
    """Panes hold everything known so far, under a version that grows."""
    stream = (
        Stream()
        .advance_watermark_to(START)
        .add_elements([_clicks(event("u1", 10))])
        .add_elements([_clicks(event("u1", 20), event("u2", 30))])
        .advance_watermark_to_infinity()
    )
    with Pipeline(options=PipelineOptions(streaming=True)) as pipeline:
        clicks = (pipeline | stream | ParseClicks()).clicks | MeasureTimeSpent(REPORTED)
        rows = clicks | AggregateByPage(trigger=AfterWatermark(early=AfterCount(1)))
        counts = rows | beam.Map(lambda table: [(r["clicks"], r["version"]) for r in table.to_pylist()])
        assert_that(counts, equal_to([[(1, 1)], [(3, 3)], [(3, 3)]]))


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


@pytest.mark.parametrize("size", [0, -1])
def test_batches_of_no_records_are_refused_while_the_graph_is_built(size) -> None:
    with pytest.raises(ValueError, match=r"BatchClicks: batch_size is .* at least 1"):
        BatchClicks(batch_size=size)


@pytest.mark.parametrize("step_seconds", [300, 3600, 86400])
def test_windows_of_bounded_input_are_shared_out(step_seconds) -> None:
    """Also the last windows of hours and days; each by itself, and apart from those of other shards."""
    spread = _SpreadWindows(300)
    keys = {
        (shard, number): key
        for shard in range(3)
        for number in range(30)
        for key, _ in spread.process((shard, None), Timestamp(1_800_000_000 + number * step_seconds))
    }
    assert len(set(keys.values())) == len(keys)
    assert [key for key, _ in spread.process((1, None), Timestamp(1_800_000_000))] == [keys[1, 0]]
