"""How a job that has done all of its work tells whether the records were worth it."""

import sys
from collections.abc import Mapping

from clickstream.pipeline.watch.health import too_many_rejected

TOO_MANY_REJECTED = 4


def end_status(read: int, rejected: Mapping[str, int], most: float) -> int:
    """The exit status of a job that is done and has written all: 4, with a word to stderr, if more was rejected than may be; else 0."""
    refused = too_many_rejected(read, rejected, most)
    if refused:
        sys.stderr.write(f"{refused} The others are counted.\n")
    return TOO_MANY_REJECTED if refused else 0
