"""What the pods of `deploy/flink` run, on a real Flink: the pool of Python workers, and what submits the job to it and watches it."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from deploy.manifests import DEPLOY, FLINK, documents, placed
from deploy.place import Place, new_place
from deploy.test_commands import elasticsearch_of, health_of, send_clicks
from e2e.live_stores import Bench

from tests.services.run import Run

pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("flink")]


@contextmanager
def worker_pool(places: Mapping[str, str], folder: Path) -> Iterator[None]:
    """The container beside the task manager's."""
    [cluster] = [found for found in documents(FLINK) if found["kind"] == "FlinkDeployment"]
    containers = cluster["spec"]["taskManager"]["podTemplate"]["spec"]["containers"]
    [command] = [each["command"] for each in containers if each["name"] == "worker-pool"]
    with (folder / "pool.log").open("wb") as log:
        process = subprocess.Popen(placed(command, places), cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
        assert process.poll() is None, (folder / "pool.log").read_text()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_flink(kafka, mariadb, elasticsearch, flink, job_server, tmp_path, monkeypatch, own_python_first) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    with new_place(Bench(kafka, mariadb, elasticsearch, "", tmp_path)) as place:
        expected = send_clicks(place.bench)
        pool, places = job_places(place, flink.address, job_server)
        with worker_pool(pool, tmp_path):
            job = place.start("pod clickstream-flink-job: job", places)
            try:
                job.wait_until(lambda: place.bench.sums() == (expected, expected), 180, "all windows in both stores")
                job.wait_until(place.is_healthy, 60, "health")
                job.process.send_signal(signal.SIGTERM)
                assert job.process.wait(grace()) == 0, job.err
                assert "it goes on from here" in job.err
                assert job.processes() == []
            finally:
                job.kill()


def job_places(place: Place, flink: str, job_server: str) -> tuple[dict[str, str], dict[str, str]]:
    """The pool's addresses, and the job's."""
    run = Run()
    [port] = run.free_ports(1)
    run.close()
    secrets = place.mysql("mysql://app@mysql:3306/clickstream", "/run/secrets/clickstream")
    where = {
        "clickstream-flink-rest:8081": flink,
        "/opt/flink-job-server": job_server,
        "localhost:50000": f"localhost:{port}",
        "/etc/clickstream": str(place.bench.folder),
        "/var/lib/clickstream": str(place.bench.folder / "home"),
    }
    job = {**where, **place.kafka("kafka:9092"), **secrets, **elasticsearch_of(place), **health_of(place)}
    return {"50000": str(port)}, job


def grace() -> int:
    """The seconds that a pod is given to end."""
    [found] = [each for each in documents([DEPLOY / "flink/job.yaml"]) if each["kind"] == "Deployment"]
    return int(found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])
