"""Command-line options: one `PipelineOptions` subclass a concern, read by every job; unknown ones are refused."""

import argparse
from contextlib import suppress

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.pipeline.options.live import LiveOptions, PageOptions
from clickstream.pipeline.options.values import (
    breakdowns,
    duration,
    duration_or_off,
    rollups,
    share_or_off,
    sketch_size,
    time_spent,
    tracking_parameters,
    whole,
)
from clickstream.transforms.breakdowns import DEFAULT_VALUES, DIMENSIONS, OTHER

REFERENCE_FORMS = "env:NAME, file:PATH or secret:projects/P/secrets/S/versions/V"


class LogOptions(PipelineOptions):
    """Clicks from logs (bounded)."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--input",
            metavar="PATH_OR_GLOB",
            help="JSON records in lines, side by side or in arrays; plain, gzip, zstd, bz2, lz4 or xz; Parquet, Avro, CSV, TSV "
            "(default: a sample is made)",
        )
        parser.add_argument(
            "--input_container",
            choices=("auto", "lines", "csv", "tsv"),
            default="auto",
            help="csv, tsv: tables whose first line names the columns; auto: those that are called so (.csv, .tsv.gz) and aren't JSON; lines: none",
        )


class KafkaOptions(PipelineOptions):
    """Clicks from Kafka (live)."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        # Beam's options for its Kafka Streams runner have this one too; where both are read, theirs stands.
        with suppress(argparse.ArgumentError):
            add("--bootstrap_servers", metavar="HOST:PORT", help="brokers, several with commas: the job is live then")
        add("--topic", metavar="NAME", help="topic of JSON clicks")
        add(
            "--group_id",
            default="clickstream-beam",
            metavar="NAME",
            help="consumer group of the offsets",
        )
        add(
            "--start",
            default="committed",
            metavar="WHERE",
            help="committed (else earliest), earliest, latest, or a time",
        )
        add("--until", choices=("now",), help="now: read what is there, write it, and end")
        add(
            "--disorder",
            type=duration,
            default="10s",
            metavar="DURATION",
            help="how far events may be out of order",
        )
        add(
            "--idle",
            type=duration,
            default="30s",
            metavar="DURATION",
            help="when a silent partition stops counting",
        )
        add(
            "--kafka_splits",
            choices=("one", "per_partition"),
            default="one",
            help="per_partition: not on Prism",
        )
        add(
            "--kafka_reader",
            choices=("native", "java"),
            default="native",
            help="java: Beam's cross-language reader, for Flink and Dataflow; commits no offsets",
        )
        add(
            "--kafka_expansion_service",
            metavar="WHERE",
            help="with --kafka_reader=java: HOST:PORT, or the path of Beam's jar (default: Beam downloads it)",
        )
        add(
            "--kafka_config",
            metavar="FILE",
            help=f"further librdkafka settings (gs:// too); secrets as {REFERENCE_FORMS}",
        )
        add(
            "--schema_registry",
            metavar="URL",
            help="where the schemas are of values in Confluent's framing: Avro, Protobuf, JSON Schema; native reader only",
        )
        add(
            "--schema_registry_user",
            metavar="NAME",
            help="with --schema_registry_password; of Confluent Cloud, the API key",
        )
        add("--schema_registry_password", metavar="REF", help=REFERENCE_FORMS)
        add("--schema_registry_ca", metavar="FILE", help="certificate authority of the registry")


