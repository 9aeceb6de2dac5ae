"""What the numbers mean: pure functions on columns, and the PTransforms that wire them. No I/O, no servers."""

from clickstream.transforms.aggregate import AggregateByPage, CutByWindow, PaneTimes, SumByPage
from clickstream.transforms.measure import MeasureTimeSpent, TimeSpentPolicy
from clickstream.transforms.parse import METRIC_COLUMNS, BatchClicks, ParseClicks, ParseOptions
from clickstream.transforms.periods import Periods
from clickstream.transforms.schema import CLICK_SCHEMA, PAGE_METRICS_SCHEMA, REJECTED_SCHEMA, RawBatch

__all__ = [
    "CLICK_SCHEMA",
    "METRIC_COLUMNS",
    "PAGE_METRICS_SCHEMA",
    "REJECTED_SCHEMA",
    "AggregateByPage",
    "BatchClicks",
    "CutByWindow",
    "MeasureTimeSpent",
    "PaneTimes",
    "ParseClicks",
    "ParseOptions",
    "Periods",
    "RawBatch",
    "SumByPage",
    "TimeSpentPolicy",
]
