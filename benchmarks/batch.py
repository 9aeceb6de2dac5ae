"""CPU-seconds per million events of the batch job, beside its peers, on the same sample log.

usage: python benchmarks/batch.py [--events=2000000] [--runs=5] [--only=columns,floor] [--elementwise_events=200000]
           [--spark_python=VENV/bin/python]                      # a Python with pyspark: beside the others, Spark on all cores

Each way runs as a process of its own, in turn, `runs` times; its start-up (the same way over one event) is measured too and taken off.
Prints a Markdown table of medians. The element-wise peer takes minutes a million: it may run on the first events only, being linear.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from measuring import Cost, machine, measure

from clickstream.io.sample import SampleOptions, write_log

HERE = Path(__file__).parent


class Way(NamedTuple):
    """What is run: a script of this folder, or the job itself."""

    title: str
    script: str | None
    options: tuple[str, ...] = ()


BREAKDOWNS = "browser,os,device,city"
FIXED = "--time_spent=fixed:300"
WAYS = {
    "floor": Way("one DuckDB query (the floor)", "floor.py"),
    "fixed": Way("this pipeline, parse to aggregate, `fixed:300`", "columns.py", (FIXED,)),
    "unsketched": Way("the same without sketches of users", "columns.py", (FIXED, "--sketch_size=off")),
    "columns": Way("this pipeline, parse to aggregate, `dwell`", "columns.py"),
    "breakdowns": Way("the same with four breakdowns", "columns.py", (f"--breakdowns={BREAKDOWNS}",)),
    "fixed_job": Way("this pipeline, `fixed:300`, with SQLite, bulk file and report", None, (FIXED,)),
    "job": Way("this pipeline, `dwell`, with SQLite, bulk file and report", None),
    "rollups": Way("the same with hours and days", None, ("--rollups=1h,1d", "--time_zone=Asia/Kolkata")),
    "elementwise": Way("one Beam element an event, one CombineFn", "elementwise.py"),
    "spark": Way("one Spark SQL query, `local[*]`", "spark.py"),
}


def command(way: str, log: Path, folder: str, spark_python: str) -> list[str]:
    """The command line of a way over a log."""
    _, script, options = WAYS[way]
    if script is not None:
        return [spark_python if way == "spark" else sys.executable, str(HERE / script), str(log), *options]
    output = f"--output_dir={tempfile.mkdtemp(dir=folder)}"
    return [sys.executable, "-m", "clickstream.pipeline", f"--input={log}", output, *options]


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--elementwise_events", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default=",".join(WAYS))
    parser.add_argument("--spark_python", default="")
    options = parser.parse_args()
    ways = [way for way in options.only.split(",") if way != "spark" or options.spark_python]
    with tempfile.TemporaryDirectory() as folder:
        logs = {count: Path(folder, f"{count}.ndjson") for count in (1, options.elementwise_events, options.events)}
        for count, log in logs.items():
            write_log(log, SampleOptions(events=count))
        events = {way: options.elementwise_events if way == "elementwise" else options.events for way in ways}
        costs: dict[str, list[Cost]] = {way: [] for way in ways}
        starts: dict[str, list[Cost]] = {way: [] for way in ways}
        for _ in range(options.runs):
            for way in ways:
                starts[way].append(measure(command(way, logs[1], folder, options.spark_python), folder))
                costs[way].append(measure(command(way, logs[events[way]], folder, options.spark_python), folder))
        show(ways, events, costs, starts)


def show(ways: list[str], events: dict[str, int], costs: dict[str, list[Cost]], starts: dict[str, list[Cost]]) -> None:
    """Prints medians as a table."""
    print(f"{machine()}\n")
    print("| way | events | start-up, CPU-s | CPU-s per million beyond | wall s | peak MiB | ratio to the floor |")
    print("|---|---|---|---|---|---|---|")
    floor = None
    for way in ways:
        start = statistics.median(cost.cpu for cost in starts[way])
        cpu = (statistics.median(cost.cpu for cost in costs[way]) - start) / events[way] * 1e6
        wall, memory = (statistics.median(cost[field] for cost in costs[way]) for field in (1, 2))
        floor = floor or (cpu if way == "floor" else None)
        ratio = f"{cpu / floor:.1f}" if floor else ""
        print(
            f"| {WAYS[way].title} | {events[way]:,} | {start:.1f} | {cpu:.2f} | {wall:.1f} | {memory:.0f} | {ratio} |"
        )


if __name__ == "__main__":
    main()
