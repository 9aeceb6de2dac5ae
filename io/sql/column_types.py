"""Column types: what SQLite keeps as text, bytes and numbers, MySQL and MariaDB keep by names of their own."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

_BINARY_TEXT = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

TIME = sa.Text().with_variant(mysql.DATETIME(), "mysql")
TIME_MS = sa.Text().with_variant(mysql.DATETIME(fsp=3), "mysql")
KEY = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")
JSON = sa.Text().with_variant(mysql.LONGTEXT(charset="ascii", collation="ascii_bin"), "mysql")
DOUBLE = sa.Float().with_variant(mysql.DOUBLE(), "mysql")
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(**_BINARY_TEXT), "mysql")  # up to 16 MB


def text(length: int | None = None) -> Any:
    """Text that is compared byte by byte: unlimited in SQLite; in MySQL up to `length` characters, or 65,535 bytes."""
    return sa.Text().with_variant(
        mysql.VARCHAR(length, **_BINARY_TEXT) if length else mysql.TEXT(**_BINARY_TEXT), "mysql"
    )


def time_as_text(column: Any) -> Any:
    """Asks for a time as text, which both kinds of databases write alike."""
    return sa.cast(column, sa.CHAR(23))


def times_from_text(cells: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """Times that were asked for as text, in UTC."""
    return pa.array(cells, pa.string()).cast(pa.timestamp("ms")).cast(kind)
