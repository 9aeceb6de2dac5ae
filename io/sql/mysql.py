"""MySQL and MariaDB: connections in beam-nuggets' terms, the database and the stored procedures around the SQL sink."""

import re
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import sqlalchemy as sa
from beam_nuggets.io.relational_db_api import SourceConfiguration, TableConfiguration

from clickstream.io.errors import UserError
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.errors import one_line_errors
from clickstream.io.sql.metrics import WriteToSql
from clickstream.io.sql.routines import missing_routines, setup_routines
from clickstream.io.sql.setup import check_sql, setup_sql, take_turn

_DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "mariadb+pymysql": "mysql+pymysql"}
_OLDEST = {"MySQL": (8, 0), "MariaDB": (10, 6)}


def connect_by_configuration(
    source: SourceConfiguration, table: TableConfiguration | None = None, *, password: str | None = None
) -> SqlConnection:
    """A connection in beam-nuggets' terms; the password comes apart, as a reference (see `check_secret_reference`).

    Raises:
        UserError: The configuration holds a password, or asks for what this writer doesn't do.
    """
    url = source.url
    if url.password is not None:
        message = "SourceConfiguration holds a password, which would travel in the job: give password=env:NAME instead."
        raise UserError(message)
    if not url.database:
        message = "SourceConfiguration names no database: give database=NAME (for sqlite, a path)."
        raise UserError(message)
    return SqlConnection(
        drivername=_DRIVERS.get(url.drivername, url.drivername),
        database=url.database,
        host=url.host,
        port=url.port,
        username=url.username,
        password=password,
        create_database=source.create_if_missing,
        **_table_fields(table),
    )


def _table_fields(table: TableConfiguration | None) -> dict[str, Any]:
    if table is None:
        return {}
    if table.define_table_f or table.create_insert_f or table.primary_key_column_names:
        message = "TableConfiguration: give name and create_if_missing only; columns, key and statement are fixed."
        raise UserError(message)
    return {"metrics_table": table.name, "create_tables": table.create_table_if_missing}


def connect_by_url(url: str, *, password: str | None = None, tls_ca: str | None = None) -> SqlConnection:
    """A connection of `mysql://USER@HOST:PORT/DATABASE` (or `mariadb://`), whose database is created if missing.

    Raises:
        UserError: It isn't of that form, or holds a password. Its text is not repeated.
    """
    try:
        parsed = sa.engine.make_url(url)
        drivername = _DRIVERS.get(parsed.drivername, parsed.drivername)
    except (sa.exc.ArgumentError, ValueError):
        parsed, drivername = None, ""
    if parsed is None or drivername != "mysql+pymysql" or not (parsed.host and parsed.database) or parsed.query:
        message = "--mysql takes mysql://USER@HOST:PORT/DATABASE."
        raise UserError(message)
    if parsed.password is not None:
        message = "--mysql must not hold a password: leave it out and give --mysql_password=env:NAME or file:PATH."
        raise UserError(message)
    place = {"host": parsed.host, "port": parsed.port, "username": parsed.username}
    return SqlConnection(drivername, parsed.database, **place, password=password, tls_ca=tls_ca, create_database=True)


@dataclass(eq=False)
class WriteToMySql(beam.PTransform):
    """Writes result rows to MySQL or MariaDB: `WriteToSql` in the terms of beam-nuggets' `relational_db.Write`.

    In and out: as `WriteToSql`.

    Attributes:
        source_config: The database, without password.
        table_config: The table: its name, and whether it is created if missing.
        password: Reference to the password, see `check_secret_reference`.
        batch_rows: Rows a transaction.
        retry_seconds: How long a batch is tried again after deadlocks, lost connections and the like; then it fails.
    """

    source_config: SourceConfiguration
    table_config: TableConfiguration | None = None
    password: str | None = None
    batch_rows: int = 5000
    retry_seconds: float = 300

    def __post_init__(self) -> None:
        self._connection = connect_by_configuration(self.source_config, self.table_config, password=self.password)

    def expand(self, metrics: beam.PCollection) -> Any:
        write = WriteToSql(self._connection, batch_rows=self.batch_rows, retry_seconds=self.retry_seconds)
        return metrics | "Write" >> write


def setup_mysql(connection: SqlConnection, *, renew: bool = False) -> None:
    """Creates what is missing: the database (if the connection says so), tables, stored procedures and views. What is there stays.

    Tables that were there are checked before anything is built on them: a lost column is told by its name.

    Args:
        connection: The database.
        renew: Whether procedures and views of another version are changed too; the rights on them stay.

    Raises:
        UserError: The server can't be reached, or something is missing that the account may not make.
    """
    setup_sql(connection)
    check_sql(connection)
    with one_line_errors(connection), connection.engine().connect() as opened:
        take_turn(opened)
        setup_routines(opened, connection, renew=renew)


def check_mysql(connection: SqlConnection) -> None:
    """Compares the server's version, the tables, the procedures and the views with what is needed.

    Raises:
        UserError: The first difference, and how to mend it; or the server can't be reached.
    """
    with one_line_errors(connection), connection.engine().connect() as opened:
        version = opened.exec_driver_sql("SELECT VERSION()").scalar()
        missing = missing_routines(opened, connection.metrics_table)
    _check_version(connection, version)
    check_sql(connection)
    if missing:
        message = f"{connection.place}: {missing[0]} is missing: run setup-sinks."
        raise UserError(message)


def _check_version(connection: SqlConnection, version: str) -> None:
    product = "MariaDB" if "MariaDB" in version else "MySQL"
    major, minor, *_ = (int(number) for number in re.findall(r"\d+", version))
    if (major, minor) < _OLDEST[product]:
        needed = ".".join(map(str, _OLDEST[product]))
        message = f"{connection.place}: found {product} {major}.{minor}, needed {needed} or later: upgrade the server."
        raise UserError(message)
