"""What the live job costs on each runner: the same topic on DirectRunner, Prism and Flink, with one worker and with two.

usage: python -m tests.services up kafka                         # prints its address
       python benchmarks/runners.py --bootstrap_servers=HOST:PORT --flink_job_server=DIR [--events=500000] [--only=prism,flink-2]
           [--also=--shards=2]                                   # an option of the job

Two topics of the same hour, one of 20,000 events and one of so many more: each way runs over both until SQLite has 95 % of the clicks, and the
difference is told, which leaves out the start and what a window costs by itself. Processor time is that of all processes, Flink's and Prism's too.
"""

import argparse
import contextlib
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from measuring import machine
from soak import family

from clickstream.io.sample import SampleOptions, sample_records

_JOB = [sys.executable, "-m", "clickstream.pipeline"]
_SMALL, _PARTITIONS, _PATIENCE = 20_000, 4, 400.0
_COUNTING = ["--window_seconds=300", "--disorder=10s", "--idle=10s", "--max_event_age=off", "--output_dir=out"]


class Run(NamedTuple):
    """Seconds until the rows were there, and processor time by then."""

    wall: float
    cpu: float


def fill(servers: str, events: int) -> str:
    """A topic of an hour's events; returns its name."""
    topic = f"runners-{secrets.token_hex(4)}"
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, num_partitions=_PARTITIONS, replication_factor=1)])[topic].result(60)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    start = datetime.now(timezone.utc) - timedelta(hours=6)
    options = SampleOptions(seed=1, events=events, start=start, duration_seconds=3600, pages=1000, countries=20)
    sent = 0
    for batch in sample_records(options):
        for record in batch:
            producer.produce(topic, record, partition=sent % _PARTITIONS)
            sent += 1
        producer.poll(0)
    producer.flush(60)
    return topic


def ways(job_server: str | None) -> dict[str, list[str]]:
    """The arguments of each way beside the topic's."""
    two = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    found = {"direct": ["--until=now"], "direct-2": ["--until=now", *two], "prism": []}
    if job_server:
        flink = ["flink", "--flink_master=[local]", f"--flink_job_server={job_server}"]
        found |= {"flink": flink, "flink-2": [*flink, "--parallelism=2"]}
    return found


def run(arguments: list[str], source: list[str], events: int) -> Run:
    """Runs a way over a topic until 95 % of its clicks are there."""
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.monotonic(), 0.0
        command = [*_JOB, *arguments[:1], *source, *_COUNTING, *arguments[1:]] if arguments[:1] == ["flink"] else None
        job = subprocess.Popen(
            command or [*_JOB, *source, *_COUNTING, *arguments],
            cwd=folder,
            env=os.environ | {"POLARS_MAX_THREADS": "1"},
            stdout=subprocess.DEVNULL,
        )
        try:
            while (ended := job.poll()) is None and counted(folder) < 0.95 * events:
                cpu = max(cpu, sum(seconds for _, seconds in family(job.pid).values()))
                time.sleep(0.25)
                if time.monotonic() - began > _PATIENCE:
                    sys.exit(f"{arguments}: {counted(folder)} of {events} clicks after {_PATIENCE:.0f} s")
            if ended:
                sys.exit(f"{arguments} ended with {ended}")
            return Run(time.monotonic() - began, cpu)
        finally:
            with contextlib.suppress(ProcessLookupError):
                job.send_signal(signal.SIGINT)
            job.wait(200)


def counted(folder: str) -> int:
    """Clicks in the rows so far."""
    place = Path(folder, "out", "clickstream.db")
    if not place.exists():
        return 0
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(place)) as database:
        return int(database.execute("SELECT COALESCE(SUM(clicks), 0) FROM page_metrics").fetchone()[0])
    return 0


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap_servers", required=True)
    parser.add_argument("--flink_job_server")
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--also", action="append", default=[])
    options = parser.parse_args()
    small, large = (fill(options.bootstrap_servers, _SMALL + more) for more in (0, options.events))
    print(
        f"{machine()}\n\n| runner | start, s | start, CPU-s | events/s beyond | CPU-s per million beyond |\n|---|---|---|---|---|"
    )
    for name, arguments in ways(options.flink_job_server).items():
        if options.only and name not in options.only.split(","):
            continue
        runs = []
        for topic, events in ((small, _SMALL), (large, _SMALL + options.events)):
            source = [
                f"--bootstrap_servers={options.bootstrap_servers}",
                f"--topic={topic}",
                f"--group_id={secrets.token_hex(6)}",
                *options.also,
            ]
            runs.append(run(arguments, source, events))
        (start, cpu), (whole, all_cpu) = runs
        rate = options.events / (whole - start)
        print(
            f"| {name} | {start:.1f} | {cpu:.1f} | {rate:,.0f} | {(all_cpu - cpu) / options.events * 1e6:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
