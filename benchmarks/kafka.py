"""What `--until=now` costs over a topic that is full: to aggregates alone, and into the sinks.

usage: python -m tests.services up kafka mariadb elasticsearch   # prints the addresses
       MYSQL_PASSWORD=... python benchmarks/kafka.py --bootstrap_servers=HOST:PORT [--events=2000000] [--runs=3]
           [--time_spent=fixed:300] [--mysql=URL --mysql_password=env:MYSQL_PASSWORD] [--elasticsearch=URL]

Fills a topic of its own with the sample (4 partitions), then runs each way over it, in turn, and over a topic of one event: the start-up, which is
taken off. CPU is this side's: the servers' isn't in it. Every run writes all rows: the stores' database and index are those of the options.
"""

import argparse
import secrets
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import Cost, machine, measure

HERE = Path(__file__).parent
_JOB = [sys.executable, "-m", "clickstream.pipeline"]


def fill(servers: str, topic: str, events: int) -> None:
    """Makes a topic of so many sample events."""
    target = [f"--bootstrap_servers={servers}", f"--topic={topic}", "--create_topic", f"--events={events}"]
    subprocess.run([*_JOB, "generate", *target], check=True, stdout=subprocess.DEVNULL)


def ways(options: argparse.Namespace) -> dict[str, list[str]]:
    """The sinks' options of each way; the first is without any."""
    mysql = [f"--mysql={options.mysql}", f"--mysql_password={options.mysql_password}"] if options.mysql else []
    index = [f"--elasticsearch={options.elasticsearch}"] if options.elasticsearch else []
    sinks = {"to aggregates, no sink": [], "into MySQL": mysql, "into Elasticsearch": index}
    found = {name: given for number, (name, given) in enumerate(sinks.items()) if given or number == 0}
    return found | ({"into both": mysql + index} if mysql and index else {})


def command(sinks: list[str], options: argparse.Namespace, topic: str) -> list[str]:
    """The command line of a way over a topic; each run is a consumer group of its own."""
    servers, counting = options.bootstrap_servers, [f"--time_spent={options.time_spent}", "--max_event_age=off"]
    if not sinks:
        return [sys.executable, str(HERE / "kafka_columns.py"), servers, topic, *counting]
    source = [f"--bootstrap_servers={servers}", f"--topic={topic}", f"--group_id={secrets.token_hex(6)}", "--until=now"]
    return [*_JOB, *source, *counting, *sinks]


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap_servers", required=True)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--time_spent", default="dwell")
    for name in ("mysql", "mysql_password", "elasticsearch"):
        parser.add_argument(f"--{name}")
    options = parser.parse_args()
    full, empty = (f"benchmark-{secrets.token_hex(4)}" for _ in range(2))
    fill(options.bootstrap_servers, full, options.events)
    fill(options.bootstrap_servers, empty, 1)
    print(f"{machine()}\n")
    print("| way | events | start-up, CPU-s | CPU-s per million beyond | events/s beyond | peak MiB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, sinks in ways(options).items():
            costs = [
                [measure(command(sinks, options, topic), folder) for topic in (empty, full)]
                for _ in range(options.runs)
            ]
            print(row(name, options.events, costs), flush=True)


def row(name: str, events: int, costs: list[list[Cost]]) -> str:
    """Medians of one way: each run is its start-up and the whole."""
    start, wall_of_start = (statistics.median(empty[field] for empty, _ in costs) for field in (0, 1))
    cpu, wall, memory = (statistics.median(full[field] for _, full in costs) for field in range(3))
    rate = events / (wall - wall_of_start)
    return f"| {name} | {events:,} | {start:.1f} | {(cpu - start) / events * 1e6:.2f} | {rate:,.0f} | {memory:.0f} |"


if __name__ == "__main__":
    main()
