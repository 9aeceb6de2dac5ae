"""Command-line options of what goes on beside a job's figures: how a live one is kept running and watched, and the page."""

import argparse

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.pipeline.options.values import duration, whole


class LiveOptions(PipelineOptions):
    """How a live job is kept running."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--max_restarts",
            type=whole(0, 1000),
            default=10,
            metavar="N",
            help="restarts in a row without progress",
        )
        parser.add_argument(
            "--health_port",
            type=whole(0, 65_535),
            metavar="N",
            help="serve /healthz, /metrics and /status.json there; 0: a free port (default: don't)",
        )
        parser.add_argument(
            "--health_host",
            default="127.0.0.1",
            metavar="ADDRESS",
            help="where to (default: 127.0.0.1, this machine only)",
        )
        parser.add_argument(
            "--max_watermark_age",
            type=duration,
            metavar="DURATION",
            help="not healthy when further behind with records to read (default: a window, --disorder, --idle and 60s)",
        )
        parser.add_argument(
            "--check_servers",
            choices=("on", "off"),
            default="on",
            help="off: neither ask Kafka and the stores before the start nor set them up (setup-sinks does), nor read secrets",
        )


class PageOptions(PipelineOptions):
    """A web page that shows the results."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--page", action="store_true", help="show the results on a web page: beside a live job, after another")
        add(
            "--page_port",
            type=whole(0, 65_535),
            metavar="N",
            help="port of the page (default: 8350, or the next that is free)",
        )
        add(
            "--page_host",
            default="127.0.0.1",
            metavar="ADDRESS",
            help="where it listens; others than this machine need a token",
        )
        add("--page_token", metavar="REF", help="env:NAME or file:PATH of the token (default: one is made and printed)")
        add("--health", metavar="URL", help="where a live job has its --health_port, for the page's third tab")
