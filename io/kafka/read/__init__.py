"""The splittable DoFn that reads a topic: where it starts, its polls, its restriction.

May import: the rest of `clickstream.io.kafka` but its `__init__`.
"""

from clickstream.io.kafka.read.poll import PartitionPoller, Polled
from clickstream.io.kafka.read.start import start_time
from clickstream.io.kafka.read.step import ReadFromKafka

__all__ = ["PartitionPoller", "Polled", "ReadFromKafka", "start_time"]
