"""Parse to aggregate through Beam, without sinks: what `batch.py` holds against its peers.

usage: python benchmarks/columns.py CLICKS.ndjson [OPTIONS OF THE JOB AND OF BEAM, such as --time_spent=fixed:300]
"""

import sys

import apache_beam as beam

from clickstream.io.logs import ReadClickLogs
from clickstream.pipeline.options import read_options
from clickstream.pipeline.settings import Settings
from clickstream.transforms import ParseClicks


def main(path: str, *argv: str) -> None:
    """Makes the rows and throws them away."""
    options = read_options(argv)
    settings = Settings.from_options(options)
    with beam.Pipeline(runner="FnApiRunner", options=options) as pipeline:
        parsed = pipeline | ReadClickLogs(path) | ParseClicks(settings.parse)
        found = parsed.clicks | settings.measure_step() | settings.cut() | settings.sum_up(None)
        for name, rows in found.items():
            _ = rows | f"Rows{name}" >> beam.Map(lambda table: table.num_rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
