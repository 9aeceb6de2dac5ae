"""`setup-sinks`: creates tables, procedures, index template and index where they are missing, checks them, and ends."""

import sys
from collections.abc import Sequence

from clickstream.pipeline.options import read_options
from clickstream.pipeline.sinks import sinks_of


def main(argv: Sequence[str]) -> int:
    """Sets up the sinks that the options name. Returns the exit status.

    Raises:
        UserError: A store can't be reached, forbids it, or has another schema.
    """
    sinks = sinks_of(read_options(argv))
    sinks.set_up()
    places = [sinks.sql.place] if sinks.sql else []
    places += [f"Elasticsearch at {sinks.elasticsearch.hosts}, index {sinks.index}"] if sinks.elasticsearch else []
    sys.stdout.write("".join(f"Ready: {place}\n" for place in places))
    return 0
