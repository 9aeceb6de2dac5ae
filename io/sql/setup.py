"""The SQL tables: created where they are missing, and compared with what the sinks write."""

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from clickstream.io.errors import UserError
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.errors import denied, one_line_errors


def setup_sql(connection: SqlConnection) -> None:
    """Creates the sinks' tables, as `setup_tables` does."""
    setup_tables(connection, connection.tables())


def setup_tables(connection: SqlConnection, tables: Sequence[sa.Table]) -> None:
    """Creates the tables that are missing, and the database if the connection says so; leaves the others as they are.

    Several workers may do it at once.

    Raises:
        UserError: The database can't be reached, or the account may not.
    """
    if connection.create_database:
        _create_database(connection)
    set_up = _setup_sqlite_tables if connection.is_sqlite else _setup_mysql_tables
    with one_line_errors(connection):
        set_up(connection, tables)


def _setup_sqlite_tables(connection: SqlConnection, tables: Sequence[sa.Table]) -> None:
    with connection.engine().begin() as opened:
        opened.exec_driver_sql("PRAGMA journal_mode = WAL")
        for table in tables:
            opened.execute(CreateTable(table, if_not_exists=True))


def _setup_mysql_tables(connection: SqlConnection, tables: Sequence[sa.Table]) -> None:
    # Without a transaction, whose view of what there is would be that from before the turn.
    with connection.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as opened:
        if any(_lacks(opened, table) for table in tables):  # else no right to create is needed
            take_turn(opened)
            for table in tables:
                _create_table(opened, connection, table)


def _lacks(opened: sa.engine.Connection, table: sa.Table) -> list[Any]:
    """The table's indexes that aren't there, and itself."""
    inspector = sa.inspect(opened)
    if not inspector.has_table(table.name):
        return [table, *table.indexes]
    present = {index["name"] for index in inspector.get_indexes(table.name)}
    return [index for index in table.indexes if index.name not in present]


def _create_table(opened: sa.engine.Connection, connection: SqlConnection, table: sa.Table) -> None:
    """The table, and the index that the procedures look pages up by. SQLite has no procedures; there it would double a row's cost."""
    for missing in _lacks(opened, table):
        if isinstance(missing, sa.Table):
            with denied(connection, f"table {table.name}", "CREATE"):
                opened.execute(CreateTable(table))
        else:
            with denied(connection, f"index {missing.name}", "INDEX"):
                opened.execute(CreateIndex(missing))


def _create_database(connection: SqlConnection) -> None:
    with one_line_errors(connection), connection.engine(with_database=False).connect() as opened:
        known = sa.text("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = :name")
        if not opened.execute(known, {"name": connection.database}).scalar():  # else the right to create isn't needed
            with denied(connection, "the database", "CREATE"):
                execute_as_is(opened, f"CREATE DATABASE IF NOT EXISTS `{connection.database}` COLLATE utf8mb4_bin")


def execute_as_is(opened: sa.engine.Connection, statement: str) -> None:
    """Executes it as it stands: no parameters, so that `%` and `:` mean themselves."""
    cursor = opened.connection.cursor()
    cursor.execute(statement)
    cursor.close()


def take_turn(opened: sa.engine.Connection) -> None:
    """Waits until no other client sets up the same MySQL database; the turn ends with the connection."""
    opened.exec_driver_sql("SELECT GET_LOCK(CONCAT(LEFT(DATABASE(), 50), '.clickstream'), 60)")


def check_sql(connection: SqlConnection) -> None:
    """Compares the sinks' tables with what is written, as `check_tables` does."""
    check_tables(connection, connection.tables())


def check_tables(connection: SqlConnection, tables: Sequence[sa.Table]) -> None:
    """Compares tables with what is written to them: columns, types, primary key and, in MySQL, collations.

    Raises:
        UserError: The first difference: table, column, what was found, what is needed, how to mend it.
    """
    with one_line_errors(connection), connection.engine().connect() as opened:
        for table in tables:
            difference = _difference(opened, table)
            if difference:
                message = f"{connection.place}, table {table.name}{difference}"
                raise UserError(message)


def _difference(opened: sa.engine.Connection, table: sa.Table) -> str | None:
    inspector = sa.inspect(opened)
    if not inspector.has_table(table.name):
        return " is missing: run setup-sinks."
    aside = f"ALTER TABLE {table.name} RENAME TO {table.name}_old, then run setup-sinks"
    found = {column["name"]: column for column in inspector.get_columns(table.name)}
    collations = _collations(opened, table)
    for column in table.columns:
        if difference := _column_difference(opened, column, found.get(column.name), collations):
            mended = f"ALTER TABLE {table.name} {_mended(opened, column, found)}, or "
            cure = aside if opened.dialect.name == "sqlite" else mended + aside
            return f", column {column.name}: {difference}. Cure: {cure}."
    for name, column in found.items():
        if name not in table.columns and not column["nullable"] and column["default"] is None:
            return f", column {name}: found NOT NULL, needed a default, as it isn't written. Cure: give it one."
    key = inspector.get_pk_constraint(table.name)["constrained_columns"]
    needed = [column.name for column in table.primary_key]
    if set(key) == set(needed):
        return None
    return f": found primary key ({', '.join(key)}), needed ({', '.join(needed)}). Cure: {aside}."


def _mended(opened: sa.engine.Connection, column: Any, found: dict[str, Any]) -> str:
    return f"{'MODIFY' if column.name in found else 'ADD'} {CreateColumn(column).compile(dialect=opened.dialect)}"


def _collations(opened: sa.engine.Connection, table: sa.Table) -> dict[str, str]:
    if opened.dialect.name == "sqlite":
        return {}
    known = sa.text(
        "SELECT column_name, collation_name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = :name AND collation_name IS NOT NULL"
    )
    return dict(tuple(row) for row in opened.execute(known, {"name": table.name}))


def _column_difference(opened: sa.engine.Connection, column: Any, found: Any, collations: dict[str, str]) -> str | None:
    if found is None:
        return "found none of this name"
    kind, needed = (_kind(of.compile(dialect=opened.dialect)) for of in (found["type"], column.type))
    if not _fits(kind, needed, is_sqlite=opened.dialect.name == "sqlite"):
        return f"found type {kind}, needed {needed}"
    if column.nullable and not found["nullable"]:
        return "found NOT NULL, needed NULL allowed"
    collation = getattr(column.type.dialect_impl(opened.dialect), "collation", None)
    found_collation = collations.get(column.name, collation)
    return None if found_collation == collation else f"found collation {found_collation}, needed {collation}"


def _kind(declared: str) -> str:
    """A type without collation and, for whole numbers, without the width that MariaDB shows them with."""
    return re.sub(r"(INT|INTEGER)\(\d+\)", r"\1", declared.partition(" ")[0])


_LARGER = {"TEXT": ("MEDIUMTEXT", "LONGTEXT"), "DATETIME": ("DATETIME(3)", "DATETIME(6)")}
_SQLITE_SAME = {"BIGINT": ("INTEGER", "INT"), "FLOAT": ("REAL", "DOUBLE")}


def _fits(kind: str, needed: str, *, is_sqlite: bool) -> bool:
    if kind == needed or kind in (_SQLITE_SAME if is_sqlite else _LARGER).get(needed, ()):
        return True
    lengths = [re.fullmatch(r"VARCHAR\((\d+)\)", declared) for declared in (kind, needed)]
    return bool(lengths[0] and lengths[1] and int(lengths[0][1]) >= int(lengths[1][1]))
