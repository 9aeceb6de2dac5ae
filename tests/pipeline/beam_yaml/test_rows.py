"""Rows at the edges of YAML's steps: what they hold, that batches pass whole between steps of ours, and apart where another step reads rows."""

from datetime import datetime, timezone

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import Timestamp
from rows import metric, rows_of_all_kinds, table_of

from clickstream.pipeline.beam_yaml.layouts import ClickRows, MeasuredRows, MetricRows, RawRows
from clickstream.pipeline.beam_yaml.rows import FromRows, ToRows
from clickstream.transforms import CLICK_SCHEMA, RawBatch, TimeSpentPolicy
from clickstream.transforms.measure.policy import measure_time_spent
from tests.services.prism import on_prism

BATCHES = [RawBatch([b"a", b"b"], "kafka:t/0", [3, 4], watermark=7), RawBatch([b"c"], "kafka:t/1", [9], watermark=8)]
CLICK = {
    "row_key": "k",
    "user_id": "u",
    "timestamp": datetime(2026, 11, 1, 0, 0, 1, 5000, timezone.utc),
    "url": "https://a/",
    "country": "India",
}


def clicks(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist([*rows], schema=CLICK_SCHEMA)


def test_a_clicks_row_has_its_times_as_text_and_comes_back_as_it_was() -> None:
    table = clicks(CLICK, CLICK | {"city": "Pune", "time_spent": 2.5, "session_end": CLICK["timestamp"]})
    first, second = ClickRows.rows(table)
    assert (first.timestamp, first.session_end, first.city) == ("2026-11-01T00:00:01.005Z", None, None)
    assert (second.session_end, second.city, second.time_spent) == ("2026-11-01T00:00:01.005Z", "Pune", 2.5)
    assert pa.concat_tables(ClickRows.batches([first, second])) == table


def test_measured_clicks_come_back_with_what_aggregating_reads() -> None:
    table = measure_time_spent(clicks(CLICK), TimeSpentPolicy("fixed", 10))
    [row] = MeasuredRows.rows(table)
    assert (row.time_spent_ms, row.sign, row.starts_session) == (10_000, 1, None)
    [back] = MeasuredRows.batches([row])
    assert back.column_names == ["url", "country", "user_id", "timestamp", "time_spent_ms", "sign"]
    [told] = MeasuredRows.batches([beam.Row(**row._asdict() | {"sign": -1, "starts_session": True, "bounced": False})])
    assert told.to_pylist()[0] | {"sign": -1, "starts_session": True, "bounced": False} == told.to_pylist()[0]


def test_page_metrics_come_back_by_window() -> None:
    tables = [table_of(rows_of_all_kinds()), table_of([metric(1)])]
    rows = [row for table in reversed(tables) for row in MetricRows.rows(table)]
    assert list(MetricRows.batches(rows)) == tables


def test_records_of_several_sources_come_back_as_batches_of_one_each() -> None:
    rows = [row for batch in BATCHES for row in RawRows.rows(batch)]
    assert [(b.values, b.source, b.positions) for b in RawRows.batches(rows)] == [
        (b.values, b.source, b.positions) for b in BATCHES
    ]


def marks(batch: RawBatch, at=beam.DoFn.TimestampParam):
    yield len(batch.values), batch.watermark, int(at)


@pytest.mark.parametrize("runner", ["FnApiRunner", "Prism"])
@pytest.mark.parametrize(
    ("between", "seen"),
    [(None, [(2, 7, 50), (1, 8, 50)]), (lambda row: row.payload != b"a", [(1, None, 50), (1, None, 50)])],
    ids=["whole", "apart"],
)
def test_a_batch_passes_whole_unless_another_step_reads_rows(between, seen, runner, request) -> None:
    """Whole, it keeps Kafka's watermark, which rows don't have. Either way its time stays."""
    own = on_prism(request.getfixturevalue("prism")) if runner == "Prism" else beam.Pipeline(FnApiRunner())
    with own as pipeline:
        batches = pipeline | beam.Create([0]) | beam.FlatMap(lambda _: BATCHES).with_output_types(RawBatch)
        rows = (
            batches
            | beam.Map(lambda b: beam.window.TimestampedValue(b, Timestamp(50))).with_output_types(RawBatch)
            | ToRows(RawRows)
        )
        rows = rows if between is None else rows | beam.Filter(between)
        assert_that(rows | FromRows(RawRows, RawBatch) | beam.ParDo(marks), equal_to(seen))


def test_rows_that_lack_a_field_are_refused_while_the_graph_is_built() -> None:
    with pytest.raises(ValueError, match=r"the rows lack url, country, row_key|the rows lack row_key, .*url"):
        _ = beam.Pipeline() | beam.Create([beam.Row(user_id="u", timestamp="t")]) | FromRows(ClickRows)
    with pytest.raises(ValueError, match="the rows lack payload, source, position"):
        _ = beam.Pipeline() | beam.Create([1]) | FromRows(RawRows)
