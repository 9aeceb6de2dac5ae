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
    range_of,
    read_options,
)
from clickstream.pipeline.restating import begin

OPTIONS = (RangeOptions, RawStoreOptions, ClickOptions, MetricOptions, OutputOptions)


def main(argv: Sequence[str]) -> int:
    """Prints each window that differs. Returns the exit status.

    Raises:
        UserError: An option is wrong, or a store can't be read.
    """
    options = read_options(argv, "verify")
    changes = begin(options, write=False).run(*range_of(options))
    for change in changes:
        sys.stdout.write(f"{change_line(change)}\n")
    sys.stdout.write(f"{len(changes)} windows differ, by store.\n" if changes else "Nothing differs.\n")
    return 1 if changes else 0
