"""Raw clicks in SQLite, MySQL and MariaDB: one table whose columns bear their family's name."""

from clickstream.io.raw.sql.rows import COLUMNS, buckets_table
from clickstream.io.raw.sql.store import SqlRawStoreConnection

__all__ = ["COLUMNS", "SqlRawStoreConnection", "buckets_table"]
