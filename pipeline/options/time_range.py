"""A range of time on the command line, for the commands that ask or compute windows again."""

import argparse

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.pipeline.options.values import moment


class RangeOptions(PipelineOptions):
    """Which windows: those that start in [from, to)."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--from", dest="from_time", type=moment, metavar="TIME", help="ISO 8601; without a zone, UTC")
        add("--to", dest="to_time", type=moment, metavar="TIME", help="likewise; not included")


def range_of(options: PipelineOptions) -> tuple[int, int]:
    """Both ends, ms since the epoch.

    Raises:
        UserError: One is missing, or the range is empty.
    """
    asked = options.view_as(RangeOptions)
    if asked.from_time is None or asked.to_time is None:
        message = "Which windows? Give --from=TIME and --to=TIME, such as --from=2026-11-01 --to=2026-11-02."
        raise UserError(message)
    if asked.from_time >= asked.to_time:
        message = f"--from={asked.from_time:%Y-%m-%dT%H:%M:%SZ} is not before --to={asked.to_time:%Y-%m-%dT%H:%M:%SZ}: no window starts between them."
        raise UserError(message)
    return round(asked.from_time.timestamp() * 1000), round(asked.to_time.timestamp() * 1000)
