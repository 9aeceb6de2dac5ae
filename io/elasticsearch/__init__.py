"""Elasticsearch: connection, index and template, bulk actions, the writers, the bulk file of a run without a server, and Kibana's objects.

May import: `clickstream.transforms`' ground and the modules directly in `clickstream.io`.
"""

from clickstream.io.elasticsearch.bulk_file import WriteBulkFile, remove_pieces, write_bulk_file
from clickstream.io.elasticsearch.connection import ElasticsearchConnection, ask, perform, speaks_opensearch
from clickstream.io.elasticsearch.documents import WriteDocumentsToElasticsearch
from clickstream.io.elasticsearch.errors import ElasticsearchError
from clickstream.io.elasticsearch.index import check_elasticsearch, setup_elasticsearch
from clickstream.io.elasticsearch.kibana import import_saved_objects
from clickstream.io.elasticsearch.names import DEFAULT_INDEX, check_index_name, kind_in, searched
from clickstream.io.elasticsearch.refused_documents import write_refused_documents
from clickstream.io.elasticsearch.row_settings import read_settings, write_settings
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
    "kind_in",
    "perform",
    "read_settings",
    "remove_pieces",
    "searched",
    "setup_elasticsearch",
    "speaks_opensearch",
    "write_bulk_file",
    "write_refused_documents",
    "write_settings",
]
