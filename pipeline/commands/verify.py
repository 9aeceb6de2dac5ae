"""`verify`: raw store, MySQL and Elasticsearch compared window by window. Exit status 1 if anything differs."""

import sys
from collections.abc import Sequence

from clickstream.pipeline.changes import change_line
from clickstream.pipeline.options import (
    ClickOptions,
    MetricOptions,
    OutputOptions,
    RangeOptions,
    RawStoreOptions,
    job_parser,
    range_of,
    read_options,
)
from clickstream.pipeline.raw_store import needed_raw_store
from clickstream.pipeline.restating import Restating
from clickstream.pipeline.sinks import sinks_of


def main(argv: Sequence[str]) -> int:
    """Prints each window that differs. Returns the exit status.

    Raises:
        UserError: An option is wrong, or a store can't be read.
    """
    if {"-h", "--help"} & set(argv):
        parser = job_parser((RangeOptions, RawStoreOptions, ClickOptions, MetricOptions, OutputOptions))
        parser.prog, parser.description = "clickstream verify", __doc__
        parser.print_help()
        return 0
    options = read_options(argv)
    work = Restating(options, needed_raw_store(options), sinks_of(options), write=False)
    changes = work.run(*range_of(options))
    for change in changes:
        sys.stdout.write(f"{change_line(change)}\n")
    sys.stdout.write(f"{len(changes)} windows differ, by store.\n" if changes else "Nothing differs.\n")
    return 1 if changes else 0
