"""What a runner needs beside the graph: Prism's binary, Flink's job server, Dataflow's limits, Java for Beam's own reader.

May import: anything below `clickstream.pipeline` but `commands` and `watch`.
"""

from clickstream.pipeline.runners.dataflow import check_dataflow
from clickstream.pipeline.runners.java_reader import check_reader, read_by_java
from clickstream.pipeline.runners.prism import FoundPrismRunner, find_prism

__all__ = ["FoundPrismRunner", "check_dataflow", "check_reader", "find_prism", "read_by_java"]
