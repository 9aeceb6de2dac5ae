"""A range of time on the command line, for the commands that ask or compute windows again."""

import argparse
from datetime import datetime

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.pipeline.options.values import moment


class RangeOptions(PipelineOptions):
    """Which windows: those that start in [from, to)."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--from", dest="from_time", type=_checked, metavar="TIME", help="ISO 8601; without a zone, UTC")
        add("--to", dest="to_time", type=_checked, metavar="TIME", help="likewise; not included")


def _checked(text: str) -> str:
    """As it is written: a runner of another process takes options that are JSON."""
    moment(text)
    return text


def times_of(options: PipelineOptions) -> tuple[datetime | None, datetime | None]:
    """Both ends, UTC; None: left open.

    Raises:
        UserError: The range is empty.
    """
    asked = options.view_as(RangeOptions)
    start, end = (None if text is None else moment(text) for text in (asked.from_time, asked.to_time))
    if start is not None and end is not None and start >= end:
        message = f"--from={start:%Y-%m-%dT%H:%M:%SZ} is not before --to={end:%Y-%m-%dT%H:%M:%SZ}: no window starts between them."
        raise UserError(message)
    return start, end


def range_of(options: PipelineOptions) -> tuple[int, int]:
    """Both ends, ms since the epoch.

    Raises:
        UserError: One is missing, or the range is empty.
    """
    start, end = times_of(options)
    if start is None or end is None:
        message = "Which windows? Give --from=TIME and --to=TIME, such as --from=2026-11-01 --to=2026-11-02."
        raise UserError(message)
    return round(start.timestamp() * 1000), round(end.timestamp() * 1000)
