"""Flink: its options, Beam's job server for it, and a job once it is submitted."""

from clickstream.pipeline.runners.flink.bounded import bounded_on_flink
from clickstream.pipeline.runners.flink.job import FlinkJob, say
from clickstream.pipeline.runners.flink.options import (
    FlinkOptions,
    flink_folder,
    flink_settings,
    is_local,
    read_flink_options,
    with_runner_options,
)
from clickstream.pipeline.runners.flink.server import children_say_to, find_job_server, free_port, job_server

__all__ = [
    "FlinkJob",
    "FlinkOptions",
    "bounded_on_flink",
    "children_say_to",
    "find_job_server",
    "flink_folder",
    "flink_settings",
    "free_port",
    "is_local",
    "job_server",
    "read_flink_options",
    "say",
    "with_runner_options",
]
