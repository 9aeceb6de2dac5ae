"""Raw clicks in HBase, over its Thrift server: a family for each group of fields. Needs the extra `hbase`."""

from clickstream.io.raw.hbase.store import HBaseRawStoreConnection

__all__ = ["HBaseRawStoreConnection"]
