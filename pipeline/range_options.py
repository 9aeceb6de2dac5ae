"""A range of time on the command line, for the commands that ask or compute windows again."""

import argparse

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.pipeline.option_values import moment


class RangeOptions(PipelineOptions):
    """Which windows: those that start in [from, to)."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--from", dest="from_time", type=moment, metavar="TIME", help="ISO 8601; without a zone, UTC")
        add("--to", dest="to_time", type=moment, metavar="TIME", help="likewise; not included")
