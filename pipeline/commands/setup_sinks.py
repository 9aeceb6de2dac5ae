"""`setup-sinks`: creates tables, procedures, views, index template, index and raw store where they are missing, checks them, and ends.

With `--kibana` it imports the dashboard too.
"""

import argparse
import sys
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.elasticsearch import import_saved_objects
from clickstream.io.errors import UserError
from clickstream.pipeline.options import OutputOptions, RawStoreOptions, job_parser, read_options
from clickstream.pipeline.raw_store import raw_store_of, set_up_raw_store
from clickstream.pipeline.sinks import sinks_of


class KibanaOptions(PipelineOptions):
    """The dashboard."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--kibana",
            metavar="URL",
            help="import the dashboard into Kibana at http(s)://HOST:PORT[/s/SPACE], as the account of Elasticsearch",
        )


def main(argv: Sequence[str]) -> int:
    """Sets up the sinks and the raw store that the options name. Returns the exit status.

    Raises:
        UserError: A store can't be reached, forbids it, or has another schema.
    """
    if {"-h", "--help"} & set(argv):
        parser = job_parser((KibanaOptions, OutputOptions, RawStoreOptions))
        parser.prog, parser.description = "clickstream setup-sinks", __doc__
        parser.print_help()
        return 0
    options = read_options(argv)
    kibana = options.view_as(KibanaOptions).kibana
    sinks, raw_store = sinks_of(options), raw_store_of(options)
    if kibana and sinks.elasticsearch is None:
        message = "--kibana shows what is in Elasticsearch: give --elasticsearch=URL too."
        raise UserError(message)
    sinks.set_up()
    set_up_raw_store(raw_store)
    places = [sinks.sql.place] if sinks.sql else []
    places += [f"Elasticsearch at {sinks.elasticsearch.hosts}, index {sinks.index}"] if sinks.elasticsearch else []
    places += [f"raw store {options.view_as(RawStoreOptions).raw_store}"] if raw_store else []
    sys.stdout.write("".join(f"Ready: {place}\n" for place in places))
    if kibana and sinks.elasticsearch:
        count = import_saved_objects(kibana, sinks.elasticsearch, sinks.index)
        where = "/app/dashboards#/view/clickstream-dashboard"
        sys.stdout.write(
            f"Ready: {count} saved objects in Kibana at {kibana}, the dashboard: {kibana.rstrip('/')}{where}\n"
        )
    return 0
