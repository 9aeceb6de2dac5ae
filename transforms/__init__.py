"""What the numbers mean: pure functions on columns, and the PTransforms that wire them. No I/O, no servers."""

from clickstream.transforms.measure import TimeSpentPolicy
from clickstream.transforms.measure_step import MeasureTimeSpent
from clickstream.transforms.parse import METRIC_COLUMNS, ParseOptions
from clickstream.transforms.schema import CLICK_SCHEMA, PAGE_METRICS_SCHEMA, REJECTED_SCHEMA, RawBatch
from clickstream.transforms.steps import AggregateByPage, BatchClicks, ParseClicks

__all__ = [
    "CLICK_SCHEMA",
    "METRIC_COLUMNS",
    "PAGE_METRICS_SCHEMA",
    "REJECTED_SCHEMA",
    "AggregateByPage",
    "BatchClicks",
    "MeasureTimeSpent",
    "ParseClicks",
    "ParseOptions",
    "RawBatch",
    "TimeSpentPolicy",
]
