"""Our Kafka reader before a transform of your own: how many records of each minute have come, by event time. No clicks needed.

Reads what is there, then ends; without `until` it goes on for ever (`--runner=PrismRunner --streaming`).
python examples/kafka_counts.py localhost:9092 my-topic
"""

import json
import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from clickstream.io.kafka import ReadFromKafka


def event_time(payload):
    """Of a record, in ms since the epoch; None if there is none."""
    try:
        return int(json.loads(payload)["ts"])
    except (ValueError, KeyError, TypeError):
        return None


def latest(payloads):
    """What the reader makes its watermark of: the latest time among a sample of a batch."""
    return max(filter(None, map(event_time, payloads)), default=None)


def dated(batch):
    """One element a record: a `RawBatch` holds thousands."""
    for time in filter(None, map(event_time, batch.values)):
        yield TimestampedValue[tuple[str, int]]((batch.source, 1), time / 1000)


def run(pipeline, servers, topic, until="now"):
    """Gives (partition, start of the minute, records)."""
    batches = pipeline | ReadFromKafka(
        servers, topic, group_id="kafka-counts", start="earliest", event_time=latest, until=until
    )
    minutes = batches | beam.FlatMap(dated).with_output_types(tuple[str, int]) | beam.WindowInto(FixedWindows(60))
    counts = minutes | beam.CombinePerKey(sum)
    return counts | beam.Map(lambda pair, window=beam.DoFn.WindowParam: (pair[0], int(window.start), pair[1]))


if __name__ == "__main__":
    options = PipelineOptions(sys.argv[3:] or ["--runner=FnApiRunner"])
    with beam.Pipeline(options=options) as pipeline:
        _ = run(pipeline, *sys.argv[1:3]) | beam.Map(print)
