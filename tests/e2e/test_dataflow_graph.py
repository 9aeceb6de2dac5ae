"""The very graph that would be sent to Dataflow, on real servers, by a worker that has only the staged package. The runner is Prism."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.portability.api import endpoints_pb2
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.runners.runner import PipelineState
from e2e.live_harness import FEW, PARTITIONS, PATIENCE
from e2e.live_stores import Bench, click_of, oracle, rejects, straggler
from oracle import Key, Row
from submission import PLACES, Sent, endpoint, in_cloud, worker_python, worker_variables

from clickstream.io.sample import SampleOptions, sample_records
from clickstream.pipeline.__main__ import main
from clickstream.transforms.runner import NO_SPLITS

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("flink")]
WINDOW = 300


@pytest.fixture
def bench(kafka, mariadb, elasticsearch, prism, tmp_path) -> Bench:
    return Bench(kafka, mariadb, elasticsearch, prism, tmp_path)


def submitted(bench: Bench, folder: Path) -> Sent:
    """Submits the job with the servers checked and set up from here, as it is by default. There are no secrets: no worker here could read them."""
    bench.sql(f"CREATE USER '{bench.database}'@'%'")
    bench.sql(f"GRANT ALL ON {bench.database}.* TO '{bench.database}'@'%'")
    servers = {
        "bootstrap_servers": bench.kafka.address,
        "topic": bench.topic.name,
        "group_id": bench.group,
        "mysql": bench.sql_server.url(bench.database).replace("app@", f"{bench.database}@"),
        "elasticsearch": bench.elasticsearch.address,
        "elasticsearch_index": bench.index,
    }
    timing = (f"--window_seconds={WINDOW}", "--idle=5s", "--late_results=5s", "--kafka_splits=one")  # Prism's: one
    with in_cloud(folder) as cloud:
        given = [f"--{name}={value}" for name, value in servers.items()]
        assert main(["submit-dataflow", *PLACES, endpoint(cloud), *given, *timing]) == 0
        return Sent(cloud)


@contextmanager
def worker_pool(python: Path) -> Iterator[str]:
    """Where workers can be had, that are processes of this Python; the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serves = ("-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}")
    variables = worker_variables()  # the pool starts whatever `python` is first in PATH
    variables["PATH"] = f"{python.parent}:{variables['PATH']}"
    pool = subprocess.Popen([python, *serves], env=variables, cwd="/")
    try:
        _wait_for(port)
        yield f"localhost:{port}"
    finally:
        pool.kill()
        pool.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30 * PATIENCE
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline, "no worker pool"
            time.sleep(0.1)


def by_workers_at(pipeline: api.Pipeline, address: str) -> api.Pipeline:
    """The same graph; instead of in containers, its steps are done by workers that are there."""
    payload = api.ExternalPayload(endpoint=endpoints_pb2.ApiServiceDescriptor(url=address))
    for environment in pipeline.components.environments.values():
        environment.urn, environment.payload = "beam:env:external:v1", payload.SerializeToString()
        del environment.dependencies[:]
    return pipeline


def difference(bench: Bench, expected: dict[Key, Row]) -> list[object]:
    """The first rows of either store that aren't as expected, and how many there are."""
    told: list[object] = []
    for found in (bench.sql_rows(), bench.documents()):
        wrong = {key: (found.get(key), row) for key, row in expected.items() if found.get(key) != row}
        told += [len(found), len(wrong), list(wrong.items())[:3]]
    return told


def test_what_would_be_sent_computes_what_it_should(bench, tmp_path) -> None:
    sent = submitted(bench, tmp_path)
    start = datetime.now(timezone.utc) - timedelta(hours=2)
    chosen = SampleOptions(seed=9, events=5_000, start=start, duration_seconds=600, broken_share=0.01, **FEW)
    for batch in sample_records(chosen):
        bench.topic.send(batch)
    bench.topic.flush()
    records = bench.topic.records()
    expected = oracle(records, WINDOW)
    # Prism shows what became known late when a window closes, which it does long behind the last click: here behind another one.
    last = max(click.millis for record in records if (click := click_of(record.value)))
    bench.topic.send([straggler(last + 4_800_000, f"https://end.example/{n}", "India") for n in range(PARTITIONS)])
    bench.topic.flush()
    python = worker_python(tmp_path, sent.staged["workflow.tar.gz"])
    options = PipelineOptions(
        streaming=True,
        prism_location=bench.prism,
        prism_log_level="error",
        experiments=["disable_prism_server_singleton", NO_SPLITS],
    )
    with worker_pool(python) as address:
        result = PrismRunner().run_portable_pipeline(by_workers_at(sent.pipeline, address), options)
        try:
            deadline = time.monotonic() + 120 * PATIENCE
            while not bench.sql_rows() == bench.documents() == expected:
                assert not PipelineState.is_terminal(result.state)
                assert time.monotonic() < deadline, difference(bench, expected)
                time.sleep(2)
            assert bench.dead_letters() == rejects(records)
        finally:
            result.cancel()
