"""What a runner needs beside the graph: which it is, its programs, its limits, and how a worker's error reaches the user.

May import: anything below `clickstream.pipeline` but `commands` and `watch`.
"""

from clickstream.pipeline.runners.dataflow import check_dataflow
from clickstream.pipeline.runners.engine import on_prism, runner_of, workers_are_here
from clickstream.pipeline.runners.java_reader import check_reader, read_by_java
from clickstream.pipeline.runners.prism import FoundPrismRunner, find_prism
from clickstream.pipeline.runners.worker_errors import Causes, mendable_errors, quiet_beam

__all__ = [
    "Causes",
    "FoundPrismRunner",
    "check_dataflow",
    "check_reader",
    "find_prism",
    "mendable_errors",
    "on_prism",
    "quiet_beam",
    "read_by_java",
    "runner_of",
    "workers_are_here",
]
