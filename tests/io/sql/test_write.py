"""WriteToSql in a pipeline, on SQLite."""

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.test_stream import TestStream as Stream  # pytest would collect it by its name
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, IntervalWindow, TimestampedValue
from rows import START, metric, table_of
from sqlite_rows import ask, rejected_of, stored

from clickstream.io import sql
from clickstream.io.sql.metrics import _WriteMetrics
from tests.services.prism import on_prism


def run(connection, parts, transform=None, **options):
    """Writes tables in windows of 5 minutes; gives the outputs and what shows their windows, then the result."""

    def seen(element, window=beam.DoFn.WindowParam):
        value = element.num_rows if isinstance(element, pa.Table) else element
        return int(window.start), value

    with Pipeline(options=PipelineOptions([])) as pipeline:
        windowed = (
            pipeline
            | beam.Create(
                [TimestampedValue(part, part["window_start"][0].as_py().timestamp()) for part in parts], reshuffle=False
            )
            | beam.Map(lambda part: part).with_output_types(pa.Table)
            | beam.WindowInto(FixedWindows(300))
        )
        out = windowed | "Write" >> (transform or sql.WriteToSql(connection, **options))
        yield out, seen
    yield pipeline.result


def test_counts_come_in_the_windows_of_what_is_written(connection):
    parts = [table_of([metric(w, n) for n in range(w + 1)]) for w in (0, 1, 2, 1)]
    steps = run(connection, parts, batch_rows=1)
    out, seen = next(steps)
    start = int(START.timestamp())
    totals = out.written | beam.CombineGlobally(sum).without_defaults() | beam.Map(seen)
    assert_that(totals, equal_to([(start, 1), (start + 300, 4), (start + 600, 3)]))
    next(steps)
    assert len(stored(connection)) == 1 + 2 + 3


def test_refused_rows_come_in_their_window_and_are_counted(connection):
    infinite = metric(1, "https://a.example/bad", time_spent_seconds=float("nan"))
    parts = [table_of([metric(0), metric(0, country="India ")]), table_of([metric(1), infinite])]
    steps = run(connection, parts)
    out, seen = next(steps)
    start = int(START.timestamp())
    assert_that(out.rejected | "Seen" >> beam.Map(seen), equal_to([(start, 1), (start + 300, 1)]), label="windows")
    raws = out.rejected | beam.FlatMap(lambda t: t.select(["source", "position", "reason", "detail"]).to_pylist())
    common = {"source": "sqlite:page_metrics", "position": -1, "reason": "sink_refused"}
    details = ["trailing blank, column country", "NOT NULL constraint failed: page_metrics.time_spent_seconds"]
    assert_that(raws, equal_to([common | {"detail": detail} for detail in details]), label="rows")
    result = next(steps)
    counters = {c.key.metric.name: c.committed for c in result.metrics().query()["counters"]}
    assert counters["rows_written"] == 2
    assert counters["rows_refused"] == 2
    assert counters["batches_written"] == 1
    assert [row[4] for row in stored(connection)] == ["India", "India"]


def test_panes_of_a_stream_write_what_has_changed(connection, prism):
    """The second is the first again, the third differs in one row."""
    rows = [metric(0, page, version=1) for page in range(5)]
    stream = Stream().add_elements([table_of(rows)]).add_elements([table_of(rows)])
    stream = stream.add_elements([table_of([metric(0, 0, version=2), *rows[1:]])]).advance_watermark_to_infinity()
    with on_prism(prism) as pipeline:
        tables_of_panes = pipeline | stream | beam.Map(lambda table: table).with_output_types(pa.Table)
        assert_that((tables_of_panes | sql.WriteToSql(connection)).written, equal_to([5, 1]))
    assert ask(connection, "SELECT version FROM page_metrics ORDER BY url") == [(2,), (1,), (1,), (1,), (1,)]


def test_a_bundle_that_failed_is_sent_again_whole(connection, monkeypatch):
    write = _WriteMetrics(connection, 5000, 0, "rows")
    write.repeats = True
    write.setup()
    send, window = write.write, IntervalWindow(0, 300)

    def bundle():
        write.start_bundle()
        done = [*write.process(table_of([metric(0), metric(1)]), 0, window), *write.finish_bundle()]
        return [element.value for element in done]

    monkeypatch.setattr(write, "write", lambda _: (_ for _ in ()).throw(ConnectionError))
    with pytest.raises(ConnectionError):
        bundle()
    monkeypatch.setattr(write, "write", send)
    assert [bundle(), bundle()] == [[2], []]
    write.teardown()
    assert len(stored(connection)) == 2


def test_a_second_run_changes_nothing(connection):
    for _ in range(2):
        for transform, parts in (
            (sql.WriteToSql(connection), [table_of([metric(), metric(1)])]),
            (sql.WriteDeadLettersToSql(connection), [rejected_of(3), rejected_of(3)]),
        ):
            with Pipeline(options=PipelineOptions([])) as pipeline:
                made = pipeline | beam.Create(parts, reshuffle=False)
                made | beam.Map(lambda part: part).with_output_types(pa.Table) | "Write" >> transform
        content = stored(connection), ask(connection, "SELECT * FROM dead_letters ORDER BY 1")
        assert len(content[0]) == 2
        assert len(content[1]) == 3
    first = ask(connection, "SELECT COUNT(DISTINCT rejected_at) FROM dead_letters")
    assert first == [(1,)]


def test_missing_tables_are_made_if_asked(tmp_path):
    connection = sql.SqlConnection("sqlite", str(tmp_path / "new.db"), create_tables=True)
    steps = run(connection, [table_of([metric()])])
    next(steps)
    next(steps)
    assert len(stored(connection)) == 1
