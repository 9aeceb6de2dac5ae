"""Raw clicks in Cassandra: a partition by time bucket and shard of users. Needs the extra `cassandra`."""

from clickstream.io.raw.cassandra.store import CassandraRawStoreConnection

__all__ = ["CassandraRawStoreConnection"]
