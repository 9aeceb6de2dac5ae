"""The same job as most people would write it: one Beam element an event, one CombineFn. A peer for `batch.py`, not for use.

usage: python benchmarks/elementwise.py CLICKS.ndjson [WINDOW_SECONDS]
"""

import json
import sys
from datetime import datetime

import apache_beam as beam
from apache_beam.transforms.window import FixedWindows, TimestampedValue


class PageCombineFn(beam.CombineFn):
    """Clicks, distinct users and reported time of one URL and country."""

    def create_accumulator(self):
        return 0, set(), 0.0, 0

    def add_input(self, accumulator, click):
        clicks, users, seconds, timed = accumulator
        user, spent = click
        users.add(user)
        return clicks + 1, users, seconds + (spent or 0.0), timed + (spent is not None)

    def merge_accumulators(self, accumulators):
        clicks, users, seconds, timed = 0, set(), 0.0, 0
        for other in accumulators:
            clicks, users, seconds, timed = clicks + other[0], users | other[1], seconds + other[2], timed + other[3]
        return clicks, users, seconds, timed

    def extract_output(self, accumulator):
        clicks, users, seconds, timed = accumulator
        return clicks, len(users), seconds, timed


def parse(line: bytes):
    """A click under its event time; a bad record is dropped."""
    try:
        record = json.loads(line)
        click = record["click_data"]
        time = datetime.fromisoformat(click["timestamp"].replace("Z", "+00:00")).timestamp()
        spent = click.get("time_spent")
        measured = (str(click["user_id"]), None if spent is None else float(spent))
        yield TimestampedValue(((str(click["url"]), str(record["geo_data"]["country"])), measured), time)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def main(path: str, window_seconds: int = 300) -> None:
    """Counts the rows and throws them away: the job without sinks."""
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        (
            pipeline
            | beam.io.ReadFromText(path, coder=beam.coders.BytesCoder())
            | "Parse" >> beam.FlatMap(parse)
            | "Windows" >> beam.WindowInto(FixedWindows(window_seconds))
            | "Combine" >> beam.CombinePerKey(PageCombineFn())
            | "Rows" >> beam.Map(lambda row: row[1][0])
        )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
