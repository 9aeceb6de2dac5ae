"""Parse to aggregate through Beam, without sinks: what `batch.py` holds against its peers.

usage: python benchmarks/columns.py CLICKS.ndjson [OPTIONS OF THE JOB AND OF BEAM, such as --time_spent=fixed:300]
"""

import sys

import apache_beam as beam

from clickstream.io.files import ReadClickLogs
from clickstream.pipeline.options import MetricOptions, read_options
from clickstream.pipeline.settings import measure_step, parse_options
from clickstream.transforms import AggregateByPage, ParseClicks


def main(path: str, *argv: str) -> None:
    """Makes the rows and throws them away."""
    options = read_options(argv)
    metrics = options.view_as(MetricOptions)
    shards = metrics.shards or 1
    aggregate = AggregateByPage(metrics.window_seconds, shards, sketch_size=metrics.sketch_size)
    with beam.Pipeline(runner="FnApiRunner", options=options) as pipeline:
        parsed = pipeline | ReadClickLogs(path) | ParseClicks(parse_options(options))
        rows = parsed.clicks | measure_step(options, shards=shards) | aggregate
        rows | "Rows" >> beam.Map(lambda table: table.num_rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
