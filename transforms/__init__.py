"""What the numbers mean: pure functions on columns, and the PTransforms that wire them. No I/O, no servers."""

from clickstream.transforms.aggregate import AggregateByPage, CutByWindow, PaneTimes, SumByBreakdown, SumByPage
from clickstream.transforms.breakdowns import Breakdowns
from clickstream.transforms.measure import MeasureTimeSpent, TimeSpentPolicy
from clickstream.transforms.parse import METRIC_COLUMNS, BatchClicks, ParseClicks, ParseOptions
from clickstream.transforms.periods import Periods
from clickstream.transforms.schema import BREAKDOWN_SCHEMA, CLICK_SCHEMA, PAGE_METRICS_SCHEMA, REJECTED_SCHEMA, RawBatch

__all__ = [
    "BREAKDOWN_SCHEMA",
    "CLICK_SCHEMA",
    "METRIC_COLUMNS",
    "PAGE_METRICS_SCHEMA",
    "REJECTED_SCHEMA",
    "AggregateByPage",
    "BatchClicks",
    "Breakdowns",
    "CutByWindow",
    "MeasureTimeSpent",
    "PaneTimes",
    "ParseClicks",
    "ParseOptions",
    "Periods",
    "RawBatch",
    "SumByBreakdown",
    "SumByPage",
    "TimeSpentPolicy",
]
