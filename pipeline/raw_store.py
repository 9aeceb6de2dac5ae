"""The raw store that the options name."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from apache_beam.options.pipeline_options import PipelineOptions

from clickstream.io.errors import UserError
from clickstream.io.raw import BUCKET_MS, RawStore, RawStoreConnection
from clickstream.io.raw.files import FileRawStoreConnection
from clickstream.io.raw.sql import SqlRawStoreConnection
from clickstream.io.sql import SqlConnection
from clickstream.pipeline.options import OutputOptions, RawStoreOptions
from clickstream.pipeline.output_dir import OutputDir
from clickstream.pipeline.sinks import server_of

_LOG = logging.getLogger(__name__)
_HOUR_SECONDS = 3600.0
_T = TypeVar("_T")


def raw_store_of(options: PipelineOptions) -> RawStoreConnection | None:
    """Reads from the options where raw clicks are kept; None: nowhere.

    Raises:
        UserError: An option is missing, or can't be.
    """
    asked = options.view_as(RawStoreOptions)
    kind, table = asked.raw_store, asked.raw_table
    if kind in (None, "none"):
        return None
    if kind == "files":
        return FileRawStoreConnection(_folder(options))
    if kind == "sqlite":
        return SqlRawStoreConnection(SqlConnection("sqlite", _file(options)), table)
    if kind == "mysql":
        return SqlRawStoreConnection(_needed(server_of(options), "mysql", "mysql://USER@HOST:PORT/DATABASE"), table)
    if kind == "hbase":
        from clickstream.io.raw.hbase import HBaseRawStoreConnection

        return HBaseRawStoreConnection(_needed(asked.hbase, "hbase", "HOST:PORT"), table)
    from clickstream.io.raw.cassandra import CassandraRawStoreConnection

    return CassandraRawStoreConnection(
        _needed(asked.cassandra, "cassandra", "HOST:PORT"),
        asked.cassandra_keyspace,
        table,
        user=asked.cassandra_user,
        password=asked.cassandra_password,
        tls_ca=asked.cassandra_ca,
    )


def needed_raw_store(options: PipelineOptions) -> RawStoreConnection:
    """The raw store, for what can't be done without one.

    Raises:
        UserError: None is named, or as `raw_store_of`.
    """
    store = raw_store_of(options)
    if store is None:
        message = (
            "Which raw store? Give --raw_store=files, mysql, cassandra, hbase or sqlite, as of the job that wrote it."
        )
        raise UserError(message)
    return store


def expire(connection: RawStoreConnection | None, options: PipelineOptions) -> int:
    """Removes the buckets that are older than --retention, and returns how many; none without it."""
    retention = options.view_as(RawStoreOptions).retention
    if connection is None or retention is None:
        return 0
    oldest = (time.time() - retention) * 1000
    with opened(connection) as store:
        old = [bucket.start_ms for bucket in store.buckets() if bucket.start_ms + BUCKET_MS <= oldest]
        for bucket in old:
            store.drop_bucket(bucket)
    return len(old)


def expire_hourly(connection: RawStoreConnection | None, options: PipelineOptions) -> None:
    """The same beside a job that goes on, now and then every hour, in a thread that ends with it."""

    def go_on() -> None:
        while True:
            try:
                expire(connection, options)
            except UserError as error:  # the next hour may be better; what waits is only old
                _LOG.warning("Old raw clicks were not removed: %s", error)
            time.sleep(_HOUR_SECONDS)

    if connection is not None and options.view_as(RawStoreOptions).retention is not None:
        threading.Thread(target=go_on, daemon=True, name="expire-raw-clicks").start()


@contextmanager
def opened(connection: RawStoreConnection) -> Iterator[RawStore]:
    """The open store, closed in the end."""
    store = connection.open()
    try:
        yield store
    finally:
        store.close()


def set_up_raw_store(connection: RawStoreConnection | None) -> None:
    """Creates what is missing in the store, if there is one, and checks what was there.

    Raises:
        UserError: The store can't be reached, or has another schema.
    """
    if connection is None:
        return
    with opened(connection) as store:
        store.set_up()
        store.check()


def _file(options: PipelineOptions) -> str:
    """A file of its own: the sinks' file is written at the same time, and read by people."""
    output = OutputDir(Path(options.view_as(OutputOptions).output_dir))
    output.prepare()
    return str(output.raw_clicks.absolute())


def _folder(options: PipelineOptions) -> str:
    """A folder for each set of stores: what one set was given, another wasn't."""
    chosen = options.view_as(OutputOptions)
    sql, stores = server_of(options), []
    if sql is not None:
        stores.append(f"{sql.place}, {sql.metrics_table}")
    if chosen.elasticsearch:
        stores.append(f"{chosen.elasticsearch}, {chosen.elasticsearch_index}")
    return str(OutputDir(Path(chosen.output_dir)).clicks(stores).absolute())


def _needed(value: _T | None, name: str, form: str) -> _T:
    if value is None:
        message = f"--raw_store={name} needs --{name}={form}."
        raise UserError(message)
    return value
