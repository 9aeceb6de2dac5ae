"""Clicks of a made-up site, the same for the same seed: as records, as a log file, or fed to a topic.

May import: the modules directly in `clickstream.io`, and `clickstream.io.kafka`.
"""

from clickstream.io.sample.feed import feed_topic
from clickstream.io.sample.log import BATCH, Meter, Progress, Stop, live_records, never, sample_records, write_log
from clickstream.io.sample.options import SampleOptions

__all__ = [
    "BATCH",
    "Meter",
    "Progress",
    "SampleOptions",
    "Stop",
    "feed_topic",
    "live_records",
    "never",
    "sample_records",
    "write_log",
]
