"""Other ways to the same numbers, over one file and one topic: a Rust loop, DuckDB and Flink's DataStream, beside this pipeline.

usage: python -m tests.services up kafka                      # prints its address
       python benchmarks/peers.py [--bootstrap_servers=HOST:PORT] [--events=2000000] [--window_seconds=60] [--runs=3] [--only=rust,columns]

Needs cargo for the Rust loop, Maven and a JDK for Flink: `benchmarks/peers/` holds their sources, which are built in the cache folder first. The
events are clean, so that peers, which know of no broken ones, count the same; their rows are held against DuckDB's, each. Every way runs as a process
of its own, in turn; its start-up (the same way over one event) is measured too and taken off. Prints medians as a Markdown table.
"""

import argparse
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import duckdb
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from measuring import Cost, machine, measure

from clickstream.io.sample import SampleOptions, sample_records

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "clickstream-beam", "peers")
_PARTITIONS = 4
_ROWS = """
    SELECT epoch_ms(time_bucket(to_seconds($seconds), click_data.timestamp)) AS start, click_data.url, geo_data.country, count(*) AS clicks,
           count(DISTINCT click_data.user_id) AS users, sum(round(coalesce(click_data.time_spent, 0) * 1000))::BIGINT AS millis,
           count(click_data.time_spent) AS timed
    FROM read_json($path, format = 'newline_delimited', columns = {
        click_data: 'STRUCT(user_id VARCHAR, "timestamp" TIMESTAMP, url VARCHAR, time_spent DOUBLE)', geo_data: 'STRUCT(country VARCHAR)'})
    GROUP BY ALL
"""


class Place(NamedTuple):
    """The same events twice."""

    log: Path
    topic: str


def rust() -> str:
    """Builds the loop; returns its path."""
    settings = os.environ | {"CARGO_TARGET_DIR": str(CACHE / "rust")}
    source = HERE / "peers" / "rust"
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=source, env=settings, check=True)
    return str(CACHE / "rust" / "release" / "clicks")


def flink() -> list[str]:
    """Builds the job of Flink's own; returns its command."""
    folder = CACHE / "flink"
    folder.mkdir(parents=True, exist_ok=True)
    source = HERE / "peers" / "flink"
    if not (folder / "jars").exists():
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}"]
        subprocess.run(["mvn", "-q", "-f", str(source / "pom.xml"), *copy], check=True)
    build = ["javac", "-nowarn", "-cp", f"{folder / 'jars'}/*", "-d", str(folder / "classes")]
    subprocess.run([*build, str(source / "Clicks.java")], check=True)
    opened = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("lang", "util", "time")]
    return ["java", "-Xmx2g", *opened, "-cp", f"{folder / 'jars'}/*:{folder / 'classes'}", "Clicks"]


def fill(servers: str, events: int, folder: Path) -> Place:
    """An hour of clean events, in a log and, if there is a broker, in a topic."""
    start = datetime.now(timezone.utc) - timedelta(hours=6)
    options = SampleOptions(events=events, start=start, duration_seconds=3600, pages=1000, countries=20, broken_share=0)
    place = Place(folder / f"{events}.ndjson", f"peers-{secrets.token_hex(4)}")
    with place.log.open("wb") as file:
        for batch in sample_records(options):
            file.writelines(record + b"\n" for record in batch)
    if servers:
        _send(servers, place)
    return place


def _send(servers: str, place: Place) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(place.topic, num_partitions=_PARTITIONS, replication_factor=1)])[place.topic].result(
        60
    )
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "queue.buffering.max.messages": 100_000})
    with place.log.open("rb") as file:
        for sent, line in enumerate(file):
            producer.produce(place.topic, line.rstrip(b"\n"), partition=sent % _PARTITIONS)
            if sent % 50_000 == 0:
                producer.flush(60)
    producer.flush(60)


def commands(place: Place, options: argparse.Namespace, programs: dict[str, list[str]]) -> dict[str, list[str]]:
    """The command line of each way over the events."""
    seconds, servers = str(options.window_seconds), options.bootstrap_servers
    window = f"--window_seconds={seconds}"
    columns = [sys.executable, str(HERE / "columns.py"), str(place.log), window]
    ways = {
        "file, a Rust loop": [*programs["rust"], "file", str(place.log), seconds],
        "file, one DuckDB query": [sys.executable, str(HERE / "floor.py"), str(place.log), seconds],
        "file, this pipeline, `fixed:300`": [*columns, "--time_spent=fixed:300"],
        "file, this pipeline, `dwell`": columns,
    }
    if servers:
        kafka = [sys.executable, str(HERE / "kafka_columns.py"), servers, place.topic, window, "--max_event_age=off"]
        ways |= {
            "topic, a Rust loop": [*programs["rust"], "kafka", servers, place.topic, seconds],
            "topic, Flink's DataStream, one slot": [*programs["flink"], servers, place.topic, seconds, "1"],
            "topic, this pipeline, `fixed:300`": [*kafka, "--time_spent=fixed:300"],
            "topic, this pipeline, `dwell`": kafka,
        }
    return ways


def check(place: Place, options: argparse.Namespace, programs: dict[str, list[str]], folder: Path) -> None:
    """Holds the rows of the peers against DuckDB's."""
    seconds, servers = str(options.window_seconds), options.bootstrap_servers
    asked = {"path": str(place.log), "seconds": options.window_seconds}
    right = sorted("\t".join(map(str, row)) for row in duckdb.execute(_ROWS, asked).fetchall())
    ways = {"rust over the file": [*programs["rust"], "file", str(place.log), seconds]}
    if servers:
        ways["rust over the topic"] = [*programs["rust"], "kafka", servers, place.topic, seconds]
        ways["Flink over the topic"] = [*programs["flink"], servers, place.topic, seconds, "1"]
    for name, command in ways.items():
        measure([*command, str(folder / "rows")], str(folder))
        if sorted((folder / "rows").read_text().splitlines()) != right:
            sys.exit(f"{name}: other rows than DuckDB's")
    print(f"{len(right):,} rows, the same by DuckDB, {', '.join(ways)}\n")


def main() -> None:
    """Builds, checks, measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap_servers", default="")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--window_seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    programs = {"rust": [rust()], "flink": flink() if options.bootstrap_servers else []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = (fill(options.bootstrap_servers, count, folder) for count in (1, options.events))
        check(large, options, programs, folder)
        starts, whole = commands(small, options, programs), commands(large, options, programs)
        ways = [way for way in whole if not options.only or any(part in way for part in options.only.split(","))]
        costs: dict[str, list[tuple[Cost, Cost]]] = {way: [] for way in ways}
        for _ in range(options.runs):
            for way in ways:
                costs[way].append((measure(starts[way], name), measure(whole[way], name)))
    print(f"{machine()}\n\n| way | CPU-s per million beyond | events/s beyond | start-up, CPU-s |\n|---|---|---|---|")
    for way, pairs in costs.items():
        print(row(way, options.events, pairs))


def row(way: str, events: int, pairs: list[tuple[Cost, Cost]]) -> str:
    """Medians of one way."""
    start, start_wall = (statistics.median(pair[0][field] for pair in pairs) for field in (0, 1))
    cpu, wall = (statistics.median(pair[1][field] for pair in pairs) for field in (0, 1))
    rate = f"{events / (wall - start_wall):,.0f}" if wall > start_wall + 0.1 else "too short to tell"
    return f"| {way} | {(cpu - start) / events * 1e6:.2f} | {rate} | {start:.1f} |"


if __name__ == "__main__":
    main()
