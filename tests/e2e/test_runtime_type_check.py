"""Beam's `--runtime_type_check`: whatever a step yields is held against its type, and no step of ours ends by it."""

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, TypeOptions
from apache_beam.testing.util import assert_that, equal_to
from e2e.live_stores import Bench, oracle, rejects
from e2e.test_batch import stored_rows
from e2e.test_reprocess import RANGE, SHAPE, expected, sample
from e2e.test_until_now import GAP, send

from clickstream.io.elasticsearch import ElasticsearchConnection, WriteDocumentsToElasticsearch
from clickstream.pipeline.__main__ import main
from clickstream.pipeline.beam_yaml import ReadClickLogs
from tests.services.prism import on_prism

CHECKED = "--runtime_type_check"
sys.path.append(str(Path(__file__).parents[2] / "examples"))


@pytest.mark.parametrize("store", ["files", "sqlite"])
def test_logs_and_what_is_computed_again(tmp_path, store) -> None:
    records, log = sample(1)[:2_000], tmp_path / "log"
    log.write_bytes(b"\n".join(records))
    options = [CHECKED, f"--output_dir={tmp_path / 'out'}", f"--raw_store={store}", *SHAPE]
    assert main([f"--input={log}", *options]) == 0
    found = stored_rows(tmp_path / "out/clickstream.db")
    assert {key: row._replace(version=0) for key, row in found.items()} == expected(records)
    assert main(["reprocess", *options, *RANGE]) == 0
    assert main(["verify", *options, *RANGE]) == 0


def test_a_stream_by_timers_on_prism(prism) -> None:
    import late_clicks

    with on_prism(prism) as pipeline:
        pipeline.options.view_as(TypeOptions).runtime_type_check = True
        assert_that(late_clicks.run(pipeline), lambda found: _holds(found, [(2, 2), (3, 3)]))


def test_kafka_and_both_stores(kafka, mariadb, elasticsearch, prism, tmp_path) -> None:
    bench = Bench(kafka, mariadb, elasticsearch, prism, tmp_path)
    send(bench, 1, 2_000, datetime.now(timezone.utc) - timedelta(hours=5), 3000)
    options = ("--window_seconds=300", "--allowed_lateness=1m", f"--session_gap={GAP}s", "--raw_store=mysql")
    job = bench.job("--until=now", CHECKED, *options, "--prism_location=")
    assert job.run() == 0, job.err
    records = bench.topic.records()
    assert bench.sql_rows() == bench.documents() == oracle(records, 300, GAP)
    assert bench.dead_letters() == rejects(records)


def test_documents(elasticsearch) -> None:
    write = WriteDocumentsToElasticsearch(ElasticsearchConnection(elasticsearch.address), "checked", key=["n"])
    with beam.Pipeline(options=PipelineOptions([CHECKED])) as pipeline:
        refused = (pipeline | beam.Create([{"n": 1}, {"x": 1}]) | write).rejected
        reasons = refused | beam.FlatMap(lambda table: table["reason"].to_pylist())
        assert_that(reasons, equal_to(["sink_refused"]))


def test_steps_of_beam_yaml_say_that_they_cant_be_checked() -> None:
    with pytest.raises(ValueError, match=r"can't check steps that batches pass between.*: leave it out"):
        beam.Pipeline(options=PipelineOptions([CHECKED])) | ReadClickLogs(__file__)


def _holds(found: list, wanted: list) -> None:
    assert sorted(found)[-2:] == wanted
