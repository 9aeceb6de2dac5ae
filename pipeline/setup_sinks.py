"""`setup-sinks`: creates tables, procedures, index template, index and raw store where they are missing, checks them, and ends."""

import sys
from collections.abc import Sequence

from clickstream.pipeline.options import RawStoreOptions, read_options
from clickstream.pipeline.raw import raw_store_of, set_up_raw_store
from clickstream.pipeline.sinks import sinks_of


def main(argv: Sequence[str]) -> int:
    """Sets up the sinks and the raw store that the options name. Returns the exit status.

    Raises:
        UserError: A store can't be reached, forbids it, or has another schema.
    """
    options = read_options(argv)
    sinks, raw_store = sinks_of(options), raw_store_of(options)
    sinks.set_up()
    set_up_raw_store(raw_store)
    places = [sinks.sql.place] if sinks.sql else []
    places += [f"Elasticsearch at {sinks.elasticsearch.hosts}, index {sinks.index}"] if sinks.elasticsearch else []
    places += [f"raw store {options.view_as(RawStoreOptions).raw_store}"] if raw_store else []
    sys.stdout.write("".join(f"Ready: {place}\n" for place in places))
    return 0
