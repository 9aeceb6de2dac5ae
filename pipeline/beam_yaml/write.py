"""Beam YAML's steps that write page metrics, into stores that are made and checked while the pipeline is built."""

from pathlib import Path

import apache_beam as beam

from clickstream.io import elasticsearch, sql
from clickstream.pipeline.beam_yaml.layouts import MetricRows
from clickstream.pipeline.beam_yaml.rows import FromRows
from clickstream.pipeline.beam_yaml.step import ErrorHandling, with_errors


def WriteToSql(  # noqa: N802
    url: str,
    password: str | None = None,
    tls_ca: str | None = None,
    setup: bool = True,
    error_handling: ErrorHandling | None = None,
) -> beam.PTransform:
    """Writes rows of page metrics to the table page_metrics of SQLite, MySQL or MariaDB; a row gives way only to one of the same version or a higher.

    Args:
        url: mysql://USER@HOST:PORT/DATABASE, or sqlite:PATH.
        password: Reference to it: env:NAME, file:PATH or secret:projects/….
        tls_ca: File of the certificate authority.
        setup: Make the tables, and check them, while the pipeline is built.
        error_handling: Where to put rows for rows that the database refuses.
    """
    kind, _, path = url.partition(":")
    database = (
        sql.SqlConnection("sqlite", str(Path(path).absolute()))
        if kind == "sqlite"
        else sql.connect_by_url(url, password=password, tls_ca=tls_ca)
    )
    if setup:
        set_up, check = (sql.setup_sql, sql.check_sql) if database.is_sqlite else (sql.setup_mysql, sql.check_mysql)
        set_up(database)
        check(database)
    return _sink("WriteToSql", sql.WriteToSql(database), error_handling)


def WriteToElasticsearch(  # noqa: N802
    hosts: str,
    index: str = elasticsearch.DEFAULT_INDEX,
    api_key: str | None = None,
    user: str | None = None,
    password: str | None = None,
    ca_certs: str | None = None,
    setup: bool = True,
    error_handling: ErrorHandling | None = None,
) -> beam.PTransform:
    """Writes rows of page metrics to an index of Elasticsearch; a document gives way only to one of the same version or a higher.

    Args:
        hosts: http://HOST:PORT, several with commas.
        index: The index.
        api_key: Reference to the API key: env:NAME, file:PATH or secret:projects/….
        user: For basic authentication.
        password: Reference to the user's password.
        ca_certs: File of the certificate authority.
        setup: Make the index and its template, and check them, while the pipeline is built.
        error_handling: Where to put rows for documents that the server refuses.
    """
    connection = elasticsearch.ElasticsearchConnection(
        hosts, api_key=api_key, user=user, password=password, ca_certs=ca_certs
    )
    if setup:
        client = connection.connect()
        elasticsearch.setup_elasticsearch(client, index)
        elasticsearch.check_elasticsearch(client, index)
        client.close()
    return _sink("WriteToElasticsearch", elasticsearch.WriteToElasticsearch(connection, index), error_handling)


def _sink(name: str, write: beam.PTransform, error_handling: ErrorHandling | None) -> beam.PTransform:
    return with_errors(name, lambda rows: rows | FromRows(MetricRows) | "Write" >> write, None, error_handling)
