"""Elasticsearch: connection, index and template, bulk actions, the writers, the bulk file of a run without a server, and Kibana's objects.

May import: `clickstream.transforms`' ground and the modules directly in `clickstream.io`.
"""

from clickstream.io.elasticsearch.bulk_file import WriteBulkFile
from clickstream.io.elasticsearch.connection import ElasticsearchConnection, ask, perform
from clickstream.io.elasticsearch.documents import WriteDocumentsToElasticsearch
from clickstream.io.elasticsearch.errors import ElasticsearchError
from clickstream.io.elasticsearch.index import check_elasticsearch, setup_elasticsearch
from clickstream.io.elasticsearch.kibana import import_saved_objects
from clickstream.io.elasticsearch.names import DEFAULT_INDEX, check_index_name, searched
from clickstream.io.elasticsearch.write import WriteToElasticsearch

__all__ = [
    "DEFAULT_INDEX",
    "ElasticsearchConnection",
    "ElasticsearchError",
    "WriteBulkFile",
    "WriteDocumentsToElasticsearch",
    "WriteToElasticsearch",
    "ask",
    "check_elasticsearch",
    "check_index_name",
    "import_saved_objects",
    "perform",
    "searched",
    "setup_elasticsearch",
]
