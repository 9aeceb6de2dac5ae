"""A raw store in HBase for a test, and a bucket of its own."""

import pytest
from raw_hbase_clicks import BUCKETS, new_name

from clickstream.io.raw.hbase.store import HBaseRawStoreConnection


@pytest.fixture(scope="module")
def connection(hbase):
    where = HBaseRawStoreConnection(hbase.address, new_name())
    store = where.open()
    store.set_up()
    store.close()
    return where


@pytest.fixture
def store(connection):
    opened = connection.open()
    yield opened
    opened.close()


@pytest.fixture
def bucket():
    return next(BUCKETS)
