"""Keeps a live job running and says how it is: imports nothing heavy, for it outlives the job.

May import: `clickstream.io.errors`, `clickstream.pipeline.argv`.
"""

from clickstream.pipeline.watch.end_status import end_status
from clickstream.pipeline.watch.figures import LiveFigures, SinkFigures
from clickstream.pipeline.watch.health import (
    SINK_NAMES,
    LastError,
    Limits,
    default_limits,
    report,
)
from clickstream.pipeline.watch.health_server import HealthServer
from clickstream.pipeline.watch.job_status import JobStatus, is_supervised, note_end, note_status
from clickstream.pipeline.watch.page_process import belongs_to_job, end_with_parent, page_beside
from clickstream.pipeline.watch.stopping import stop_on_signals
from clickstream.pipeline.watch.supervisor import DEFAULT_RESTARTS, FAILED_WHILE_RUNNING, STOP_SECONDS, supervise

__all__ = [
    "DEFAULT_RESTARTS",
    "FAILED_WHILE_RUNNING",
    "SINK_NAMES",
    "STOP_SECONDS",
    "HealthServer",
    "JobStatus",
    "LastError",
    "Limits",
    "LiveFigures",
    "SinkFigures",
    "belongs_to_job",
    "default_limits",
    "end_status",
    "end_with_parent",
    "is_supervised",
    "note_end",
    "note_status",
    "page_beside",
    "report",
    "stop_on_signals",
    "supervise",
]
