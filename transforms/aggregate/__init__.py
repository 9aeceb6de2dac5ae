"""Measured clicks to result rows, a window at a time: partial sums that merge in any order.

May import: the modules directly in `clickstream.transforms`.
"""

from clickstream.transforms.aggregate.step import AggregateByPage, CutByWindow, SumByBreakdown, SumByPage
from clickstream.transforms.aggregate.window_sums import PaneTimes

__all__ = ["AggregateByPage", "CutByWindow", "PaneTimes", "SumByBreakdown", "SumByPage"]
