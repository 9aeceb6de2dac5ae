"""The graph of a live job that is never run."""

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.sql import SqlConnection
from clickstream.pipeline.jobs import wire
from clickstream.pipeline.live.job import live_job
from clickstream.pipeline.settings import Settings
from clickstream.pipeline.sinks import Sinks


def wire_live(pipeline: beam.Pipeline, options: PipelineOptions) -> None:
    """Puts it into the pipeline; its sink is a file that nobody opens."""
    sinks = Sinks(None, None, "index", SqlConnection("sqlite", "unused"))
    wire(pipeline, live_job(options, Settings.from_options(options, live=True), sinks))
