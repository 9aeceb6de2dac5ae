"""Published result rows, asked of any store: which rows a question is about, the rows themselves, and sums that the store adds up.

May import: `clickstream.transforms`' ground, the modules directly in `clickstream.io`, `clickstream.io.sql` and `clickstream.io.elasticsearch`.
"""

from clickstream.io.results.elasticsearch_rows import read_elasticsearch_rows
from clickstream.io.results.elasticsearch_sums import ElasticsearchStore
from clickstream.io.results.published import ReadPublishedRows, elasticsearch_reader, refresh, sql_reader
from clickstream.io.results.rejections import RAW_SHOWN, Rejection, read_rejections
from clickstream.io.results.row_filter import RowFilter
from clickstream.io.results.sql_rows import read_sql_rows
from clickstream.io.results.sql_sums import SqlStore, sqlite_store
from clickstream.io.results.sums import SUMS_SCHEMA, Extent, Group, GroupSums, Store

__all__ = [
    "RAW_SHOWN",
    "SUMS_SCHEMA",
    "ElasticsearchStore",
    "Extent",
    "Group",
    "GroupSums",
    "ReadPublishedRows",
    "Rejection",
    "RowFilter",
    "SqlStore",
    "Store",
    "elasticsearch_reader",
    "read_elasticsearch_rows",
    "read_rejections",
    "read_sql_rows",
    "refresh",
    "sql_reader",
    "sqlite_store",
]
