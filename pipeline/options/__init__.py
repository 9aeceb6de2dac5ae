"""Command-line options: one `PipelineOptions` subclass a concern, and what may stand behind each `=`. Unknown ones are refused.

May import: `clickstream.io.errors`, `clickstream.io.secrets` and the limits in `clickstream.transforms`.
"""

from clickstream.pipeline.options.job import (
    JOB_OPTIONS,
    REFERENCE_FORMS,
    ClickOptions,
    KafkaOptions,
    LogOptions,
    MetricOptions,
    OutputOptions,
    RawStoreOptions,
    job_parser,
    read_options,
)
from clickstream.pipeline.options.live import LiveOptions, PageOptions
from clickstream.pipeline.options.patterns import pattern_of
from clickstream.pipeline.options.time_range import RangeOptions, range_of
from clickstream.pipeline.options.values import duration, tracking_of, whole

__all__ = [
    "JOB_OPTIONS",
    "REFERENCE_FORMS",
    "ClickOptions",
    "KafkaOptions",
    "LiveOptions",
    "LogOptions",
    "MetricOptions",
    "OutputOptions",
    "PageOptions",
    "RangeOptions",
    "RawStoreOptions",
    "duration",
    "job_parser",
    "pattern_of",
    "range_of",
    "read_options",
    "tracking_of",
    "whole",
]
