"""SQL stores (SQLite, MySQL, MariaDB): connection, tables, set-up, and the writers of result rows and dead letters.

May import: `clickstream.transforms`' ground and the modules directly in `clickstream.io`.
"""

from clickstream.io.sql import column_types
from clickstream.io.sql.connection import SqlConnection
from clickstream.io.sql.dead_letters import (
    DEAD_LETTER_SCHEMA,
    ReadDeadLettersFromSql,
    WriteDeadLettersToSql,
    delete_dead_letters,
    read_dead_letters,
)
from clickstream.io.sql.errors import ErrorKind, classify, one_line_errors
from clickstream.io.sql.metrics import WriteToSql
from clickstream.io.sql.mysql import check_mysql, connect_by_url, setup_mysql
from clickstream.io.sql.refused_rows import write_refused_rows
from clickstream.io.sql.row_settings import read_settings, setup_settings, write_settings
from clickstream.io.sql.setup import check_sql, check_tables, execute_as_is, setup_sql, setup_tables, take_turn
from clickstream.io.sql.tables import Columns, UrlHashes, check_name, dead_letters_table, page_metrics_table
from clickstream.io.sql.writer import SqlWriter, absent_insert, dead_letters_writer, metrics_writer

__all__ = [
    "DEAD_LETTER_SCHEMA",
    "Columns",
    "ErrorKind",
    "ReadDeadLettersFromSql",
    "SqlConnection",
    "SqlWriter",
    "UrlHashes",
    "WriteDeadLettersToSql",
    "WriteToSql",
    "absent_insert",
    "check_mysql",
    "check_name",
    "check_sql",
    "check_tables",
    "classify",
    "column_types",
    "connect_by_url",
    "dead_letters_table",
    "dead_letters_writer",
    "delete_dead_letters",
    "execute_as_is",
    "metrics_writer",
    "one_line_errors",
    "page_metrics_table",
    "read_dead_letters",
    "read_settings",
    "setup_mysql",
    "setup_settings",
    "setup_sql",
    "setup_tables",
    "take_turn",
    "write_refused_rows",
    "write_settings",
]
