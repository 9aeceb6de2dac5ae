"""`setup-sinks`: creates tables, procedures, views, index template, index and raw store where they are missing, checks them, and ends.

Procedures and views of another version are renewed; the rights on them stay, and so does what else is in the index template.
With `--kibana` it imports the dashboard too.
"""

import argparse
import sys
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.elasticsearch import import_saved_objects
from clickstream.io.errors import UserError
from clickstream.pipeline.options import MetricOptions, OutputOptions, RawStoreOptions, read_options, whole
from clickstream.pipeline.raw_store import raw_store_of, set_up_raw_store
from clickstream.pipeline.sinks import sinks_of


class SetupOptions(PipelineOptions):
    """The indices, and the dashboard."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--elasticsearch_shards",
            type=whole(1, 1024),
            metavar="N",
            help="primary shards of indices that are made from now on (default: as the template says, or the server)",
        )
        parser.add_argument(
            "--elasticsearch_replicas",
            type=whole(0, 100),
            metavar="N",
            help="copies of each shard, of the index that is there too (default: as the template says, or the server)",
        )
        parser.add_argument(
            "--kibana",
            metavar="URL",
            help="import the dashboard into Kibana at http(s)://HOST:PORT[/s/SPACE], as the account of Elasticsearch",
        )


OPTIONS = (SetupOptions, OutputOptions, RawStoreOptions, MetricOptions)


def main(argv: Sequence[str]) -> int:
    """Sets up the sinks and the raw store that the options name. Returns the exit status.

    Raises:
        UserError: A store can't be reached, forbids it, or has another schema.
    """
    options = read_options(argv, "setup-sinks")
    chosen = options.view_as(SetupOptions)
    kibana = chosen.kibana
    sinks, raw_store = sinks_of(options), raw_store_of(options)
    if kibana and sinks.elasticsearch is None:
        message = "--kibana shows what is in Elasticsearch: give --elasticsearch=URL too."
        raise UserError(message)
    settings = {"number_of_shards": chosen.elasticsearch_shards, "number_of_replicas": chosen.elasticsearch_replicas}
    settings = {name: value for name, value in settings.items() if value is not None}
    if settings and sinks.elasticsearch is None:
        message = (
            "--elasticsearch_shards and --elasticsearch_replicas are of Elasticsearch: give --elasticsearch=URL too."
        )
        raise UserError(message)
    sinks.set_up(renew=True, index_settings=settings)
    set_up_raw_store(raw_store)
    places = sinks.places()
    places += [f"raw store {options.view_as(RawStoreOptions).raw_store}"] if raw_store else []
    sys.stdout.write("".join(f"Ready: {place}\n" for place in places))
    if kibana and sinks.elasticsearch:
        count = import_saved_objects(kibana, sinks.elasticsearch, sinks.index)
        where = "/app/dashboards#/view/clickstream-dashboard"
        sys.stdout.write(
            f"Ready: {count} saved objects in Kibana at {kibana}, the dashboard: {kibana.rstrip('/')}{where}\n"
        )
    return 0
