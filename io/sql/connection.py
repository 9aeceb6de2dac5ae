"""Where the SQL tables are, and how the drivers are to talk to them."""

import sqlite3
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from clickstream.io.certificates import check_ca_file
from clickstream.io.errors import UserError
from clickstream.io.secrets import check_secret_reference, resolve_secret
from clickstream.io.sql import tables
from clickstream.transforms.schema import PAGES, RowKind

_BUSY_SECONDS = 60


@dataclass(frozen=True)
class SqlConnection:
    """Where the SQL tables are. Holds no secret, and may be pickled and shown.

    Attributes:
        drivername: `sqlite` or `mysql+pymysql` (for MariaDB too).
        database: Name of the database; for SQLite the file's path.
        host: Server's name or address.
        port: Its port.
        username: The account to use.
        password: Reference to its password, see `check_secret_reference`; None for none.
        tls_ca: Certificate authority's file, to insist on TLS and check the server; None leaves it to the server.
        metrics_table: Table of the result rows.
        kind: What these are.
        dead_letters_table: Table of the rejected records.
        create_database: Whether `setup_mysql` creates a missing database.
        create_tables: Whether the sinks create missing tables before they write.

    Raises:
        UserError: A name or the driver is of no use.
        SecretError: The password is no reference.
    """

    drivername: str
    database: str
    host: str | None = None
    port: int | None = None
    username: str | None = None
    password: str | None = None
    tls_ca: str | None = None
    metrics_table: str = "page_metrics"
    kind: RowKind = PAGES
    dead_letters_table: str = "dead_letters"
    create_database: bool = False
    create_tables: bool = False

    def __post_init__(self) -> None:
        if self.drivername not in ("sqlite", "mysql+pymysql"):
            message = f"SQL driver {self.drivername!r} isn't supported: use sqlite or mysql+pymysql."
            raise UserError(message)
        for name in (self.metrics_table, self.dead_letters_table):
            tables.check_name(name)
        if not self.is_sqlite:
            tables.check_database_name(self.database)
        if self.password is not None:
            check_secret_reference(self.password)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is an SQLite file rather than a server."""
        return self.drivername == "sqlite"

    @property
    def place(self) -> str:
        """The database, for people to read."""
        if self.is_sqlite:
            return f"SQLite file {self.database}"
        return f"MySQL at {self.host}:{self.port or 3306}/{self.database}"

    def tables(self) -> list[sa.Table]:
        """The two tables, under their names here."""
        return [
            tables.page_metrics_table(self.metrics_table, self.kind),
            tables.dead_letters_table(self.dead_letters_table),
        ]

    def engine(self, *, with_database: bool = True) -> sa.engine.Engine:
        """An engine that opens a new connection each time. Resolves the password: call it on the worker.

        Raises:
            SecretError: The password's reference leads nowhere.
            UserError: The certificate authority's file can't be used.
        """
        if self.tls_ca:
            check_ca_file(self.tls_ca, "--mysql_tls_ca")
        password = resolve_secret(self.password) if self.password else None
        place = (self.host, self.port, self.database if with_database else None)
        url = sa.engine.URL.create(self.drivername, self.username, password, *place)
        arguments = _sqlite_arguments() if self.is_sqlite else _mysql_arguments(self.tls_ca)
        engine = sa.create_engine(url, connect_args=arguments, poolclass=NullPool, hide_parameters=True)
        if self.is_sqlite:
            sa.event.listen(engine, "connect", _prepare_sqlite)
        return engine


def _sqlite_arguments() -> dict[str, Any]:
    return {"timeout": _BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    for setting in ("synchronous = NORMAL", "cache_size = -65536", "secure_delete = OFF"):
        connection.execute(f"PRAGMA {setting}")
    # Whoever else writes into the file may have left what is no text: it is shown, and hides nothing else.
    connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")


def _mysql_arguments(tls_ca: str | None) -> dict[str, Any]:
    # Strict: a value that doesn't fit must be refused, never cut, whatever the server's own mode.
    mode = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO"
    arguments = {
        "charset": "utf8mb4",
        "init_command": f"SET SESSION sql_mode = '{mode}', time_zone = '+00:00'",
        "connect_timeout": 10,
        "read_timeout": 120,
        "write_timeout": 120,
    }
    return arguments | ({"ssl": {"ca": tls_ca}} if tls_ca else {})
