"""Parse to aggregate through Beam, without sinks: what `batch.py` holds against its peers.

usage: python benchmarks/columns.py CLICKS.ndjson [WINDOW_SECONDS] [BEAM OPTIONS]
"""

import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.files import ReadClickLogs
from clickstream.transforms import METRIC_COLUMNS, AggregateByPage, MeasureTimeSpent, ParseClicks, ParseOptions


def main(path: str, window_seconds: int = 300, *beam_options: str) -> None:
    """Makes the rows and throws them away."""
    with beam.Pipeline(runner="FnApiRunner", options=PipelineOptions(beam_options)) as pipeline:
        parsed = pipeline | ReadClickLogs(path) | ParseClicks(ParseOptions(columns=METRIC_COLUMNS))
        rows = parsed.clicks | MeasureTimeSpent() | AggregateByPage(window_seconds=int(window_seconds))
        rows | "Rows" >> beam.Map(lambda table: table.num_rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
