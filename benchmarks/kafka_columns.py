"""Kafka to aggregates through Beam, without sinks and commits: what `kafka.py` measures.

usage: python benchmarks/kafka_columns.py BOOTSTRAP_SERVERS TOPIC [OPTIONS OF THE JOB AND OF BEAM]
"""

import sys

import apache_beam as beam

from clickstream.io.kafka import ReadFromKafka
from clickstream.pipeline.options import read_options
from clickstream.pipeline.settings import Settings
from clickstream.transforms import AggregateByPage, ParseClicks
from clickstream.transforms.parse.event_time import LatestEventTime


def main(servers: str, topic: str, *argv: str) -> None:
    """Makes the rows of what is in the topic now and throws them away."""
    options = read_options(argv)
    settings = Settings.from_options(options, live=True)
    read = ReadFromKafka(servers, topic, f"{topic}-benchmark", event_time=LatestEventTime(), until="now")
    aggregate = AggregateByPage(settings.window_seconds, sketch_size=settings.sketch_size)
    with beam.Pipeline(runner="FnApiRunner", options=options) as pipeline:
        parsed = pipeline | read | ParseClicks(settings.parse)
        rows = parsed.clicks | settings.measure_step() | aggregate
        rows | "Rows" >> beam.Map(lambda table: table.num_rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
