"""The report of a run: figures out of the embedded database, and one HTML file that shows them offline.

May import: `clickstream.page`'s ground, and what that may.
"""

from clickstream.page.report.figures import Figures, Page
from clickstream.page.report.write import RunCounts, write_report

__all__ = ["Figures", "Page", "RunCounts", "write_report"]
