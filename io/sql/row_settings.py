"""What shaped the rows of a table, kept beside it: one more small table, so that a job of other settings can be told apart."""

from collections.abc import Mapping

import sqlalchemy as sa

from clickstream.io.sql import column_types
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.errors import one_line_errors
from clickstream.io.sql.setup import setup_tables


def settings_table(metrics_table: str) -> sa.Table:
    """The table of settings: a name and a value each."""
    return sa.Table(
        f"{metrics_table}_settings",
        sa.MetaData(),
        sa.Column("name", column_types.text(64), nullable=False, primary_key=True),
        sa.Column("setting", column_types.text(), nullable=False),
        **column_types.MYSQL,
    )


def setup_settings(connection: SqlConnection) -> None:
    """Creates the table if it is missing: an account that may not create tables can use one that is there.

    Raises:
        UserError: The database can't be reached, or the account may not.
    """
    table = settings_table(connection.metrics_table)
    if not _is_there(connection, table):
        setup_tables(connection, [table])


def read_settings(connection: SqlConnection) -> dict[str, str]:
    """The settings of the connection's `metrics_table`; empty where none are noted.

    Raises:
        UserError: The database can't be read.
    """
    table = settings_table(connection.metrics_table)
    if not _is_there(connection, table):
        return {}
    with one_line_errors(connection), connection.engine().connect() as opened:
        return {row.name: row.setting for row in opened.execute(sa.select(table))}


def write_settings(connection: SqlConnection, settings: Mapping[str, str]) -> None:
    """Notes settings, instead of those of the same names. The table must be there.

    Raises:
        UserError: The database can't be written.
    """
    table = settings_table(connection.metrics_table)
    if settings:
        with one_line_errors(connection), connection.engine().begin() as opened:
            opened.execute(table.delete().where(table.c.name.in_(list(settings))))
            opened.execute(table.insert(), [{"name": name, "setting": value} for name, value in settings.items()])


def _is_there(connection: SqlConnection, table: sa.Table) -> bool:
    with one_line_errors(connection), connection.engine().connect() as opened:
        return bool(sa.inspect(opened).has_table(table.name))
