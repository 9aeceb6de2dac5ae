"""Command-line options: one `PipelineOptions` subclass a concern, and what may stand behind each `=`. Unknown ones are refused.

May import: `clickstream.io.errors`, `clickstream.io.secrets`, `clickstream.pipeline.argv` and the limits in `clickstream.transforms`.
"""

from clickstream.pipeline.options.event_format import event_format_of
from clickstream.pipeline.options.job import (
    JOB_OPTIONS,
    REFERENCE_FORMS,
    ClickOptions,
    KafkaOptions,
    LogOptions,
    MetricOptions,
    OutputOptions,
    RawStoreOptions,
)
from clickstream.pipeline.options.live import LiveOptions, PageOptions
from clickstream.pipeline.options.patterns import pattern_of
from clickstream.pipeline.options.reading import OptionParser, job_parser, read_options, with_default
from clickstream.pipeline.options.serving import ALL_COMMANDS, SERVED, check_served, commands_of, serves
from clickstream.pipeline.options.time_range import RangeOptions, range_of, times_of
from clickstream.pipeline.options.values import duration, tracking_of, whole

__all__ = [
    "ALL_COMMANDS",
    "JOB_OPTIONS",
    "REFERENCE_FORMS",
    "SERVED",
    "ClickOptions",
    "KafkaOptions",
    "LiveOptions",
    "LogOptions",
    "MetricOptions",
    "OptionParser",
    "OutputOptions",
    "PageOptions",
    "RangeOptions",
    "RawStoreOptions",
    "check_served",
    "commands_of",
    "duration",
    "event_format_of",
    "job_parser",
    "pattern_of",
    "range_of",
    "read_options",
    "serves",
    "times_of",
    "tracking_of",
    "whole",
    "with_default",
]
