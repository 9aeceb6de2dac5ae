"""Kafka to aggregates through Beam, without sinks and commits: what `kafka.py` measures.

usage: python benchmarks/kafka_columns.py BOOTSTRAP_SERVERS TOPIC [WINDOW_SECONDS] [BEAM OPTIONS]
"""

import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.kafka import ReadFromKafka
from clickstream.transforms import METRIC_COLUMNS, AggregateByPage, MeasureTimeSpent, ParseClicks, ParseOptions
from clickstream.transforms.event_time import LatestEventTime


def main(servers: str, topic: str, window_seconds: int = 300, *beam_options: str) -> None:
    """Makes the rows of what is in the topic now and throws them away."""
    window = int(window_seconds)
    read = ReadFromKafka(servers, topic, f"{topic}-benchmark", event_time=LatestEventTime(), until="now")
    parse = ParseClicks(ParseOptions(columns=METRIC_COLUMNS, window_seconds=window))
    with beam.Pipeline(runner="FnApiRunner", options=PipelineOptions(beam_options)) as pipeline:
        rows = (pipeline | read | parse).clicks | MeasureTimeSpent() | AggregateByPage(window_seconds=window)
        rows | "Rows" >> beam.Map(lambda table: table.num_rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
