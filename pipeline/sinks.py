"""The sinks that the options name: what is set up and checked before the first event, and what the graph writes to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.elasticsearch import (
    ElasticsearchConnection,
    WriteToElasticsearch,
    check_elasticsearch,
    setup_elasticsearch,
)
from clickstream.io.errors import UserError
from clickstream.io.kafka import WriteDeadLettersToKafka, load_kafka_config
from clickstream.io.results import ElasticsearchStore, SqlStore, Store
from clickstream.io.sql import (
    SqlConnection,
    WriteDeadLettersToSql,
    WriteToSql,
    check_mysql,
    check_sql,
    connect_by_url,
    setup_mysql,
    setup_settings,
    setup_sql,
)
from clickstream.pipeline.options import KafkaOptions, OutputOptions
from clickstream.pipeline.output_dir import OutputDir, derived_name, derived_of
from clickstream.pipeline.settings import breakdowns_of, rollups_of
from clickstream.transforms.breakdowns import holds_breakdown
from clickstream.transforms.schema import BREAKDOWN, PAGES


@dataclass(frozen=True)
class Sinks:
    """Where a job writes. With no server named, rows and dead letters go to an SQLite file in `--output_dir`.

    Attributes:
        sql: The database of the rows; None if only Elasticsearch is named.
        elasticsearch, index: The cluster and index of the rows; None if it is left out.
        dead_letters: The database, or the topic, of rejected records.
        derived: What else there are tables and indices of: roll-ups and breakdowns, as `derived_of` calls them.
    """

    sql: SqlConnection | None
    elasticsearch: ElasticsearchConnection | None
    index: str
    dead_letters: SqlConnection | str
    derived: tuple[str, ...] = ()

    @property
    def is_embedded(self) -> bool:
        """Whether something goes into an SQLite file."""
        return any(
            isinstance(database, SqlConnection) and database.is_sqlite for database in (self.sql, self.dead_letters)
        )

    def set_up(self, *, renew: bool = False, index_settings: Mapping[str, int] | None = None) -> None:
        """Creates what is missing in the stores, and checks what was there.

        Args:
            renew: Whether procedures and views of another version are changed too.
            index_settings: `number_of_shards` and `number_of_replicas` of the indices.

        Raises:
            UserError: A store can't be reached or has another schema.
        """
        for database in {self.sql, self.dead_letters}:
            if isinstance(database, SqlConnection):
                if database.is_sqlite:
                    setup_sql(database)
                    check_sql(database)
                else:
                    setup_mysql(database, renew=renew)
                    check_mysql(database)
        if self.sql is not None:
            setup_settings(self.sql)
            for table in map(self.table, self.derived):
                setup_settings(table)
                setup_sql(table)
                check_sql(table)
        if self.elasticsearch is not None:
            client = self.elasticsearch.connect()
            for derived in ("", *self.derived):
                setup_elasticsearch(client, derived_name(self.index, derived), index_settings)
                check_elasticsearch(client, derived_name(self.index, derived))
            client.close()

    def places(self) -> list[str]:
        """The stores of the rows, for people to read."""
        found = [self.sql.place] if self.sql is not None else []
        return found + (
            [f"Elasticsearch at {self.elasticsearch.hosts}, index {self.index}"] if self.elasticsearch else []
        )

    def table(self, derived: str = "") -> SqlConnection:
        """The database with the table of the windows, or of what is derived of them, as its own. Only where there is a database."""
        if self.sql is None:
            message = "There is no SQL sink."
            raise ValueError(message)
        kind = BREAKDOWN if holds_breakdown(derived) else PAGES
        return replace(self.sql, metrics_table=derived_name(self.sql.metrics_table, derived), kind=kind)

    def row_stores(self) -> list[Store]:
        """The stores of windows, to be asked."""
        stores: list[Store] = [] if self.sql is None else [SqlStore(self.sql)]
        return stores + ([ElasticsearchStore(self.elasticsearch, self.index)] if self.elasticsearch else [])

    def write_rows(self, derived: str = "") -> dict[str, beam.PTransform]:
        """The sinks of result rows, by label: of the windows, or of what is derived of them."""
        sinks: dict[str, beam.PTransform] = {}
        if self.sql is not None:
            sinks["WriteToSql" if self.sql.is_sqlite else "WriteToMySql"] = WriteToSql(self.table(derived))
        if self.elasticsearch is not None:
            index = derived_name(self.index, derived)
            sinks["WriteToElasticsearch"] = WriteToElasticsearch(self.elasticsearch, index)
        return sinks

    def write_dead_letters(self, options: PipelineOptions) -> beam.PTransform:
        """The sink of rejected records."""
        if isinstance(self.dead_letters, SqlConnection):
            return WriteDeadLettersToSql(self.dead_letters)
        kafka = options.view_as(KafkaOptions)
        return WriteDeadLettersToKafka(
            bootstrap_servers=kafka.bootstrap_servers,
            topic=self.dead_letters,
            kafka_config=load_kafka_config(kafka.kafka_config) if kafka.kafka_config else {},
        )


def sinks_of(options: PipelineOptions) -> Sinks:
    """Reads the sinks from the options.

    Raises:
        UserError: An option can't be, or they contradict each other.
    """
    chosen = options.view_as(OutputOptions)
    sql = server_of(options)
    elasticsearch = elasticsearch_of(options) if chosen.elasticsearch else None
    if sql is None and elasticsearch is None:
        sql = embedded_database(options)
    if holds_breakdown(chosen.elasticsearch_index):
        message = f"--elasticsearch_index={chosen.elasticsearch_index} is as an index of a breakdown is called: choose another end."
        raise UserError(message)
    return Sinks(sql, elasticsearch, chosen.elasticsearch_index, _dead_letters(options, sql), _derived(options))


def _derived(options: PipelineOptions) -> tuple[str, ...]:
    rollups, breakdowns = [periods.name for periods in rollups_of(options)], breakdowns_of(options).names
    return tuple(derived_of(rollup, breakdown) for breakdown in ("", *breakdowns) for rollup in ("", *rollups))[1:]


def names_servers(options: PipelineOptions) -> bool:
    """Whether rows go to servers, and not to an SQLite file."""
    chosen = options.view_as(OutputOptions)
    return bool(chosen.mysql or chosen.elasticsearch)


def dead_letters_of(options: PipelineOptions) -> SqlConnection | str:
    """Reads from the options where the dead letters are: a database, or a topic.

    Raises:
        UserError: An option can't be.
    """
    return _dead_letters(options, server_of(options))


def server_of(options: PipelineOptions) -> SqlConnection | None:
    """The MySQL or MariaDB server that the options name, or None.

    Raises:
        UserError: An option can't be.
    """
    chosen = options.view_as(OutputOptions)
    if not chosen.mysql:
        return None
    return connect_by_url(chosen.mysql, password=chosen.mysql_password, tls_ca=chosen.mysql_tls_ca)


def embedded_database(options: PipelineOptions) -> SqlConnection:
    """The SQLite file in `--output_dir`, whose folder is made."""
    output = OutputDir(Path(options.view_as(OutputOptions).output_dir))
    output.prepare()
    return SqlConnection("sqlite", str(output.database.absolute()))


def elasticsearch_of(options: PipelineOptions) -> ElasticsearchConnection:
    """The Elasticsearch cluster that the options name.

    Raises:
        UserError: An option can't be.
    """
    chosen = options.view_as(OutputOptions)
    return ElasticsearchConnection(
        hosts=chosen.elasticsearch,
        api_key=chosen.elasticsearch_api_key,
        user=chosen.elasticsearch_user,
        password=chosen.elasticsearch_password,
        ca_certs=chosen.elasticsearch_ca,
    )


def _dead_letters(options: PipelineOptions, sql: SqlConnection | None) -> SqlConnection | str:
    where = options.view_as(OutputOptions).dead_letters
    kind, _, name = (where or "").partition(":")
    if not where:
        return sql or embedded_database(options)
    if where == "mysql" and sql is not None and not sql.is_sqlite:
        return sql
    if kind == "kafka" and name:
        return name
    if kind == "file" and name:
        return SqlConnection("sqlite", str(Path(name).absolute()))
    message = f"--dead_letters={where}: write mysql (with --mysql), kafka:TOPIC, or file:PATH of an SQLite file."
    raise UserError(message)
