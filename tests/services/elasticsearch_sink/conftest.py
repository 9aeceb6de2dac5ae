"""An empty index in the real server, and a proxy before it."""

import pytest
from services.bulk_proxy import INDEX, Proxy, drop
from serving import serving

from clickstream.io.elasticsearch.connection import ElasticsearchConnection
from clickstream.io.elasticsearch.index import setup_elasticsearch


@pytest.fixture
def server(elasticsearch):
    """An empty index in the real server, and a connection to it."""
    for path in (f"/{INDEX}", f"/_index_template/{INDEX}"):
        drop(elasticsearch.address, path)
    connection = ElasticsearchConnection(elasticsearch.address, request_timeout=20)
    setup_elasticsearch(connection.connect(), INDEX)
    yield connection
    for path in (f"/{INDEX}", f"/_index_template/{INDEX}"):
        drop(elasticsearch.address, path)


@pytest.fixture
def proxy(server):
    found = Proxy(server.hosts)
    with serving(found):
        yield found
