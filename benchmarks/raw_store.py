"""What a raw store costs: clicks stored and computed again per second, against the client library's own bulk write and read alone.

usage: python -m tests.services up mysql cassandra hbase   # prints the addresses
       MYSQL_PASSWORD=... python benchmarks/raw_store.py --raw_store=mysql --mysql=URL --mysql_password=env:MYSQL_PASSWORD
           [--events=100000] [--rounds=3]      (or --raw_store=cassandra --cassandra=HOST:PORT, --raw_store=hbase --hbase=HOST:PORT)

Wall time, since the server works too. A round runs all four, each write into tables of its own; printed are the medians.
"""

import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from measuring import machine
from raw_clients import cassandra_client, hbase_client, mysql_client

from clickstream.io.logs import ReadClickLogs
from clickstream.io.raw.clicks import keyed
from clickstream.io.raw.read import ReadRawClicks
from clickstream.io.raw.store import RawStoreConnection
from clickstream.io.raw.write import WriteRawClicks
from clickstream.io.sample import SampleOptions, sample_records, write_log
from clickstream.pipeline.options import read_options
from clickstream.pipeline.raw_store import needed_raw_store, set_up_raw_store
from clickstream.pipeline.runners import quiet_beam
from clickstream.transforms import AggregateByPage, MeasureTimeSpent, ParseClicks, ParseOptions, RawBatch
from clickstream.transforms.parse.clicks import parse_clicks

CLIENTS: dict[str, Any] = {"mysql": mysql_client, "cassandra": cassandra_client, "hbase": hbase_client}
_FOR_EVER = (0, 1 << 42)


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def store(log: str, where: RawStoreConnection) -> None:
    """The pipeline up to the store: read, parse, keep."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        parsed = pipeline | ReadClickLogs(log) | ParseClicks()
        _ = parsed.clicks | WriteRawClicks(where)


def compute_again(where: RawStoreConnection) -> None:
    """The pipeline from the store: read, measure by dwell, aggregate."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | ReadRawClicks(where, *_FOR_EVER) | MeasureTimeSpent() | AggregateByPage()


def clicks_of(options: SampleOptions) -> pa.Table:
    """The same clicks, for the client alone."""
    tables = []
    for records in sample_records(options):
        batch = RawBatch(records, "sample", range(len(records)))
        tables.append(parse_clicks(batch, ParseOptions(), now_ms=round(time.time() * 1000)).clicks)
    return keyed(pa.concat_tables(tables))


def main() -> None:
    """Measures and prints the table."""
    own = [option for option in sys.argv[1:] if option.startswith(("--events=", "--rounds="))]
    given = {name: int(value) for name, _, value in (option[2:].partition("=") for option in own)}
    events, rounds = given.get("events", 100_000), given.get("rounds", 3)
    options = read_options([option for option in sys.argv[1:] if option not in own])
    base, sample = needed_raw_store(options), SampleOptions(events=events)
    client = CLIENTS[str(options.get_all_options()["raw_store"])]
    clicks, took = clicks_of(sample), dict[str, list[float]]()
    quiet_beam()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log.ndjson")
        write_log(log, sample)
        for _ in range(rounds):
            theirs, ours = (replace(base, table=f"bench_{secrets.token_hex(4)}") for _ in range(2))
            for where in (theirs, ours):
                set_up_raw_store(where)
            write, read = client(theirs, clicks)
            for name, work in {
                "the client's own bulk write": write,
                "read, parse and store": lambda: store(str(log), ours),  # noqa: B023
                "the client's own read": read,
                "read and compute again": lambda: compute_again(ours),  # noqa: B023
            }.items():
                took.setdefault(name, []).append(seconds(work))
    print(f"{machine()}, {clicks.num_rows:,} clicks, {rounds} rounds\n")
    median = {name: statistics.median(each) for name, each in took.items()}
    theirs_write, theirs_read = "the client's own bulk write", "the client's own read"
    peers = {"read, parse and store": [theirs_write], "read and compute again": [theirs_write, theirs_read]}
    for name, each in median.items():
        ratios = "".join(f"  {each / median[peer]:.2f} x {peer}" for peer in peers.get(name, ()))
        print(f"{name:30} {each:7.2f} s  {clicks.num_rows / each:9,.0f} clicks/s{ratios}")


if __name__ == "__main__":
    main()