class ClickOptions(PipelineOptions):
    """What counts as a click."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--event_format",
            metavar="NAME_OR_FILE",
            help="how clicks are read out of events of another shape: a built-in format such as segment, or a YAML file of your own; "
            "with ,base=https://shop.example behind it for URLs without a host (default: clickstream)",
        )
        add(
            "--url_normalisation",
            choices=("on", "off"),
            default="on",
            help="on: one page, one row (host in lower case; default port, fragment, dot segments and tracking parameters off)",
        )
        add(
            "--tracking_parameters",
            type=tracking_parameters,
            metavar="CHANGES",
            help="what more, or less, is off in a URL's query: +sid,-gclid,+promo_*,@FILE (a file with one such change a line)",
        )
        add(
            "--country_names",
            choices=("as_given", "iso"),
            default="as_given",
            help="iso: one country, one row: codes and names of ISO 3166, in any case, are counted under one name (IN, IND and INDIA: India)",
        )
        add(
            "--unknown_country",
            choices=("count", "reject"),
            default="count",
            help='reject: a click without a country is rejected; count: it counts, under "" (shown as unknown)',
        )
        add(
            "--max_event_age",
            type=duration_or_off,
            metavar="DURATION",
            help="reject older events: 7d, 12h, off (default: 7d live, off for logs)",
        )
        add(
            "--max_clock_skew",
            type=duration_or_off,
            default="10m",
            metavar="DURATION",
            help="reject events further ahead of now: 10m, off",
        )
        add(
            "--max_rejected_share",
            type=share_or_off,
            default="0.5",
            metavar="SHARE",
            help="of 1,000 records or more: beyond it the job over logs, or with --until=now, ends with status 4; a live job isn't healthy; off",
        )
        add(
            "--hash_user_ids",
            metavar="REF",
            help=f"{REFERENCE_FORMS} of a key: user ids are replaced by keyed hashes, in dead letters too",
        )


class MetricOptions(PipelineOptions):
    """What is computed."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--window_seconds",
            type=whole(1, 366 * 86_400),
            default=300,
            metavar="N",
            help="length of a window",
        )
        add(
            "--time_spent",
            type=time_spent,
            default="dwell",
            metavar="POLICY",
            help="dwell: until the user's next click; fixed:SECONDS; reported: what the event says",
        )
        add(
            "--session_gap",
            type=duration,
            default="30m",
            metavar="DURATION",
            help="dwell: a click later than this after the one before begins a session",
        )
        add(
            "--deduplicate",
            choices=("row_key", "off"),
            help="row_key: equal clicks (user, time, page, country, row key) count once (default: with dwell)",
        )
        add(
            "--sketch_size",
            type=sketch_size,
            default="1024",
            metavar="N",
            help="user hashes a row keeps at most, so that users of several rows can be counted; off",
        )
        add(
            "--rollups",
            type=rollups,
            metavar="1h,1d",
            help="keep hours and days too, in tables and indices of their own",
        )
        add(
            "--time_zone",
            default="UTC",
            metavar="NAME",
            help="whose hours and days --rollups keeps, such as Asia/Kolkata",
        )
        add(
            "--breakdowns",
            type=breakdowns,
            metavar="NAMES",
            help=f"count by these too, in tables and indices of their own: {','.join(DIMENSIONS)}",
        )
        add(
            "--breakdown_values",
            type=whole(1, 1_000_000),
            default=DEFAULT_VALUES,
            metavar="N",
            help=f"how many values of a breakdown a window has rows of; the others are counted together, as {OTHER}",
        )
        add(
            "--shards",
            type=whole(1, 4096),
            metavar="N",
            help="the most workers that share a window (default: 1; windows are shared out anyhow)",
        )
        add(
            "--allowed_lateness",
            type=duration,
            default="10m",
            metavar="DURATION",
            help="live: how long windows take late clicks",
        )
        add(
            "--early_results",
            type=duration,
            metavar="DURATION",
            help="live: running totals this often before a window ends",
        )
        add(
            "--late_results",
            type=duration,
            metavar="DURATION",
            help="live: how soon late clicks and times spent show in a window (default: 5s; with dwell a third of --session_gap)",
        )


class OutputOptions(PipelineOptions):
    """Where results go."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--output_dir", default="out", metavar="DIR", help="folder for embedded results")
        add("--mysql", metavar="URL", help="mysql://USER@HOST:PORT/DATABASE, MySQL 8 or 9, or MariaDB")
        add("--mysql_password", metavar="REF", help=REFERENCE_FORMS)
        add("--mysql_tls_ca", metavar="FILE", help="certificate authority, to talk TLS only")
        add("--elasticsearch", metavar="URL", help="http(s)://HOST:PORT, several with commas")
        add(
            "--elasticsearch_index",
            default="processed_clickstream_data",
            metavar="NAME",
            help="index of the results; with {month} or {day} in it indices by time",
        )
        add("--elasticsearch_api_key", metavar="REF", help=REFERENCE_FORMS)
        add("--elasticsearch_user", metavar="NAME", help="with --elasticsearch_password")
        add("--elasticsearch_password", metavar="REF", help=REFERENCE_FORMS)
        add("--elasticsearch_ca", metavar="FILE", help="certificate authority of the server")
        add(
            "--dead_letters",
            metavar="WHERE",
            help="mysql, kafka:TOPIC or file:PATH of an SQLite file (default: where the rows go)",
        )


class RawStoreOptions(PipelineOptions):
    """Where each accepted click is kept, so that windows can be computed again."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--raw_store",
            choices=("files", "mysql", "sqlite", "cassandra", "hbase", "none"),
            help="files: in --output_dir, for logs; mysql: the database of --mysql; sqlite: a file in --output_dir "
            "(default: files for logs, so that runs over pieces add up; none for Kafka)",
        )
        add(
            "--raw_table",
            default="clickstream_data",
            metavar="NAME",
            help="its table",
        )
        add("--cassandra", metavar="HOST:PORT", help="nodes to begin with, several with commas")
        add("--cassandra_keyspace", default="clickstream", metavar="NAME", help="its keyspace")
        add("--cassandra_user", metavar="NAME", help="with --cassandra_password")
        add("--cassandra_password", metavar="REF", help=REFERENCE_FORMS)
        add("--cassandra_ca", metavar="FILE", help="certificate authority, to talk TLS only")
        add("--hbase", metavar="HOST:PORT", help="HBase's Thrift server")
        add(
            "--retention",
            type=duration,
            metavar="DURATION",
            help="remove raw clicks older than this, by buckets of ten minutes: 90d (default: keep)",
        )


JOB_OPTIONS = (
    *(LogOptions, KafkaOptions, ClickOptions, MetricOptions),
    *(OutputOptions, RawStoreOptions, LiveOptions, PageOptions),
)
