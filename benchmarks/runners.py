"""What the live job costs on each runner: the same backlog on DirectRunner, Prism and Flink, by density of events and policy of time spent.

usage: python -m tests.services up kafka                         # prints its address
       python benchmarks/runners.py --bootstrap_servers=HOST:PORT --flink_job_server=DIR [--events=500000] [--only=prism,flink-2]
           [--density=50,500,5000,50000] [--time_spent=fixed:300,dwell]
           [--python=before=OTHER/.venv/bin/python] [--python=now=.venv/bin/python]   # several checkouts, in turn
           [--also=--shards=2]                                   # an option of the job

A topic a density: so many events as come in a second of event time, until there are enough, and a last one a partition, hours later, which ends all
windows. Each way runs over it until SQLite has 95 % of the clicks. What 20,000 events take is taken off: the start. Processor time is that of
all processes, Flink's and Prism's too.
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

_SMALL, _PARTITIONS, _PATIENCE = 20_000, 4, 400.0
_COUNTING = ["--window_seconds=300", "--disorder=10s", "--idle=10s", "--max_event_age=off", "--output_dir=out"]
_HEAD = "| runner | events a second of event time | code | time spent | events/s beyond | CPU-s per million beyond |"


class Run(NamedTuple):
    """Seconds until the rows were there, and processor time by then."""

    wall: float
    cpu: float


class Way(NamedTuple):
    """What is measured: a runner's arguments, a policy, and whose code."""

    runner: str
    arguments: list[str]
    code: str
    python: str
    time_spent: str


def fill(servers: str, events: int, density: float) -> str:
    """A topic of so many events; returns its name."""
    topic = f"runners-{secrets.token_hex(4)}"
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, num_partitions=_PARTITIONS, replication_factor=1)])[topic].result(60)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    now = datetime.now(timezone.utc)
    seconds = max(1.0, events / density)
    start = now - timedelta(hours=6, seconds=seconds)
    options = SampleOptions(
        seed=1, events=events, start=start, duration_seconds=seconds, pages=1000, countries=20, broken_share=0
    )
    last = SampleOptions(seed=2, events=1, start=now - timedelta(minutes=5), duration_seconds=1, broken_share=0)
    sent = 0
    for batch in sample_records(options):
        for record in batch:
            producer.produce(topic, record, partition=sent % _PARTITIONS)
            sent += 1
        producer.poll(0)
    for partition in range(_PARTITIONS):
        producer.produce(topic, next(sample_records(last))[0], partition=partition)
    producer.flush(60)
    return topic


def runners(job_server: str | None) -> dict[str, list[str]]:
    """The arguments of each runner beside the topic's."""
    two = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    found = {"direct": ["--until=now"], "direct-2": ["--until=now", *two], "prism": []}
    if job_server:
        flink = ["flink", "--flink_master=[local]", f"--flink_job_server={job_server}"]
        found |= {"flink": flink, "flink-2": [*flink, "--parallelism=2"]}
    return found


def run(way: Way, source: list[str], events: int) -> Run:
    """Runs a way over a topic until 95 % of its clicks are there."""
    command = way.arguments[:1] if way.arguments[:1] == ["flink"] else []
    arguments = [*command, *source, *_COUNTING, f"--time_spent={way.time_spent}", *way.arguments[len(command) :]]
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.monotonic(), 0.0
        job = subprocess.Popen(
            [way.python, "-m", "clickstream.pipeline", *arguments],
            cwd=folder,
            env=os.environ | {"POLARS_MAX_THREADS": "1"},
            stdout=subprocess.DEVNULL,
        )
        try:
            while (ended := job.poll()) is None and counted(folder) < 0.95 * events:
                cpu = max(cpu, sum(seconds for _, seconds in family(job.pid).values()))
                time.sleep(0.25)
                if time.monotonic() - began > _PATIENCE:
                    sys.exit(f"{way}: {counted(folder)} of {events} clicks after {_PATIENCE:.0f} s")
            if ended or counted(folder) < 0.95 * events:
                sys.exit(f"{way} ended with {ended} and {counted(folder)} of {events} clicks")
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


def ways(options: argparse.Namespace) -> list[Way]:
    """All that is to be measured, those that are compared one after the other."""
    only = options.only.split(",") if options.only else []
    codes = [code.rpartition("=")[::2] for code in options.python or [f"now={sys.executable}"]]
    return [
        Way(runner, [*arguments, *options.also], code, python, time_spent)
        for runner, arguments in runners(options.flink_job_server).items()
        if not only or runner in only
        for time_spent in options.time_spent.split(",")
        for code, python in codes
    ]


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap_servers", required=True)
    parser.add_argument("--flink_job_server")
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--density", default="139")
    parser.add_argument("--time_spent", default="dwell")
    parser.add_argument("--only", default="")
    parser.add_argument("--python", action="append")
    parser.add_argument("--also", action="append", default=[])
    options = parser.parse_args()
    servers, densities = options.bootstrap_servers, [float(each) for each in options.density.split(",")]
    small = fill(servers, _SMALL, densities[0])
    large = {density: fill(servers, options.events, density) for density in densities}
    print(f"{machine()}\n\n{_HEAD}\n|---|---|---|---|---|---|", flush=True)
    for runner in dict.fromkeys(way.runner for way in ways(options)):
        own = [way for way in ways(options) if way.runner == runner]
        starts = [run(way, source(servers, small), _SMALL) for way in own]
        for density, topic in large.items():
            for way, start in zip(own, starts, strict=True):
                print(
                    row(way, density, start, run(way, source(servers, topic), options.events), options.events),
                    flush=True,
                )


def source(servers: str, topic: str) -> list[str]:
    """The options that name a topic, in a group of its own."""
    return [f"--bootstrap_servers={servers}", f"--topic={topic}", f"--group_id={secrets.token_hex(6)}"]


def row(way: Way, density: float, start: Run, whole: Run, events: int) -> str:
    """One way at one density."""
    more = events - _SMALL
    rate, cost = more / (whole.wall - start.wall), (whole.cpu - start.cpu) / more * 1e6
    return f"| {way.runner} | {density:,.0f} | {way.code} | `{way.time_spent}` | {rate:,.0f} | {cost:.1f} |"


if __name__ == "__main__":
    main()
