"""How long a page was looked at: a named policy, and for `dwell` the clicks of each user in order.

May import: the modules directly in `clickstream.transforms`.
"""

from clickstream.transforms.measure.policy import TimeSpentPolicy
from clickstream.transforms.measure.step import MeasureTimeSpent

__all__ = ["MeasureTimeSpent", "TimeSpentPolicy"]
