"""Command-line options: one `PipelineOptions` subclass a concern, read by every job; unknown ones are refused."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.pipeline.options.live import LiveOptions, PageOptions
from clickstream.pipeline.options.values import (
    duration,
    duration_or_off,
    rollups,
    sketch_size,
    time_spent,
    tracking_parameters,
    whole,
)

REFERENCE_FORMS = "env:NAME, file:PATH or secret:projects/P/secrets/S/versions/V"


class LogOptions(PipelineOptions):
    """Clicks from logs (bounded)."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--input", metavar="PATH_OR_GLOB", help="NDJSON, plain, .gz, .zst or .bz2 (default: a sample is made)"
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
            help="consumer group of the offsets (default: clickstream-beam)",
        )
        add(
            "--start",
            default="committed",
            metavar="WHERE",
            help="committed (else earliest), earliest, latest, or a time (default: committed)",
        )
        add("--until", choices=("now",), help="now: read what is there, write it, and end")
        add(
            "--disorder",
            type=duration,
            default="10s",
            metavar="DURATION",
            help="how far events may be out of order (default: 10s)",
        )
        add(
            "--idle",
            type=duration,
            default="30s",
            metavar="DURATION",
            help="when a silent partition stops counting (default: 30s)",
        )
        add(
            "--kafka_splits",
            choices=("one", "per_partition"),
            default="one",
            help="per_partition: not on Prism (default: one)",
        )
        add(
            "--kafka_reader",
            choices=("native", "java"),
            default="native",
            help="java: Beam's cross-language reader, for Flink and Dataflow; commits no offsets (default: native)",
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


class ClickOptions(PipelineOptions):
    """What counts as a click."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
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
            help="reject events further ahead of now: 10m, off (default: 10m)",
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
            help="length of a window (default: 300)",
        )
        add(
            "--time_spent",
            type=time_spent,
            default="dwell",
            metavar="POLICY",
            help="dwell: until the user's next click; fixed:SECONDS; reported: what the event says (default: dwell)",
        )
        add(
            "--session_gap",
            type=duration,
            default="30m",
            metavar="DURATION",
            help="dwell: a click later than this after the one before begins a session (default: 30m)",
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
            help="user hashes a row keeps at most, so that users of several rows can be counted; off (default: 1024)",
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
            help="whose hours and days --rollups keeps, such as Asia/Kolkata (default: UTC)",
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
            help="live: how long windows take late clicks (default: 10m)",
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
        add("--output_dir", default="out", metavar="DIR", help="folder for embedded results (default: out)")
        add("--mysql", metavar="URL", help="mysql://USER@HOST:PORT/DATABASE, MySQL 8 or 9, or MariaDB")
        add("--mysql_password", metavar="REF", help=REFERENCE_FORMS)
        add("--mysql_tls_ca", metavar="FILE", help="certificate authority, to talk TLS only")
        add("--elasticsearch", metavar="URL", help="http(s)://HOST:PORT, several with commas")
        add(
            "--elasticsearch_index",
            default="processed_clickstream_data",
            metavar="NAME",
            help="index of the results; with {month} or {day} in it indices by time (default: processed_clickstream_data)",
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
            choices=("mysql", "sqlite", "cassandra", "hbase", "none"),
            default="none",
            help="mysql: the database of --mysql; sqlite: a file in --output_dir (default: none)",
        )
        add(
            "--raw_table",
            default="clickstream_data",
            metavar="NAME",
            help="its table (default: clickstream_data)",
        )
        add("--cassandra", metavar="HOST:PORT", help="nodes to begin with, several with commas")
        add("--cassandra_keyspace", default="clickstream", metavar="NAME", help="its keyspace (default: clickstream)")
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message.rstrip('.')}. See --help.")  # noqa: EM102


def job_parser(
    groups: Sequence[type[PipelineOptions]] = JOB_OPTIONS, program: str = "clickstream"
) -> argparse.ArgumentParser:
    """The parser of a job's own options, for `--help`."""
    parser = _Parser(prog=program, allow_abbrev=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.formatter_class = argparse.HelpFormatter
    for group in groups:
        group._add_argparse_args(parser.add_argument_group(str(group.__doc__)))  # noqa: SLF001
    return parser


def read_options(argv: Sequence[str]) -> PipelineOptions:
    """Options of a job and of Beam from the command line.

    Raises:
        UserError: An option is unknown, or its value wrong.
    """
    parser = _Parser(allow_abbrev=False, add_help=False)
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)  # noqa: SLF001
    _, unknown = parser.parse_known_args(list(argv))
    if unknown:
        message = f"Unknown option {unknown[0]}: see --help for those there are."
        raise UserError(message)
    return PipelineOptions(list(argv))
